//! Point reads at a steady rate on connections that stay open.
//!
//! A read's time runs from when it was due, not from when a connection was free for it: a server
//! that stalls is charged for all reads that it holds up.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use memchr::memmem;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::traffic::USERS;

/// How many connections there are.
const CONNECTIONS: usize = 16;

struct Connection {
    stream: TcpStream,
    /// What has come of an answer.
    answer: Vec<u8>,
    /// When the read that is under way was due.
    due: Option<Instant>,
    user: u64,
}

/// What reads took.
pub struct Reads {
    /// Answers in a second.
    pub rate: f64,
    /// Of each read, from when it was due.
    pub latencies: Vec<Duration>,
}

/// Reads what there is of one user after the other for a time, so many a second; the path ends where
/// the user follows.
///
/// # Errors
/// If a connection breaks, or an answer is not what was asked for.
pub fn read(http: SocketAddr, path: &str, rate: f64, time: Duration) -> Result<Reads> {
    let mut poll = Poll::new()?;
    let mut connections = Vec::new();
    for token in 0..CONNECTIONS {
        let stream = std::net::TcpStream::connect(http)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry()
            .register(&mut stream, Token(token), Interest::READABLE)?;
        connections.push(Connection {
            stream,
            answer: Vec::new(),
            due: None,
            user: 0,
        });
    }
    let mut events = Events::with_capacity(CONNECTIONS);
    let mut free: Vec<usize> = (0..CONNECTIONS).collect();
    let mut waiting: VecDeque<Instant> = VecDeque::new();
    let mut latencies = Vec::with_capacity((rate * time.as_secs_f64()) as usize + 1);
    let (start, mut asked) = (Instant::now(), 0u64);
    while start.elapsed() < time {
        while (asked as f64) < rate * start.elapsed().as_secs_f64() {
            waiting.push_back(start + Duration::from_secs_f64(asked as f64 / rate));
            asked += 1;
        }
        while let (Some(due), Some(at)) = (waiting.front().copied(), free.last().copied()) {
            let user = asked
                .wrapping_mul(48_271)
                .wrapping_add(waiting.len() as u64)
                % USERS;
            let connection = &mut connections[at];
            let request = format!("GET {path}u{user} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            connection.stream.write_all(request.as_bytes())?;
            (connection.due, connection.user) = (Some(due), user);
            waiting.pop_front();
            free.pop();
        }
        poll.poll(&mut events, Some(Duration::from_micros(500)))?;
        for event in &events {
            let connection = &mut connections[event.token().0];
            if connection.is_answered()?
                && let Some(due) = connection.due.take()
            {
                latencies.push(due.elapsed());
                free.push(event.token().0);
            }
        }
    }
    let rate = latencies.len() as f64 / start.elapsed().as_secs_f64();
    Ok(Reads { rate, latencies })
}

impl Connection {
    /// Whether the whole answer is there; it is checked and taken away.
    fn is_answered(&mut self) -> Result<bool> {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(length) => self.answer.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        let Some(head) = memmem::find(&self.answer, b"\r\n\r\n") else {
            return Ok(false);
        };
        let text = String::from_utf8_lossy(&self.answer[..head]).to_ascii_lowercase();
        let length = text
            .split("\r\n")
            .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let Some(length) = length else {
            bail!("an answer of unknown length: {text}")
        };
        if self.answer.len() < head + 4 + length {
            return Ok(false);
        }
        let row = format!(r#""user_id":"u{}""#, self.user);
        if !text.starts_with("http/1.1 200")
            || memmem::find(&self.answer[head..], row.as_bytes()).is_none()
        {
            bail!(
                "a wrong answer for u{}: {}",
                self.user,
                String::from_utf8_lossy(&self.answer)
            );
        }
        self.answer.clear();
        Ok(true)
    }
}
