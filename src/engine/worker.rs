//! A worker's loop: take a task, feed the dataflow, let it run, publish what is complete.
//!
//! Tasks flow in from the feed; changes of complete epochs flow out to the catalog. A worker that
//! is more than [`MAX_LEAD`] epochs ahead of what is complete takes no task until the dataflow has
//! caught up, so memory does not grow with the input.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::RecordBatch;
use crossbeam_channel::TrySendError;
use timely::worker::Worker;

use super::error::chain;
use super::feed::{FIRST_EPOCH, Task, Turn};
use super::intake::Intake;
use super::ledger::Entry;
use super::now::{self, Now};
use super::report::InputCounts;
use super::{Publishing, Shared};
use crate::catalog::{Delivery, EpochChanges};
use crate::decode::Reject;
use crate::delta::{Delta, Diff, Time};
use crate::plan::{Relation, clock_reading};
use crate::render::{self, Answers, Arrival, ArrivalHandle};
use crate::source::live::{self, Receipt};
use crate::source::{Block, OpenInput};

/// How long a worker without work sleeps before it looks again.
const IDLE: Duration = Duration::from_millis(5);
/// How much a worker takes before it lets the dataflow run, in bytes. A step costs the same
/// however little there is to do, so what trickles in is taken together.
const STEP_BYTES: u64 = 64 << 10;

/// One worker from start to end; the last epoch that it published.
pub(super) fn work(worker: &mut Worker, shared: &Arc<Shared>) -> Time {
    let index = worker.index();
    let watch = shared.status.watch();
    let peers = worker.peers();
    let meter = shared.operators.as_ref();
    let meter = meter.map(|operators| operators.meter(worker));
    let rendered = worker.dataflow::<Time, _, _>(|scope| {
        let place = (index, peers);
        let meter = meter.as_ref();
        render::render(
            scope,
            &shared.plan,
            place,
            shared.only_added,
            shared.config.rejects,
            meter,
        )
        .expect("the plan was rendered once before the workers started")
    });
    let mut this = Job {
        shared,
        index,
        inputs: Some(rendered.inputs),
        places: Places::of(shared),
        intakes: HashMap::new(),
        answers: rendered.answers,
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
    clock: Option<usize>,
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
            clock: place(Relation::Clock),
            event_times: (0..shared.plan.inputs.len())
                .map(|input| now::event_time(&shared.plan, input))
                .collect(),
        }
    }
}

