//! Changes as JSON lines or CSV, in files that grow and can be read as they do.
//!
//! What one delivery hands out is in one file, whole or not at all: if a write fails, the file is
//! cut back to where it was, and the next delivery has the changes of both.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;

use super::naming::Naming;
use super::{Fault, Roll, could_not_write, present};
use crate::catalog::{Cursor, Snapshot};
use crate::sink::rows::ChangeRows;
use crate::sink::status::SinkStatus;
use crate::sink::target::Target;

/// A view's changes in text files.
pub(super) struct TextFile {
    rows: ChangeRows,
    naming: Naming,
    roll: Roll,
    is_csv: bool,
    status: Arc<SinkStatus>,
    open: Option<Open>,
}

/// The file that grows.
struct Open {
    file: File,
    path: PathBuf,
    /// How long it is, but for what a failed write left behind.
    length: u64,
    opened: Instant,
    is_torn: bool,
}

impl Open {
    fn create(path: PathBuf) -> Result<Open, Fault> {
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        Ok(Open {
            file: file.map_err(|error| could_not_write(&path, &error))?,
            path,
            length: 0,
            opened: Instant::now(),
            is_torn: false,
        })
    }

    /// Cuts off what a failed write left behind.
    fn mend(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.length)?;
            self.is_torn = false;
        }
        Ok(())
    }
}

impl TextFile {
    pub(super) fn new(
        rows: ChangeRows,
        naming: Naming,
        roll: Roll,
        is_csv: bool,
        status: Arc<SinkStatus>,
    ) -> TextFile {
        TextFile {
            rows,
            naming,
            roll,
            is_csv,
            status,
            open: None,
        }
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<u64, Fault> {
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(Open::create(self.naming.next())?),
        };
        let written = open
            .mend()
            .and_then(|()| append(&mut open.file, open.length == 0, self.is_csv, rows));
        match written {
            Ok(bytes) => {
                open.length += bytes;
                Ok(bytes)
            }
            Err(error) => {
                open.is_torn = true;
                // If it cannot be cut now, it is before the next write.
                let _ = open.mend();
                Err(could_not_write(&open.path, &error))
            }
        }
    }
}

/// Appends rows to a file piece by piece; how many bytes.
fn append(file: &mut File, is_new: bool, is_csv: bool, rows: &RecordBatch) -> io::Result<u64> {
    let mut text = Vec::new();
    let mut bytes = 0;
    if is_csv && is_new {
        present::csv::write_header(&mut text, &rows.schema())?;
    }
    for slice in present::slices(rows) {
        match is_csv {
            true => present::csv::write_rows(&mut text, &slice)?,
            false => present::json::write_rows(&mut text, &slice)?,
        }
        file.write_all(&text)?;
        bytes += text.len() as u64;
        text.clear();
    }
    Ok(bytes)
}

impl Target for TextFile {
    fn deliver(&mut self, cursor: &mut Cursor, upto: &Snapshot) -> Result<(), Fault> {
        let changes = cursor.changes(upto);
        if !changes.1.is_empty() {
            let rows = self.rows.rows(&changes, upto.epoch());
            let rows = rows.map_err(|error| Fault::new(error.to_string()))?;
            let bytes = self.write(&rows)?;
            self.status.delivered(rows.num_rows() as u64, bytes);
        }
        cursor.advance(upto);
        let length = self.open.as_ref().map_or(0, |open| open.length);
        match length >= self.roll.bytes {
            true => self.settle(cursor),
            false => Ok(()),
        }
    }

    fn settles_at(&self) -> Option<Instant> {
        let open = self.open.as_ref()?;
        match open.length >= self.roll.bytes {
            true => Some(open.opened),
            false => self.roll.at(open.opened),
        }
    }

    /// The file is over, and on the disk.
    fn settle(&mut self, _cursor: &mut Cursor) -> Result<(), Fault> {
        if let Some(open) = &mut self.open {
            let synced = open.mend().and_then(|()| open.file.sync_all());
            synced.map_err(|error| could_not_write(&open.path, &error))?;
            self.open = None;
        }
        Ok(())
    }
}
