//! Bytes to rows: a block of records becomes an Arrow batch of the wanted columns.
//!
//! [`Block`]s flow in, [`Decoded`] flows out. Each record becomes a row or a [`Reject`], never
//! both and never nothing (blank lines aside), and a record that is rejected does not touch its
//! neighbours.
//!
//! Text is decoded in two steps: by format, `json` or `csv` find the wanted values of each
//! record; by column, `column` makes Arrow arrays of them. Every byte is looked at about twice,
//! and nothing is allocated a record. `parquet` comes in columns already.
//!
//! UTF-8 is checked a block at a time. If a block is not all UTF-8, the bytes at fault are replaced
//! and the records that hold them are rejected.

mod column;
mod csv;
mod fault;
mod json;
mod nested;
mod number;
mod parquet;
mod slot;
mod text;
mod time;
mod wanted;

use std::path::PathBuf;
use std::sync::Arc;

use ::parquet::errors::ParquetError;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;

pub use fault::sql_type;

use crate::script::Table;
use crate::source::{Block, Format, OpenInput, Payload};
use parquet::ParquetReader;
use text::TextReader;

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

/// Why an input cannot be decoded at all.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A column that every row must have is in no row of this input.
    #[error(
        "input \"{input}\" has no field {wanted} for column \"{column}\" of table \"{table}\", \
         which is NOT NULL; its fields are {header}"
    )]
    MissingColumn {
        /// The input's location.
        input: String,
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Where the column was looked for.
        wanted: String,
        /// The fields that there are.
        header: String,
    },
    /// A CSV or Parquet column cannot lie in another.
    #[error("column \"{column}\" of table \"{table}\" is read from {path}, but CSV has no nesting")]
    NestedPath {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The path.
        path: String,
    },
    /// The type is none that records can hold.
    #[error("column \"{column}\" of table \"{table}\" has type {data_type}, which no record holds")]
    UnsupportedType {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The type.
        data_type: String,
    },
    /// A Parquet column's type does not convert.
    #[error(
        "column \"{column}\" of table \"{table}\" is a {data_type}, which {} holds as {found}", 
        file.display()
    )]
    TypeMismatch {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The column's type.
        data_type: String,
        /// The type in the file.
        found: String,
        /// The file.
        file: Arc<PathBuf>,
    },
    /// More text in one block than can be addressed.
    #[error("a block of {bytes} bytes is too long to decode; at most {MAX_BLOCK_BYTES} will do")]
    TooLong {
        /// The block's length.
        bytes: usize,
    },
    /// The block is of another kind than the input.
    #[error("a block of {} is not of the input's format", file.display())]
    WrongPayload {
        /// The block's file.
        file: Arc<PathBuf>,
    },
    /// A Parquet file could not be read.
    #[error("could not read Parquet file {}", file.display())]
    Parquet {
        /// The file.
        file: Arc<PathBuf>,
        /// What went wrong.
        source: ParquetError,
    },
    /// A batch could not be put together.
    #[error("could not build a batch of table \"{table}\"")]
    Arrow {
        /// The table.
        table: String,
        /// What went wrong.
        source: ArrowError,
    },
}

/// The greatest text that one block may hold, in bytes.
pub const MAX_BLOCK_BYTES: usize = slot::MAX_TEXT_BYTES - 1;

/// Makes rows of one input's blocks. Each worker has its own, for it remembers what the records of
/// the input look like.
pub struct Decoder {
    schema: SchemaRef,
    reader: Reader,
}

enum Reader {
    Text(Box<TextReader>),
    Parquet(Box<ParquetReader>),
}

/// What readers of all formats know of their task.
struct Task {
    /// The table.
    table: Table,
    /// The wanted columns, as ascending positions in the table.
    columns: Vec<usize>,
    schema: SchemaRef,
    /// The input, as messages name it.
    input: String,
    /// Stands for a missing event time; nanoseconds since the Unix epoch.
    read_time: i64,
}

