//! The answers of a replay: each worker keeps its part of every view until all have ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::codec::consolidate;
use super::{Answer, Shape, Snapshot};
use crate::delta::{Delta, Diff, Time};
use crate::row::{KeyTable, key_bytes};

/// Collects what the workers find, each in shards of its own.
pub(crate) struct Shards {
    shape: Arc<Shape>,
    /// By view, then by worker.
    views: Vec<Vec<Mutex<Shard>>>,
}

/// What one worker holds of a view: rows and how often each is there.
#[derive(Default)]
pub(super) struct Shard {
    table: KeyTable,
    counts: Vec<Diff>,
}

impl Shards {
    /// Empty shards.
    pub(crate) fn new(shape: Arc<Shape>, workers: usize) -> Self {
        let view = |_| (0..workers).map(|_| Mutex::default()).collect();
        let views = (0..shape.len()).map(view).collect();
        Shards { shape, views }
    }

    /// Takes over what a worker found a view to have changed by.
    pub(crate) fn apply(&self, view: usize, worker: usize, deltas: &[Delta]) {
        let mut shard = lock(&self.views[view][worker]);
        for delta in deltas {
            let keys = self.shape.at(view).codec.encode_hashed(&delta.batch);
            for (row, key) in keys.iter().enumerate() {
                shard.add(key, delta.diff(row));
            }
        }
    }

    /// What all views answer at the end.
    pub(crate) fn finish(self, epoch: Time) -> Snapshot {
        let answers = self
            .views
            .into_iter()
            .map(|shards| Arc::new(Answer::frozen(shards)));
        Snapshot::new(epoch, self.shape, answers.collect())
    }
}

impl Shard {
    fn add(&mut self, key: &[u8], diff: Diff) {
        let (slot, _) = self.table.intern(key);
        if slot >= self.counts.len() {
            self.counts.resize(slot + 1, 0);
        }
        self.counts[slot] += diff;
        if self.counts[slot] == 0 {
            self.table.remove(slot);
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], Diff)> {
        let row = |slot| (key_bytes(self.table.key(slot)), self.counts[slot]);
        self.table.iter().map(row)
    }
}

/// Hands the rows of all shards, in order, to `read`, each as often as it is there.
pub(super) fn read<R>(shards: &[Mutex<Shard>], read: impl FnOnce(Vec<&[u8]>) -> R) -> R {
    let shards: Vec<_> = shards.iter().map(lock).collect();
    let counted = consolidate(shards.iter().flat_map(|shard| shard.iter()).collect());
    let rows = counted.iter().flat_map(|(row, count)| {
        std::iter::repeat_n(*row, (*count).max(0).unsigned_abs() as usize)
    });
    read(rows.collect())
}

/// A shard is only ever left whole: what its holder's panic spoilt ends the process.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
