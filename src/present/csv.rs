//! Rows as comma-separated values, by RFC 4180.
//!
//! A null is empty and empty text is `""`, so that one differs from the other.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use super::cell::Column;

/// Writes the line that names the columns.
///
/// # Errors
/// If `to` cannot be written.
pub fn write_header(to: &mut dyn Write, schema: &Schema) -> io::Result<()> {
    let mut line = String::new();
    for (index, field) in schema.fields().iter().enumerate() {
        push(&mut line, index, field.name());
    }
    writeln!(to, "{line}")
}

/// Writes a line a row.
///
/// # Errors
/// If `to` cannot be written, or values of some type have no text.
pub fn write_rows(to: &mut dyn Write, rows: &RecordBatch) -> io::Result<()> {
    let columns = Column::of_batch(rows).map_err(io::Error::other)?;
    let mut line = String::new();
    let mut text = String::new();
    for row in 0..rows.num_rows() {
        line.clear();
        for (index, column) in columns.iter().enumerate() {
            if column.is_null(row) {
                line.push_str(if index > 0 { "," } else { "" });
                continue;
            }
            text.clear();
            column.push_to(&mut text, row);
            push(&mut line, index, &text);
        }
        writeln!(to, "{line}")?;
    }
    Ok(())
}

/// Appends a field, in quotes where RFC 4180 asks for them and for empty text, so that it differs
/// from a null.
fn push(line: &mut String, index: usize, text: &str) {
    if index > 0 {
        line.push(',');
    }
    if !text.is_empty() && !text.contains(['"', ',', '\n', '\r']) {
        line.push_str(text);
        return;
    }
    line.push('"');
    line.push_str(&text.replace('"', "\"\""));
    line.push('"');
}
