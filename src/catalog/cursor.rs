//! A reader's place in the history of a view, from which it always gets on.
//!
//! Snapshots flow in; what changed since the reader was here last flows out, as net changes however
//! many epochs lie between. While the catalog remembers those epochs their changes are added up.
//! After that the rows of then are compared with those of now: a cursor holds them, sharing with
//! later snapshots what did not change, so a reader that falls behind loses nothing, and what it
//! holds is never more than the view once over.

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::kept::{Held, Kept};
use super::{Answer, Catalog, Snapshot, ViewAt, decode_changes};
use crate::delta::Diff;

/// A reader's place in the history of a view.
#[derive(Clone)]
pub struct Cursor {
    catalog: Arc<Catalog>,
    view: usize,
    epoch: u64,
    changed_at: Option<u64>,
    held: Held,
}

impl Cursor {
    /// A place before the first row of a view, by its place among all views.
    pub fn at_start(catalog: &Arc<Catalog>, view: usize) -> Cursor {
        Cursor {
            catalog: Arc::clone(catalog),
            view,
            epoch: 0,
            changed_at: None,
            held: Held::none(),
        }
    }

    /// The epoch up to which the reader has everything; 0 at the start.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The view's place among all views.
    pub fn place(&self) -> usize {
        self.view
    }

    /// The view in a snapshot.
    pub fn view<'a>(&self, snapshot: &'a Snapshot) -> ViewAt<'a> {
        ViewAt {
            snapshot,
            view: self.view,
        }
    }

    /// Whether the view is another one in a snapshot than it was here. It may still have the same
    /// rows.
    pub fn is_behind(&self, upto: &Snapshot) -> bool {
        upto.epoch > self.epoch && kept(self.view(upto)).changed_at != self.changed_at
    }

    /// The net changes from here to a snapshot, in the view's order; none to an older one.
    pub fn changes(&self, upto: &Snapshot) -> (RecordBatch, Vec<Diff>) {
        let view = self.view(upto);
        if !self.is_behind(upto) {
            return decode_changes(view.codec(), &[]);
        }
        if let Some(changes) = self.catalog.changes(self.view, self.epoch, upto) {
            return changes;
        }
        decode_changes(view.codec(), &self.held.changes_to(kept(view)))
    }

    /// Moves on to a snapshot; never back.
    pub fn advance(&mut self, upto: &Snapshot) {
        if upto.epoch > self.epoch {
            let kept = kept(self.view(upto));
            self.epoch = upto.epoch;
            self.changed_at = kept.changed_at;
            self.held = kept.hold();
        }
    }
}

fn kept(view: ViewAt<'_>) -> &Kept {
    match view.answer() {
        Answer::Kept(kept) => kept,
        Answer::Frozen { .. } => unreachable!("a catalog's snapshots are kept, not frozen"),
    }
}