impl Decoder {
    /// A decoder of the columns at the given ascending positions of a table. A record without an
    /// event time takes `read_time`, in nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// If the input's header lacks a column that is NOT NULL, or a column's type or path is none
    /// that the format can hold.
    pub fn new(
        table: &Table,
        columns: &[usize],
        input: &OpenInput,
        read_time: i64,
    ) -> Result<Decoder, DecodeError> {
        let fields: Vec<_> = columns.iter().map(|&i| table.columns[i].field()).collect();
        let schema = Arc::new(Schema::new(fields));
        let task = Task {
            table: table.clone(),
            columns: columns.to_vec(),
            schema: Arc::clone(&schema),
            input: input.spec.location.clone(),
            read_time,
        };
        let reader = match &input.format {
            Format::Parquet => Reader::Parquet(Box::new(ParquetReader::new(task)?)),
            Format::Json => Reader::Text(Box::new(TextReader::json(task)?)),
            Format::Csv(options) => {
                let header = input.csv_header.as_deref();
                Reader::Text(Box::new(TextReader::csv(task, options, header)?))
            }
        };
        Ok(Decoder { schema, reader })
    }

    /// The same decoder, but one that gives every record to the full parser and learns no shapes.
    /// The answers are the same; it is there to be compared with.
    #[must_use]
    pub fn without_shapes(mut self) -> Decoder {
        if let Reader::Text(reader) = &mut self.reader {
            reader.forgo_shapes();
        }
        self
    }

    /// The schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Makes rows of a block.
    ///
    /// # Errors
    /// If the block is not of the input's format, or a Parquet file cannot be read or has a column
    /// of a type that does not convert.
    pub fn decode(&mut self, block: &Block) -> Result<Decoded, DecodeError> {
        match (&mut self.reader, &block.payload) {
            (Reader::Text(reader), Payload::Text(text)) => reader.decode(block, text),
            (Reader::Parquet(reader), Payload::RowGroup(group)) => reader.decode(block, group),
            _ => Err(DecodeError::WrongPayload {
                file: Arc::clone(&block.file),
            }),
        }
    }
}

impl Task {
    fn arrow_error(&self, source: ArrowError) -> DecodeError {
        DecodeError::Arrow {
            table: self.table.name.clone(),
            source,
        }
    }

    /// The wanted columns.
    fn wanted(&self) -> impl Iterator<Item = &crate::script::Column> {
        self.columns.iter().map(|&i| &self.table.columns[i])
    }

    /// What stands for a value that a record lacks in the wanted column at a position.
    fn absent(&self, position: usize) -> column::Absent {
        if self.table.options.event_time == Some(self.columns[position]) {
            return column::Absent::At(self.read_time);
        }
        match self.schema.field(position).is_nullable() {
            true => column::Absent::Null,
            false => column::Absent::Refuse,
        }
    }

    /// Builders for the wanted columns.
    fn builders(&self) -> Result<Vec<Box<dyn column::Column>>, DecodeError> {
        let context = column::Context {
            time_unit: self.table.options.time_unit,
        };
        let builder = |(i, field): (usize, &arrow::datatypes::FieldRef)| {
            column::column(field, self.absent(i), context).ok_or_else(|| {
                DecodeError::UnsupportedType {
                    table: self.table.name.clone(),
                    column: field.name().clone(),
                    data_type: fault::sql_type(field.data_type()).into_owned(),
                }
            })
        };
        self.schema
            .fields()
            .iter()
            .enumerate()
            .map(builder)
            .collect()
    }
}

/// The start of a record's text, as much as a reject keeps.
fn reject_text(record: &[u8]) -> String {
    let record = record.trim_ascii_end();
    if record.len() <= REJECT_TEXT_BYTES {
        return String::from_utf8_lossy(record).into_owned();
    }
    let mut end = REJECT_TEXT_BYTES;
    while end > REJECT_TEXT_BYTES - 3 && record[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    String::from_utf8_lossy(&record[..end]).into_owned()
}
