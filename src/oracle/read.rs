//! Inputs read whole.
//!
//! Inputs flow in; each table's rows flow out, in the order of their arrival and with all columns.
//! Columns that no view reads are not decoded, just as in a replay, so that the same records are
//! rejected; something stands in for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StructArray, new_null_array};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field};

use super::OracleError;
use super::contents::event_times;
use crate::decode::{DecodeError, Decoder};
use crate::engine::Config;
use crate::plan::{Plan, Relation};
use crate::script::Table;
use crate::source::{Block, Blocks, InputSpec, Next, OpenInput, OpenOptions};

/// How long to wait for a slow pipe before asking again.
const PAUSE: Duration = Duration::from_millis(1);

/// For each table, in the order of the script's tables, the rows of each epoch of a replay with
/// this configuration.
///
/// # Errors
/// If an input cannot be opened or decoded.
pub fn read(
    plan: &Plan,
    specs: &[InputSpec],
    config: &Config,
) -> Result<Vec<Vec<RecordBatch>>, OracleError> {
    let tables = &plan.script.tables;
    let mut epochs: Vec<BTreeMap<u64, Vec<RecordBatch>>> = vec![BTreeMap::new(); tables.len()];
    each_block(plan, specs, config, |read| {
        let rows = until(&tables[read.table], &read.rows, config.as_of)?;
        let epoch = read.block.number / config.epoch_blocks.max(1);
        epochs[read.table].entry(epoch).or_default().push(rows);
        Ok(())
    })?;
    let joined = tables.iter().zip(epochs).map(|(table, epochs)| {
        epochs
            .values()
            .map(|rows| Ok(concat_batches(&table.schema(), rows)?))
            .collect()
    });
    joined.collect()
}

/// A block of records of a table that some view reads.
pub(crate) struct ReadBlock<'a> {
    /// The table, as a position among the script's.
    pub(crate) table: usize,
    /// The rows, with all of the table's columns.
    pub(crate) rows: RecordBatch,
    /// Where in the block's file the record of each begins.
    pub(crate) positions: Vec<u64>,
    /// The block.
    pub(crate) block: &'a Block,
}

/// Reads inputs block by block, in order, and hands over those of tables that some view reads.
///
/// # Errors
/// If an input cannot be opened or decoded, or with what `take` fails.
pub(crate) fn each_block(
    plan: &Plan,
    specs: &[InputSpec],
    config: &Config,
    mut take: impl FnMut(ReadBlock<'_>) -> Result<(), OracleError>,
) -> Result<(), OracleError> {
    let blocks = Blocks::open(specs, &OpenOptions::default())?;
    let mut decoders: Vec<Option<Wanted>> = blocks
        .inputs()
        .iter()
        .map(|input| Wanted::new(plan, input, config.read_time))
        .collect::<Result<_, _>>()?;
    loop {
        match blocks.next() {
            Next::Block(block) => {
                let Some(wanted) = &mut decoders[block.input] else {
                    continue;
                };
                let table = wanted.table;
                let decoded = wanted.decoder.decode(&block)?;
                let rows = complete(&plan.script.tables[table], &wanted.columns, &decoded.batch)?;
                take(ReadBlock {
                    table,
                    rows,
                    positions: decoded.positions,
                    block: &block,
                })?;
            }
            Next::Wait => thread::sleep(PAUSE),
            Next::Broken { .. } => {}
            Next::End => return Ok(()),
        }
    }
}

/// The rows whose event time does not lie after the engine's clock.
fn until(
    table: &Table,
    rows: &RecordBatch,
    as_of: Option<i64>,
) -> Result<RecordBatch, OracleError> {
    let (Some(as_of), Some(times)) = (as_of, event_times(table, rows)?) else {
        return Ok(rows.clone());
    };
    let kept: BooleanArray = times.into_iter().map(|time| Some(time <= as_of)).collect();
    Ok(filter_record_batch(rows, &kept)?)
}

/// How the records of an input are decoded.
struct Wanted {
    table: usize,
    columns: Vec<usize>,
    decoder: Decoder,
}

impl Wanted {
    /// Nothing if no view reads the table.
    fn new(plan: &Plan, input: &OpenInput, read_time: i64) -> Result<Option<Self>, DecodeError> {
        let wanted = plan.inputs.iter().find_map(|wanted| match wanted.relation {
            Relation::Table(table) if plan.script.tables[table].name == input.spec.table => {
                Some((table, wanted.columns.clone()))
            }
            _ => None,
        });
        let Some((table, columns)) = wanted else {
            return Ok(None);
        };
        let decoder = Decoder::new(&plan.script.tables[table], &columns, input, read_time)?;
        Ok(Some(Self {
            table,
            columns,
            decoder,
        }))
    }
}

/// A batch of some of a table's columns, by ascending positions, as one of all of them.
///
/// # Errors
/// If a column has no stand-in.
pub(crate) fn complete(
    table: &Table,
    columns: &[usize],
    batch: &RecordBatch,
) -> Result<RecordBatch, OracleError> {
    let schema = table.schema();
    let array = |(position, field): (usize, &Arc<Field>)| match columns.binary_search(&position) {
        Ok(found) => Ok(batch.column(found).clone()),
        Err(_) => stand_in(field, batch.num_rows()),
    };
    let arrays = schema
        .fields()
        .iter()
        .enumerate()
        .map(array)
        .collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new(schema, arrays)?)
}

/// Values of a column that nobody reads: nulls, or where none may be, zeros.
fn stand_in(field: &Field, rows: usize) -> Result<ArrayRef, OracleError> {
    if field.is_nullable() {
        return Ok(new_null_array(field.data_type(), rows));
    }
    if let DataType::Struct(fields) = field.data_type() {
        let arrays = fields
            .iter()
            .map(|field| stand_in(field, rows))
            .collect::<Result<_, _>>()?;
        return Ok(Arc::new(StructArray::try_new(
            fields.clone(),
            arrays,
            None,
        )?));
    }
    let zeros: ArrayRef = Arc::new(Int64Array::from(vec![0; rows]));
    // A date is made of days, which are of 32 bits.
    let days = cast(&zeros, &DataType::Int32)?;
    let from = if *field.data_type() == DataType::Date32 {
        &days
    } else {
        &zeros
    };
    Ok(cast(from, field.data_type())?)
}
