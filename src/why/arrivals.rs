//! All records of all tables, in the order of their arrival: read from inputs that end, or as a run that
//! goes on has kept them.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{concat_batches, filter_record_batch};

use super::{Since, WhyError};
use crate::engine::{Config, Entry};
use crate::oracle::{complete, each_block, event_times};
use crate::plan::{Plan, Relation};
use crate::script::Table;
use crate::source::InputSpec;

/// The records of a table, in the order of their arrival.
pub(super) struct Arrived {
    /// The rows, with all of the table's columns.
    pub(super) rows: RecordBatch,
    times: Option<Vec<i64>>,
    /// Runs of records of one block, in order.
    runs: Vec<Run>,
    positions: Vec<u64>,
}

/// Records of one block.
struct Run {
    /// Where they begin among the rows.
    start: usize,
    file: Arc<PathBuf>,
    /// The epoch in which a run took them.
    epoch: Option<u64>,
}

impl Arrived {
    /// When a record's event happened, if it says so.
    pub(super) fn time(&self, row: usize) -> Option<i64> {
        let time = self.times.as_ref()?[row];
        (time != i64::MIN).then_some(time)
    }

    /// When a record was taken, if that is known.
    pub(super) fn epoch(&self, row: usize) -> Option<u64> {
        self.run(row).epoch
    }

    /// Whether a record's event counts as later. One of which it is not known does not.
    pub(super) fn is_after(&self, row: usize, since: Since) -> bool {
        match since {
            Since::Time(since) => self.time(row).is_some_and(|time| time > since),
            Since::Epoch(since) => self.epoch(row).is_some_and(|epoch| epoch > since),
        }
    }

    /// The file that a record was read from, and where in it the record begins.
    pub(super) fn place(&self, row: usize) -> (Arc<PathBuf>, u64) {
        (Arc::clone(&self.run(row).file), self.positions[row])
    }

    fn run(&self, row: usize) -> &Run {
        let after = self.runs.partition_point(|run| run.start <= row);
        &self.runs[after.saturating_sub(1)]
    }
}

/// The records of a table on their way.
#[derive(Default)]
struct Arriving {
    batches: Vec<RecordBatch>,
    runs: Vec<Run>,
    positions: Vec<u64>,
}

impl Arriving {
    fn take(
        &mut self,
        rows: RecordBatch,
        positions: impl Iterator<Item = u64>,
        file: &Arc<PathBuf>,
        epoch: Option<u64>,
    ) {
        self.runs.push(Run {
            start: self.positions.len(),
            file: Arc::clone(file),
            epoch,
        });
        self.positions.extend(positions);
        self.batches.push(rows);
    }

    fn arrived(self, table: &Table) -> Result<Arrived, WhyError> {
        let rows = concat_batches(&table.schema(), &self.batches)?;
        Ok(Arrived {
            times: event_times(table, &rows)?,
            rows,
            runs: self.runs,
            positions: self.positions,
        })
    }
}

/// Reads inputs whole, up to a time in nanoseconds since the Unix epoch.
///
/// # Errors
/// If an input cannot be read.
pub(super) fn read(
    plan: &Plan,
    specs: &[InputSpec],
    as_of: Option<i64>,
) -> Result<Vec<Arrived>, WhyError> {
    let tables = &plan.script.tables;
    let mut arriving: Vec<Arriving> = tables.iter().map(|_| Arriving::default()).collect();
    each_block(plan, specs, &Config::default(), |read| {
        let times = event_times(&tables[read.table], &read.rows)?;
        let is_in = |row: usize| match (as_of, &times) {
            (Some(as_of), Some(times)) => times[row] <= as_of,
            _ => true,
        };
        let kept: Vec<bool> = (0..read.rows.num_rows()).map(is_in).collect();
        let positions = read.positions.iter().zip(&kept);
        let positions = positions.filter_map(|(position, kept)| kept.then_some(*position));
        let rows = filter_record_batch(&read.rows, &kept.clone().into())?;
        arriving[read.table].take(rows, positions, &read.block.file, None);
        Ok(())
    })?;
    let arriving = tables.iter().zip(arriving);
    arriving
        .map(|(table, found)| found.arrived(table))
        .collect()
}

/// Takes over what a run has kept.
///
/// # Errors
/// If rows are not of the plan's tables.
pub(super) fn of_ledger(plan: &Plan, entries: &[Entry]) -> Result<Vec<Arrived>, WhyError> {
    let tables = &plan.script.tables;
    let mut arriving: Vec<Arriving> = tables.iter().map(|_| Arriving::default()).collect();
    for entry in entries {
        let input = &plan.inputs[entry.input];
        let Relation::Table(table) = input.relation else {
            continue;
        };
        let rows = complete(&tables[table], &input.columns, &entry.batch)?;
        let positions = entry.positions.iter().copied();
        arriving[table].take(rows, positions, &entry.file, Some(entry.epoch));
    }
    let arriving = tables.iter().zip(arriving);
    arriving
        .map(|(table, found)| found.arrived(table))
        .collect()
}
