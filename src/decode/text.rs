//! Text blocks to batches: checks UTF-8, has the records found by format, builds the columns.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{filter_record_batch, max};
use arrow::datatypes::{DataType, Date32Type, TimestampNanosecondType};

use super::column::Column;
use super::csv::CsvReader;
use super::json::JsonReader;
use super::slot::{MAX_TEXT_BYTES, Refused, Rows};
use super::wanted::Wanted;
use super::{DecodeError, Decoded, Reject, Task, reject_text, time};
use crate::source::{Block, CsvOptions};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
const NOT_UTF8: &str = "not valid UTF-8";

/// Decodes text blocks of one input.
pub(super) struct TextReader {
    task: Task,
    records: Records,
    wanted: Wanted,
    rows: Rows,
    columns: Vec<Box<dyn Column>>,
}

enum Records {
    Json(JsonReader),
    Csv(CsvReader),
}

/// A text with its bytes that were not UTF-8 replaced, one by one.
struct Repaired {
    text: String,
    /// The places of the bytes that were replaced, ascending.
    at: Vec<usize>,
}

impl TextReader {
    pub(super) fn json(task: Task) -> Result<TextReader, DecodeError> {
        TextReader::new(task, Records::Json(JsonReader::new(true)))
    }

    pub(super) fn csv(
        task: Task,
        options: &CsvOptions,
        header: Option<&[String]>,
    ) -> Result<TextReader, DecodeError> {
        let reader = CsvReader::new(&task, options, header)?;
        TextReader::new(task, Records::Csv(reader))
    }

    fn new(task: Task, records: Records) -> Result<TextReader, DecodeError> {
        let wanted = Wanted::new(task.wanted());
        let (rows, columns) = (Rows::new(wanted.leaves()), task.builders()?);
        Ok(TextReader {
            task,
            records,
            wanted,
            rows,
            columns,
        })
    }

    pub(super) fn forgo_shapes(&mut self) {
        if let Records::Json(reader) = &mut self.records {
            *reader = JsonReader::new(false);
        }
    }

