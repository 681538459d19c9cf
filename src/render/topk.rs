//! The first rows of each group by an order: TopK, and the least and greatest values.
//!
//! An arrangement whose values sort in the wanted order flows in; the rows that stand among the
//! first `limit` after `skip` flow out. A change reads no further into its group than the answer
//! reaches.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, UInt64Array};
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

use super::changes::{Group, GroupLogic};
use super::map::batch;
use super::{Outcome, Outcomes, arrange, changes};
use crate::delta::{Delta, Diff, Time};
use crate::row::{RowCodec, Rows, key_bytes};

/// Where a column of the answer comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    /// A column of the arrangement's key.
    Key(usize),
    /// A column of its value.
    Value(usize),
    /// The row's number within its group, from one.
    Number,
}

/// Which rows of a group are answered, and how.
pub(super) struct First {
    /// How many rows are passed over.
    pub(super) skip: u64,
    /// How many are answered after those.
    pub(super) limit: u64,
    /// The answer's columns.
    pub(super) columns: Vec<From>,
    /// Their schema.
    pub(super) schema: SchemaRef,
    /// The codec of the arrangement's keys.
    pub(super) key_codec: RowCodec,
    /// The codec of its values.
    pub(super) value_codec: RowCodec,
}

/// Renders the first rows of each group of an arrangement.
pub(super) fn first<'scope>(
    arranged: arrange::ArrangedRows<'scope>,
    first: First,
) -> Outcomes<'scope> {
    let numbered = first
        .columns
        .iter()
        .any(|column| matches!(column, From::Number));
    let logic = TopK {
        end: first.skip.saturating_add(first.limit),
        numbered,
        first,
        changed: BTreeMap::new(),
    };
    changes::on_change(arranged, "TopK", logic)
}

struct TopK {
    first: First,
    end: u64,
    numbered: bool,
    changed: BTreeMap<Time, Changed>,
}

/// Rows that enter or leave the answer.
#[derive(Default)]
struct Changed {
    keys: Rows,
    values: Rows,
    numbers: Vec<u64>,
    diffs: Vec<Diff>,
}

impl Changed {
    fn push(&mut self, key: &[u8], value: &[u8], number: u64, diff: Diff) {
        self.keys.push(key_bytes(key));
        self.values.push(value);
        self.numbers.push(number);
        self.diffs.push(diff);
    }
}

impl GroupLogic for TopK {
    fn change(&mut self, key: &[u8], group: &mut Group<'_>, time: Time) {
        let (mut before_at, mut now_at) = (0_u64, 0_u64);
        let (skip, end) = (self.first.skip, self.end);
        let changed = self.changed.entry(time).or_default();
        while before_at < end || now_at < end {
            let Some(row) = group.next() else { break };
            // Which of the row's copies lie within the answer, as a range of positions.
            let range = |at: &mut u64, copies: Diff| {
                let begin = *at;
                *at = begin.saturating_add(copies.max(0).unsigned_abs());
                begin.clamp(skip, end)..(*at).clamp(skip, end)
            };
            let before = range(&mut before_at, row.before);
            let now = range(&mut now_at, row.now);
            if self.numbered {
                for at in before.clone().filter(|at| !now.contains(at)) {
                    changed.push(key, row.row, at + 1, -1);
                }
                for at in now.filter(|at| !before.contains(at)) {
                    changed.push(key, row.row, at + 1, 1);
                }
            } else {
                let length = |range: std::ops::Range<u64>| (range.end - range.start).cast_signed();
                let diff = length(now) - length(before);
                if diff != 0 {
                    changed.push(key, row.row, 0, diff);
                }
            }
        }
    }

    fn finish(&mut self, outcomes: &mut Vec<Outcome>) {
        for (time, changed) in std::mem::take(&mut self.changed) {
            if !changed.diffs.is_empty() {
                outcomes.push(Ok(self.delta(changed, time)));
            }
        }
    }
}

impl TopK {
    fn delta(&self, changed: Changed, time: Time) -> Delta {
        let First {
            columns,
            schema,
            key_codec,
            value_codec,
            ..
        } = &self.first;
        let keys = key_codec
            .decode(changed.keys.iter())
            .expect("keys of the codec's making");
        let values = value_codec
            .decode(changed.values.iter())
            .expect("values of the codec's making");
        let rows = changed.diffs.len();
        let numbers: ArrayRef = Arc::new(UInt64Array::from(changed.numbers));
        let columns = columns.iter().map(|column| match column {
            From::Key(at) => keys[*at].clone(),
            From::Value(at) => values[*at].clone(),
            From::Number => numbers.clone(),
        });
        let rows = batch(schema, columns.collect(), rows).expect("the answer's columns");
        Delta::new(rows, changed.diffs, time)
    }
}
