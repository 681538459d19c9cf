//! What the nodes of a plan have done and hold, on all workers together.
//!
//! Timely's log flows in on each worker: when operators run, and what differential's arrangements
//! take in, merge and drop. It is folded into each worker's own counters at once and kept nowhere.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use differential_dataflow::logging::{DifferentialEvent, DifferentialEventBuilder};
use timely::logging::{StartStop, TimelyEvent, TimelyEventBuilder};
use timely::worker::Worker;

use crate::plan::Plan;
use crate::render::{Meter, NodeCounts};

/// What a node of the plan has done so far, on all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeReport {
    /// The node's place in the plan.
    pub node: usize,
    /// Rows that it was given, added or taken back: those of its inputs.
    pub records_in: u64,
    /// Rows that it gave on, added or taken back.
    pub records_out: u64,
    /// How long its operators have run, in nanoseconds, added up over workers.
    pub time_ns: u64,
    /// How many updates its arrangements hold, and how many keys, ids and groups it keeps by itself.
    /// An arrangement that several nodes read counts for the first of them.
    pub held_records: u64,
    /// In how many batches the arrangements hold them.
    pub held_batches: u64,
}

/// The counters of all workers.
pub(super) struct Operators {
    workers: Vec<Arc<[NodeCounts]>>,
}

impl Operators {
    pub(super) fn new(plan: &Plan, workers: usize) -> Operators {
        let counts = |_| plan.nodes.iter().map(|_| NodeCounts::default()).collect();
        Operators {
            workers: (0..workers).map(counts).collect(),
        }
    }

    /// The meter of a plan that is added on a worker which has one already.
    pub(super) fn beside(&self, meter: &Meter, worker: usize) -> Meter {
        meter.beside(Arc::clone(&self.workers[worker]))
    }

    /// A worker's meter, which from then on also reads the worker's log. Called before anything is
    /// rendered.
    pub(super) fn meter(&self, worker: &Worker) -> Meter {
        let meter = Meter::new(Arc::clone(&self.workers[worker.index()]));
        if let Some(mut log) = worker.log_register() {
            let mut timer = Timer::new(meter.clone());
            log.insert::<TimelyEventBuilder, _>("timely", move |_time, events| {
                for (at, event) in events.iter_mut().flat_map(|events| events.drain(..)) {
                    timer.take(at, &event);
                }
            });
            let of_arrangements = meter.clone();
            log.insert::<DifferentialEventBuilder, _>(
                "differential/arrange",
                move |_time, events| {
                    for (_, event) in events.iter_mut().flat_map(|events| events.drain(..)) {
                        note_held(&of_arrangements, &event);
                    }
                },
            );
        }
        meter
    }

    /// What each node of the plan has done so far, in order.
    pub(super) fn report(&self, plan: &Plan) -> Vec<NodeReport> {
        let mut reports: Vec<NodeReport> = (0..plan.nodes.len()).map(|n| self.sum(n)).collect();
        for (position, node) in plan.nodes.iter().enumerate() {
            let given = node.op.inputs().into_iter();
            let given: u64 = given.map(|input| reports[input.0].records_out).sum();
            reports[position].records_in += given;
        }
        reports
    }

    fn sum(&self, node: usize) -> NodeReport {
        let mut report = NodeReport {
            node,
            ..NodeReport::default()
        };
        let (mut records, mut batches) = (0, 0);
        for counts in self.workers.iter().map(|counts| &counts[node]) {
            report.records_in += counts.arrived.load(Ordering::Relaxed);
            report.records_out += counts.records_out.load(Ordering::Relaxed);
            report.time_ns += counts.time_ns.load(Ordering::Relaxed);
            records += counts.held_records.load(Ordering::Relaxed);
            batches += counts.held_batches.load(Ordering::Relaxed);
        }
        report.held_records = u64::try_from(records).unwrap_or(0);
        report.held_batches = u64::try_from(batches).unwrap_or(0);
        report
    }
}

/// Adds up how long operators run.
struct Timer {
    meter: Meter,
    /// The operator that runs, and since when. Those of nodes run one after the other; only the
    /// dataflow around them runs at the same time.
    running: Option<(usize, Duration)>,
}

impl Timer {
    fn new(meter: Meter) -> Timer {
        Timer {
            meter,
            running: None,
        }
    }

    fn take(&mut self, at: Duration, event: &TimelyEvent) {
        let TimelyEvent::Schedule(event) = event else {
            return;
        };
        if !self.meter.knows(event.id) {
            return;
        }
        match event.start_stop {
            StartStop::Start => self.running = Some((event.id, at)),
            StartStop::Stop => {
                let started = self.running.take().filter(|(id, _)| *id == event.id);
                if let Some((_, since)) = started {
                    let ran = u64::try_from(at.saturating_sub(since).as_nanos());
                    let ran = ran.unwrap_or(u64::MAX);
                    self.meter.of_operator(event.id, |counts| {
                        counts.time_ns.fetch_add(ran, Ordering::Relaxed);
                    });
                }
            }
        }
    }
}

/// Adds what an arrangement takes in, and takes off what merging adds up and what is dropped.
fn note_held(meter: &Meter, event: &DifferentialEvent) {
    let length = |updates: usize| i64::try_from(updates).unwrap_or(i64::MAX);
    let (operator, records, batches) = match event {
        DifferentialEvent::Batch(batch) => (batch.operator, length(batch.length), 1),
        DifferentialEvent::Merge(merge) => match merge.complete {
            None => return,
            Some(left) => {
                let before = length(merge.length1) + length(merge.length2);
                (merge.operator, length(left) - before, -1)
            }
        },
        DifferentialEvent::Drop(drop) => (drop.operator, -length(drop.length), -1),
        _ => return,
    };
    meter.of_operator(operator, |counts| {
        counts.held_records.fetch_add(records, Ordering::Relaxed);
        counts.held_batches.fetch_add(batches, Ordering::Relaxed);
    });
}