struct Job<'a> {
    shared: &'a Shared,
    index: usize,
    inputs: Option<Vec<ArrivalHandle>>,
    places: Places,
    /// By input; an input is known by its address.
    intakes: HashMap<*const OpenInput, Intake>,
    answers: Answers,
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
        while self.answers.frontier().is_some() {
            if self.shared.status.is_any_dead() {
                return;
            }
            if self.is_idle() {
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
    fn is_idle(&mut self) -> bool {
        let mut taken = 0;
        let mut idle = true;
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
        let inputs = self.inputs.as_mut()?;
        let at = inputs.first().map_or(0, |input| *input.time());
        let least = at.saturating_sub(self.shared.feed.most_ahead());
        let frontier = self.answers.frontier();
        if frontier.is_some_and(|frontier| frontier < least) {
            return None;
        }
        match self.shared.feed.next() {
            Turn::Task(epoch, task) => {
                advance(inputs, epoch);
                self.open_epoch(epoch);
                let bytes = match &task {
                    Task::Block { block, .. } => block.bytes,
                    // As they are big or rare, each makes a step.
                    Task::Rows { .. } | Task::Broken { .. } | Task::Clock { .. } => STEP_BYTES,
                };
                self.perform(epoch, task);
                Some(bytes)
            }
            Turn::Wait(epoch) => {
                advance(inputs, epoch);
                self.open_epoch(epoch);
                None
            }
            Turn::End => {
                self.inputs = None;
                Some(STEP_BYTES)
            }
        }
    }

    fn perform(&mut self, epoch: Time, task: Task) {
        match task {
            Task::Rows {
                input,
                batch,
                diffs,
                block,
            } => {
                let newest = self.places.event_times[input].and_then(|at| now::latest(&batch, at));
                self.tell_time(newest, epoch);
                if let Some(ledger) = &self.shared.ledger {
                    ledger.lose();
                }
                let positions: Arc<[u64]> = (0..batch.num_rows() as u64).collect();
                self.send(
                    input,
                    Arrival {
                        batch,
                        diffs,
                        block,
                        positions,
                        time: epoch,
                    },
                );
            }
            Task::Block {
                input,
                block,
                counts,
                receipt,
            } => self.take_block(epoch, &input, block, counts.as_deref(), receipt),
            Task::Broken {
                input,
                file,
                offset,
                reason,
            } => {
                self.reject_rest(&input, (&file, offset, None), reason, epoch);
            }
            Task::Clock { now } => self.tell_time(Some(now), epoch),
        }
    }

    /// Lets the clock show what the epoch's name tells.
    fn open_epoch(&mut self, epoch: Time) {
        self.tell(self.shared.now.at_epoch(epoch), epoch);
    }

    /// Lets the clock show an event's time, if it goes by that.
    fn tell_time(&mut self, now: Option<i64>, epoch: Time) {
        if self.shared.now == Now::Events {
            self.tell(now, epoch);
        }
    }

    /// Lets the clock show a time, if some view asks and it is news.
    fn tell(&mut self, now: Option<i64>, epoch: Time) {
        if self.places.clock.is_some() && now > self.told {
            self.told = now;
            self.send_made(self.places.clock, Some(clock_reading(now)), epoch);
        }
    }

    /// Decodes a block and sends what comes of it.
    fn take_block(
        &mut self,
        epoch: Time,
        input: &Arc<OpenInput>,
        block: Block,
        live_counts: Option<&InputCounts>,
        receipt: Option<Receipt>,
    ) {
        let as_of = self.shared.config.as_of;
        let intake = self.intake(input);
        let place = intake.place;
        let taken = match intake.take(&block, as_of) {
            Ok(taken) => taken,
            Err(error) => {
                let reason = chain(&error);
                let place = (block.file.as_path(), block.offset, block.read_time);
                self.reject_rest(input, place, reason.clone(), epoch);
                if let Some(receipt) = receipt {
                    receipt.tell(refused_whole(&block, reason, epoch));
                }
                return;
            }
        };
        let rows = taken.batch.num_rows() as u64;
        let rejects = taken.refused.len() as u64;
        self.tell_time(taken.newest_event_time, epoch);
        let progress = &self.shared.progress;
        progress.rows.fetch_add(rows, Ordering::Relaxed);
        progress.bytes.fetch_add(block.bytes, Ordering::Relaxed);
        progress.rejects.fetch_add(rejects, Ordering::Relaxed);
        if let Some(counts) = live_counts {
            counts.add(rows, block.bytes, rejects, taken.newest_event_time);
        }
        if let Some(place) = place.filter(|_| rows > 0) {
            let positions: Arc<[u64]> = taken.positions.into();
            if let Some(ledger) = &self.shared.ledger {
                ledger.note(Entry {
                    input: place,
                    batch: taken.batch.clone(),
                    positions: Arc::clone(&positions),
                    file: Arc::clone(&block.file),
                    block: block.number,
                    epoch,
                });
            }
            let arrival = Arrival {
                batch: taken.batch,
                diffs: None,
                block: block.number,
                positions,
                time: epoch,
            };
            self.send(place, arrival);
        }
        self.send_made(self.places.rejects, taken.rejects, epoch);
        self.send_made(self.places.blocks, Some(taken.counts), epoch);
        if let Some(receipt) = receipt {
            let mut listed = taken.refused;
            listed.truncate(Receipt::MOST_REJECTS);
            receipt.tell(live::Taken {
                rows,
                rejects: listed,
                rejected: rejects,
                epoch,
            });
        }
        self.shared.feed.recycle(block);
    }

    /// One reject that stands for all records from a place on: the file, where in it, and when it was
    /// read.
    fn reject_rest(
        &mut self,
        input: &Arc<OpenInput>,
        (file, position, read_time): (&std::path::Path, u64, Option<i64>),
        reason: String,
        epoch: Time,
    ) {
        self.shared.progress.rejects.fetch_add(1, Ordering::Relaxed);
        let intake = self.intake(input);
        let rejects = intake.rejects(
            file,
            &[Reject {
                position,
                reason,
                text: String::new(),
            }],
            read_time,
        );
        let counts = intake.counts(0, 0, 1, None);
        self.send_made(self.places.rejects, Some(rejects), epoch);
        self.send_made(self.places.blocks, Some(counts), epoch);
    }

    fn intake(&mut self, input: &Arc<OpenInput>) -> &mut Intake {
        let Shared { plan, config, .. } = self.shared;
        self.intakes.entry(Arc::as_ptr(input)).or_insert_with(|| {
            Intake::new(plan, input, config.read_time)
                .expect("inputs are checked before anything is read from them")
        })
    }

    fn send(&mut self, place: usize, arrival: Arrival) {
        let inputs = self
            .inputs
            .as_mut()
            .expect("inputs are open while there are tasks");
        inputs[place].send_batch(&mut vec![arrival]);
    }

    /// Sends rows that the engine makes itself.
    fn send_made(&mut self, place: Option<usize>, batch: Option<RecordBatch>, time: Time) {
        if let (Some(place), Some(batch)) = (place, batch) {
            let positions: Arc<[u64]> = Arc::new([]);
            let diffs: Option<Arc<[Diff]>> = None;
            self.send(
                place,
                Arrival {
                    batch,
                    diffs,
                    block: 0,
                    positions,
                    time,
                },
            );
        }
    }

    /// Hands the changes of complete epochs to the catalog.
    fn publish(&mut self) {
        if !self.deliver() {
            return;
        }
        let next = self.answers.frontier().unwrap_or(Time::MAX);
        if next <= self.published {
            return;
        }
        let due = self.answers.take_before(next);
        match &self.shared.publishing {
            Publishing::AtTheEnd(shards) => {
                for (output, delta) in due {
                    shards.apply(output, self.index, &[delta]);
                }
            }
            Publishing::EachEpoch(_) => self.undelivered = Some(self.delivery(next, due)),
        }
        self.published = next;
        self.deliver();
    }

    /// The changes of complete epochs, as the catalog takes them.
    fn delivery(&self, before: Time, due: Vec<(usize, Delta)>) -> Delivery {
        let changes = due.into_iter().map(|(view, delta)| EpochChanges {
            time: delta.time,
            view,
            rows: self.shared.shape.encode(view, &delta.batch),
            diffs: delta.diffs,
        });
        Delivery {
            worker: self.index,
            before,
            changes: changes.collect(),
        }
    }

    /// Hands over what waits to be published; whether nothing is left.
    fn deliver(&mut self) -> bool {
        let Publishing::EachEpoch(sender) = &self.shared.publishing else {
            return true;
        };
        let Some(delivery) = self.undelivered.take() else {
            return true;
        };
        match sender.try_send(delivery) {
            Ok(()) => true,
            Err(TrySendError::Full(delivery)) => {
                self.undelivered = Some(delivery);
                false
            }
            // The thread that publishes is dead, and with it the engine.
            Err(TrySendError::Disconnected(_)) => true,
        }
    }
}

/// Moves all inputs on to an epoch; never back.
fn advance(inputs: &mut [ArrivalHandle], epoch: Time) {
    for input in inputs {
        if *input.time() < epoch {
            input.advance_to(epoch);
        }
    }
}

/// What became of a block of which nothing can be read.
fn refused_whole(block: &Block, reason: String, epoch: Time) -> live::Taken {
    let reject = Reject {
        position: block.offset,
        reason,
        text: String::new(),
    };
    live::Taken {
        rows: 0,
        rejects: vec![reject],
        rejected: 1,
        epoch,
    }
}
