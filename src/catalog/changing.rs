//! What comes to the catalog and what goes, between epochs.
//!
//! Announcements and the workers' joins flow in; the next epoch's [`Shape`] flows out. What is
//! announced is shown from the first epoch on that all workers have joined: from then on each
//! delivers its changes with those of everything else. What they deliver before that is put by.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::kept::RowKey;
use super::shape::{Shape, Shown};
use crate::delta::{Diff, Time};

/// Rows and by how much the number of each changes.
pub(super) type Rows = Vec<(RowKey, Diff)>;

/// What the next epochs show.
pub(super) struct Changing {
    /// What the latest epoch shows.
    shape: Arc<Shape>,
    /// The next place to be given out.
    next: usize,
    coming: BTreeMap<usize, Coming>,
    leaving: Vec<usize>,
}

/// Something that is not shown yet.
struct Coming {
    shown: Arc<Shown>,
    /// How many workers have joined.
    joined: usize,
    /// What they have delivered so far.
    rows: Rows,
}

/// What an epoch shows that the one before did not, or no more.
#[derive(Default)]
pub(super) struct Turnover {
    /// By place: its first rows.
    pub(super) come: Vec<(usize, Rows)>,
    pub(super) gone: Vec<usize>,
}

impl Changing {
    pub(super) fn new(shape: Arc<Shape>) -> Changing {
        Changing {
            next: shape.len(),
            shape,
            coming: BTreeMap::new(),
            leaving: Vec::new(),
        }
    }

    pub(super) fn announce(&mut self, shown: Arc<Shown>) -> usize {
        let place = self.next;
        self.next += 1;
        let coming = Coming {
            shown,
            joined: 0,
            rows: Vec::new(),
        };
        self.coming.insert(place, coming);
        place
    }

    pub(super) fn withdraw(&mut self, places: &[usize]) {
        for place in places {
            if self.coming.remove(place).is_none() {
                self.leaving.push(*place);
            }
        }
    }

    /// Notes that a worker delivers the changes of some places with those of everything else.
    pub(super) fn join(&mut self, places: &[usize]) {
        for place in places {
            if let Some(coming) = self.coming.get_mut(place) {
                coming.joined += 1;
            }
        }
    }

    /// What an epoch shows after all workers have delivered it.
    pub(super) fn turn(&mut self, workers: usize, epoch: Time) -> (Arc<Shape>, Turnover) {
        let mut turnover = Turnover::default();
        for place in self.leaving.drain(..) {
            Arc::make_mut(&mut self.shape).remove(place, epoch);
            turnover.gone.push(place);
        }
        let joined = self.coming.iter().filter(|(_, c)| c.joined == workers);
        let joined: Vec<usize> = joined.map(|(place, _)| *place).collect();
        for place in joined {
            if let Some(Coming { shown, rows, .. }) = self.coming.remove(&place) {
                Arc::make_mut(&mut self.shape).add(place, shown, epoch);
                turnover.come.push((place, rows));
            }
        }
        (Arc::clone(&self.shape), turnover)
    }

    /// Puts changes by; gives them back if their place is shown, and drops them if it never will be.
    pub(super) fn sort(&mut self, place: usize, rows: Rows) -> Option<Rows> {
        if let Some(coming) = self.coming.get_mut(&place) {
            coming.rows.extend(rows);
            return None;
        }
        self.shape.shows(place).then_some(rows)
    }
}
