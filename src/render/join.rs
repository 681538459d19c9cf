//! Inner joins: pairs of rows with equal keys, kept up to date from both sides.
//!
//! Two arrangements flow in, deltas with the left side's columns and then the right side's flow
//! out. Differential drives the join, fresh batch against everything that the other side holds;
//! this room plays each such unit out by merging keys. A row that finds many partners is decoded
//! once and repeated by index, so a join of events with a small table costs little more than the
//! events.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use differential_dataflow::operators::join::{Fresh, JoinTactic, join_with_tactic};
use differential_dataflow::trace::cursor::{Cursor, CursorList, cursor_list};
use differential_dataflow::trace::{BatchCursor, TraceReader};

use super::Deltas;
use super::arrange::{ArrangedRows, RowTrace};
use super::flow::Tap;
use super::map::batch;
use crate::delta::{Delta, Diff, Time};
use crate::row::{RowBatch, RowCodec, Rows};

/// How many pairs are gathered before they are handed on.
const PAIRS_PER_DELTA: usize = 16 * 1024;

/// How the values of both sides are read.
pub(super) struct Sides {
    /// The codec of the left side's values.
    pub(super) left: RowCodec,
    /// The codec of the right side's values.
    pub(super) right: RowCodec,
    /// The columns of both.
    pub(super) schema: SchemaRef,
}

/// Renders the join of two arrangements by the same key; `tap` counts its rows.
pub(super) fn join<'scope>(
    left: ArrangedRows<'scope>,
    right: ArrangedRows<'scope>,
    sides: Sides,
    tap: Tap,
) -> Deltas<'scope> {
    let tactic = RowTactic {
        sides: Rc::new(sides),
        tap,
    };
    join_with_tactic::<RowTrace, RowTrace, RowTactic, Vec<Delta>>(left, right, "Join", tactic)
}

struct RowTactic {
    sides: Rc<Sides>,
    tap: Tap,
}

type SharedBatch = <RowTrace as TraceReader>::Batch;
type RowCursor = CursorList<BatchCursor<RowTrace>>;

impl JoinTactic<Time, Rc<RowBatch>, Rc<RowBatch>, Vec<Delta>> for RowTactic {
    fn prep(
        &mut self,
        left: Vec<Rc<RowBatch>>,
        right: Vec<Rc<RowBatch>>,
        _fresh: Fresh,
        meet: Time,
    ) -> Box<dyn Iterator<Item = Vec<Delta>>> {
        let (left, left_storage) = cursor_list(left);
        let (right, right_storage) = cursor_list(right);
        Box::new(Unit {
            sides: Rc::clone(&self.sides),
            tap: Rc::clone(&self.tap),
            left,
            left_storage,
            right,
            right_storage,
            meet,
            pairs: BTreeMap::new(),
            ready: VecDeque::new(),
            scratch: Scratch::default(),
            exhausted: false,
        })
    }
}

/// The join of one fresh batch with what the other side holds, played out bit by bit.
struct Unit {
    sides: Rc<Sides>,
    tap: Tap,
    left: RowCursor,
    left_storage: Vec<SharedBatch>,
    right: RowCursor,
    right_storage: Vec<SharedBatch>,
    /// No output time lies before it.
    meet: Time,
    pairs: BTreeMap<Time, Pairs>,
    ready: VecDeque<Delta>,
    scratch: Scratch,
    exhausted: bool,
}

/// The values of the key at hand, and memory for those of the next.
#[derive(Default)]
struct Scratch {
    left: KeyValues,
    right: KeyValues,
}

/// One side's values for a key.
#[derive(Default)]
struct KeyValues {
    rows: Rows,
    updates: Vec<Update>,
    /// Where each row already stands among the pairs at a time.
    placed: Vec<u32>,
}

const NOWHERE: u32 = u32::MAX;

/// One update of a value: the value as a position in the rows of its key, when, and by how much.
#[derive(Clone, Copy)]
struct Update {
    value: u32,
    time: Time,
    diff: Diff,
}

/// Pairs at one time: rows of both sides, each once, and which of them go together.
#[derive(Default)]
struct Pairs {
    left: Rows,
    right: Rows,
    left_index: Vec<u32>,
    right_index: Vec<u32>,
    diffs: Vec<Diff>,
}

impl Iterator for Unit {
    type Item = Vec<Delta>;

    fn next(&mut self) -> Option<Vec<Delta>> {
        while self.ready.is_empty() && !self.exhausted {
            self.match_next_key();
        }
        if self.exhausted {
            for (time, pairs) in std::mem::take(&mut self.pairs) {
                self.ready.push_back(pairs.finish(&self.sides, time));
            }
        }
        let delta = self.ready.pop_front()?;
        if let Some(tally) = self.tap.get() {
            tally.add(delta.len());
        }
        Some(vec![delta])
    }
}

