//! Bytes to rows: a block of records becomes an Arrow batch of the wanted columns.
//!
//! [`Block`](crate::source::Block)s flow in, [`Decoded`] flows out. Each record becomes a row or a
//! [`Reject`], never both and never nothing (blank lines aside).

use arrow::array::RecordBatch;

/// What became of one block.
#[derive(Debug)]
pub struct Decoded {
    /// The rows, with the columns that were asked for.
    pub batch: RecordBatch,
    /// For each row, where its record begins: bytes from the start of the unpacked file, or the
    /// row's number in a Parquet file. Ascending.
    pub positions: Vec<u64>,
    /// The records that are not rows.
    pub rejects: Vec<Reject>,
    /// The greatest event time among the rows, in nanoseconds since the Unix epoch.
    pub newest_event_time: Option<i64>,
}

/// A record that could not be made a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Where the record begins; see [`Decoded::positions`].
    pub position: u64,
    /// What is wrong with it.
    pub reason: String,
    /// The record's text, cut at [`REJECT_TEXT_BYTES`]; invalid UTF-8 is replaced.
    pub text: String,
}

/// How much of a rejected record's text is kept, in bytes.
pub const REJECT_TEXT_BYTES: usize = 4096;
