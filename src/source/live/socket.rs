//! Connections that others open: TCP and Unix sockets, served by one thread.
//!
//! Each connection is like a file: it has its records, its header if it is CSV, and an end. While
//! the queue is full nothing is read from any of them, so their senders wait.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::cutter::Cutter;
use super::entry::{Entry, Gate};
use super::listen::{Accepted, Connection, Listener};
use super::{Closed, Outlet, PIECE_BYTES, Piece, Source};
use crate::source::Format;

/// How many connections are served at once, if nothing else is said; more wait to be accepted.
pub(super) const MOST_CONNECTIONS: u64 = 512;

const LISTENER: Token = Token(usize::MAX);
/// How long the thread sleeps at most before it looks whether the queue is closed.
const LOOK: Duration = Duration::from_millis(100);
/// How long nothing is accepted after accepting has failed, as when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How long a connection may take to show that it may send.
const ENTRY_PATIENCE: Duration = Duration::from_secs(10);

/// How connections are served.
#[derive(Debug, Clone)]
pub(super) struct SocketOptions {
    pub(super) format: Format,
    /// The longest record, in bytes.
    pub(super) max_line: usize,
    /// After how long without a byte a connection is closed.
    pub(super) idle: Option<Duration>,
    pub(super) connections: usize,
    /// What is demanded of who connects.
    pub(super) entry: Entry,
}

/// A socket that listens.
pub(super) struct SocketSource {
    listener: Listener,
    poll: Poll,
    options: SocketOptions,
}

impl SocketSource {
    pub(super) fn new(mut listener: Listener, options: SocketOptions) -> io::Result<SocketSource> {
        let poll = Poll::new()?;
        listener.register(&poll, LISTENER)?;
        Ok(SocketSource {
            listener,
            poll,
            options,
        })
    }
}

impl Source for SocketSource {
    fn run(self: Box<Self>, outlet: &Outlet) -> io::Result<()> {
        let server = Server {
            listener: self.listener,
            poll: self.poll,
            options: self.options,
            outlet,
            peers: HashMap::new(),
            ready: VecDeque::new(),
            next_token: 0,
            accept_from: Some(Instant::now()),
            chunk: vec![0; PIECE_BYTES],
        };
        server.run()
    }

    fn address(&self) -> Option<SocketAddr> {
        self.listener.address()
    }
}

struct Server<'a> {
    listener: Listener,
    poll: Poll,
    options: SocketOptions,
    outlet: &'a Outlet,
    peers: HashMap<usize, Peer>,
    /// Connections that may have bytes: the poll tells of each arrival only once.
    ready: VecDeque<usize>,
    next_token: usize,
    /// From when on somebody may wait to be accepted.
    accept_from: Option<Instant>,
    /// What is read into.
    chunk: Vec<u8>,
}

struct Peer {
    connection: Connection,
    /// What it has to pass before its records count.
    gate: Option<Gate>,
    cutter: Cutter,
    since: Instant,
    last_byte: Instant,
    /// Whether it is among those that may have bytes.
    is_ready: bool,
}

/// What became of a connection that was read from.
enum Progress {
    /// There may be more.
    More,
    /// There is nothing more at present.
    Waits,
    Ended,
    Broke(io::Error),
}

