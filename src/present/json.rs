//! Rows as JSON lines: one object a row, with all columns.
//!
//! Decimals are numbers with all of their digits; nulls are written.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder};

use super::cell::TIMESTAMP_FORMAT;
use super::slices;

/// Writes a line a row.
///
/// # Errors
/// If `to` cannot be written, or the format cannot hold values of some type.
pub fn write_rows(to: &mut dyn Write, rows: &RecordBatch) -> io::Result<()> {
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_format(TIMESTAMP_FORMAT.to_owned())
        .build::<_, LineDelimited>(to);
    for slice in slices(rows) {
        writer.write(&slice).map_err(into_io)?;
    }
    writer.finish().map_err(into_io)
}

/// Keeps the kind of an I/O error, so that a closed pipe is known as one.
fn into_io(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}