impl Unit {
    /// Moves both cursors to the next key that they share, and pairs its values.
    fn match_next_key(&mut self) {
        loop {
            let keys = (
                self.left.get_key(&self.left_storage),
                self.right.get_key(&self.right_storage),
            );
            let (Some(left), Some(right)) = keys else {
                self.exhausted = true;
                return;
            };
            match left.cmp(right) {
                std::cmp::Ordering::Less => self.left.seek_key(&self.left_storage, right),
                std::cmp::Ordering::Greater => self.right.seek_key(&self.right_storage, left),
                std::cmp::Ordering::Equal => break,
            }
        }
        let Scratch { left, right } = &mut self.scratch;
        left.load(&mut self.left, &self.left_storage, self.meet);
        right.load(&mut self.right, &self.right_storage, self.meet);
        self.pair();
        self.left.step_key(&self.left_storage);
        self.right.step_key(&self.right_storage);
    }

    fn pair(&mut self) {
        let Scratch { left, right } = &mut self.scratch;
        let mut open: Option<(Time, Pairs)> = None;
        for l in 0..left.updates.len() {
            for r in 0..right.updates.len() {
                let (l, r) = (left.updates[l], right.updates[r]);
                let time = l.time.max(r.time);
                if open.as_ref().is_none_or(|(at, _)| *at != time) {
                    if let Some((at, pairs)) = open.take() {
                        self.pairs.insert(at, pairs);
                    }
                    open = Some((time, self.pairs.remove(&time).unwrap_or_default()));
                    left.forget_places();
                    right.forget_places();
                }
                let Some((_, pairs)) = &mut open else {
                    continue;
                };
                pairs.left_index.push(left.place(l.value, &mut pairs.left));
                pairs
                    .right_index
                    .push(right.place(r.value, &mut pairs.right));
                pairs.diffs.push(l.diff * r.diff);
                if pairs.diffs.len() >= PAIRS_PER_DELTA {
                    let full = std::mem::take(pairs);
                    self.ready.push_back(full.finish(&self.sides, time));
                    left.forget_places();
                    right.forget_places();
                }
            }
        }
        self.pairs.extend(open);
    }
}

impl KeyValues {
    /// Reads the values of the key at hand, times moved up to `meet`.
    fn load(&mut self, cursor: &mut RowCursor, storage: &Vec<SharedBatch>, meet: Time) {
        self.rows.clear_rows();
        self.updates.clear();
        while let Some(value) = cursor.get_val(storage) {
            let begin = self.updates.len();
            let number = u32::try_from(self.rows.len()).expect("a key has fewer than 2^32 values");
            cursor.map_times(storage, |time, diff| {
                self.updates.push(Update {
                    value: number,
                    time: (*time).max(meet),
                    diff: *diff,
                });
            });
            merge_equal_times(&mut self.updates, begin);
            if self.updates.len() > begin {
                self.rows.push(value);
            }
            cursor.step_val(storage);
        }
    }

    /// The pairs at hand are others: no row stands among them yet.
    fn forget_places(&mut self) {
        self.placed.clear();
        self.placed.resize(self.rows.len(), NOWHERE);
    }

    /// Where a value stands among the rows at hand; it is added to them if it does not.
    fn place(&mut self, value: u32, to: &mut Rows) -> u32 {
        let placed = &mut self.placed[value as usize];
        if *placed == NOWHERE {
            *placed = u32::try_from(to.len()).expect("a delta has fewer than 2^32 rows");
            to.push(self.rows.get(value as usize));
        }
        *placed
    }
}

/// Adds up the updates from `begin` on that share a time, and drops those that cancel out.
fn merge_equal_times(updates: &mut Vec<Update>, begin: usize) {
    if updates.len() - begin > 1 {
        updates[begin..].sort_unstable_by_key(|update| update.time);
        let mut end = begin;
        for at in begin + 1..updates.len() {
            if updates[at].time == updates[end].time {
                updates[end].diff += updates[at].diff;
            } else {
                end += 1;
                updates[end] = updates[at];
            }
        }
        updates.truncate(end + 1);
    }
    let mut kept = begin;
    for at in begin..updates.len() {
        if updates[at].diff != 0 {
            updates[kept] = updates[at];
            kept += 1;
        }
    }
    updates.truncate(kept);
}

impl Pairs {
    fn finish(self, sides: &Sides, time: Time) -> Delta {
        let rows = self.diffs.len();
        let mut columns = repeat(&sides.left, &self.left, self.left_index);
        columns.extend(repeat(&sides.right, &self.right, self.right_index));
        let batch = batch(&sides.schema, columns, rows).expect("both sides fit the joined schema");
        Delta::new(batch, self.diffs, time)
    }
}

fn repeat(codec: &RowCodec, rows: &Rows, index: Vec<u32>) -> Vec<ArrayRef> {
    let columns = codec
        .decode(rows.iter())
        .expect("rows are of the codec's making");
    let index = Arc::new(UInt32Array::from(index));
    columns
        .iter()
        .map(|column| take(column, index.as_ref(), None).expect("indices of decoded rows"))
        .collect()
}
