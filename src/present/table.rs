//! Rows as an aligned table.
//!
//! Batches flow in, lines of text flow out: a header, a rule, a line a row; numbers stand at the
//! right, nulls are empty. Columns are as wide as their widest shown value, up to
//! [`WIDEST_COLUMN`]; longer text is cut and ends in `…`.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::cell::{self, Column};
use super::count;

/// The most terminal columns that a value takes up.
pub const WIDEST_COLUMN: usize = 60;

const GAP: &str = "  ";

/// Writes the first `limit` rows and, if there are more, a line that says so. `unit` names what
/// the rows are, for that line.
///
/// # Errors
/// If `to` cannot be written.
pub fn write(to: &mut dyn Write, batch: &RecordBatch, limit: usize) -> io::Result<()> {
    let shown = batch.num_rows().min(limit);
    let lines = texts(&batch.slice(0, shown)).map_err(io::Error::other)?;
    let schema = batch.schema();
    let header: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| cell::escape_controls(field.name()))
        .collect();
    let right: Vec<bool> = schema
        .fields()
        .iter()
        .map(|field| cell::is_number(field.data_type()))
        .collect();
    let widths = widths(&header, &lines);

    write_line(to, &header, &widths, &right)?;
    let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
    write_line(to, &rule, &widths, &right)?;
    for line in &lines {
        write_line(to, line, &widths, &right)?;
    }
    match batch.num_rows() {
        0 => writeln!(to, "(no rows)"),
        total if total > shown => {
            writeln!(
                to,
                "({} of {} rows)",
                count(shown as u64),
                count(total as u64)
            )
        }
        _ => Ok(()),
    }
}

fn texts(batch: &RecordBatch) -> Result<Vec<Vec<String>>, ArrowError> {
    let columns = Column::of_batch(batch)?;
    let line = |row| {
        columns
            .iter()
            .map(|column| fit(&column.text(row)))
            .collect()
    };
    Ok((0..batch.num_rows()).map(line).collect())
}

fn widths(header: &[String], lines: &[Vec<String>]) -> Vec<usize> {
    let mut widths: Vec<usize> = header.iter().map(|name| name.width()).collect();
    for line in lines {
        for (width, text) in widths.iter_mut().zip(line) {
            *width = (*width).max(text.width());
        }
    }
    widths
}

fn fit(text: &str) -> String {
    let escaped = cell::escape_controls(text);
    if escaped.width() <= WIDEST_COLUMN {
        return escaped;
    }
    let mut cut = String::new();
    let mut width = 0;
    for character in escaped.chars() {
        width += character.width().unwrap_or(0);
        if width >= WIDEST_COLUMN {
            break;
        }
        cut.push(character);
    }
    cut.push('…');
    cut
}

fn write_line(
    to: &mut dyn Write,
    texts: &[String],
    widths: &[usize],
    right: &[bool],
) -> io::Result<()> {
    let mut line = String::new();
    for (index, text) in texts.iter().enumerate() {
        let padding = " ".repeat(widths[index].saturating_sub(text.width()));
        let (before, after) = if right[index] {
            (padding.as_str(), "")
        } else {
            ("", &*padding)
        };
        if index > 0 {
            line.push_str(GAP);
        }
        line.extend([before, text, after]);
    }
    writeln!(to, "{}", line.trim_end())
}
