//! Bytes in: where the events of a table are read from.
//!
//! [`InputSpec`]s flow in; [`Block`]s of whole records flow out, each with its position. All
//! workers take their blocks from one [`Blocks`] queue, so one big file feeds every worker and the
//! order of the blocks, and with it their epoch, is a function of the inputs alone.

pub mod generate;

use std::path::PathBuf;
use std::sync::Arc;

/// What the user said of one input: `--input table=path` and its options.
#[derive(Debug, Clone)]
pub struct InputSpec {
    /// The table that the records are rows of.
    pub table: String,
    /// A file, a directory, a glob pattern, or `-` for standard input.
    pub location: String,
    /// How records are written; guessed from names and content if not given.
    pub format: Option<Format>,
    /// How the bytes are packed; guessed from content if not given.
    pub compression: Option<Compression>,
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
    /// The records.
    pub payload: Payload,
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
