//! What the engine's clock shows, epoch by epoch, on every worker alike.
//!
//! Rows of [`Relation::Clock`](crate::plan::Relation::Clock) flow in where workers learn of them.
//! They flow out on every worker, for operators that wait for an instant; and the changes of
//! `tillrace.clock` flow out on one of them. At an epoch the clock shows the latest time of all that
//! came up to it, so what it shows depends neither on who learned of it nor on how many workers
//! there are.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;

use super::epoch::per_epoch;
use super::input::Arrival;
use super::{Deltas, Outcomes};
use crate::delta::{Delta, Time};
use crate::plan::{clock_at, clock_reading, clock_second};

/// What the clock shows from an epoch on, at least, on its way to a worker.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Tick {
    /// The worker that is told.
    to: usize,
    /// The epoch.
    time: Time,
    /// What it shows, in nanoseconds since the Unix epoch.
    now: i64,
}

/// The latest of some rows of the clock, in nanoseconds since the Unix epoch.
pub(super) fn latest(rows: &RecordBatch) -> Option<i64> {
    let times = rows.column(0).as_primitive::<TimestampNanosecondType>();
    times.iter().flatten().max()
}

/// Tells every worker what any of them has learned.
pub(super) fn ticks<'scope>(
    arrivals: Stream<'scope, Time, Vec<Arrival>>,
    peers: usize,
) -> Deltas<'scope> {
    let told = arrivals.unary::<CapacityContainerBuilder<Vec<Tick>>, _, _, _>(
        Pipeline,
        "Clock",
        move |_capability, _info| {
            move |input, output| {
                input.for_each(|capability, arrivals| {
                    let mut session = output.session(&capability);
                    for arrival in arrivals.drain(..) {
                        let time = arrival.time;
                        if let Some(now) = latest(&arrival.batch) {
                            session.give_iterator((0..peers).map(|to| Tick { to, time, now }));
                        }
                    }
                });
            }
        },
    );
    let exchange = Exchange::new(|tick: &Tick| tick.to as u64);
    told.unary::<CapacityContainerBuilder<Vec<Delta>>, _, _, _>(
        exchange,
        "Tell",
        move |_capability, _info| {
            move |input, output| {
                input.for_each(|capability, ticks| {
                    let deltas = ticks
                        .drain(..)
                        .map(|tick| Delta::insert(clock_reading(Some(tick.now)), tick.time));
                    output.session(&capability).give_iterator(deltas);
                });
            }
        },
    )
}

/// The changes of `tillrace.clock`, given out by the first worker.
pub(super) fn relation<'scope>(ticks: Deltas<'scope>, worker: usize) -> Outcomes<'scope> {
    let mut shown: Option<i64> = None;
    per_epoch(
        ticks,
        Pipeline,
        "Show",
        false,
        move |time, ticks, outcomes| {
            let ticks = ticks.iter().filter_map(|tick| latest(&tick.batch));
            let now = ticks.max().map(clock_second);
            if worker != 0 || now <= shown {
                return;
            }
            if shown.is_some() {
                outcomes.push(Ok(Delta::new(clock_at(shown), vec![-1], time)));
            }
            outcomes.push(Ok(Delta::insert(clock_at(now), time)));
            shown = now;
        },
    )
}
