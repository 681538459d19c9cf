//! The records that a live run has taken, for whoever asks why a number is what it is.
//!
//! Decoded rows flow in from the workers, each batch with its epoch and its place; all of them flow out
//! again, in the order in which they count. What a number would be without one record can only be told
//! by somebody who has all the others: once more has come than there is room for, everything is let go,
//! and the ledger says so rather than to tell half of it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;

use crate::delta::Time;

/// Rows of one block, as they were taken.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The plan's input that they are rows of.
    pub input: usize,
    /// The rows, with the columns of that input.
    pub batch: RecordBatch,
    /// Where in the file or connection the record of each begins.
    pub positions: Arc<[u64]>,
    /// The file or connection.
    pub file: Arc<PathBuf>,
    /// The block's number: within an epoch, rows count in the order of blocks.
    pub block: u64,
    /// The epoch that they were taken in.
    pub epoch: Time,
}

/// The records that were taken, as long as there is room.
#[derive(Debug)]
pub struct Ledger {
    most_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bytes: usize,
    /// Nothing once more has come than there is room for.
    entries: Option<Vec<Entry>>,
}

impl Ledger {
    /// A ledger that holds so many bytes of rows.
    pub(super) fn new(most_bytes: usize) -> Ledger {
        Ledger {
            most_bytes,
            state: Mutex::new(State {
                bytes: 0,
                entries: Some(Vec::new()),
            }),
        }
    }

    /// Writes rows down.
    pub(super) fn note(&self, entry: Entry) {
        let mut state = self.state();
        state.bytes += entry.batch.get_array_memory_size();
        let is_full = state.bytes > self.most_bytes;
        match &mut state.entries {
            Some(_) if is_full => {
                state.entries = None;
                tracing::warn!(
                    bytes = self.most_bytes,
                    "more records than are kept: nobody can be told any more why a number changed"
                );
            }
            Some(entries) => entries.push(entry),
            None => {}
        }
    }

    /// Gives up: rows have come that are no records.
    pub(super) fn lose(&self) {
        self.state().entries = None;
    }

    /// All rows of epochs up to one, in the order in which they count; nothing if they are not all here
    /// any more.
    pub fn entries(&self, upto: Time) -> Option<Vec<Entry>> {
        let mut entries: Vec<Entry> = {
            let state = self.state();
            let entries = state.entries.as_ref()?.iter();
            entries
                .filter(|entry| entry.epoch <= upto)
                .cloned()
                .collect()
        };
        entries.sort_by_key(|entry| (entry.epoch, entry.block));
        Some(entries)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
