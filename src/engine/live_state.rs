//! What a live run's feed knows at a time: its inputs, its files, and the epoch that is open.

use std::time::Instant;

use super::clock::Mood;
use super::feed::Task;
use super::live_source::LiveSource;
use super::reading::Reading;
use super::write::Writes;
use crate::delta::Time;

/// How many blocks an epoch takes.
pub(super) const EPOCH_BLOCKS: usize = 256;
/// Live blocks have numbers from here on: within an epoch they come after those of files.
pub(super) const FIRST_LIVE_BLOCK: u64 = 1 << 62;
/// With so many pieces a queue is not left waiting.
pub(super) const MANY_PIECES: usize = 32;

/// What the feed knows.
pub(super) struct State {
    pub(super) epoch: Time,
    /// The epoch before it, and when it was closed.
    pub(super) closed: Time,
    pub(super) closed_at: Instant,
    /// Blocks that the open epoch holds.
    pub(super) held: usize,
    /// When the open epoch took its first block.
    pub(super) held_since: Option<Instant>,
    pub(super) live_blocks: u64,
    pub(super) turns: u64,
    pub(super) sources: Vec<LiveSource>,
    pub(super) writes: Writes,
    /// How many wait for the next epoch.
    pub(super) wanted: usize,
    pub(super) next_source: usize,
    pub(super) reading: Reading,
    /// The clock waits for blocks that are being read, to close the epoch.
    pub(super) closing: bool,
    /// Too much memory is in use.
    pub(super) paused: bool,
    /// No more files are read.
    pub(super) stopping: bool,
    /// Nothing more can come into any queue: once they are empty, the run ends.
    pub(super) draining: bool,
    pub(super) ended: bool,
}

impl State {
    /// Whether somebody waits for the open epoch to close.
    pub(super) fn is_waited_for(&self) -> bool {
        self.held > 0 || self.wanted > 0
    }

    pub(super) fn mood(&self) -> Mood {
        Mood {
            holds_records: self.has_records(),
            full: self.held >= EPOCH_BLOCKS,
            catching_up: !self.reading.ended,
        }
    }

    /// Whether all files have been read, and the run is not about to end.
    pub(super) fn is_live(&self) -> bool {
        self.reading.ended && !self.stopping && !self.draining
    }

    /// Whether the open epoch has records, or some wait for it.
    pub(super) fn has_records(&self) -> bool {
        self.is_waited_for() || self.has_waiting()
    }

    pub(super) fn has_waiting(&self) -> bool {
        let mut sources = self.sources.iter();
        sources.any(|source| source.waiting() > 0 && self.is_open(source))
    }

    /// Whether some queue fills up.
    pub(super) fn is_crowded(&self) -> bool {
        let mut sources = self.sources.iter();
        sources.any(|source| source.waiting() >= MANY_PIECES)
    }

    /// Whether a live input's records may be taken.
    pub(super) fn is_open(&self, source: &LiveSource) -> bool {
        self.may_come(&source.waits_for)
    }

    pub(super) fn may_come(&self, after: &[usize]) -> bool {
        self.stopping || after.iter().all(|input| self.reading.is_read(*input))
    }

    /// The next write, if its table's history has been read.
    pub(super) fn take_write(&mut self) -> Option<Task> {
        let writes = self.writes.iter();
        let mut writes = writes.enumerate();
        let (at, _) = writes.find(|(_, write)| self.may_come(&write.waits_for))?;
        let write = self.writes.remove(at)?;
        let block = FIRST_LIVE_BLOCK + self.live_blocks;
        self.live_blocks += 1;
        (write.told)(self.epoch);
        Some(Task::Rows {
            input: write.input,
            batch: write.batch,
            diffs: write.diffs,
            block,
        })
    }

    /// The next piece of the live inputs, which take turns.
    pub(super) fn take_live(&mut self) -> Option<Task> {
        for _ in 0..self.sources.len() {
            let at = self.next_source % self.sources.len();
            self.next_source = at + 1;
            if self.sources[at].ended || !self.is_open(&self.sources[at]) {
                continue;
            }
            let source = &mut self.sources[at];
            match source.next_piece() {
                Ok(Some(piece)) => {
                    let number = FIRST_LIVE_BLOCK + self.live_blocks;
                    self.live_blocks += 1;
                    return Some(source.task(piece, number));
                }
                Ok(None) => {}
                Err(_closed) => source.ended = true,
            }
        }
        None
    }
}
