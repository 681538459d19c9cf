//! A client that follows the sales view, and notes when it first sees each probe.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use memchr::memmem;

use crate::server::{Server, skip_head};

/// The view that is followed.
pub const VIEW: &str = "sales_by_category";

/// Over what a view is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Server-sent events.
    Sse,
    /// A WebSocket.
    WebSocket,
}

/// What a client has seen. Probes are numbered from one on.
#[derive(Default)]
pub struct Seen {
    /// When each of the probes was seen first, in order.
    probes: Mutex<Vec<Instant>>,
    count: AtomicU64,
    /// Everything that was told, as it came; kept only if somebody wants to check it.
    told: Option<Mutex<Vec<String>>>,
}

impl Seen {
    /// How many probes have been seen.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// When a probe was seen.
    pub fn at(&self, probe: u64) -> Option<Instant> {
        let probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        probes.get(usize::try_from(probe).ok()? - 1).copied()
    }

    /// What was told so far.
    pub fn told(&self) -> Vec<String> {
        let told = self
            .told
            .as_ref()
            .map(|told| told.lock().unwrap_or_else(PoisonError::into_inner).clone());
        told.unwrap_or_default()
    }

    fn note(&self, data: &[u8]) {
        if let (Some(told), Ok(data)) = (&self.told, std::str::from_utf8(data)) {
            told.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(data.to_owned());
        }
        let Some(seen) = probes_in(data) else { return };
        let now = Instant::now();
        let mut probes = self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        if seen > probes.len() {
            probes.resize(seen, now);
            self.count.store(seen as u64, Ordering::Release);
        }
    }
}

/// How many orders the row of the probes' category says that there are, if it is told.
fn probes_in(data: &[u8]) -> Option<usize> {
    // Both the old row and the new one are told: there are never fewer.
    memmem::find_iter(data, br#""category":"probe""#)
        .filter_map(|at| {
            let rest = &data[at..];
            let from = memmem::find(rest, br#""orders":"#)? + br#""orders":"#.len();
            let digits = rest[from..].iter().take_while(|byte| byte.is_ascii_digit());
            Some(digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
        })
        .max()
}

/// Follows the sales view on a thread of its own until the server goes.
///
/// # Errors
/// If it cannot connect.
pub fn follow(server: &Server, over: Over, keep: bool) -> Result<Arc<Seen>> {
    let seen = Arc::new(Seen {
        told: keep.then(Mutex::default),
        ..Seen::default()
    });
    let stream = TcpStream::connect(server.http)?;
    stream.set_nodelay(true)?;
    let told = Arc::clone(&seen);
    match over {
        Over::Sse => {
            let mut stream = stream;
            // Version 1.0 has no chunks: what comes is the events and nothing else.
            write!(
                stream,
                "GET /views/{VIEW}/changes HTTP/1.0\r\nhost: {}\r\n\r\n",
                server.http
            )?;
            let mut reader = BufReader::with_capacity(1 << 16, stream);
            skip_head(&mut reader)?;
            thread::spawn(move || read_events(reader, &told));
        }
        Over::WebSocket => {
            let url = format!("ws://{}/views/{VIEW}/changes", server.http);
            let (mut socket, _) = tungstenite::client(url, stream)
                .ok()
                .context("no WebSocket")?;
            thread::spawn(move || {
                while let Ok(message) = socket.read() {
                    told.note(&message.into_data());
                }
            });
        }
    }
    Ok(seen)
}

fn read_events(mut reader: BufReader<TcpStream>, seen: &Seen) {
    let mut line = Vec::new();
    while reader
        .read_until(b'\n', &mut line)
        .is_ok_and(|length| length > 0)
    {
        if let Some(data) = line.strip_prefix(b"data: ") {
            seen.note(data.trim_ascii_end());
        }
        line.clear();
    }
}
