//! Which records stand: the last for a key, or the first for an id.
//!
//! An epoch's [`Claims`] flow in, the rows that change flow out. Records are taken in the order in
//! which they stand in the inputs, so the answer does not depend on who read them.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::epoch::Timed;
use crate::delta::{Diff, Time};
use crate::row::{ByteStore, KeyTable, Rows};

/// The key of a record whose id is null somewhere: it repeats no other. No id is encoded like this.
pub(super) const NO_ID: &[u8] = &[];

/// Arrivals on their way to the worker that owns their keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Claims {
    /// The worker.
    pub(super) to: usize,
    /// When.
    pub(super) time: Time,
    /// The number of the block that they were read from.
    pub(super) block: u64,
    /// Where each record begins.
    pub(super) positions: Vec<u64>,
    /// Their keys or ids.
    pub(super) keys: Rows,
    /// The whole rows.
    pub(super) rows: Rows,
    /// Which records delete; empty if none does.
    pub(super) deleted: Vec<bool>,
    /// The event time of each record, if ids are forgotten; otherwise empty.
    pub(super) event_times: Vec<i64>,
    /// The diff of each record, if a program says itself which rows come and go; otherwise empty.
    pub(super) diffs: Vec<Diff>,
    /// The newest event time of the whole arrival, sent to every worker.
    pub(super) newest: i64,
}

impl Timed for Claims {
    fn time(&self) -> Time {
        self.time
    }
}

/// A record among an epoch's claims.
#[derive(Clone, Copy)]
struct Record {
    order: (u64, u64),
    chunk: usize,
    row: usize,
}

/// All records of an epoch, by their order in the inputs.
fn in_order(claims: &[Claims]) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for (chunk, claims) in claims.iter().enumerate() {
        records.extend(
            claims
                .positions
                .iter()
                .enumerate()
                .map(|(row, position)| Record {
                    order: (claims.block, *position),
                    chunk,
                    row,
                }),
        );
    }
    records.sort_by_key(|record| record.order);
    records
}

/// The row that stands for each key.
#[derive(Default)]
pub(super) struct Upserts {
    keys: KeyTable,
    rows: ByteStore,
}

impl Upserts {
    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Applies an epoch: the rows that change, and by how much.
    pub(super) fn apply(&mut self, claims: &[Claims]) -> (Rows, Vec<Diff>) {
        // Only the last record for a key matters.
        let mut last: HashMap<usize, Record> = HashMap::new();
        for record in in_order(claims) {
            let (slot, _) = self.keys.intern(claims[record.chunk].keys.get(record.row));
            last.insert(slot, record);
        }
        let mut changed: Vec<(usize, Record)> = last.into_iter().collect();
        changed.sort_unstable_by_key(|(_, record)| record.order);
        let (mut rows, mut diffs) = (Rows::default(), Vec::new());
        for (slot, record) in changed {
            let claims = &claims[record.chunk];
            let deletes = claims.deleted.get(record.row).copied().unwrap_or(false);
            let new = if deletes {
                &[][..]
            } else {
                claims.rows.get(record.row)
            };
            let old = self.rows.get(slot);
            if old != new {
                if !old.is_empty() {
                    rows.push(old);
                    diffs.push(-1);
                }
                if !new.is_empty() {
                    rows.push(new);
                    diffs.push(1);
                }
                self.rows.set(slot, new);
            }
            if new.is_empty() {
                self.keys.remove(slot);
            }
        }
        (rows, diffs)
    }
}

/// The ids that have been seen.
pub(super) struct Seen {
    keys: KeyTable,
    horizon_ns: Option<i64>,
    /// The newest event time before the epoch at hand.
    newest: i64,
    /// By slot: when the id was seen, in event time.
    seen_at: Vec<i64>,
    /// Slots by when they were seen, in steps of a fraction of the horizon.
    by_age: BTreeMap<i64, Vec<usize>>,
}

/// Ids are forgotten in this many steps a horizon.
const STEPS_PER_HORIZON: i64 = 64;

impl Seen {
    /// No ids yet; with a horizon in nanoseconds, ids that lie further back are forgotten.
    pub(super) fn new(horizon_ns: Option<i64>) -> Self {
        Seen {
            keys: KeyTable::default(),
            horizon_ns,
            newest: i64::MIN,
            seen_at: Vec::new(),
            by_age: BTreeMap::new(),
        }
    }

    /// How many ids there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Applies an epoch: the rows that are new, each added once, and those with diffs of their own.
    pub(super) fn apply(&mut self, claims: &[Claims]) -> (Rows, Vec<Diff>) {
        let (mut rows, mut diffs) = (Rows::default(), Vec::new());
        for record in in_order(claims) {
            let claims = &claims[record.chunk];
            let key = claims.keys.get(record.row);
            let exact = claims.diffs.get(record.row).copied();
            if key == NO_ID || exact.is_some() {
                rows.push(claims.rows.get(record.row));
                diffs.push(exact.unwrap_or(1));
                continue;
            }
            let (slot, is_new) = self.keys.intern(key);
            let seen_at = claims
                .event_times
                .get(record.row)
                .copied()
                .unwrap_or(i64::MIN);
            if is_new || self.is_forgotten(slot) {
                rows.push(claims.rows.get(record.row));
                diffs.push(1);
                self.remember(slot, seen_at);
            }
        }
        let newest = claims
            .iter()
            .map(|claims| claims.newest)
            .max()
            .unwrap_or(i64::MIN);
        self.newest = self.newest.max(newest);
        self.forget();
        (rows, diffs)
    }

    fn is_forgotten(&self, slot: usize) -> bool {
        self.horizon_ns
            .is_some_and(|horizon| self.seen_at[slot] < self.newest.saturating_sub(horizon))
    }

    fn remember(&mut self, slot: usize, seen_at: i64) {
        let Some(horizon) = self.horizon_ns else {
            return;
        };
        if slot >= self.seen_at.len() {
            self.seen_at.resize(slot + 1, i64::MIN);
        }
        self.seen_at[slot] = seen_at;
        self.by_age
            .entry(step(seen_at, horizon))
            .or_default()
            .push(slot);
    }

    /// Frees the ids whose whole step lies behind the horizon.
    fn forget(&mut self) {
        let Some(horizon) = self.horizon_ns else {
            return;
        };
        let oldest = step(self.newest.saturating_sub(horizon), horizon);
        let kept = self.by_age.split_off(&oldest);
        for slot in std::mem::replace(&mut self.by_age, kept)
            .into_values()
            .flatten()
        {
            // A slot may stand in several steps if its id came again after it was forgotten.
            let in_use = !self.keys.key(slot).is_empty();
            if in_use && step(self.seen_at[slot], horizon) < oldest {
                self.keys.remove(slot);
            }
        }
    }
}

fn step(event_time: i64, horizon: i64) -> i64 {
    event_time.div_euclid((horizon / STEPS_PER_HORIZON).max(1))
}
