//! A view's rows in maps that share what did not change from one epoch to the next.
//!
//! A change copies the few chunks of the tree on its way, so a snapshot costs what changed, and
//! readers keep theirs for as long as they like. Rows are ordered as the view shows them. An
//! index brings rows with equal values in some columns together; it is made when somebody first
//! asks by those columns, and kept up from then on.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, RecordBatch};
use immutable_chunkmap::map::Map;

use super::codec::ViewCodec;
use crate::delta::{Diff, Time};
use crate::row::RowCodec;

/// An encoded row.
pub(crate) type RowKey = Arc<[u8]>;

/// Rows that changed, sorted, and by how much each.
pub(super) type RowChanges = Arc<Vec<(RowKey, Diff)>>;

/// How many entries a chunk has: a change copies one, a lookup halves one.
const CHUNK: usize = 32;
/// From so many changes at once on, a new map is made of the old one in one pass.
const MANY: usize = 256;
/// How many indexes a view has at most; the first asked for stay.
pub(super) const MOST_INDEXES: usize = 8;

type RowMap = Map<RowKey, Diff, CHUNK>;

/// What a view answers at an epoch.
pub(super) struct Kept {
    rows: RowMap,
    total: usize,
    indexes: Vec<Index>,
    /// The last epoch that changed it.
    pub(super) changed_at: Option<Time>,
    /// What that epoch changed.
    pub(super) changes: RowChanges,
    /// All rows, once somebody has asked for them.
    batch: OnceLock<RecordBatch>,
}

/// A view's rows at one epoch and nothing else, for a reader that means to come back for what
/// changed since. They share with later epochs what did not change.
#[derive(Clone)]
pub(super) struct Held(RowMap);

impl Held {
    /// No rows.
    pub(super) fn none() -> Held {
        Held(RowMap::new())
    }

    /// How to get from these rows to later ones, in the view's order. Costs a pass over both.
    pub(super) fn changes_to(&self, later: &Kept) -> Vec<(RowKey, Diff)> {
        let mut changes = Vec::new();
        let mut before = (&self.0).into_iter().peekable();
        let mut after = (&later.rows).into_iter().peekable();
        loop {
            let order = match (before.peek(), after.peek()) {
                (None, None) => return changes,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((old, _)), Some((new, _))) => old.cmp(new),
            };
            let old = before.next_if(|_| order.is_le());
            let new = after.next_if(|_| order.is_ge());
            let count = |entry: Option<(_, &Diff)>| entry.map_or(0, |(_, count)| *count);
            let diff = count(new) - count(old);
            if let (Some((row, _)), true) = (new.or(old), diff != 0) {
                changes.push((RowKey::clone(row), diff));
            }
        }
    }
}

/// Rows by the values of some columns, encoded.
#[derive(Clone)]
struct Index {
    by: Arc<IndexBy>,
    entries: Map<RowKey, Same, CHUNK>,
}

/// The rows that have the same values in an index's columns: mostly one.
#[derive(Clone, Debug)]
enum Same {
    One(RowKey),
    Many(Map<RowKey, (), CHUNK>),
}

impl Same {
    /// These rows and one more, or without one of them; `None` if none is left.
    fn changed(this: Option<Same>, row: RowKey, is_there: bool) -> Option<Same> {
        match (this, is_there) {
            (None, true) => Some(Same::One(row)),
            (None, false) => None,
            (Some(Same::One(only)), _) if only == row => is_there.then_some(Same::One(row)),
            (Some(one @ Same::One(_)), false) => Some(one),
            (Some(Same::One(only)), true) => {
                let both = [(only, ()), (row, ())];
                Some(Same::Many(Map::new().insert_many(both)))
            }
            (Some(Same::Many(mut rows)), true) => {
                rows.insert_cow(row, ());
                Some(Same::Many(rows))
            }
            (Some(Same::Many(mut rows)), false) => {
                rows.remove_cow(&row);
                (rows.len() > 0).then_some(Same::Many(rows))
            }
        }
    }
}

