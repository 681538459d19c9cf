//! One input's records on their way into the dataflow.
//!
//! Blocks flow in; arrivals for the input's table, rejects, and a row of counts flow out.

use std::path::Path;
use std::sync::Arc;

use arrow::array::TimestampNanosecondArray;
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};

use super::error::InputError;
use super::tables::Tables;
use crate::decode::{DecodeError, Decoded, Decoder, Reject};
use crate::plan::blocks_schema;
use crate::render::reject;
use crate::script::near;
use crate::source::{Block, OpenInput};

/// Decodes the blocks of one input.
pub(super) struct Intake {
    decoder: Decoder,
    input: String,
    table: String,
    /// The number of the table's input; `None` if nothing reads it.
    pub(super) place: Option<usize>,
    /// The event time's place among the decoded columns.
    event_time: Option<usize>,
    /// When the run began, in nanoseconds since the Unix epoch.
    read_time: i64,
}

/// What came of a block.
pub(super) struct Taken {
    /// The rows.
    pub(super) batch: RecordBatch,
    /// Where their records begin.
    pub(super) positions: Vec<u64>,
    /// The rejects, as rows of their relation; `None` if there are none.
    pub(super) rejects: Option<RecordBatch>,
    /// The rejects, as the decoder tells of them.
    pub(super) refused: Vec<Reject>,
    /// The greatest event time among the rows, in nanoseconds since the Unix epoch.
    pub(super) newest_event_time: Option<i64>,
    /// The row of counts.
    pub(super) counts: RecordBatch,
}

impl Intake {
    /// An intake for an input of a table.
    ///
    /// # Errors
    ///
    /// If there is no such table, or the input cannot hold the columns that the plan needs.
    pub(super) fn new(
        tables: &Tables,
        input: &OpenInput,
        read_time: i64,
    ) -> Result<Self, InputError> {
        let name = &input.spec.table;
        let at = tables.get(name).ok_or_else(|| InputError::NoTable {
            table: name.clone(),
            location: input.spec.location.clone(),
            near: near(name, tables.names().iter().map(String::as_str)),
        })?;
        let (table, columns) = (&at.table, at.columns.as_slice());
        let event_time = table
            .options
            .event_time
            .and_then(|event_time| columns.iter().position(|column| *column == event_time));
        Ok(Intake {
            decoder: Decoder::new(table, columns, input, read_time)?,
            input: input.spec.location.clone(),
            table: name.clone(),
            place: at.input,
            event_time,
            read_time,
        })
    }

    /// Decodes a block; events later than `as_of` are left out.
    ///
    /// # Errors
    ///
    /// If the block cannot be read at all.
    pub(super) fn take(&mut self, block: &Block, as_of: Option<i64>) -> Result<Taken, DecodeError> {
        let mut decoded = self.decoder.decode(block)?;
        if let (Some(as_of), Some(event_time)) = (as_of, self.event_time) {
            leave_out_later(&mut decoded, event_time, as_of);
        }
        let has_rejects = !decoded.rejects.is_empty();
        let rejects =
            has_rejects.then(|| self.rejects(&block.file, &decoded.rejects, block.read_time));
        let counts = self.counts(
            decoded.batch.num_rows(),
            block.bytes,
            decoded.rejects.len(),
            decoded.newest_event_time,
        );
        Ok(Taken {
            batch: decoded.batch,
            positions: decoded.positions,
            rejects,
            refused: decoded.rejects,
            newest_event_time: decoded.newest_event_time,
            counts,
        })
    }

    /// Some rejects as rows of their relation; without a time they were read at that of the run.
    pub(super) fn rejects(
        &self,
        file: &Path,
        rejects: &[Reject],
        read_time: Option<i64>,
    ) -> RecordBatch {
        let read_time = read_time.unwrap_or(self.read_time);
        let file = file.to_string_lossy();
        reject::of_block(&self.input, &self.table, &file, rejects, read_time)
    }

    /// A row of counts.
    pub(super) fn counts(
        &self,
        rows: usize,
        bytes: u64,
        rejects: usize,
        newest: Option<i64>,
    ) -> RecordBatch {
        let number = |number: u64| -> ArrayRef {
            Arc::new(Int64Array::from(vec![
                i64::try_from(number).unwrap_or(i64::MAX),
            ]))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![self.input.as_str()])),
            Arc::new(StringArray::from(vec![self.table.as_str()])),
            number(rows as u64),
            number(bytes),
            number(rejects as u64),
            Arc::new(TimestampNanosecondArray::from(vec![newest])),
        ];
        RecordBatch::try_new(blocks_schema(), columns).expect("counts fit their schema")
    }
}

fn leave_out_later(decoded: &mut Decoded, event_time: usize, as_of: i64) {
    let times = cast(
        decoded.batch.column(event_time),
        &DataType::Timestamp(TimeUnit::Nanosecond, None),
    )
    .and_then(|times| cast(&times, &DataType::Int64))
    .expect("an event time is a DATE or TIMESTAMP");
    let times = times.as_primitive::<Int64Type>();
    let kept: Vec<bool> = times
        .iter()
        .map(|time| time.is_none_or(|time| time <= as_of))
        .collect();
    if kept.iter().all(|kept| *kept) {
        return;
    }
    decoded.newest_event_time = times.iter().flatten().filter(|time| *time <= as_of).max();
    let mut keep = kept.iter();
    decoded
        .positions
        .retain(|_| *keep.next().expect("a position a row"));
    decoded.batch = filter_record_batch(&decoded.batch, &BooleanArray::from(kept))
        .expect("the mask is as long as the batch");
}
