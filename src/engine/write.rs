//! Rows that a program writes into a live run: exact changes of one table, all in one epoch.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::delta::{Diff, Time};

/// Told the epoch in which a write is; by a worker, so it must not wait.
pub(super) type Told = Box<dyn FnOnce(Time) + Send>;

/// Changes of one table.
pub(super) struct Write {
    /// The number of the table's input.
    pub(super) input: usize,
    /// The rows, with the columns of the input.
    pub(super) batch: RecordBatch,
    /// By how much each changes; `None` stands for +1 each.
    pub(super) diffs: Option<Arc<[Diff]>>,
    /// The history inputs that must have been read before, by position.
    pub(super) waits_for: Vec<usize>,
    /// Told the epoch.
    pub(super) told: Told,
}

/// Writes in the order in which they came.
pub(super) type Writes = VecDeque<Write>;
