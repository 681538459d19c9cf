//! What a free worker does next.
//!
//! Blocks of files, or what a program pushes, flow in; [`Task`]s flow out, each with its epoch, in
//! an order in which epochs never go back. All workers take from one feed, so work is spread evenly
//! and the epoch of every task is the same on any number of workers.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;

use super::Progress;
use super::report::InputCounts;
use crate::delta::{Diff, Time};
use crate::source::live::Receipt;
use crate::source::{Block, Blocks, Next, OpenInput};

/// Something to do.
pub(super) enum Task {
    /// Decode a block of records.
    Block {
        input: Arc<OpenInput>,
        block: Block,
        /// Where a live run counts what comes of it.
        counts: Option<Arc<InputCounts>>,
        /// Told what became of it.
        receipt: Option<Receipt>,
    },
    /// Note that a file broke off.
    Broken {
        input: Arc<OpenInput>,
        file: Arc<PathBuf>,
        offset: u64,
        reason: String,
    },
    /// Take over rows of a plan's input.
    Rows {
        input: usize,
        batch: RecordBatch,
        diffs: Option<Arc<[Diff]>>,
        block: u64,
    },
    /// Let the clock show a time, in nanoseconds since the Unix epoch.
    Clock { now: i64 },
}

impl Task {
    /// A block that nobody waits for.
    pub(super) fn of_block(input: Arc<OpenInput>, block: Block) -> Task {
        Task::Block {
            input,
            block,
            counts: None,
            receipt: None,
        }
    }
}

/// What a feed has for a worker.
pub(super) enum Turn {
    /// A task of an epoch. No later one is of an earlier epoch.
    Task(Time, Task),
    /// Nothing yet; nothing that comes is of an earlier epoch than this.
    Wait(Time),
    /// Nothing any more.
    End,
}

/// Where workers take their tasks.
pub(super) trait Feed: Send + Sync {
    /// What the asking worker does next.
    fn next(&self) -> Turn;

    /// Takes back the memory of a block that has been decoded.
    fn recycle(&self, _block: Block) {}

    /// How long a worker without a task waits at most before it asks again, if it is not woken.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// How many epochs a worker may be ahead of what is complete before it takes no more tasks.
    fn most_ahead(&self) -> Time {
        2
    }
}

/// The epoch of the first task; the least time is left to what is there before any event.
pub(super) const FIRST_EPOCH: Time = 1;

/// Blocks of files, so many an epoch.
pub(super) struct ReplayFeed {
    blocks: Arc<Blocks>,
    inputs: Vec<Arc<OpenInput>>,
    epoch_blocks: u64,
    progress: Arc<Progress>,
}

impl ReplayFeed {
    pub(super) fn new(blocks: Arc<Blocks>, epoch_blocks: u64, progress: Arc<Progress>) -> Self {
        let inputs = blocks.inputs().iter().cloned().map(Arc::new).collect();
        ReplayFeed {
            blocks,
            inputs,
            epoch_blocks,
            progress,
        }
    }

    fn epoch(&self, block: u64) -> Time {
        FIRST_EPOCH + block / self.epoch_blocks
    }
}

impl Feed for ReplayFeed {
    fn next(&self) -> Turn {
        if self.progress.stop.load(Ordering::Relaxed) {
            return Turn::End;
        }
        match self.blocks.next() {
            Next::Block(block) => {
                let input = Arc::clone(&self.inputs[block.input]);
                let epoch = self.epoch(block.number);
                Turn::Task(epoch, Task::of_block(input, block))
            }
            Next::Broken {
                input,
                file,
                offset,
                number,
                reason,
            } => {
                let input = Arc::clone(&self.inputs[input]);
                Turn::Task(
                    self.epoch(number),
                    Task::Broken {
                        input,
                        file,
                        offset,
                        reason,
                    },
                )
            }
            Next::Wait => Turn::Wait(Time::MIN),
            Next::End => Turn::End,
        }
    }

    fn recycle(&self, block: Block) {
        self.blocks.recycle(block);
    }
}

/// What a program pushes, in epochs that it closes.
pub(super) struct PushFeed {
    queue: Mutex<Queue>,
}

struct Queue {
    tasks: VecDeque<(Time, Task)>,
    epoch: Time,
    ended: bool,
}

impl PushFeed {
    pub(super) fn new() -> Self {
        let queue = Queue {
            tasks: VecDeque::new(),
            epoch: FIRST_EPOCH,
            ended: false,
        };
        PushFeed {
            queue: Mutex::new(queue),
        }
    }

    /// Adds a task to the open epoch.
    pub(super) fn push(&self, task: Task) {
        let mut queue = self.queue();
        let epoch = queue.epoch;
        queue.tasks.push_back((epoch, task));
    }

    /// Closes the open epoch and opens the next; the one that is closed.
    pub(super) fn close_epoch(&self) -> Time {
        let mut queue = self.queue();
        queue.epoch += 1;
        queue.epoch - 1
    }

    /// Nothing more comes.
    pub(super) fn end(&self) {
        self.queue().ended = true;
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed for PushFeed {
    fn next(&self) -> Turn {
        let mut queue = self.queue();
        match queue.tasks.pop_front() {
            Some((epoch, task)) => Turn::Task(epoch, task),
            None if queue.ended => Turn::End,
            None => Turn::Wait(queue.epoch),
        }
    }
}
