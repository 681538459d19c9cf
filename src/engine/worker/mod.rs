//! A worker's loop: do what is commanded, take a task, feed the dataflows, let them run, publish what
//! is complete.
//!
//! Tasks flow in from the feed and commands from the engine's handle; changes of complete epochs
//! flow out to the catalog. A worker that is more than [`Feed::most_ahead`](super::feed::Feed) epochs
//! ahead of what is complete takes no task until the dataflow has caught up, so memory does not
//! grow with the input.

mod flow;
mod publish;
mod take;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use timely::worker::Worker;

use super::command::{Command, From, Part};
use super::feed::{FIRST_EPOCH, Turn};
use super::intake::Intake;
use super::now::{self, Now};
use super::{Publishing, Shared};
use crate::catalog::{Delivery, Shown};
use crate::delta::{Delta, Time};
use crate::plan::{Relation, clock_reading};
use crate::render::{Arrival, ArrivalHandle, Meter};
use crate::source::OpenInput;
use flow::{Changes, Flow, Tapped};

/// How long a worker without work sleeps before it looks again.
const IDLE: Duration = Duration::from_millis(5);
/// How much a worker takes before it lets the dataflow run, in bytes. A step costs the same
/// however little there is to do, so what trickles in is taken together.
const STEP_BYTES: u64 = 64 << 10;

/// One worker from start to end; the last epoch that it published.
pub(super) fn work(worker: &mut Worker, shared: &Arc<Shared>) -> Time {
    let watch = shared.status.watch();
    let meter = shared.operators.as_ref();
    let meter = meter.map(|operators| operators.meter(worker));
    let plan = &shared.plan;
    let kinds = (shared.only_added, shared.config.rejects);
    let (first, inputs) = Flow::first(worker, plan, kinds, meter.as_ref());
    let shown = (0..plan.outputs.len()).map(|place| (place, Arc::clone(shared.shape.at(place))));
    let mut this = Job {
        shared,
        index: worker.index(),
        meter,
        inputs: Some(inputs.into_iter().enumerate().collect()),
        at: 0,
        places: Places::of(shared),
        intakes: HashMap::new(),
        commands: shared.commands.receiver(worker.index()),
        makers: first.places.iter().map(|place| (*place, 0)).collect(),
        flows: vec![first],
        readers: HashMap::new(),
        taps: HashMap::new(),
        ready: Changes::new(),
        shown: shown.collect(),
        joins: Vec::new(),
        published: FIRST_EPOCH,
        undelivered: None,
        told: None,
    };
    if let Now::At(now) = shared.now {
        this.tell(Some(now), Time::MIN);
    }
    this.run(worker);
    let published = this.published;
    watch.end();
    published
}

/// Where the plan's own relations stand among its inputs.
struct Places {
    rejects: Option<usize>,
    blocks: Option<usize>,
    /// The clock's, and those of the parts that ask for it.
    clocks: Vec<usize>,
    /// By input: where among its columns the event time is.
    event_times: Vec<Option<usize>>,
}

impl Places {
    fn of(shared: &Shared) -> Self {
        let place = |relation: Relation| {
            shared
                .plan
                .inputs
                .iter()
                .position(|input| input.relation == relation)
        };
        Places {
            rejects: place(Relation::Rejects),
            blocks: place(Relation::Blocks),
            clocks: place(Relation::Clock).into_iter().collect(),
            event_times: (0..shared.plan.inputs.len())
                .map(|input| now::event_time(&shared.plan, input))
                .collect(),
        }
    }
}

/// What a tap has put by.
struct Tap {
    places: Arc<[usize]>,
    changes: Changes,
}

struct Job<'a> {
    shared: &'a Shared,
    index: usize,
    meter: Option<Meter>,
    /// By number; `None` once nothing more comes.
    inputs: Option<BTreeMap<usize, ArrivalHandle>>,
    /// The epoch that inputs have moved on to.
    at: Time,
    places: Places,
    /// By input; an input is known by its address.
    intakes: HashMap<*const OpenInput, Intake>,
    commands: Receiver<Command>,
    /// What the engine was started with, and then what was added, each after what it reads.
    flows: Vec<Flow>,
    /// By place: the number of the dataflow that makes it.
    makers: HashMap<usize, usize>,
    /// By place: the dataflows that read it, by number.
    readers: HashMap<usize, Vec<usize>>,
    taps: HashMap<usize, Tap>,
    /// Changes that wait to be published.
    ready: Changes,
    /// By place: how the catalog keeps it.
    shown: HashMap<usize, Arc<Shown>>,
    /// Places that the next delivery is the first one with.
    joins: Vec<usize>,
    /// All epochs before this one are published. What views answer before anything arrives lies
    /// before the first epoch and is published with it, so that its changes are those from nothing.
    published: Time,
    /// A delivery that found the queue full.
    undelivered: Option<Delivery>,
    /// The latest time that this worker has let the clock show.
    told: Option<i64>,
}

