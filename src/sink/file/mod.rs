//! Views as files: their changes in files that are rolled, or the whole view in one that is
//! replaced.

mod naming;
mod parquet;
mod snapshot;
mod text;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::SinkError;
use super::rows::ChangeRows;
use super::spec::{FileFormat, FileSpec, Mode};
use super::status::SinkStatus;
use super::target::{Fault, Target};
use crate::plan::Output;
use crate::present::{self, whole_file};
use naming::Naming;

pub(super) use naming::has_view;

/// When a file of changes is over.
#[derive(Debug, Clone, Copy)]
struct Roll {
    bytes: u64,
    after: Option<Duration>,
}

impl Roll {
    /// When a file that was opened at some time is over by its age.
    fn at(&self, opened: Instant) -> Option<Instant> {
        self.after.and_then(|after| opened.checked_add(after))
    }
}

/// Makes the target of a view; its folder is made, and it is checked that files can be.
///
/// # Errors
///
/// If they cannot, or the view's columns do not fit the format.
pub(super) fn open(
    sink: &str,
    spec: &FileSpec,
    output: &Output,
    status: &Arc<SinkStatus>,
) -> Result<Box<dyn Target>, SinkError> {
    let path = naming::path_of_view(&spec.path, &output.view.name, spec.format);
    create_folder(sink, &path)?;
    let columns = |source| SinkError::Columns {
        sink: sink.to_owned(),
        view: output.view.name.clone(),
        source,
    };
    let status = Arc::clone(status);
    if spec.mode == Mode::Snapshot {
        if spec.format == FileFormat::Parquet {
            parquet::check(&output.schema).map_err(columns)?;
        }
        return Ok(Box::new(snapshot::SnapshotFile::new(
            path,
            spec.format,
            status,
        )));
    }
    let rows = ChangeRows::new(output, false)?;
    let naming = Naming::new(&path);
    let roll = Roll {
        bytes: spec.roll_bytes.unwrap_or(u64::MAX),
        after: spec.roll_after,
    };
    match spec.format {
        FileFormat::Parquet => {
            parquet::check(rows.schema()).map_err(columns)?;
            Ok(Box::new(parquet::ParquetFile::new(
                rows, naming, roll, status,
            )))
        }
        FileFormat::Jsonl | FileFormat::Csv => {
            let is_csv = spec.format == FileFormat::Csv;
            Ok(Box::new(text::TextFile::new(
                rows, naming, roll, is_csv, status,
            )))
        }
    }
}

fn create_folder(sink: &str, file: &Path) -> Result<(), SinkError> {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let made = fs::create_dir_all(folder).and_then(|()| whole_file::check_writable(folder));
    made.map_err(|source| SinkError::Open {
        sink: sink.to_owned(),
        path: folder.to_owned(),
        source,
    })
}

fn could_not_write(path: &Path, error: &io::Error) -> Fault {
    Fault::new(format!("could not write {}: {error}", path.display()))
}
