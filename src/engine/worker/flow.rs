//! A dataflow on one worker: what goes into it, and what has come out of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use timely::worker::Worker;

use super::super::command::{Filling, From, Part};
use crate::delta::{Delta, Diff, Time};
use crate::plan::Plan;
use crate::render::{self, Answers, Arrival, ArrivalHandle, Meter};

/// How far a dataflow may be behind what is published when it joins, in milliseconds: for so long
/// others wait for it once.
const JOIN_LAG_MS: Time = 100;

/// What came out of a dataflow, by epoch: places and their changes.
pub(super) type Changes = BTreeMap<Time, Vec<(usize, Delta)>>;

/// A dataflow on one worker.
pub(super) struct Flow {
    /// The number of the part; 0 is what the engine was started with.
    pub(super) number: usize,
    /// The places of its outputs.
    pub(super) places: Vec<usize>,
    /// Where its rejects go, unless an output shows them.
    rejects: Option<usize>,
    /// All of its changes before this epoch have been handed on.
    pub(super) done: Time,
    /// Whether an epoch is published only with its changes.
    pub(super) joined: bool,
    /// Whether the catalog has been told that it has joined.
    pub(super) is_told: bool,
    /// What it reads of others.
    pub(super) feeds: Vec<Feeding>,
    part: Option<Arc<Part>>,
    /// Whether rows of the fill are still going in.
    filling: bool,
    answers: Answers,
    /// The first epoch that readers may see.
    begun: Time,
}

impl Flow {
    /// What the engine is started with, and the handles of its inputs.
    pub(super) fn first(
        worker: &mut Worker,
        plan: &Plan,
        (only_added, rejects): (bool, Option<usize>),
        meter: Option<&Meter>,
    ) -> (Flow, Vec<ArrivalHandle>) {
        let places: Vec<usize> = (0..plan.outputs.len()).collect();
        let (answers, inputs) = build(worker, plan, only_added, rejects, meter);
        let mut flow = Flow::new(0, places, answers);
        flow.joined = true;
        flow.is_told = true;
        (flow, inputs)
    }

    /// A part that is added while an epoch is open, and the handles of its inputs.
    pub(super) fn added(
        worker: &mut Worker,
        part: &Arc<Part>,
        open: Time,
        rejects: Option<usize>,
        meter: Option<&Meter>,
    ) -> (Flow, Vec<ArrivalHandle>) {
        let places = part.outputs.iter().map(|(place, _)| *place);
        let meter = meter.map(|meter| part.operators.beside(meter, worker.index()));
        let (answers, inputs) = build(worker, &part.plan, true, rejects, meter.as_ref());
        let mut flow = Flow::new(part.number, places.collect(), answers);
        let asks_clock = part
            .inputs
            .iter()
            .any(|from| matches!(from, From::Clock(_)));
        let filled = part.fill.as_ref().map_or(0, |fill| fill.at + 1);
        flow.begun = filled.max(if asks_clock { open + 1 } else { 0 });
        flow.rejects = Some(part.rejects);
        flow.part = Some(Arc::clone(part));
        flow.filling = part.fill.is_some();
        (flow, inputs)
    }

    fn new(number: usize, places: Vec<usize>, answers: Answers) -> Flow {
        Flow {
            number,
            places,
            rejects: None,
            done: 0,
            joined: false,
            is_told: false,
            feeds: Vec::new(),
            part: None,
            filling: false,
            answers,
            begun: 0,
        }
    }

    /// All epochs before this one are complete.
    pub(super) fn frontier(&self) -> Time {
        self.answers.frontier().unwrap_or(Time::MAX)
    }

    /// Whether nothing more can come out of it.
    pub(super) fn is_over(&self) -> bool {
        self.answers.frontier().is_none()
    }

    /// Takes the changes of the epochs before one, each with its place.
    pub(super) fn take_before(&mut self, epoch: Time) -> Changes {
        let mut changes = Changes::new();
        for (output, delta) in self.answers.take_before(epoch) {
            if let Some(place) = self.places.get(output).copied().or(self.rejects) {
                changes.entry(delta.time).or_default().push((place, delta));
            }
        }
        changes
    }

    /// Whether it has caught up so far that others may wait for it.
    pub(super) fn may_join(&self, published: Time) -> bool {
        !self.joined
            && !self.filling
            && self.done >= self.begun
            && self.done.saturating_add(JOIN_LAG_MS) >= published
    }

    /// Whether the changes of all epochs before one have been handed on, of those that readers may
    /// see.
    pub(super) fn has_caught_up(&self, next: Time) -> bool {
        self.done >= next && next >= self.begun
    }

