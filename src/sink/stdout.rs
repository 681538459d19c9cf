//! Views on standard output: changes as JSON lines, snapshots as tables.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex, PoisonError};

use super::rows::ChangeRows;
use super::status::SinkStatus;
use super::target::{Fault, Target};
use crate::catalog::{Cursor, Snapshot};
use crate::present::{json, table};

/// How many rows of a table are shown.
const SHOWN_ROWS: usize = 100;

/// Where the views of a sink are printed, one after the other.
pub(super) type Printer = Arc<Mutex<dyn Write + Send>>;

/// What is printed of a view.
pub(super) enum Print {
    /// Its changes.
    Changes(ChangeRows),
    /// The whole view, under its name.
    Snapshot(String),
}

/// A view on standard output, or what stands for it.
pub(super) struct Stdout {
    pub(super) print: Print,
    pub(super) to: Printer,
    pub(super) status: Arc<SinkStatus>,
    pub(super) has_printed: bool,
}

impl Stdout {
    fn text(&self, cursor: &Cursor, upto: &Snapshot) -> io::Result<(Vec<u8>, u64)> {
        let mut text = Vec::new();
        let rows = match &self.print {
            Print::Changes(changes) => {
                let rows = changes.rows(&cursor.changes(upto), upto.epoch());
                let rows = rows.map_err(io::Error::other)?;
                json::write_rows(&mut text, &rows)?;
                rows.num_rows()
            }
            Print::Snapshot(view) => {
                let rows = cursor.view(upto).rows();
                writeln!(text, "{view} at epoch {}", upto.epoch())?;
                table::write(&mut text, &rows, SHOWN_ROWS)?;
                writeln!(text)?;
                rows.num_rows()
            }
        };
        Ok((text, rows as u64))
    }

    /// Prints a text whole, so that views do not mix.
    fn print(&self, text: &[u8]) -> io::Result<()> {
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        to.write_all(text)?;
        to.flush()
    }
}

impl Target for Stdout {
    fn is_behind(&self, cursor: &Cursor, upto: &Snapshot) -> bool {
        let shows_all = matches!(self.print, Print::Snapshot(_));
        cursor.is_behind(upto) || (shows_all && !self.has_printed)
    }

    fn deliver(&mut self, cursor: &mut Cursor, upto: &Snapshot) -> Result<(), Fault> {
        let failed = |error: io::Error| Fault {
            // Who has gone does not come back to read on.
            is_final: error.kind() == ErrorKind::BrokenPipe,
            ..Fault::new(format!("could not print: {error}"))
        };
        let (text, rows) = self.text(cursor, upto).map_err(failed)?;
        if !text.is_empty() {
            self.print(&text).map_err(failed)?;
            self.status.delivered(rows, text.len() as u64);
        }
        cursor.advance(upto);
        self.has_printed = true;
        Ok(())
    }
}
