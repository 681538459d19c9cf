//! Tasks: rows and blocks of records on their way into the dataflows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;

use super::super::error::chain;
use super::super::feed::Task;
use super::super::intake::Intake;
use super::super::ledger::Entry;
use super::super::now::{self, Now};
use super::super::report::InputCounts;
use super::{Job, STEP_BYTES, Shared};
use crate::decode::Reject;
use crate::delta::{Diff, Time};
use crate::plan::clock_reading;
use crate::render::Arrival;
use crate::source::live::{self, Receipt};
use crate::source::{Block, OpenInput};

impl Job<'_> {
    /// Does a task; how many bytes it had.
    pub(super) fn perform(&mut self, epoch: Time, task: Task) -> u64 {
        let bytes = match &task {
            Task::Block { block, .. } => block.bytes,
            // As they are big or rare, each makes a step.
            Task::Rows { .. } | Task::Broken { .. } | Task::Clock { .. } => STEP_BYTES,
        };
        match task {
            Task::Rows {
                input,
                batch,
                diffs,
                block,
            } => {
                let event_time = self.places.event_times.get(input).copied().flatten();
                let newest = event_time.and_then(|at| now::latest(&batch, at));
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
        bytes
    }

    /// Lets the clock show what the epoch's name tells.
    pub(super) fn open_epoch(&mut self, epoch: Time) {
        self.tell(self.shared.now.at_epoch(epoch), epoch);
    }

    /// Lets the clock show an event's time, if it goes by that.
    fn tell_time(&mut self, now: Option<i64>, epoch: Time) {
        if self.shared.now == Now::Events {
            self.tell(now, epoch);
        }
    }

    /// Lets the clock show a time, if it is news; whoever asks for it later is told as well.
    pub(super) fn tell(&mut self, now: Option<i64>, epoch: Time) {
        if now <= self.told {
            return;
        }
        self.told = now;
        for at in 0..self.places.clocks.len() {
            let clock = self.places.clocks[at];
            self.send_made(Some(clock), Some(clock_reading(now)), epoch);
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
            let of_script = place < self.shared.plan.inputs.len();
            if let Some(ledger) = self.shared.ledger.as_ref().filter(|_| of_script) {
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
        let Shared { tables, config, .. } = self.shared;
        self.intakes.entry(Arc::as_ptr(input)).or_insert_with(|| {
            Intake::new(tables, input, config.read_time)
                .expect("inputs are checked before anything is read from them")
        })
    }

    fn send(&mut self, place: usize, arrival: Arrival) {
        let inputs = self
            .inputs
            .as_mut()
            .expect("inputs are open while there are tasks");
        // What comes for a table that has been dropped meanwhile is nobody's.
        if let Some(input) = inputs.get_mut(&place) {
            input.send_batch(&mut vec![arrival]);
        }
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