    /// Puts the next rows of the fill in; whether there was anything to do.
    pub(super) fn fill(&mut self) -> bool {
        let fill = self.part.as_ref().and_then(|part| part.fill.as_ref());
        let Some(fill) = fill.filter(|_| self.filling) else {
            return false;
        };
        match fill.next() {
            Some(Filling {
                input,
                rows,
                counts,
            }) => {
                let found = self.feeds.iter_mut().find(|feed| feed.input == input);
                if let Some(feed) = found {
                    feed.send(rows, Some(counts.into()), fill.at);
                }
            }
            None => {
                self.filling = false;
                self.feeds.iter_mut().for_each(Feeding::catch_up);
            }
        }
        true
    }

    /// Adds an input that reads what others keep; what was put by since a fill goes in after it.
    pub(super) fn feed(&mut self, input: usize, handle: ArrivalHandle, from: Tapped) {
        let Some(part) = &self.part else { return };
        let source = &part.plan.inputs[input];
        let From::Kept(place) = part.inputs[input] else {
            return;
        };
        let mut feed = Feeding {
            input,
            place,
            flow: from.flow,
            columns: source.columns.clone(),
            schema: Arc::clone(&source.schema),
            handle: Some(handle),
            waits: self.filling,
            waiting: from.later,
            upto: from.upto,
        };
        if let (Some(fill), Some(handle)) = (&part.fill, &mut feed.handle) {
            handle.advance_to(fill.at);
            feed.waiting.retain(|time, _| *time > fill.at);
        }
        self.feeds.push(feed);
    }

    /// The numbers of the inputs that are written.
    pub(super) fn written(&self) -> Vec<usize> {
        let inputs = self.part.iter().flat_map(|part| &part.inputs);
        let written = inputs.filter_map(|from| match from {
            From::Written(number) | From::Clock(number) => Some(*number),
            From::Kept(_) => None,
        });
        written.collect()
    }
}

/// Builds a plan's dataflow.
fn build(
    worker: &mut Worker,
    plan: &Plan,
    only_added: bool,
    rejects: Option<usize>,
    meter: Option<&Meter>,
) -> (Answers, Vec<ArrivalHandle>) {
    let place = (worker.index(), worker.peers());
    let rendered = worker.dataflow::<Time, _, _>(|scope| {
        render::render(scope, plan, place, only_added, rejects, meter)
            .expect("the plan was rendered once before the workers were told")
    });
    (rendered.answers, rendered.inputs)
}

/// What a tap has for an input.
pub(super) struct Tapped {
    /// The number of the dataflow that is read.
    pub(super) flow: usize,
    /// Its changes of late.
    pub(super) later: BTreeMap<Time, Vec<Delta>>,
    /// All of its changes before this epoch are there.
    pub(super) upto: Time,
}

/// An input that reads what another dataflow keeps.
pub(super) struct Feeding {
    /// The place that it reads.
    pub(super) place: usize,
    /// The number of the dataflow that it reads.
    pub(super) flow: usize,
    /// Which of the plan's inputs it is.
    input: usize,
    /// The columns that are wanted.
    columns: Vec<usize>,
    schema: SchemaRef,
    /// `None` once nothing more comes.
    handle: Option<ArrivalHandle>,
    /// Whether the fill goes in first.
    waits: bool,
    waiting: BTreeMap<Time, Vec<Delta>>,
    upto: Time,
}

impl Feeding {
    /// Takes changes of a complete epoch.
    pub(super) fn give(&mut self, delta: Delta) {
        if self.waits {
            self.waiting.entry(delta.time).or_default().push(delta);
            return;
        }
        let Delta { batch, diffs, time } = delta;
        self.send(batch, diffs, time);
    }

    /// Notes that all changes before an epoch have been given.
    pub(super) fn advance(&mut self, epoch: Time) {
        self.upto = epoch;
        if !self.waits {
            self.move_on();
        }
    }

    fn catch_up(&mut self) {
        self.waits = false;
        for delta in std::mem::take(&mut self.waiting).into_values().flatten() {
            self.give(delta);
        }
        self.move_on();
    }

    fn move_on(&mut self) {
        if self.upto == Time::MAX {
            self.handle = None;
        }
        if let Some(handle) = &mut self.handle
            && *handle.time() < self.upto
        {
            handle.advance_to(self.upto);
        }
    }

    fn send(&mut self, rows: RecordBatch, diffs: Option<Arc<[Diff]>>, time: Time) {
        let Some(handle) = &mut self.handle else {
            return;
        };
        if *handle.time() < time {
            handle.advance_to(time);
        }
        let columns = self
            .columns
            .iter()
            .map(|column| rows.column(*column).clone());
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns.collect())
            .expect("what is kept has the columns that were planned with");
        handle.send_batch(&mut vec![Arrival {
            batch,
            diffs,
            block: 0,
            positions: Arc::new([]),
            time,
        }]);
    }
}
