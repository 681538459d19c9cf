//! A feed of server-sent events, of which this is the client.
//!
//! The stream is that of the HTML standard, "Server-sent events"
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>): the data of each event is
//! one or more JSON records, whatever its type. After a break the server is told the last id, so
//! that it can go on from there, and `retry` sets the first pause.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use ureq::Agent;

use super::backoff::Backoff;
use super::event_stream::EventStream;
use super::{Closed, Outlet, Piece, Source};

const CONNECT_TIME: Duration = Duration::from_secs(10);
const ANSWER_TIME: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
const CHUNK_BYTES: usize = 64 << 10;
/// How many chunks may wait; then nothing is read, and the server waits.
const WAITING_CHUNKS: usize = 4;

/// What to connect to, and how.
#[derive(Debug)]
pub(super) struct EventsSource {
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    /// The longest event, in bytes.
    pub(super) max_line: usize,
    /// How long nothing may come before the connection counts as broken.
    pub(super) idle: Duration,
    /// What rejects call it.
    pub(super) name: Arc<PathBuf>,
}

/// What the thread that reads tells.
enum Heard {
    /// The server answers with events.
    Opened,
    /// Bytes of the stream.
    Bytes(Vec<u8>),
    /// The server has nothing more to say and does not want to be asked again.
    Done,
    Broke(String),
}

impl Source for EventsSource {
    fn run(self: Box<Self>, outlet: &Outlet) -> io::Result<()> {
        let agent = self.agent();
        let mut stream = EventStream::new(self.max_line);
        let mut backoff = Backoff::default();
        let mut received = 0;
        while !outlet.is_closed() {
            let heard = self.connect(&agent, stream.last_id())?;
            let outcome = self.receive(&heard, &mut stream, &mut backoff, &mut received, outlet);
            outlet.status().connections.store(0, Ordering::Relaxed);
            let reason = match outcome {
                Ok(Some(reason)) => reason,
                Ok(None) => return Ok(()),
                Err(Closed) => break,
            };
            let fault = format!("{}: {reason}", self.name.display());
            outlet.status().note_fault(fault);
            stream.restart();
            backoff.pause(outlet);
        }
        // This wakes the thread that reads.
        agent.shutdown();
        Ok(())
    }
}

impl EventsSource {
    fn agent(&self) -> Agent {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(CONNECT_TIME))
            .timeout_connect(Some(CONNECT_TIME))
            .timeout_recv_response(Some(ANSWER_TIME))
            .timeout_per_read(Some(self.idle))
            .user_agent(concat!("tillrace/", env!("CARGO_PKG_VERSION")))
            .accept("text/event-stream")
            // A packed stream comes in lumps.
            .accept_encoding("identity")
            .build();
        config.new_agent()
    }

    /// Connects and reads on a thread of its own, which may wait for long.
    fn connect(&self, agent: &Agent, last_id: &str) -> io::Result<Receiver<Heard>> {
        let mut request = agent.get(&self.url).header("Cache-Control", "no-cache");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let can_be_sent = ureq::http::HeaderValue::try_from(last_id).is_ok();
        if !last_id.is_empty() && can_be_sent {
            request = request.header("Last-Event-ID", last_id);
        }
        let (sender, receiver) = bounded(WAITING_CHUNKS);
        let read = move || {
            let last = match request.call() {
                Ok(response) => read(response, &sender),
                Err(error) => Heard::Broke(format!("could not connect: {error}")),
            };
            let _nobody_listens = sender.send(last);
        };
        let thread = thread::Builder::new().name("events".to_owned());
        thread.spawn(read)?;
        Ok(receiver)
    }

    /// Receives until the connection breaks, for which it tells the reason, or there is no more.
    fn receive(
        &self,
        heard: &Receiver<Heard>,
        stream: &mut EventStream,
        backoff: &mut Backoff,
        received: &mut u64,
        outlet: &Outlet,
    ) -> Result<Option<String>, Closed> {
        while !outlet.is_closed() {
            let bytes = match heard.recv_timeout(LOOK) {
                Ok(Heard::Opened) => {
                    outlet.status().connections.store(1, Ordering::Relaxed);
                    continue;
                }
                Ok(Heard::Bytes(bytes)) => bytes,
                Ok(Heard::Done) => return Ok(None),
                Ok(Heard::Broke(reason)) => return Ok(Some(reason)),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok(Some("the connection broke".to_owned()));
                }
            };
            let mut text = Vec::new();
            stream.push(&bytes, &mut text);
            if let Some(pause) = stream.take_retry() {
                backoff.begin_with(pause);
            }
            let mut piece = Piece::of_text(Arc::clone(&self.name), *received, text);
            piece.too_long = stream.take_too_long(*received);
            *received += bytes.len() as u64;
            if !piece.text.is_empty() || piece.too_long.is_some() {
                backoff.reset();
                outlet.send(piece)?;
            }
        }
        Err(Closed)
    }
}

/// Reads an answer to its end; tells what came last.
fn read(response: ureq::http::Response<ureq::Body>, sender: &Sender<Heard>) -> Heard {
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type");
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match status {
        204 => return Heard::Done,
        200 if kind.starts_with("text/event-stream") => {}
        200 => return Heard::Broke(format!("the server answers with {kind:?}, not with events")),
        _ => return Heard::Broke(format!("the server answers with status {status}")),
    }
    let mut next = Heard::Opened;
    let mut body = response.into_body().into_reader();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        if sender.send(next).is_err() {
            return Heard::Done;
        }
        next = match body.read(&mut chunk) {
            Ok(0) => return Heard::Broke("the server ended the stream".to_owned()),
            Ok(length) => Heard::Bytes(chunk[..length].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Heard::Bytes(Vec::new()),
            Err(error) => return Heard::Broke(error.to_string()),
        };
    }
}
