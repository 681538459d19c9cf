//! A view's rows in the format that was asked for.
//!
//! Batches flow in, bytes flow out: to standard output or to one file a view. A file appears under
//! its own name only when it is whole, so a reader never sees half an answer.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;

use crate::present::whole_file::{WholeFile, file_stem};
use crate::present::{csv, json, parquet, table};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// Aligned columns for people
    Table,
    /// Comma-separated values with a header; NULL is empty, empty text is ""
    Csv,
    /// One JSON object a line
    Jsonl,
    /// Apache Parquet
    Parquet,
}

impl OutputFormat {
    fn extension(self) -> &'static str {
        match self {
            OutputFormat::Table => "txt",
            OutputFormat::Csv => "csv",
            OutputFormat::Jsonl => "jsonl",
            OutputFormat::Parquet => "parquet",
        }
    }
}

/// Writes a view's rows; `limit` cuts tables only.
///
/// # Errors
/// If `to` cannot be written, or the rows have a type that the format cannot hold.
pub fn write(
    to: &mut (dyn Write + Send),
    format: OutputFormat,
    rows: &RecordBatch,
    limit: usize,
) -> io::Result<()> {
    match format {
        OutputFormat::Table => table::write(to, rows, limit),
        OutputFormat::Csv => {
            csv::write_header(to, &rows.schema())?;
            csv::write_rows(to, rows)
        }
        OutputFormat::Jsonl => json::write_rows(to, rows),
        OutputFormat::Parquet => parquet::write(to, rows),
    }
}

/// Writes a view's rows to `folder/view.extension` and returns that path.
///
/// # Errors
/// With the path, if the file cannot be written; then nothing is left behind and an older file
/// stays as it was.
pub fn write_file(
    folder: &Path,
    view: &str,
    format: OutputFormat,
    rows: &RecordBatch,
) -> Result<PathBuf, (PathBuf, io::Error)> {
    let path = folder.join(format!("{}.{}", file_stem(view), format.extension()));
    match write_whole(&path, format, rows) {
        Ok(()) => Ok(path),
        Err(error) => Err((path, error)),
    }
}

fn write_whole(path: &Path, format: OutputFormat, rows: &RecordBatch) -> io::Result<()> {
    let whole = WholeFile::create(path)?;
    let mut writer = BufWriter::new(whole.file());
    write(&mut writer, format, rows, usize::MAX)?;
    writer.flush()?;
    drop(writer);
    whole.finish()
}
