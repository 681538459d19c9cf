//! A feed over a WebSocket (RFC 6455), of which this is the client.
//!
//! Every text or binary message is one or more JSON records. A connection that breaks, or over
//! which nothing comes for too long, is opened again; what the server sent meanwhile is lost unless
//! it sends it again.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};
use tungstenite::client::{ClientRequestBuilder, IntoClientRequest};
use tungstenite::handshake::HandshakeError;
use tungstenite::http::Uri;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Bytes, Error, Message, WebSocket};

use super::backoff::Backoff;
use super::text::append_records;
use super::{Closed, Outlet, PIECE_BYTES, Piece, Source};
use crate::source::TooLong;

/// How long opening a connection may take, for each address and step.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long the thread waits at most before it looks whether the queue is closed.
const LOOK: Duration = Duration::from_millis(50);

/// What to connect to, and how.
#[derive(Debug, Clone)]
pub(super) struct WebSocketSource {
    pub(super) uri: Uri,
    pub(super) headers: Vec<(String, String)>,
    /// What is said first, such as what is wanted.
    pub(super) first: Option<String>,
    /// The longest message, in bytes.
    pub(super) max_line: usize,
    /// How long nothing may come before the connection counts as broken.
    pub(super) idle: Duration,
    /// What rejects call it.
    pub(super) name: Arc<PathBuf>,
}

/// An open connection.
struct Feed {
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    /// The same connection, to change how reading from it waits.
    tcp: TcpStream,
}

/// Why a connection is given up.
enum Stop {
    Closed,
    Broke(String),
}

impl From<Closed> for Stop {
    fn from(_: Closed) -> Stop {
        Stop::Closed
    }
}

impl Source for WebSocketSource {
    fn run(self: Box<Self>, outlet: &Outlet) -> io::Result<()> {
        let mut backoff = Backoff::default();
        while !outlet.is_closed() {
            let connections = &outlet.status().connections;
            let stop = match self.connect(outlet) {
                Ok(mut feed) => {
                    connections.store(1, Ordering::Relaxed);
                    self.receive(&mut feed, &mut backoff, outlet)
                }
                Err(stop) => stop,
            };
            connections.store(0, Ordering::Relaxed);
            if let Stop::Broke(reason) = stop {
                let fault = format!("{}: {reason}", self.name.display());
                outlet.status().note_fault(fault);
                backoff.pause(outlet);
            }
        }
        Ok(())
    }
}

