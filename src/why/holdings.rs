//! What a table holds, and what it would hold without one of its records.
//!
//! The records of a table flow in, in the order of their arrival. With a primary key the last record
//! for a key stands, with dedup the first for an id; take it away, and the one before or after it
//! stands instead. A dedup's horizon is left out of account: ids are remembered for ever.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};

use crate::delta::Diff;
use crate::script::Table;

/// By how much what a table holds changes, by record.
#[derive(Debug, Clone, Default)]
pub(super) struct Change {
    out: Option<u32>,
    back: Option<u32>,
}

impl Change {
    /// Records and their diffs.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, Diff)> {
        let out = self.out.map(|row| (row, -1));
        out.into_iter().chain(self.back.map(|row| (row, 1)))
    }

    /// The way back.
    pub(super) fn undone(&self) -> Change {
        Change {
            out: self.back,
            back: self.out,
        }
    }
}

/// Which records stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    All,
    Last,
    First,
}

/// The records of a table, and which of them count.
pub(super) struct Holdings {
    arrived: RecordBatch,
    rule: Rule,
    /// By record: its group, unless it is one by itself.
    group_of: Vec<Option<usize>>,
    /// The records of each key or id, in order.
    groups: Vec<Vec<u32>>,
    /// By record: whether it deletes what has its key.
    deletes: Option<BooleanArray>,
}

impl Holdings {
    /// The holdings of a table after all of its records.
    ///
    /// # Errors
    /// If a key column's type cannot be compared.
    pub(super) fn new(table: &Table, arrived: RecordBatch) -> Result<Holdings, ArrowError> {
        let (rule, columns) = match (&table.options.dedup, table.primary_key.is_empty()) {
            (Some(dedup), _) => (Rule::First, dedup.columns.as_slice()),
            (None, false) => (Rule::Last, table.primary_key.as_slice()),
            (None, true) => (Rule::All, &[][..]),
        };
        let deletes = table.options.deleted;
        let deletes = deletes.map(|column| arrived.column(column).as_boolean().clone());
        let mut holdings = Holdings {
            group_of: vec![None; arrived.num_rows()],
            groups: Vec::new(),
            rule,
            deletes,
            arrived,
        };
        if rule != Rule::All {
            holdings.group(columns)?;
        }
        Ok(holdings)
    }

    fn group(&mut self, columns: &[usize]) -> Result<(), ArrowError> {
        let keys: Vec<ArrayRef> = columns
            .iter()
            .map(|column| self.arrived.column(*column).clone())
            .collect();
        let fields = keys
            .iter()
            .map(|key| SortField::new(key.data_type().clone()));
        let rows = RowConverter::new(fields.collect())?.convert_columns(&keys)?;
        let mut known: HashMap<OwnedRow, usize> = HashMap::new();
        for row in 0..self.arrived.num_rows() {
            // A record without an id is not a repetition of anything.
            if self.rule == Rule::First && keys.iter().any(|key| key.is_null(row)) {
                continue;
            }
            let next = self.groups.len();
            let group = *known.entry(rows.row(row).owned()).or_insert(next);
            if group == next {
                self.groups.push(Vec::new());
            }
            self.groups[group].push(row as u32);
            self.group_of[row] = Some(group);
        }
        Ok(())
    }

    /// All records.
    pub(super) fn arrived(&self) -> &RecordBatch {
        &self.arrived
    }

    /// The rows that the table holds.
    ///
    /// # Errors
    /// If they cannot be put together.
    pub(super) fn standing(&self) -> Result<RecordBatch, ArrowError> {
        let alone = self.group_of.iter().enumerate();
        let alone = alone.filter(|(_, group)| group.is_none());
        let mut rows: Vec<u32> = alone.map(|(row, _)| row as u32).collect();
        rows.extend(self.groups.iter().filter_map(|group| self.of_group(group)));
        rows.sort_unstable();
        take_record_batch(&self.arrived, &UInt32Array::from(rows))
    }

    /// What changes if a record had never come; nothing if the table would hold the same.
    pub(super) fn without(&self, row: usize) -> Option<Change> {
        let out = row as u32;
        let Some(group) = self.group_of[row] else {
            return Some(Change {
                out: Some(out),
                back: None,
            });
        };
        let records = &self.groups[group];
        let rest: Vec<u32> = records.iter().copied().filter(|r| *r != out).collect();
        let (now, then) = (self.of_group(records), self.of_group(&rest));
        (now != then).then_some(Change {
            out: now,
            back: then,
        })
    }

    /// The record of a key or id that stands.
    fn of_group(&self, records: &[u32]) -> Option<u32> {
        if self.rule == Rule::First {
            return records.first().copied();
        }
        let last = *records.last()?;
        let deletes = |row: usize| {
            let deletes = self.deletes.as_ref();
            deletes.is_some_and(|deletes| deletes.is_valid(row) && deletes.value(row))
        };
        (!deletes(last as usize)).then_some(last)
    }
}
