//! How a live run goes, as numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::source::live::SourceStatus;

/// What came of one input's records; counted by workers.
#[derive(Debug)]
pub struct InputCounts {
    /// Records that became rows.
    pub rows: AtomicU64,
    /// Bytes that were decoded.
    pub bytes: AtomicU64,
    /// Records that were rejected.
    pub rejects: AtomicU64,
    newest_event_time: AtomicI64,
}

impl Default for InputCounts {
    fn default() -> Self {
        InputCounts {
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            rejects: AtomicU64::new(0),
            newest_event_time: AtomicI64::new(i64::MIN),
        }
    }
}

impl InputCounts {
    /// Adds what came of a block; the event time is in nanoseconds since the Unix epoch.
    pub(super) fn add(&self, rows: u64, bytes: u64, rejects: u64, newest: Option<i64>) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.rejects.fetch_add(rejects, Ordering::Relaxed);
        if let Some(newest) = newest {
            self.newest_event_time.fetch_max(newest, Ordering::Relaxed);
        }
    }

    /// The newest event time so far, in nanoseconds since the Unix epoch.
    pub fn newest_event_time(&self) -> Option<i64> {
        let newest = self.newest_event_time.load(Ordering::Relaxed);
        (newest != i64::MIN).then_some(newest)
    }
}

/// Whether an input has an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// Files that are read to their end.
    History,
    /// A source that goes on.
    Live,
    /// What a program or an HTTP client pushes.
    Pushed,
}

/// How far an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputState {
    /// It waits until the history of its table has been read.
    Waiting,
    /// It is being read.
    Reading,
    /// Nothing more comes.
    Ended,
}

/// One input of a live run.
#[derive(Debug, Clone)]
pub struct InputReport {
    /// The table that the records are rows of.
    pub table: String,
    /// Where they come from, as the user named it.
    pub location: String,
    /// Whether it has an end.
    pub kind: InputKind,
    /// How far it is.
    pub state: InputState,
    /// What came of its records.
    pub counts: Arc<InputCounts>,
    /// Pieces that wait for a worker.
    pub waiting: usize,
    /// How its source is, if it has one.
    pub source: Option<Arc<SourceStatus>>,
}

/// What a live run is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Files are still being read beside what is live.
    CatchingUp,
    /// All files have been read.
    Live,
    /// It takes no more and finishes what it has.
    Stopping,
}

/// How a live run goes.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it is at.
    pub state: RunState,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// How many workers share the work.
    pub workers: usize,
    /// The epoch that takes records now.
    pub open_epoch: u64,
    /// The last epoch that readers can see.
    pub published_epoch: u64,
    /// How many epochs have been published.
    pub epochs: u64,
    /// For how long records have been waiting to be published, in milliseconds; zero if none are.
    pub frontier_age_ms: u64,
    /// The inputs: those with an end, then the others.
    pub inputs: Vec<InputReport>,
}