impl Server<'_> {
    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut looked_for_idle = Instant::now();
        while !self.outlet.is_closed() {
            let busy = !self.ready.is_empty();
            let patience = if busy { Duration::ZERO } else { LOOK };
            match self.poll.poll(&mut events, Some(patience)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept_from = self.accept_from.or(Some(Instant::now())),
                    Token(token) => self.note_ready(token),
                }
            }
            self.accept();
            if self.read_ready().is_err() {
                break;
            }
            if looked_for_idle.elapsed() >= LOOK {
                looked_for_idle = Instant::now();
                self.close_idle();
            }
        }
        self.outlet.status().connections.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Accepts who waits, if it is time and there is room.
    fn accept(&mut self) {
        let is_time = self.accept_from.is_some_and(|from| from <= Instant::now());
        while is_time && self.peers.len() < self.options.connections {
            match self.listener.accept() {
                Ok(accepted) => self.welcome(accepted),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.accept_from = None;
                    break;
                }
                Err(error) if gave_up(&error) => {}
                Err(error) => {
                    let fault = format!("could not accept a connection: {error}");
                    self.outlet.status().note_fault(fault);
                    self.accept_from = Some(Instant::now() + ACCEPT_PAUSE);
                    break;
                }
            }
        }
    }

    fn welcome(&mut self, accepted: Accepted) {
        let Accepted { connection, name } = accepted;
        let token = self.next_token;
        self.next_token = (self.next_token + 1) % usize::MAX;
        let connection = match self.prepare(connection, Token(token)) {
            Ok(connection) => connection,
            Err(error) => {
                let fault = format!("could not serve {name}: {error}");
                return self.outlet.status().note_fault(fault);
            }
        };
        let name = Arc::new(PathBuf::from(name));
        let cutter = Cutter::new(name, &self.options.format, self.options.max_line);
        let now = Instant::now();
        let peer = Peer {
            connection,
            gate: self.options.entry.gate(),
            cutter,
            since: now,
            last_byte: now,
            is_ready: false,
        };
        self.peers.insert(token, peer);
        self.count();
    }

    /// Puts TLS on a connection if that is demanded, and waits for its bytes from now on.
    fn prepare(&self, connection: Connection, token: Token) -> io::Result<Connection> {
        let mut connection = match &self.options.entry.tls {
            Some(config) => connection.secured(config)?,
            None => connection,
        };
        let interest = connection.interest();
        let registry = self.poll.registry();
        registry.register(&mut connection, token, interest)?;
        Ok(connection)
    }

    fn note_ready(&mut self, token: usize) {
        if let Some(peer) = self.peers.get_mut(&token)
            && !std::mem::replace(&mut peer.is_ready, true)
        {
            self.ready.push_back(token);
        }
    }

    /// Reads once from each connection that may have bytes.
    fn read_ready(&mut self) -> Result<(), Closed> {
        for _ in 0..self.ready.len() {
            let Some(token) = self.ready.pop_front() else {
                break;
            };
            let Some(peer) = self.peers.get_mut(&token) else {
                continue;
            };
            peer.is_ready = false;
            let mut pieces = Vec::new();
            match peer.read(&mut self.chunk, &mut pieces) {
                Progress::More => self.note_ready(token),
                Progress::Waits => {}
                Progress::Ended => self.part(token),
                Progress::Broke(error) => {
                    let name = peer.cutter.name().display();
                    let lost = match peer.cutter.is_within_record() {
                        true => "; the record that had begun is left out",
                        false => "",
                    };
                    let fault = format!("the connection from {name} broke: {error}{lost}");
                    self.outlet.status().note_fault(fault);
                    self.part(token);
                }
            }
            for piece in pieces {
                self.outlet.send(piece)?;
            }
        }
        Ok(())
    }

    fn close_idle(&mut self) {
        let idle = self.options.idle;
        let is_idle = |peer: &Peer| {
            idle.is_some_and(|idle| peer.last_byte.elapsed() > idle)
                || (peer.waits_for_entry() && peer.since.elapsed() > ENTRY_PATIENCE)
        };
        let tokens: Vec<usize> = self
            .peers
            .iter()
            .filter(|(_, peer)| is_idle(peer))
            .map(|(&token, _)| token)
            .collect();
        for token in tokens {
            // What has arrived meanwhile is read first.
            if let Some(peer) = self.peers.get(&token)
                && !peer.is_ready
            {
                let name = peer.cutter.name().display();
                let fault = format!("the connection from {name} was idle and is closed");
                self.outlet.status().note_fault(fault);
                self.part(token);
            }
        }
    }

    fn part(&mut self, token: usize) {
        if let Some(mut peer) = self.peers.remove(&token) {
            // It is closed in any case.
            let _unknown = self.poll.registry().deregister(&mut peer.connection);
        }
        self.count();
    }

    fn count(&self) {
        let count = self.peers.len() as u64;
        let connections = &self.outlet.status().connections;
        connections.store(count, Ordering::Relaxed);
    }
}

impl Peer {
    /// Whether it has not shown yet that it may send.
    fn waits_for_entry(&self) -> bool {
        self.gate.is_some() || self.connection.is_handshaking()
    }

    /// Takes in what has arrived.
    ///
    /// # Errors
    /// If it may not send.
    fn take(&mut self, bytes: &[u8], pieces: &mut Vec<Piece>) -> io::Result<()> {
        self.last_byte = Instant::now();
        let Some(gate) = &mut self.gate else {
            self.cutter.push(bytes, pieces);
            return Ok(());
        };
        if let Some(end) = gate.admit(bytes)? {
            self.cutter.resume_at(gate.length(), None);
            self.gate = None;
            self.cutter.push(&bytes[end..], pieces);
        }
        Ok(())
    }

    /// Reads what has arrived, as far as it fits the chunk.
    fn read(&mut self, chunk: &mut [u8], pieces: &mut Vec<Piece>) -> Progress {
        let mut filled = 0;
        let progress = loop {
            match self.connection.read(&mut chunk[filled..]) {
                Ok(0) => break Progress::Ended,
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Progress::Waits,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Progress::Broke(error),
            }
            if filled == chunk.len() {
                break Progress::More;
            }
        };
        if filled > 0
            && let Err(error) = self.take(&chunk[..filled], pieces)
        {
            return Progress::Broke(error);
        }
        if matches!(progress, Progress::Ended) {
            self.cutter.finish(pieces);
        }
        progress
    }
}

/// Whether somebody who wanted to connect went away before being accepted.
fn gave_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
