//! Changes as Parquet files, each of which is seen when it is whole.
//!
//! A file that breaks cannot be mended. So a second cursor stays where the file began, and if it
//! breaks, the next file begins there.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;

use super::naming::Naming;
use super::{Fault, Roll, could_not_write, present};
use crate::catalog::{Cursor, Snapshot};
use crate::present::whole_file::WholeFile;
use crate::sink::rows::ChangeRows;
use crate::sink::status::SinkStatus;
use crate::sink::target::Target;

/// A row group is written when the rows that wait for it take this many bytes.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Whether Parquet can hold columns.
pub(super) fn check(schema: &SchemaRef) -> io::Result<()> {
    present::parquet::writer(io::sink(), Arc::clone(schema)).map(drop)
}

/// A view's changes in Parquet files.
pub(super) struct ParquetFile {
    rows: ChangeRows,
    naming: Naming,
    roll: Roll,
    status: Arc<SinkStatus>,
    open: Option<Open>,
}

/// The file that is being written.
struct Open {
    writer: ArrowWriter<File>,
    whole: WholeFile,
    path: PathBuf,
    /// Where the view was when the file began.
    began: Cursor,
    opened: Instant,
    rows: u64,
}

impl Open {
    fn create(path: PathBuf, schema: &SchemaRef, began: Cursor) -> Result<Open, Fault> {
        let open = || {
            let whole = WholeFile::create(&path)?;
            let file = whole.file().try_clone()?;
            let writer = present::parquet::writer(file, Arc::clone(schema))?;
            Ok((whole, writer))
        };
        let (whole, writer) = open().map_err(|error| could_not_write(&path, &error))?;
        Ok(Open {
            writer,
            whole,
            path,
            began,
            opened: Instant::now(),
            rows: 0,
        })
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<(), ParquetError> {
        for slice in present::slices(rows) {
            self.writer.write(&slice)?;
            if self.writer.in_progress_size() >= ROW_GROUP_BYTES {
                self.writer.flush()?;
            }
        }
        self.rows += rows.num_rows() as u64;
        Ok(())
    }

    fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// How big the file is, which then has its name.
    fn finish(self) -> io::Result<u64> {
        self.writer.close().map_err(into_io)?;
        let bytes = self.whole.file().metadata()?.len();
        self.whole.finish()?;
        Ok(bytes)
    }
}

/// Tells what went wrong without saying that it came from outside Parquet.
fn into_io(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => io::Error::other(error),
        other => io::Error::other(other),
    }
}

impl ParquetFile {
    pub(super) fn new(
        rows: ChangeRows,
        naming: Naming,
        roll: Roll,
        status: Arc<SinkStatus>,
    ) -> ParquetFile {
        ParquetFile {
            rows,
            naming,
            roll,
            status,
            open: None,
        }
    }
}

impl Target for ParquetFile {
    fn deliver(&mut self, cursor: &mut Cursor, upto: &Snapshot) -> Result<(), Fault> {
        let changes = cursor.changes(upto);
        if changes.1.is_empty() {
            cursor.advance(upto);
            return Ok(());
        }
        let rows = self.rows.rows(&changes, upto.epoch());
        let rows = rows.map_err(|error| Fault::new(error.to_string()))?;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open::create(self.naming.next(), self.rows.schema(), cursor.clone())?,
        };
        if let Err(error) = open.write(&rows) {
            cursor.clone_from(&open.began);
            return Err(could_not_write(&open.path, &into_io(error)));
        }
        cursor.advance(upto);
        let is_over = open.bytes() >= self.roll.bytes;
        self.open = Some(open);
        match is_over {
            true => self.settle(cursor),
            false => Ok(()),
        }
    }

    fn settles_at(&self) -> Option<Instant> {
        let open = self.open.as_ref()?;
        self.roll.at(open.opened)
    }

    /// The file is over, on the disk, and has its name.
    fn settle(&mut self, cursor: &mut Cursor) -> Result<(), Fault> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let (path, rows, began) = (open.path.clone(), open.rows, open.began.clone());
        match open.finish() {
            Ok(bytes) => {
                self.status.delivered(rows, bytes);
                Ok(())
            }
            Err(error) => {
                *cursor = began;
                Err(could_not_write(&path, &error))
            }
        }
    }

    fn seen_upto(&self, cursor: &Cursor) -> u64 {
        let open = self.open.as_ref();
        open.map_or(cursor.epoch(), |open| open.began.epoch())
    }
}