impl Index {
    /// Takes in the rows that are there now, and takes out those that are no more.
    fn change(&mut self, changes: impl Iterator<Item = (RowKey, RowKey, bool)>) {
        let mut by_value: BTreeMap<RowKey, Vec<(RowKey, bool)>> = BTreeMap::new();
        for (value, row, is_there) in changes {
            by_value.entry(value).or_default().push((row, is_there));
        }
        let put = |value: RowKey, rows: Vec<(RowKey, bool)>, old: Option<(&RowKey, &Same)>| {
            let old = old.map(|(_, same)| same.clone());
            let rows = rows.into_iter();
            let new = rows.fold(old, |same, (row, is_there)| {
                Same::changed(same, row, is_there)
            });
            new.map(|same| (value, same))
        };
        if by_value.len() >= MANY {
            self.entries = self.entries.update_many(by_value, put);
            return;
        }
        for (value, rows) in by_value {
            self.entries.update_cow(value, rows, put);
        }
    }
}

/// What an index is by.
pub(super) struct IndexBy {
    /// Ascending positions of the view's columns.
    pub(super) columns: Vec<usize>,
    codec: RowCodec,
}

impl IndexBy {
    /// An index by some columns, ascending; `None` if their types cannot be encoded.
    pub(super) fn new(codec: &ViewCodec, columns: &[usize]) -> Option<Arc<IndexBy>> {
        let types = columns.iter().map(|c| codec.schema().field(*c).data_type());
        let codec = RowCodec::new(types).ok()?;
        let columns = columns.to_vec();
        Some(Arc::new(IndexBy { columns, codec }))
    }

    /// The values of some rows, encoded.
    fn values(&self, rows: &RecordBatch) -> Vec<RowKey> {
        let columns: Vec<ArrayRef> = self
            .columns
            .iter()
            .map(|column| rows.column(*column).clone())
            .collect();
        let values = self
            .codec
            .encode(&columns, rows.num_rows())
            .expect("rows are of the view's types");
        values.iter().map(RowKey::from).collect()
    }
}

impl Kept {
    /// No rows.
    pub(super) fn empty() -> Kept {
        Kept {
            rows: RowMap::new(),
            total: 0,
            indexes: Vec::new(),
            changed_at: None,
            changes: Arc::default(),
            batch: OnceLock::new(),
        }
    }

    /// The rows alone.
    pub(super) fn hold(&self) -> Held {
        Held(self.rows.clone())
    }

    /// How many rows there are, each as often as it is there.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// The rows after the changes of an epoch, which are sorted, one a row, none zero.
    pub(super) fn changed(
        &self,
        codec: &ViewCodec,
        epoch: Time,
        changes: Vec<(RowKey, Diff)>,
    ) -> Kept {
        let mut total = i64::try_from(self.total).unwrap_or(i64::MAX);
        // By change: whether its row is there now, if it was not before or is no more. A map
        // updated with many rows at once does not take them in order.
        let mut fates: Vec<Option<bool>> = vec![None; changes.len()];
        let mut apply = |key: RowKey, (at, diff): (usize, Diff), old: Option<(&RowKey, &Diff)>| {
            let before = old.map_or(0, |(_, count)| *count);
            let after = before + diff;
            total += after.max(0) - before.max(0);
            fates[at] = ((before == 0) != (after == 0)).then_some(after != 0);
            (after != 0).then_some((key, after))
        };
        let updates = changes.iter().enumerate();
        let updates = updates.map(|(at, (key, diff))| (key.clone(), (at, *diff)));
        let rows = if changes.len() >= MANY {
            self.rows.update_many(updates, &mut apply)
        } else {
            let mut rows = self.rows.clone();
            for (key, change) in updates {
                rows.update_cow(key, change, &mut apply);
            }
            rows
        };
        let mut indexes = self.indexes.clone();
        if !indexes.is_empty() {
            let batch = codec.decode(changes.iter().map(|(key, _)| &**key));
            for index in &mut indexes {
                let values = index.by.values(&batch).into_iter();
                let rows = changes.iter().map(|(row, _)| row.clone());
                let changed = values.zip(rows).zip(&fates);
                index.change(changed.filter_map(|((value, row), fate)| {
                    fate.map(|is_there| (value, row, is_there))
                }));
            }
        }
        Kept {
            rows,
            total: usize::try_from(total).unwrap_or(0),
            indexes,
            changed_at: Some(epoch),
            changes: Arc::new(changes),
            batch: OnceLock::new(),
        }
    }

