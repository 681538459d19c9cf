//! The snapshots and changes of late, for readers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use arrow::array::RecordBatch;
use tokio::sync::watch;

use super::changing::Changing;
use super::codec::consolidate;
use super::kept::{IndexBy, Kept, RowChanges};
use super::{Answer, Shape, Shown, Snapshot, decode_changes};
use crate::delta::Time;

/// How much of the past a catalog remembers. Whatever limit is met first counts.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// How old a snapshot may be that can still be asked for.
    pub age: Duration,
    /// How many snapshots can be asked for.
    pub snapshots: usize,
    /// How many changed rows, over all views, lie between the oldest snapshot and the newest.
    pub changed_rows: usize,
}

impl Default for Keep {
    fn default() -> Self {
        Keep {
            age: Duration::from_secs(30),
            snapshots: 4096,
            changed_rows: 100_000,
        }
    }
}

/// What all views answer, from epoch to epoch. Readers take snapshots and wait for nobody.
pub struct Catalog {
    changing: Mutex<Changing>,
    latest: ArcSwap<Snapshot>,
    past: Mutex<Past>,
    keep: Keep,
    wanted: Mutex<Vec<(usize, Arc<IndexBy>)>>,
    published: watch::Sender<Time>,
}

/// Consecutive epochs, the oldest first.
#[derive(Default)]
struct Past {
    epochs: VecDeque<Epoch>,
    changed_rows: usize,
}

struct Epoch {
    snapshot: Arc<Snapshot>,
    /// By view: what changed since the snapshot before, for views that changed.
    changed: Vec<(usize, RowChanges)>,
}

impl Epoch {
    fn changed_rows(&self) -> usize {
        let rows = self.changed.iter().map(|(_, rows)| rows.len());
        rows.sum()
    }
}

impl Catalog {
    /// A catalog in which every view is empty, at the least epoch.
    pub(crate) fn new(shape: Arc<Shape>, keep: Keep) -> Arc<Self> {
        let none = |_| Arc::new(Answer::Kept(Kept::empty()));
        let answers = (0..shape.len()).map(none).collect();
        let first = Arc::new(Snapshot::new(0, Arc::clone(&shape), answers));
        Arc::new(Catalog {
            changing: Mutex::new(Changing::new(shape)),
            latest: ArcSwap::new(first),
            past: Mutex::default(),
            keep,
            wanted: Mutex::default(),
            published: watch::Sender::new(0),
        })
    }

    /// The last snapshot that was published.
    pub fn latest(&self) -> Arc<Snapshot> {
        self.latest.load_full()
    }

    /// The snapshot that was the last one when an epoch was over; `None` if it is forgotten or yet
    /// to come.
    pub fn at(&self, epoch: u64) -> Option<Arc<Snapshot>> {
        let past = self.past();
        if epoch > past.epochs.back()?.snapshot.epoch {
            return None;
        }
        let after = past.epochs.partition_point(|e| e.snapshot.epoch <= epoch);
        Some(Arc::clone(&past.epochs[after.checked_sub(1)?].snapshot))
    }

    /// The oldest and the newest epoch that can be asked for.
    pub fn range(&self) -> (u64, u64) {
        let past = self.past();
        let newest = self.latest().epoch;
        let oldest = past.epochs.front().map_or(newest, |e| e.snapshot.epoch);
        (oldest, newest)
    }

    /// The net changes of a view, by its place, from the epoch `after` to that of `upto`, with
    /// rows in the view's order; `None` if `after` is forgotten, in which case the view must be
    /// read anew.
    pub fn changes(
        &self,
        view: usize,
        after: u64,
        upto: &Snapshot,
    ) -> Option<(RecordBatch, Vec<i64>)> {
        if after < upto.shape.since(view) {
            return None;
        }
        let mut found: Vec<RowChanges> = Vec::new();
        {
            let past = self.past();
            if after < past.epochs.front()?.snapshot.epoch {
                return None;
            }
            let from = past.epochs.partition_point(|e| e.snapshot.epoch <= after);
            let epochs = past.epochs.range(from..);
            for epoch in epochs.take_while(|e| e.snapshot.epoch <= upto.epoch) {
                let changed = epoch.changed.iter().filter(|(of, _)| *of == view);
                found.extend(changed.map(|(_, rows)| Arc::clone(rows)));
            }
        }
        let codec = &upto.shape.at(view).codec;
        if let [only] = found.as_slice() {
            return Some(decode_changes(codec, only));
        }
        let all = found.iter().flat_map(|rows| rows.iter().cloned());
        Some(decode_changes(codec, &consolidate(all.collect())))
    }

    /// Tells the epoch of the latest snapshot whenever there is a new one.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// Asks for an index of a view, by its place, by some of its columns, ascending. It is there
    /// from one of the next epochs on, if the view has not too many already.
    pub fn want_index(&self, view: usize, columns: &[usize]) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |(of, by): &(usize, Arc<IndexBy>)| *of == view && by.columns == columns;
        if wanted.len() < super::kept::MOST_INDEXES && !wanted.iter().any(known) {
            let latest = self.latest();
            let codec = &latest.shape.at(view).codec;
            wanted.extend(IndexBy::new(codec, columns).map(|by| (view, by)));
        }
    }

    pub(super) fn take_wanted(&self) -> Vec<(usize, Arc<IndexBy>)> {
        std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives something a place of its own. It is shown once all workers have joined.
    pub(crate) fn announce(&self, shown: Arc<Shown>) -> usize {
        self.changing().announce(shown)
    }

    /// Shows what is at some places no more, from the next epoch on.
    pub(crate) fn withdraw(&self, places: &[usize]) {
        self.changing().withdraw(places);
    }

    pub(super) fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a snapshot the latest.
    pub(super) fn publish(&self, snapshot: Snapshot, changed: Vec<(usize, RowChanges)>) {
        let epoch = snapshot.epoch;
        let snapshot = Arc::new(snapshot);
        let entry = Epoch {
            snapshot: Arc::clone(&snapshot),
            changed,
        };
        let forgotten = {
            let mut past = self.past();
            past.changed_rows += entry.changed_rows();
            past.epochs.push_back(entry);
            past.forget(&self.keep)
        };
        self.latest.store(snapshot);
        self.published.send_replace(epoch);
        // Outside the lock: freeing what nobody reads any more takes its time.
        drop(forgotten);
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Past {
    /// Takes out what is too old or too much; the newest stays.
    fn forget(&mut self, keep: &Keep) -> Vec<Epoch> {
        let newest = self.epochs.back().map_or(0, |e| e.snapshot.closed_at_ms);
        let age = i64::try_from(keep.age.as_millis()).unwrap_or(i64::MAX);
        let mut forgotten = Vec::new();
        while self.epochs.len() > 1 {
            let oldest = &self.epochs[0];
            // What led to the oldest snapshot is of no use without the one before it.
            let rows = self.changed_rows - oldest.changed_rows();
            let within = newest - oldest.snapshot.closed_at_ms <= age
                && self.epochs.len() <= keep.snapshots
                && rows <= keep.changed_rows;
            if within {
                break;
            }
            self.changed_rows = rows;
            forgotten.extend(self.epochs.pop_front());
        }
        forgotten
    }
}
