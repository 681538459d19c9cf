//! Rows as text and files, the same wherever they go: what a replay prints and what a sink writes.
//!
//! Batches flow in, bytes flow out. `cell` says how a value reads as text, `csv`, `json`, `parquet`
//! and `table` how rows do, and `whole_file` makes files that are seen whole or not at all.

pub mod cell;
pub mod csv;
pub mod json;
pub mod parquet;
pub mod table;
pub mod whole_file;

use arrow::array::RecordBatch;

/// Rows are handed to a writer this many at a time, so that what it buffers stays small.
const ROWS_AT_ONCE: usize = 8192;

/// The same rows in pieces of a bounded size.
pub fn slices(rows: &RecordBatch) -> impl Iterator<Item = RecordBatch> + '_ {
    let starts = (0..rows.num_rows()).step_by(ROWS_AT_ONCE);
    starts.map(|start| rows.slice(start, ROWS_AT_ONCE.min(rows.num_rows() - start)))
}

/// A number with its thousands set apart: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
