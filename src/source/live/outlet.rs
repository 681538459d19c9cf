//! The bounded queue between a source's thread and the workers.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TryRecvError, TrySendError, bounded};

use super::Piece;
use crate::decode::Reject;

/// How many pieces may wait to be taken.
const WAITING_PIECES: usize = 64;
/// How often a waiting sender looks whether the queue has been closed.
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);

/// Makes the queue of an input. `wake` is called from the sender's thread when there is something to take,
/// and for each piece while the queue fills up.
pub fn queue(wake: Arc<dyn Fn() + Send + Sync>) -> (Outlet, Inlet) {
    let (sender, receiver) = bounded(WAITING_PIECES);
    let status = Arc::new(SourceStatus::default());
    let outlet = Outlet {
        sender,
        wake,
        status: Arc::clone(&status),
    };
    (outlet, Inlet { receiver, status })
}

/// The queue is closed: the engine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine takes no more records")]
pub struct Closed;

/// Why a piece was not taken; it comes back.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The queue is full: come back.
    #[error("the queue is full")]
    Full(Box<Piece>),
    /// The engine stops.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Where a source hands over its records. Clones share one queue.
#[derive(Clone)]
pub struct Outlet {
    sender: Sender<Piece>,
    wake: Arc<dyn Fn() + Send + Sync>,
    status: Arc<SourceStatus>,
}

impl Outlet {
    /// Hands over a piece; waits while the queue is full.
    ///
    /// # Errors
    /// If the engine stops; the piece is lost to it, and the caller must not acknowledge it.
    pub fn send(&self, piece: Piece) -> Result<(), Closed> {
        let mut piece = match self.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(SendError::Closed(closed)) => return Err(closed),
            Err(SendError::Full(piece)) => *piece,
        };
        let start = Instant::now();
        let outcome = loop {
            if self.is_closed() {
                break Err(Closed);
            }
            match self.sender.send_timeout(piece, LOOK) {
                Ok(()) => break Ok(()),
                Err(SendTimeoutError::Timeout(back)) => piece = back,
                Err(SendTimeoutError::Disconnected(_)) => break Err(Closed),
            }
        };
        let waited = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.status.waited_ns.fetch_add(waited, Ordering::Relaxed);
        (self.wake)();
        outcome
    }

    /// Hands over a piece unless the queue is full.
    ///
    /// # Errors
    /// If it is full, with the piece; or if the engine stops.
    pub fn try_send(&self, piece: Piece) -> Result<(), SendError> {
        if self.is_closed() {
            return Err(Closed.into());
        }
        match self.sender.try_send(piece) {
            Ok(()) => {
                // Who was woken for the first takes what comes after it too.
                let waiting = self.sender.len();
                if waiting <= 1 || waiting >= WAITING_PIECES / 2 {
                    (self.wake)();
                }
                Ok(())
            }
            Err(TrySendError::Full(piece)) => Err(SendError::Full(Box::new(piece))),
            Err(TrySendError::Disconnected(_)) => Err(Closed.into()),
        }
    }

    /// Whether the engine takes no more.
    pub fn is_closed(&self) -> bool {
        self.status.closed.load(Ordering::Acquire)
    }

    /// Where the source notes how it is.
    pub fn status(&self) -> &SourceStatus {
        &self.status
    }
}

/// Where the workers take what a source handed over.
pub struct Inlet {
    receiver: Receiver<Piece>,
    status: Arc<SourceStatus>,
}

impl Inlet {
    /// The next piece, if one waits.
    ///
    /// # Errors
    /// If none waits and none can come: all outlets are gone.
    pub fn try_next(&self) -> Result<Option<Piece>, Closed> {
        match self.receiver.try_recv() {
            Ok(piece) => Ok(Some(piece)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Closed),
        }
    }

    /// How many pieces wait.
    pub fn waiting(&self) -> usize {
        self.receiver.len()
    }

    /// Takes no more; what waits can still be taken.
    pub fn close(&self) {
        self.status.closed.store(true, Ordering::Release);
    }

    /// How the source is.
    pub fn status(&self) -> &Arc<SourceStatus> {
        &self.status
    }
}

/// How a source is, as metrics tell it. Written by the source, read by anyone.
#[derive(Debug, Default)]
pub struct SourceStatus {
    closed: AtomicBool,
    /// Connections or files that are open.
    pub connections: AtomicU64,
    /// Bytes that are known to lie ahead, such as what of a growing file is not yet read.
    pub behind_bytes: AtomicU64,
    /// How long the source waited for the engine, in nanoseconds.
    pub waited_ns: AtomicU64,
    /// Connections that broke and files that went away.
    pub faults: AtomicU64,
    last_fault: Mutex<Option<String>>,
}

impl SourceStatus {
    /// Notes that something went wrong that the source got over.
    pub fn note_fault(&self, fault: String) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        *self
            .last_fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    /// What went wrong last.
    pub fn last_fault(&self) -> Option<String> {
        let fault = self.last_fault.lock();
        fault.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What became of a piece.
#[derive(Debug)]
pub struct Taken {
    /// Records that became rows.
    pub rows: u64,
    /// Records that did not, with reasons; at most [`Receipt::MOST_REJECTS`] of them.
    pub rejects: Vec<Reject>,
    /// How many did not.
    pub rejected: u64,
    /// The epoch that the rows belong to: once it is published, every view has them.
    pub epoch: u64,
}

/// Called once, by the worker that took the piece. It must not wait.
pub struct Receipt(Box<dyn FnOnce(Taken) + Send>);

impl Receipt {
    /// How many rejects a receipt lists.
    pub const MOST_REJECTS: usize = 100;

    /// A receipt that calls `told`.
    pub fn new(told: impl FnOnce(Taken) + Send + 'static) -> Receipt {
        Receipt(Box::new(told))
    }

    /// Tells what became of the piece.
    pub fn tell(self, taken: Taken) {
        (self.0)(taken);
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}
