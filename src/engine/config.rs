//! How a plan is run, and how far a replay is.

use std::sync::atomic::{AtomicBool, AtomicU64};

use crate::calendar::now_ns;

/// How a plan is run.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many worker threads share the work; at least one.
    pub workers: usize,
    /// Events later than this are left out, and `now()` is this time; nanoseconds since the Unix
    /// epoch.
    pub as_of: Option<i64>,
    /// The event time of records that have none; nanoseconds since the Unix epoch.
    pub read_time: i64,
    /// How many blocks make an epoch of a replay; at least one.
    pub epoch_blocks: u64,
    /// How many rejects of an input `tillrace.rejects` has at most, the newest; all without it. They
    /// are counted in `tillrace.inputs` in any case.
    pub rejects: Option<usize>,
    /// How many bytes of records a run that goes on keeps, to tell why a number changed; without it
    /// none.
    pub records: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            workers: std::thread::available_parallelism().map_or(1, |cores| cores.get()),
            as_of: None,
            read_time: now_ns(),
            epoch_blocks: DEFAULT_EPOCH_BLOCKS,
            rejects: None,
            records: None,
        }
    }
}

/// Big enough that a group's changes are mostly added up before they are sent, small enough that
/// an epoch's rows are a small part of the memory.
const DEFAULT_EPOCH_BLOCKS: u64 = 256;

/// How far a replay is, and whether it shall stop.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes read, as the files lie on disk.
    pub bytes: AtomicU64,
    /// Records that became rows.
    pub rows: AtomicU64,
    /// Records that were rejected.
    pub rejects: AtomicU64,
    /// Set by the caller: read no further, finish what has been read.
    pub stop: AtomicBool,
}
