//! From what each worker delivers to one snapshot an epoch.
//!
//! Deliveries flow in, in order of time from each worker; snapshots flow out to the [`Catalog`]. An
//! epoch is published when every worker has delivered it, so no snapshot shows half of one. Runs on
//! a thread of its own: folding an epoch into the views goes on while workers do the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::codec::consolidate;
use super::kept::{Kept, RowKey};
use super::{Answer, Catalog, Shape, Snapshot};
use crate::delta::{Diff, Time};
use crate::row::Rows;

/// What a worker found of all epochs before one.
pub(crate) struct Delivery {
    /// The worker.
    pub(crate) worker: usize,
    /// All of its changes before this time have been delivered; `Time::MAX` at the end.
    pub(crate) before: Time,
    /// What it delivers with everything else from this delivery on, by place.
    pub(crate) joined: Vec<usize>,
    /// Its changes since its last delivery.
    pub(crate) changes: Vec<EpochChanges>,
}

/// Changes of one view at one time.
pub(crate) struct EpochChanges {
    /// When.
    pub(crate) time: Time,
    /// Which view, by its place.
    pub(crate) view: usize,
    /// The rows, as the catalog encodes them.
    pub(crate) rows: Rows,
    /// Their diffs; `None` stands for +1 each.
    pub(crate) diffs: Option<Arc<[Diff]>>,
}

/// Publishes until all workers have delivered their last; `published` is told of each epoch that readers can see.
pub(crate) fn publish(
    catalog: &Catalog,
    workers: usize,
    deliveries: &Receiver<Delivery>,
    published: impl Fn(Time),
) {
    let mut before: Vec<Time> = vec![0; workers];
    let mut waiting: BTreeMap<Time, Vec<EpochChanges>> = BTreeMap::new();
    let mut last: Time = 0;
    for delivery in deliveries {
        before[delivery.worker] = delivery.before;
        if !delivery.joined.is_empty() {
            catalog.changing().join(&delivery.joined);
        }
        for changes in delivery.changes {
            last = last.max(changes.time);
            waiting.entry(changes.time).or_default().push(changes);
        }
        let complete = before.iter().copied().min().unwrap_or(0);
        let epoch = match complete {
            // At the end there is no frontier to go by.
            Time::MAX => last.max(catalog.latest().epoch + 1),
            next => next.saturating_sub(1),
        };
        if epoch <= catalog.latest().epoch {
            continue;
        }
        let later = waiting.split_off(&complete);
        let due = std::mem::replace(&mut waiting, later);
        fold(catalog, workers, epoch, due.into_values().flatten());
        published(epoch);
        if complete == Time::MAX {
            return;
        }
    }
}

/// Changes by view.
type ByView = BTreeMap<usize, Vec<(RowKey, Diff)>>;

/// Publishes the snapshot after some changes.
fn fold(catalog: &Catalog, workers: usize, epoch: Time, due: impl Iterator<Item = EpochChanges>) {
    let latest = catalog.latest();
    let mut answers = latest.answers.clone();
    let mut by_view = ByView::new();
    for changes in due {
        let diff = |row| changes.diffs.as_ref().map_or(1, |diffs| diffs[row]);
        let rows = changes.rows.iter().enumerate();
        let rows = rows.map(|(at, row)| (RowKey::from(row), diff(at)));
        by_view.entry(changes.view).or_default().extend(rows);
    }
    let (shape, by_view) = turn(catalog, workers, epoch, by_view, &mut answers);
    let mut changed = Vec::with_capacity(by_view.len());
    for (view, rows) in by_view {
        let rows = consolidate(rows);
        if let (false, Answer::Kept(kept)) = (rows.is_empty(), &*answers[view]) {
            let after = kept.changed(&shape.at(view).codec, epoch, rows);
            // Nobody can ask for what led to a view's first epoch.
            if shape.since(view) < epoch {
                changed.push((view, Arc::clone(&after.changes)));
            }
            answers[view] = Arc::new(Answer::Kept(after));
        }
    }
    for (view, by) in catalog.take_wanted() {
        if let Answer::Kept(kept) = &*answers[view]
            && let Some(indexed) = kept.indexed(&shape.at(view).codec, by)
        {
            answers[view] = Arc::new(Answer::Kept(indexed));
        }
    }
    let snapshot = Snapshot::new(epoch, shape, answers);
    catalog.publish(snapshot, changed);
}

/// What the epoch shows, and the changes of what it shows; what has come has its first rows among
/// them, and what is gone has none any more.
fn turn(
    catalog: &Catalog,
    workers: usize,
    epoch: Time,
    by_view: ByView,
    answers: &mut Vec<Arc<Answer>>,
) -> (Arc<Shape>, ByView) {
    let mut changing = catalog.changing();
    let sorted = by_view.into_iter();
    let sorted = sorted.filter_map(|(view, rows)| Some((view, changing.sort(view, rows)?)));
    let mut by_view: ByView = sorted.collect();
    let (shape, turnover) = changing.turn(workers, epoch);
    let empty = || Arc::new(Answer::Kept(Kept::empty()));
    answers.resize_with(shape.len(), empty);
    for view in turnover.gone {
        answers[view] = empty();
        by_view.remove(&view);
    }
    by_view.extend(turnover.come);
    (shape, by_view)
}
