//! What the server says, on the terminal or in a pipe.
//!
//! Rows become tables, CSV or JSON lines on standard output; tags, notices and faults go to standard
//! error. The changes of a subscription, which has no end, are printed as they come.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion_postgres::pgwire::api::Type;

use super::client::{Column, Part, Told};
use crate::cli::output::{self, OutputFormat};
use crate::present::count;

/// The most digits that a DECIMAL has.
const MOST_DIGITS: usize = 38;

/// Prints what the server says.
pub struct Printer {
    /// How rows are written.
    pub format: OutputFormat,
    /// Whether only rows and faults are printed.
    pub quiet: bool,
    columns: Vec<Column>,
    rows: Vec<Vec<Option<String>>>,
    /// Whether rows are printed one by one.
    is_endless: bool,
}

impl Printer {
    /// A printer of rows in a format.
    pub fn new(format: OutputFormat, quiet: bool) -> Printer {
        Printer {
            format,
            quiet,
            columns: Vec::new(),
            rows: Vec::new(),
            is_endless: false,
        }
    }

    /// A statement's answer follows.
    pub fn begin(&mut self, sql: &str) {
        let first = sql.split_whitespace().next().unwrap_or_default();
        self.is_endless = first.eq_ignore_ascii_case("subscribe");
        self.columns.clear();
        self.rows.clear();
    }

    /// Prints a part of an answer, or keeps it until its end.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn take(&mut self, part: Part) -> io::Result<()> {
        let mut out = io::stdout();
        match part {
            Part::Columns(columns) => {
                self.columns = columns;
                if self.is_endless && self.format != OutputFormat::Jsonl {
                    let names = self.columns.iter().map(|column| column.name.as_str());
                    writeln!(out, "{}", names.collect::<Vec<_>>().join("\t"))?;
                }
                Ok(())
            }
            Part::Row(row) if self.is_endless && self.format != OutputFormat::Jsonl => {
                let cells = row.iter().map(|cell| cell.as_deref().unwrap_or_default());
                writeln!(out, "{}", cells.collect::<Vec<_>>().join("\t"))?;
                out.flush()
            }
            Part::Row(row) => {
                self.rows.push(row);
                match self.is_endless {
                    true => self.print_rows(&mut out),
                    false => Ok(()),
                }
            }
            Part::Copied(bytes) => out.write_all(&bytes),
            Part::Done(tag) if self.columns.is_empty() => {
                if !self.quiet {
                    eprintln!("{tag}");
                }
                Ok(())
            }
            Part::Done(_) => {
                if !self.is_endless {
                    self.print_rows(&mut out)?;
                }
                self.columns.clear();
                Ok(())
            }
            Part::Notice(told) => {
                eprintln!("{}: {}", told.severity.to_lowercase(), told.message);
                Ok(())
            }
        }
    }

    fn print_rows(&mut self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let batch = batch(&self.columns, &rows).map_err(io::Error::other)?;
        output::write(out, self.format, &batch, usize::MAX)?;
        if self.format == OutputFormat::Table && !self.quiet && !rows.is_empty() {
            let unit = if rows.len() == 1 { "row" } else { "rows" };
            writeln!(out, "({} {unit})", count(rows.len() as u64))?;
        }
        out.flush()
    }
}

/// Rows as a batch, with types by which they are aligned and written.
fn batch(
    columns: &[Column],
    rows: &[Vec<Option<String>>],
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for (place, column) in columns.iter().enumerate() {
        let texts = rows.iter().map(|row| row.get(place).cloned().flatten());
        let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
        let options = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let typed = typed(column, rows, place)
            .and_then(|data_type| cast_with_options(&texts, &data_type, &options).ok());
        let array = typed.unwrap_or(texts);
        fields.push(Field::new(&column.name, array.data_type().clone(), true));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
}

/// The type of a column's values; `None` for what stays text.
fn typed(column: &Column, rows: &[Vec<Option<String>>], place: usize) -> Option<DataType> {
    let of = |known: Type| known.oid() == column.type_id;
    if of(Type::INT2) || of(Type::INT4) || of(Type::INT8) {
        return Some(DataType::Int64);
    }
    if of(Type::FLOAT4) || of(Type::FLOAT8) {
        return Some(DataType::Float64);
    }
    if !of(Type::NUMERIC) {
        return None;
    }
    let texts = rows.iter().filter_map(|row| row.get(place)?.as_deref());
    let scale = texts.map(|text| text.split_once('.').map_or(0, |(_, after)| after.len()));
    let scale = scale.max().unwrap_or(0);
    let scale = i8::try_from(scale).ok().filter(|_| scale <= MOST_DIGITS)?;
    Some(DataType::Decimal128(MOST_DIGITS as u8, scale))
}

/// Prints a fault, with its place in the statement.
pub fn print_fault(told: &Told, sql: &str) {
    eprintln!("error: {} ({})", told.message, told.code);
    if let Some((line, column)) = told.position.and_then(|position| place(sql, position)) {
        eprintln!("  | {line}");
        eprintln!("  | {}^", " ".repeat(column));
    }
    if let Some(hint) = &told.hint {
        eprintln!("  = help: {hint}");
    }
}

/// The line of a statement with a character of it, and how many characters are before that.
fn place(sql: &str, position: usize) -> Option<(&str, usize)> {
    let mut before = position.checked_sub(1)?;
    for line in sql.split('\n') {
        let length = line.chars().count();
        if before <= length {
            return Some((line, before));
        }
        before -= length + 1;
    }
    None
}
