//! Inputs that never end: growing files, sockets, streams, and what is pushed over HTTP.
//!
//! A live input is an [`InputSpec`](super::InputSpec) whose location names a scheme
//! (`tail:logs/*.jsonl`, `tcp://127.0.0.1:7070`). Its [`Source`] runs on a thread of its own, cuts
//! what it receives into whole records, and hands [`Piece`]s of them to the engine through the
//! bounded queue between an [`Outlet`] and its [`Inlet`]. A full queue makes the source wait, and
//! with it the sender: nothing is dropped and memory stays bounded. No worker ever waits for a
//! source.

mod backoff;
mod cutter;
mod entry;
mod event_stream;
mod events;
mod listen;
mod open;
mod options;
mod outlet;
mod scheme;
mod socket;
mod stdin;
mod tail;
mod text;
mod traffic;
mod udp;
mod websocket;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::{OpenInput, TooLong};

pub use open::{LiveOptions, open};
pub use outlet::{Closed, Inlet, Outlet, Receipt, SendError, SourceStatus, Taken, queue};
pub use scheme::is_live;
pub(super) use scheme::{is_query, option_names, path_of, takes, unknown_scheme};
pub use traffic::generated_tables;

/// The most text that a piece should hold, in bytes, unless one record is longer.
pub const PIECE_BYTES: usize = 256 << 10;

/// Whole records, as a source hands them over.
#[derive(Debug)]
pub struct Piece {
    /// What the records are from, as rejects name it: a file's path, a peer's address.
    pub name: Arc<PathBuf>,
    /// Where the first record begins: bytes since the beginning of the file or connection.
    pub start: u64,
    /// The records, each whole and with its line end; the last may lack it.
    pub text: Vec<u8>,
    /// The column names of the CSV file or stream that the records are from. Without them, the
    /// first record of the text holds them, if the input has a header at all.
    pub header: Option<Arc<Vec<String>>>,
    /// A record that was left out because it is too long; it becomes a reject.
    pub too_long: Option<TooLong>,
    /// Told what became of the records, if anybody wants to know.
    pub receipt: Option<Receipt>,
}

impl Piece {
    /// A piece without header, reject or receipt.
    pub fn of_text(name: Arc<PathBuf>, start: u64, text: Vec<u8>) -> Piece {
        Piece {
            name,
            start,
            text,
            header: None,
            too_long: None,
            receipt: None,
        }
    }

    /// Takes the records of the piece after it in, if they go on where its own end, nobody waits
    /// for either, and both together are not too much. Records that stand by themselves (`no_header`) need
    /// no header; others need the same.
    ///
    /// # Errors
    /// The other piece, if it stays by itself.
    pub fn join(&mut self, after: Piece, no_header: bool) -> Result<(), Box<Piece>> {
        let same_header = match (&self.header, &after.header) {
            (None, None) => no_header,
            (Some(header), Some(other)) => Arc::ptr_eq(header, other),
            _ => false,
        };
        let goes_on = self.name == after.name
            && self.start + self.text.len() as u64 == after.start
            && self.text.ends_with(b"\n")
            && self.text.len() + after.text.len() <= PIECE_BYTES;
        let by_itself = |piece: &Piece| piece.too_long.is_some() || piece.receipt.is_some();
        if !same_header || !goes_on || by_itself(self) || by_itself(&after) {
            return Err(Box::new(after));
        }
        self.text.extend_from_slice(&after.text);
        Ok(())
    }
}

/// Receives records for one input, on a thread of its own.
pub trait Source: Send {
    /// Hands over what arrives until the outlet is closed, which it looks at four times a second
    /// or more, or until nothing can come any more.
    ///
    /// # Errors
    /// If the source can go on no longer. A connection that breaks is not such a case: the source
    /// notes it in [`Outlet::status`] and waits for the next, or connects again.
    fn run(self: Box<Self>, outlet: &Outlet) -> io::Result<()>;

    /// The address at which it listens, if it does so in the network: where the input asked for
    /// port 0, this is the port that it has.
    fn address(&self) -> Option<SocketAddr> {
        None
    }
}

/// A live input that is ready to run: its port is bound, its pattern is right.
pub struct LiveInput {
    /// The input as the decoder knows it: table, location, format.
    pub input: OpenInput,
    /// What receives its records.
    pub source: Box<dyn Source>,
}