impl Job<'_> {
    fn run(&mut self, worker: &mut Worker) {
        while !self.flows.iter().all(Flow::is_over) {
            if self.shared.status.is_any_dead() {
                return;
            }
            if self.is_idle(worker) {
                let patience = self.shared.feed.patience();
                worker.step_or_park(Some(patience.map_or(IDLE, |wait| wait.min(IDLE))));
            } else {
                worker.step();
            }
            self.publish();
        }
        self.publish();
        while self.undelivered.is_some() {
            std::thread::sleep(IDLE);
            self.publish();
        }
    }

    /// Does the tasks that there are, as far as they make one step; whether there was nothing.
    fn is_idle(&mut self, worker: &mut Worker) -> bool {
        let mut idle = true;
        while let Ok(command) = self.commands.try_recv() {
            self.perform_command(worker, command);
            idle = false;
        }
        for flow in &mut self.flows {
            idle &= !flow.fill();
        }
        let mut taken = 0;
        while taken < STEP_BYTES
            && let Some(bytes) = self.turn()
        {
            taken += bytes;
            idle = false;
        }
        idle
    }

    /// Does one task, if there is one and the dataflow is not behind; how many bytes it had.
    fn turn(&mut self) -> Option<u64> {
        self.inputs.as_ref()?;
        let least = self.at.saturating_sub(self.shared.feed.most_ahead());
        if self.flows[0].frontier() < least {
            return None;
        }
        match self.shared.feed.next() {
            Turn::Task(epoch, task) => {
                self.advance(epoch);
                self.open_epoch(epoch);
                Some(self.perform(epoch, task))
            }
            Turn::Wait(epoch) => {
                self.advance(epoch);
                self.open_epoch(epoch);
                None
            }
            Turn::End => {
                self.inputs = None;
                Some(STEP_BYTES)
            }
        }
    }

    /// Moves all inputs on to an epoch; never back.
    fn advance(&mut self, epoch: Time) {
        if epoch <= self.at {
            return;
        }
        self.at = epoch;
        for input in self.inputs.iter_mut().flat_map(BTreeMap::values_mut) {
            input.advance_to(epoch);
        }
    }

    fn perform_command(&mut self, worker: &mut Worker, command: Command) {
        // Whoever asked may have gone; then nobody waits for the answer.
        match command {
            Command::Tap { tap, places, reply } => {
                let makers = places.iter().filter_map(|place| self.maker(*place));
                let from = makers.map(|flow| flow.done).max().unwrap_or(0);
                let changes = Changes::new();
                self.taps.insert(tap, Tap { places, changes });
                let _is_told = reply.send(from);
            }
            Command::Untap(tap) => drop(self.taps.remove(&tap)),
            Command::Install(part) => self.install(worker, &part),
            Command::Drop { part, reply } => {
                self.remove(part);
                let _is_told = reply.send(self.published);
            }
        }
    }

    /// The dataflow that makes what is at a place.
    fn maker(&self, place: usize) -> Option<&Flow> {
        let maker = self.makers.get(&place)?;
        self.flows.iter().find(|flow| flow.number == *maker)
    }

    fn install(&mut self, worker: &mut Worker, part: &Arc<Part>) {
        let tap = part
            .fill
            .as_ref()
            .and_then(|fill| self.taps.remove(&fill.tap));
        let mut put_by: HashMap<usize, BTreeMap<Time, Vec<Delta>>> = HashMap::new();
        for (time, changes) in tap.into_iter().flat_map(|tap| tap.changes) {
            for (place, delta) in changes {
                let of_place = put_by.entry(place).or_default();
                of_place.entry(time).or_default().push(delta);
            }
        }
        let rejects = self.shared.config.rejects;
        let (mut flow, handles) = Flow::added(worker, part, self.at, rejects, self.meter.as_ref());
        for (input, (mut handle, from)) in handles.into_iter().zip(&part.inputs).enumerate() {
            match *from {
                From::Written(number) => {
                    handle.advance_to(self.at);
                    if let Some(inputs) = &mut self.inputs {
                        inputs.insert(number, handle);
                    }
                }
                From::Clock(number) => {
                    let filled = part.fill.as_ref().map(|fill| fill.at);
                    self.show_clock(&mut handle, filled);
                    self.places.clocks.push(number);
                    if let Some(inputs) = &mut self.inputs {
                        inputs.insert(number, handle);
                    }
                }
                From::Kept(place) => {
                    let Some(maker) = self.maker(place) else {
                        continue;
                    };
                    let tapped = Tapped {
                        flow: maker.number,
                        later: put_by.remove(&place).unwrap_or_default(),
                        upto: maker.done,
                    };
                    flow.feed(input, handle, tapped);
                    self.readers.entry(place).or_default().push(part.number);
                }
            }
        }
        for (place, shown) in &part.outputs {
            self.makers.insert(*place, part.number);
            self.shown.insert(*place, Arc::clone(shown));
        }
        self.flows.push(flow);
    }

    /// Lets a new input of the clock show what the clock showed when what fills it was there, and
    /// what it shows now.
    fn show_clock(&self, handle: &mut ArrivalHandle, filled: Option<Time>) {
        let first = filled.unwrap_or(self.at).min(self.at);
        let then = self.shared.now.at_epoch(first).or(self.told);
        for (now, time) in [(then, first), (self.told, self.at)] {
            handle.advance_to(time);
            handle.send_batch(&mut vec![Arrival {
                batch: clock_reading(now),
                diffs: None,
                block: 0,
                positions: Arc::new([]),
                time,
            }]);
        }
    }

    fn remove(&mut self, part: usize) {
        for readers in self.readers.values_mut() {
            readers.retain(|reader| *reader != part);
        }
        self.makers.retain(|_, maker| *maker != part);
        let at = self.flows.iter().position(|flow| flow.number == part);
        let Some(at) = at else { return };
        let flow = self.flows.remove(at);
        for number in flow.written() {
            if let Some(inputs) = &mut self.inputs {
                inputs.remove(&number);
            }
            self.places.clocks.retain(|clock| *clock != number);
        }
    }
}