    /// Makes rows of a block of text.
    pub(super) fn decode(&mut self, block: &Block, bytes: &[u8]) -> Result<Decoded, DecodeError> {
        if bytes.len() >= MAX_TEXT_BYTES {
            return Err(DecodeError::TooLong { bytes: bytes.len() });
        }
        let marked = block.offset == 0 && bytes.starts_with(BYTE_ORDER_MARK);
        let mark = if marked { BYTE_ORDER_MARK.len() } else { 0 };
        let (base, bytes) = (block.offset + mark as u64, &bytes[mark..]);
        if let Some(nanos) = block.read_time {
            self.columns
                .iter_mut()
                .for_each(|column| column.set_read_time(nanos));
        }
        self.rows.clear();
        let repaired = match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => {
                self.read(block, text);
                return self.build(text, bytes, base, block);
            }
            Err(_) => repair(bytes),
        };
        self.read(block, &repaired.text);
        refuse_repaired(&mut self.rows, &repaired);
        self.build(&repaired.text, bytes, base, block)
    }

    fn read(&mut self, block: &Block, text: &str) {
        match &mut self.records {
            Records::Json(reader) => reader.read(text, &self.wanted, &mut self.rows),
            Records::Csv(reader) => {
                reader.read(text, block.header.as_ref(), &self.wanted, &mut self.rows);
            }
        }
    }

    /// Builds the batch from the rows' slots.
    fn build(
        &mut self,
        text: &str,
        bytes: &[u8],
        base: u64,
        block: &Block,
    ) -> Result<Decoded, DecodeError> {
        let mut faults: Vec<(usize, String)> = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for (i, column) in self.columns.iter_mut().enumerate() {
            let name = self.task.schema.field(i).name();
            let cells = self.rows.cells(text, self.wanted.column(i));
            column.extend(&cells, &mut |row, fault| {
                faults.push((row, fault.reason(name)));
            });
            arrays.push(column.finish());
        }
        let count = self.rows.records.len();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let schema = Arc::clone(&self.task.schema);
        let batch = RecordBatch::try_new_with_options(schema, arrays, &options)
            .map_err(|error| self.task.arrow_error(error))?;
        let positions = self
            .rows
            .records
            .iter()
            .map(|r| base + u64::from(r.start))
            .collect();
        let mut decoded = Decoded {
            batch,
            positions,
            rejects: Vec::new(),
            newest_event_time: None,
        };
        let mut refused = std::mem::take(&mut self.rows.refused);
        if !faults.is_empty() {
            self.take_out(&mut decoded, faults, &mut refused)?;
        }
        decoded.newest_event_time = newest_event_time(&self.task, &decoded.batch);
        decoded.rejects = refused
            .into_iter()
            .map(|refused| Reject {
                position: base + refused.range.start as u64,
                text: reject_text(&bytes[refused.range]),
                reason: refused.reason,
            })
            .collect();
        if let Some(long) = &block.too_long {
            decoded.rejects.push(Reject {
                position: long.offset,
                reason: long.reason(),
                text: reject_text(&long.start),
            });
        }
        Ok(decoded)
    }

    /// Moves rows with a value that does not fit to the refused records. Of a row's faults, the
    /// first column's is named.
    #[cold]
    fn take_out(
        &self,
        decoded: &mut Decoded,
        mut faults: Vec<(usize, String)>,
        refused: &mut Vec<Refused>,
    ) -> Result<(), DecodeError> {
        faults.sort_by_key(|&(row, _)| row);
        faults.dedup_by_key(|&mut (row, _)| row);
        let mut keep = vec![true; decoded.positions.len()];
        for (row, reason) in faults {
            keep[row] = false;
            let record = &self.rows.records[row];
            refused.push(Refused {
                range: record.start as usize..record.end as usize,
                reason,
            });
        }
        refused.sort_by_key(|refused| refused.range.start);
        let mut kept = keep.iter();
        decoded
            .positions
            .retain(|_| kept.next().copied().unwrap_or_default());
        decoded.batch = filter_record_batch(&decoded.batch, &BooleanArray::from(keep))
            .map_err(|error| self.task.arrow_error(error))?;
        Ok(())
    }
}

/// The greatest event time in a batch, in nanoseconds since the Unix epoch.
pub(super) fn newest_event_time(task: &Task, batch: &RecordBatch) -> Option<i64> {
    let event_time = task.table.options.event_time?;
    let column = batch.column(task.columns.binary_search(&event_time).ok()?);
    match column.data_type() {
        DataType::Timestamp(..) => max(column.as_primitive::<TimestampNanosecondType>()),
        DataType::Date32 => {
            let day = max(column.as_primitive::<Date32Type>())?;
            i64::from(day).checked_mul(time::DAY_NS)
        }
        _ => None,
    }
}

/// Replaces each byte that is not part of UTF-8 by a question mark, so that places stay the same.
#[cold]
fn repair(bytes: &[u8]) -> Repaired {
    let mut repaired = Repaired {
        text: String::with_capacity(bytes.len()),
        at: Vec::new(),
    };
    for chunk in bytes.utf8_chunks() {
        repaired.text.push_str(chunk.valid());
        for _ in chunk.invalid() {
            repaired.at.push(repaired.text.len());
            repaired.text.push('?');
        }
    }
    repaired
}

/// Turns the records that hold replaced bytes into refused ones.
#[cold]
fn refuse_repaired(rows: &mut Rows, repaired: &Repaired) {
    let is_repaired = |range: &Range<usize>| {
        let next = repaired.at.partition_point(|&at| at < range.start);
        repaired.at.get(next).is_some_and(|at| range.contains(at))
    };
    for refused in rows
        .refused
        .iter_mut()
        .filter(|refused| is_repaired(&refused.range))
    {
        refused.reason = NOT_UTF8.to_owned();
    }
    rows.refuse_where(is_repaired, NOT_UTF8);
}