impl WebSocketSource {
    /// Connects on a thread of its own, for names are looked up without an end in sight.
    fn connect(&self, outlet: &Outlet) -> Result<Feed, Stop> {
        let (sender, receiver) = bounded(1);
        let this = self.clone();
        let connect = move || {
            // If the queue was closed meanwhile, nobody wants the connection any more.
            let _nobody_waits = sender.send(this.open());
        };
        let thread = thread::Builder::new().name("connect".to_owned());
        if let Err(error) = thread.spawn(connect) {
            return Err(Stop::Broke(format!("could not start a thread: {error}")));
        }
        while !outlet.is_closed() {
            match receiver.recv_timeout(LOOK) {
                Ok(opened) => {
                    return opened
                        .map_err(|error| Stop::Broke(format!("could not connect: {error}")));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Stop::Broke("could not connect".to_owned()));
                }
            }
        }
        Err(Stop::Closed)
    }

    fn open(&self) -> Result<Feed, Error> {
        let default_port = match self.uri.scheme_str() {
            Some("wss") => 443,
            _ => 80,
        };
        let host = self.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = self.uri.port_u16().unwrap_or(default_port);
        let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT_TIME) {
                Ok(tcp) => return self.shake_hands(tcp),
                Err(error) => failed = error,
            }
        }
        Err(failed.into())
    }

    fn shake_hands(&self, tcp: TcpStream) -> Result<Feed, Error> {
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(CONNECT_TIME))?;
        tcp.set_write_timeout(Some(CONNECT_TIME))?;
        let stream = tcp.try_clone()?;
        let mut request = ClientRequestBuilder::new(self.uri.clone());
        for (name, value) in &self.headers {
            request = request.with_header(name, value);
        }
        let request = request.into_client_request()?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(self.max_line))
            .max_frame_size(Some(self.max_line));
        let opened = tungstenite::client_tls_with_config(request, stream, Some(config), None);
        let (mut socket, _response) = opened.map_err(|error| match error {
            HandshakeError::Failure(error) => error,
            HandshakeError::Interrupted(_) => io::Error::from(io::ErrorKind::TimedOut).into(),
        })?;
        tcp.set_read_timeout(Some(LOOK))?;
        tcp.set_write_timeout(Some(LOOK))?;
        if let Some(first) = &self.first {
            unless_waiting(socket.send(Message::text(first)))?;
        }
        Ok(Feed { socket, tcp })
    }

    /// Receives until the connection breaks or the queue is closed.
    fn receive(&self, feed: &mut Feed, backoff: &mut Backoff, outlet: &Outlet) -> Stop {
        let mut heard = Instant::now();
        let mut asked = false;
        let mut received = 0;
        loop {
            if outlet.is_closed() {
                // It is a courtesy: the server notices in any case.
                let _unheard = feed.socket.close(None);
                return Stop::Closed;
            }
            let mut text = Vec::new();
            let outcome = feed.read(&mut text);
            if !text.is_empty() {
                backoff.reset();
                let length = text.len() as u64;
                let piece = Piece::of_text(Arc::clone(&self.name), received, text);
                received += length;
                if outlet.send(piece).is_err() {
                    continue;
                }
            }
            match outcome {
                Ok(true) => (heard, asked) = (Instant::now(), false),
                Ok(false) if heard.elapsed() > self.idle => {
                    return Stop::Broke("nothing came for too long".to_owned());
                }
                Ok(false) if heard.elapsed() > self.idle / 2 && !asked => {
                    asked = true;
                    let ping = feed.socket.send(Message::Ping(Bytes::new()));
                    if let Err(error) = unless_waiting(ping) {
                        return Stop::Broke(error.to_string());
                    }
                }
                Ok(false) => {}
                Err(error) => {
                    if matches!(error, Error::Capacity(_)) {
                        self.tell_too_long(received, outlet);
                    }
                    return Stop::Broke(error.to_string());
                }
            }
        }
    }

    /// Tells of a message that is too long. Nothing of it is known, and the connection is lost.
    fn tell_too_long(&self, offset: u64, outlet: &Outlet) {
        let mut piece = Piece::of_text(Arc::clone(&self.name), offset, Vec::new());
        piece.too_long = Some(TooLong {
            offset,
            start: Vec::new(),
            limit: self.max_line,
        });
        // Then the queue is closed, which is looked at next.
        let _closed = outlet.send(piece);
    }
}

impl Feed {
    /// Waits a little for a message; takes what has arrived with it as well. Tells whether anything
    /// was heard.
    fn read(&mut self, text: &mut Vec<u8>) -> Result<bool, Error> {
        let mut heard = false;
        let outcome = loop {
            match self.socket.read() {
                Ok(message) => {
                    if let Message::Text(_) | Message::Binary(_) = &message {
                        append_records(text, &message.into_data());
                    }
                }
                Err(error) => break Err(error),
            }
            if !std::mem::replace(&mut heard, true) {
                self.tcp.set_nonblocking(true)?;
            }
            if text.len() >= PIECE_BYTES {
                break Ok(());
            }
        };
        if heard {
            self.tcp.set_nonblocking(false)?;
        }
        unless_waiting(outcome).map(|()| heard)
    }
}

/// That something has to wait is no error: it is gone on with later.
fn unless_waiting(outcome: Result<(), Error>) -> Result<(), Error> {
    match outcome {
        Err(Error::Io(error))
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}
