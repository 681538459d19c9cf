//! Where generated lines go.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::Table;

/// Takes generated lines.
pub trait EventSink {
    /// Takes one line of a table, its line end included.
    ///
    /// # Errors
    /// If it cannot be written.
    fn line(&mut self, table: Table, line: &[u8]) -> io::Result<()>;

    /// Called before the clock goes on to `at_ms`, in milliseconds since the Unix epoch, UTC. It may
    /// wait until then. Answers with the time that it is then: `at_ms`, or later.
    ///
    /// # Errors
    /// If no more lines are wanted.
    fn reach(&mut self, at_ms: u64) -> io::Result<u64> {
        Ok(at_ms)
    }

    /// Called once after the last line.
    ///
    /// # Errors
    /// If lines that were taken before cannot be written.
    fn finish(&mut self) -> io::Result<()>;
}

const BUFFER_BYTES: usize = 1 << 18;

/// Writes `<table>.jsonl` for each table into a folder. A table without lines has no file.
#[derive(Debug)]
pub struct FolderSink {
    folder: PathBuf,
    files: BTreeMap<Table, BufWriter<File>>,
}

impl FolderSink {
    /// Makes the folder if it is not there. Files of the same names are replaced.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn create(folder: &Path) -> io::Result<FolderSink> {
        fs::create_dir_all(folder)?;
        Ok(FolderSink {
            folder: folder.to_owned(),
            files: BTreeMap::new(),
        })
    }
}

impl EventSink for FolderSink {
    fn line(&mut self, table: Table, line: &[u8]) -> io::Result<()> {
        if let Some(file) = self.files.get_mut(&table) {
            return file.write_all(line);
        }
        let file = File::create(self.folder.join(format!("{}.jsonl", table.name())))?;
        self.files
            .entry(table)
            .or_insert(BufWriter::with_capacity(BUFFER_BYTES, file))
            .write_all(line)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.files.values_mut().try_for_each(BufWriter::flush)
    }
}

/// Writes the lines of all tables that it is given to one place, such as standard output; ask for
/// a single table.
#[derive(Debug)]
pub struct TableSink<W: Write>(BufWriter<W>);

impl<W: Write> TableSink<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> TableSink<W> {
        TableSink(BufWriter::with_capacity(BUFFER_BYTES, out))
    }
}

impl<W: Write> EventSink for TableSink<W> {
    fn line(&mut self, _table: Table, line: &[u8]) -> io::Result<()> {
        self.0.write_all(line)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Keeps the lines in memory, by table.
#[derive(Debug, Default)]
pub struct MemorySink {
    /// The text of each table.
    pub texts: BTreeMap<Table, Vec<u8>>,
}

impl EventSink for MemorySink {
    fn line(&mut self, table: Table, line: &[u8]) -> io::Result<()> {
        self.texts.entry(table).or_default().extend_from_slice(line);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
