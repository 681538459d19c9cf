//! What a table holds once its records have arrived, in plain code.
//!
//! The records of a table flow in, in the order of their arrival; the rows that count flow out. The
//! engine keeps the same thing up to date in its own way; nothing is shared with it, or a mistake
//! there would be repeated here.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, TimeUnit, TimestampNanosecondType};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};

use crate::script::{Dedup, Table};

const NANOSECONDS_PER_MS: i64 = 1_000_000;

/// The rows that a table holds after some epochs, each with what arrived in it and all of the
/// table's columns. Only what is forgotten beyond a dedup's horizon depends on where epochs end.
///
/// # Errors
/// If a key column's type cannot be compared.
pub fn contents(table: &Table, epochs: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let arrived = concat_batches(&table.schema(), epochs)?;
    let mut kept: Vec<usize> = (0..arrived.num_rows()).collect();
    if let Some(dedup) = &table.options.dedup {
        let ends = epochs.iter().scan(0, |end, epoch| {
            *end += epoch.num_rows();
            Some(*end)
        });
        kept = first_of_each(table, dedup, &arrived, ends)?;
    }
    if !table.primary_key.is_empty() {
        kept = last_of_each_key(table, &arrived, &kept)?;
    }
    let indices = UInt64Array::from_iter_values(kept.into_iter().map(|row| row as u64));
    take_record_batch(&arrived, &indices)
}

/// The first row for each id. A row without an id is not a repetition of anything. With a horizon,
/// an id is forgotten at the end of the epoch that brings an event later by more than that.
fn first_of_each(
    table: &Table,
    dedup: &Dedup,
    arrived: &RecordBatch,
    epoch_ends: impl Iterator<Item = usize>,
) -> Result<Vec<usize>, ArrowError> {
    let ids = rows(arrived, &dedup.columns)?;
    let times = event_times(table, arrived)?;
    let time = |row: usize| times.as_ref().map_or(i64::MIN, |times| times[row]);
    let horizon = dedup
        .horizon_ms
        .map(|ms| (ms as i64).saturating_mul(NANOSECONDS_PER_MS));
    let mut seen: HashMap<OwnedRow, i64> = HashMap::new();
    let mut newest = i64::MIN;
    let mut kept = Vec::new();
    let mut start = 0;
    for end in epoch_ends {
        for row in start..end {
            if dedup
                .columns
                .iter()
                .any(|column| arrived.column(*column).is_null(row))
            {
                kept.push(row);
                continue;
            }
            let forgotten = |first: i64| horizon.is_some_and(|h| first < newest.saturating_sub(h));
            let id = ids.row(row).owned();
            if seen.get(&id).is_none_or(|first| forgotten(*first)) {
                seen.insert(id, time(row));
                kept.push(row);
            }
        }
        newest = (start..end).map(time).fold(newest, i64::max);
        start = end;
    }
    Ok(kept)
}

/// The last of the rows for each key, unless that row deletes the key.
fn last_of_each_key(
    table: &Table,
    arrived: &RecordBatch,
    rows_in_order: &[usize],
) -> Result<Vec<usize>, ArrowError> {
    let keys = rows(arrived, &table.primary_key)?;
    let mut last = HashMap::new();
    for row in rows_in_order {
        last.insert(keys.row(*row), *row);
    }
    let deletes = |row: usize| {
        table.options.deleted.is_some_and(|column| {
            let deleted = arrived.column(column).as_boolean();
            deleted.is_valid(row) && deleted.value(row)
        })
    };
    let mut kept: Vec<usize> = last.into_values().filter(|row| !deletes(*row)).collect();
    kept.sort_unstable();
    Ok(kept)
}

fn rows(batch: &RecordBatch, columns: &[usize]) -> Result<Rows, ArrowError> {
    let arrays: Vec<ArrayRef> = columns
        .iter()
        .map(|column| batch.column(*column).clone())
        .collect();
    let fields = arrays
        .iter()
        .map(|array| SortField::new(array.data_type().clone()))
        .collect();
    RowConverter::new(fields)?.convert_columns(&arrays)
}

/// The newest event time of some rows of a table, in nanoseconds since the Unix epoch.
///
/// # Errors
/// If the column of event times cannot be read as such.
pub fn newest_event_time(table: &Table, rows: &[RecordBatch]) -> Result<Option<i64>, ArrowError> {
    let mut newest = None;
    for batch in rows {
        let times = event_times(table, batch)?.into_iter().flatten();
        newest = newest.max(times.filter(|time| *time > i64::MIN).max());
    }
    Ok(newest)
}

/// The event times in nanoseconds; the least possible for a row that has none.
pub(crate) fn event_times(
    table: &Table,
    batch: &RecordBatch,
) -> Result<Option<Vec<i64>>, ArrowError> {
    let Some(column) = table.options.event_time else {
        return Ok(None);
    };
    let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let times = cast(batch.column(column), &nanoseconds)?;
    let times = times.as_primitive::<TimestampNanosecondType>();
    Ok(Some(
        times.iter().map(|time| time.unwrap_or(i64::MIN)).collect(),
    ))
}
