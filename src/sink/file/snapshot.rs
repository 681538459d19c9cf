//! The whole view in one file, replaced when the view has changed. Who opens it sees one epoch.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::{Fault, could_not_write, present};
use crate::catalog::{Cursor, Snapshot};
use crate::present::whole_file::WholeFile;
use crate::sink::spec::FileFormat;
use crate::sink::status::SinkStatus;
use crate::sink::target::Target;

/// A view in a file.
pub(super) struct SnapshotFile {
    path: PathBuf,
    format: FileFormat,
    status: Arc<SinkStatus>,
    is_there: bool,
}

impl SnapshotFile {
    pub(super) fn new(path: PathBuf, format: FileFormat, status: Arc<SinkStatus>) -> SnapshotFile {
        SnapshotFile {
            path,
            format,
            status,
            is_there: false,
        }
    }

    fn write(&self, rows: &RecordBatch) -> io::Result<u64> {
        let whole = WholeFile::create(&self.path)?;
        let mut to = BufWriter::new(whole.file());
        match self.format {
            FileFormat::Jsonl => present::json::write_rows(&mut to, rows)?,
            FileFormat::Csv => {
                present::csv::write_header(&mut to, &rows.schema())?;
                present::csv::write_rows(&mut to, rows)?;
            }
            FileFormat::Parquet => present::parquet::write(&mut to, rows)?,
        }
        to.flush()?;
        drop(to);
        let bytes = whole.file().metadata()?.len();
        whole.finish()?;
        Ok(bytes)
    }
}

impl Target for SnapshotFile {
    fn is_behind(&self, cursor: &Cursor, upto: &Snapshot) -> bool {
        // An empty view has a file as well.
        !self.is_there || cursor.is_behind(upto)
    }

    fn deliver(&mut self, cursor: &mut Cursor, upto: &Snapshot) -> Result<(), Fault> {
        let rows = cursor.view(upto).rows();
        let written = self.write(&rows);
        let bytes = written.map_err(|error| could_not_write(&self.path, &error))?;
        self.status.delivered(rows.num_rows() as u64, bytes);
        self.is_there = true;
        cursor.advance(upto);
        Ok(())
    }
}
