//! Bytes in: where the events of a table are read from.
//!
//! [`InputSpec`]s flow in; [`Block`]s of whole records flow out, each with its position. All
//! workers take their blocks from one [`Blocks`] queue, so one big file feeds every worker and the
//! order of the blocks, and with it their epoch, is a function of the inputs alone.
//!
//! The queue hands out work in the order of inputs, files and offsets. Of a plain file of JSON
//! lines it assigns a byte range, which the worker that asked reads itself. Everything else has
//! to be read in sequence (packed files, CSV with its line breaks in quotes, standard input): one
//! worker at a time reads the next block, and decoding, the dear part, goes on beside it.
//!
//! At most a few blocks and one record are held, however long a file is. A record longer than
//! [`MAX_RECORD_BYTES`] is passed over and told of in [`Block::too_long`].

mod blocks;
mod csv;
mod error;
mod list;
mod open;
mod plain;
mod spec;
mod splitter;
mod stdin;
mod stream;

pub mod generate;
pub mod live;

use std::path::PathBuf;
use std::sync::Arc;

pub use blocks::{Blocks, Next};
pub use csv::{csv_header, csv_record_end};
pub use error::{SourceError, SourceErrors};

/// The longest record that is read, in bytes.
pub const MAX_RECORD_BYTES: usize = 64 << 20;

/// How inputs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// How much text makes a block, about; at most [`MAX_RECORD_BYTES`].
    pub block_bytes: usize,
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions {
            block_bytes: 1 << 20,
        }
    }
}

/// An input whose files are known.
#[derive(Debug, Clone)]
pub struct OpenInput {
    /// What the user said.
    pub spec: InputSpec,
    /// How records are written: as said, or as guessed.
    pub format: Format,
    /// The files, in the order in which they are read.
    pub files: Vec<Arc<PathBuf>>,
    /// The column names of the first CSV file that has any, if they are known before reading.
    pub csv_header: Option<Vec<String>>,
}

impl OpenInput {
    /// An input whose records a program pushes, in blocks made by [`Block::pushed`].
    pub fn pushed(name: &str, table: &str, format: Format) -> OpenInput {
        let spec = InputSpec {
            table: table.to_owned(),
            location: name.to_owned(),
            format: Some(format.clone()),
            compression: None,
            options: Vec::new(),
        };
        OpenInput {
            spec,
            format,
            files: Vec::new(),
            csv_header: None,
        }
    }
}

/// What the user said of one input: `--input table=path` and its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputSpec {
    /// The table that the records are rows of.
    pub table: String,
    /// A file, a directory, a glob pattern, `-` for standard input, or what [`live`] reads.
    pub location: String,
    /// How records are written; guessed from names and content if not given.
    pub format: Option<Format>,
    /// How the bytes are packed; guessed from content if not given.
    pub compression: Option<Compression>,
    /// The other options of a live input, name and value, as they were said.
    pub options: Vec<(String, String)>,
}

/// How records are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// Comma-separated values, RFC 4180.
    Csv(CsvOptions),
    /// Apache Parquet.
    Parquet,
}

/// The dialect of a CSV input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// The byte between fields.
    pub delimiter: u8,
    /// The byte around fields that hold delimiters, quotes or line breaks.
    pub quote: u8,
    /// Whether the first record names the columns; otherwise they are the table's, in order.
    pub header: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        CsvOptions {
            delimiter: b',',
            quote: b'"',
            header: true,
        }
    }
}

/// How the bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// A run of whole records of one input.
#[derive(Debug)]
pub struct Block {
    /// The input, as a position in the list of inputs.
    pub input: usize,
    /// The file that it is from, as messages name it.
    pub file: Arc<PathBuf>,
    /// Where the first record begins, in bytes of the unpacked file; for Parquet the number of the
    /// first row in the file.
    pub offset: u64,
    /// The block's number among all blocks of all inputs, from zero and without gaps.
    pub number: u64,
    /// Bytes of the file as it lies on disk that this block accounts for, for progress.
    pub bytes: u64,
    /// The column names of the CSV file that the block is from. Without them, the first record of
    /// the text holds them, if the input has a header at all.
    pub header: Option<Arc<Vec<String>>>,
    /// A record that was left out because it is too long; it becomes a reject.
    pub too_long: Option<TooLong>,
    /// When it was read, in nanoseconds since the Unix epoch: the event time of records that have
    /// none. Without it, that of the run.
    pub read_time: Option<i64>,
    /// The records; a block may have none.
    pub payload: Payload,
}

impl Block {
    /// A block of text that did not come from a file: records as a file of the input's format
    /// holds them, from its beginning.
    pub fn pushed(input: usize, name: Arc<PathBuf>, number: u64, text: Vec<u8>) -> Block {
        Block {
            input,
            file: name,
            offset: 0,
            number,
            bytes: text.len() as u64,
            header: None,
            too_long: None,
            read_time: None,
            payload: Payload::Text(text),
        }
    }
}

/// A record that is longer than its input's limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLong {
    /// Where it begins, in bytes of the unpacked file.
    pub offset: u64,
    /// Its first bytes.
    pub start: Vec<u8>,
    /// How long a record may be, in bytes: [`MAX_RECORD_BYTES`] in files.
    pub limit: usize,
}

impl TooLong {
    /// How many bytes of the record are kept.
    pub(crate) const START_BYTES: usize = 4100;

    /// What is wrong with it, in words.
    pub fn reason(&self) -> String {
        match self.limit {
            whole if whole % (1 << 20) == 0 => format!("a record of more than {} MiB", whole >> 20),
            bytes => format!("a record of more than {bytes} bytes"),
        }
    }
}

/// The records of a block.
#[derive(Debug)]
pub enum Payload {
    /// Text records, each whole, the last perhaps without a line end.
    Text(Vec<u8>),
    /// A row group of a Parquet file.
    RowGroup(RowGroup),
}

/// A row group of a Parquet file, not yet read.
#[derive(Debug, Clone)]
pub struct RowGroup {
    /// The file's path.
    pub path: Arc<PathBuf>,
    /// Which row group.
    pub index: usize,
}
