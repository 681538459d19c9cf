//! A view's rows in the format that was asked for.
//!
//! Batches flow in, bytes flow out: to standard output or to one file a view. A file appears under
//! its own name only when it is whole, so a reader never sees half an answer.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::cell::{Column, TIMESTAMP_FORMAT};
use super::table;

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

/// Rows are handed to a writer this many at a time, so that what it buffers stays small.
const ROWS_AT_ONCE: usize = 8192;

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
        OutputFormat::Csv => write_csv(to, rows),
        OutputFormat::Jsonl => write_jsonl(to, rows),
        OutputFormat::Parquet => write_parquet(to, rows),
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

/// Checks that files can be made in a folder.
///
/// # Errors
/// If they cannot.
pub fn check_writable(folder: &Path) -> io::Result<()> {
    Unfinished::create(&folder.join("tillrace")).map(drop)
}

fn write_whole(path: &Path, format: OutputFormat, rows: &RecordBatch) -> io::Result<()> {
    let unfinished = Unfinished::create(path)?;
    let mut writer = BufWriter::new(&unfinished.file);
    write(&mut writer, format, rows, usize::MAX)?;
    writer.flush()?;
    drop(writer);
    unfinished.finish(path)
}

/// A view's name as a file's name: path separators and other characters that some file system
/// forbids become `_`.
fn file_stem(view: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
    view.chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .collect()
}

/// A file under a temporary name beside the one that it will get; removed unless finished.
struct Unfinished {
    file: File,
    path: PathBuf,
    finished: bool,
}

impl Unfinished {
    fn create(target: &Path) -> io::Result<Self> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.{}.unfinished", std::process::id()));
        Ok(Self {
            file: File::create(&path)?,
            path,
            finished: false,
        })
    }

    fn finish(mut self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            // The write has failed already; that error is the one to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn slices(rows: &RecordBatch) -> impl Iterator<Item = RecordBatch> + '_ {
    let starts = (0..rows.num_rows()).step_by(ROWS_AT_ONCE);
    starts.map(|start| rows.slice(start, ROWS_AT_ONCE.min(rows.num_rows() - start)))
}

fn write_csv(to: &mut dyn Write, rows: &RecordBatch) -> io::Result<()> {
    let columns = Column::of_batch(rows).map_err(io::Error::other)?;
    let mut line = String::new();
    for (index, field) in rows.schema().fields().iter().enumerate() {
        push_csv(&mut line, index, field.name());
    }
    writeln!(to, "{line}")?;

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
            push_csv(&mut line, index, &text);
        }
        writeln!(to, "{line}")?;
    }
    Ok(())
}

/// Appends a field, in quotes where RFC 4180 asks for them and for empty text, so that it differs
/// from a null.
fn push_csv(line: &mut String, index: usize, text: &str) {
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

fn write_jsonl(to: &mut dyn Write, rows: &RecordBatch) -> io::Result<()> {
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_format(TIMESTAMP_FORMAT.to_owned())
        .build::<_, LineDelimited>(to);
    for slice in slices(rows) {
        writer.write(&slice).map_err(into_io)?;
    }
    writer.finish().map_err(into_io)
}

fn write_parquet(to: &mut (dyn Write + Send), rows: &RecordBatch) -> io::Result<()> {
    let compression = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .build();
    let mut writer =
        ArrowWriter::try_new(to, rows.schema(), Some(properties)).map_err(io::Error::other)?;
    for slice in slices(rows) {
        writer.write(&slice).map_err(io::Error::other)?;
    }
    writer.close().map_err(io::Error::other)?;
    Ok(())
}

/// Keeps the kind of an I/O error, so that a closed pipe is known as one.
fn into_io(error: arrow::error::ArrowError) -> io::Error {
    match error {
        arrow::error::ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}