    /// The same rows with another index; without one too many.
    pub(super) fn indexed(&self, codec: &ViewCodec, by: Arc<IndexBy>) -> Option<Kept> {
        let known = self.indexes.iter().any(|i| i.by.columns == by.columns);
        if known || self.indexes.len() >= MOST_INDEXES {
            return None;
        }
        let keys: Vec<(RowKey, Diff)> = (&self.rows)
            .into_iter()
            .map(|(k, c)| (k.clone(), *c))
            .collect();
        let batch = codec.decode(keys.iter().map(|(key, _)| &**key));
        let mut index = Index {
            entries: Map::new(),
            by,
        };
        let values = index.by.values(&batch).into_iter();
        let rows = keys.into_iter().map(|(row, _)| (row, true));
        index.change(
            values
                .zip(rows)
                .map(|(value, (row, is_there))| (value, row, is_there)),
        );
        let mut indexes = self.indexes.clone();
        indexes.push(index);
        Some(Kept {
            rows: self.rows.clone(),
            total: self.total,
            indexes,
            changed_at: self.changed_at,
            changes: Arc::clone(&self.changes),
            batch: OnceLock::new(),
        })
    }

    /// All rows, in order, each as often as it is there.
    pub(super) fn batch(&self, codec: &ViewCodec) -> RecordBatch {
        self.batch
            .get_or_init(|| self.head(codec, 0, usize::MAX))
            .clone()
    }

    /// Some of the rows, in order.
    pub(super) fn head(&self, codec: &ViewCodec, skip: usize, take: usize) -> RecordBatch {
        if let Some(batch) = self.batch.get() {
            let skip = skip.min(batch.num_rows());
            return batch.slice(skip, take.min(batch.num_rows() - skip));
        }
        let rows = (&self.rows).into_iter();
        let rows = rows.flat_map(|(row, count)| repeat(row, *count));
        let rows: Vec<&[u8]> = rows.skip(skip).take(take).collect();
        codec.decode(rows.into_iter())
    }

    /// All different rows, in order, and how often each is there.
    pub(super) fn counted(&self) -> Vec<(RowKey, Diff)> {
        let rows = (&self.rows).into_iter();
        rows.map(|(row, count)| (RowKey::clone(row), *count))
            .collect()
    }

    /// The rows that have some values, by an index; `None` without one. The columns ascend, and
    /// each value is an array of one element of the column's type.
    pub(super) fn find(
        &self,
        codec: &ViewCodec,
        columns: &[usize],
        values: &[ArrayRef],
    ) -> Option<RecordBatch> {
        let index = self.indexes.iter().find(|i| i.by.columns == columns)?;
        let value = index.by.codec.encode(values, 1).ok()?;
        let times = |row| repeat(row, self.rows.get::<[u8]>(row).copied().unwrap_or(0));
        let rows: Vec<&[u8]> = match index.entries.get(value.get(0)) {
            None => Vec::new(),
            Some(Same::One(row)) => times(row).collect(),
            Some(Same::Many(rows)) => rows.into_iter().flat_map(|(row, ())| times(row)).collect(),
        };
        Some(codec.decode(rows.into_iter()))
    }
}

fn repeat(row: &[u8], count: Diff) -> std::iter::RepeatN<&[u8]> {
    std::iter::repeat_n(row, count.max(0).unsigned_abs() as usize)
}
