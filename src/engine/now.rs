//! What `now()` is: where the clock that views ask for gets its time.
//!
//! A plan and how it is run flow in; readings of the clock flow out, each in nanoseconds since the
//! Unix epoch, which workers send into the dataflow with the epoch from which they hold.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};

use super::Config;
use crate::delta::Time;
use crate::plan::{Plan, Relation};

const NANOS_PER_MILLI: i64 = 1_000_000;

/// Where the clock gets its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Now {
    /// It stands still.
    At(i64),
    /// It shows the newest event time of what has been read, or what a program says if that is
    /// later.
    Events,
    /// It is the wall clock, which the names of epochs tell, and not earlier than the start.
    Wall {
        /// The start.
        started: i64,
    },
}

impl Now {
    /// The clock of records: still where the configuration says when it is, and where no table
    /// that is read tells times.
    pub(super) fn of_records(plan: &Plan, config: &Config) -> Now {
        let tells = |input: usize| event_time(plan, input).is_some();
        match config.as_of {
            Some(as_of) => Now::At(as_of),
            None if (0..plan.inputs.len()).any(tells) => Now::Events,
            None => Now::At(config.read_time),
        }
    }

    /// What it shows when an epoch opens, if that tells anything.
    pub(super) fn at_epoch(self, epoch: Time) -> Option<i64> {
        match self {
            Now::Wall { started } => {
                let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
                Some(epoch.saturating_mul(NANOS_PER_MILLI).max(started))
            }
            Now::At(_) | Now::Events => None,
        }
    }
}

/// Where the event time lies among the columns of a plan's input, if the table tells it.
pub(super) fn event_time(plan: &Plan, input: usize) -> Option<usize> {
    let Relation::Table(table) = plan.inputs[input].relation else {
        return None;
    };
    let event_time = plan.script.tables[table].options.event_time?;
    let mut columns = plan.inputs[input].columns.iter();
    columns.position(|column| *column == event_time)
}

/// The latest time in a column.
pub(super) fn latest(rows: &RecordBatch, column: usize) -> Option<i64> {
    let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let times = cast(rows.column(column), &nanoseconds)
        .and_then(|times| cast(&times, &DataType::Int64))
        .expect("an event time is a DATE or TIMESTAMP");
    times.as_primitive::<Int64Type>().iter().flatten().max()
}
