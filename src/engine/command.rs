//! What all workers are told, in one order.
//!
//! The engine's handle sends [`Command`]s; every worker performs the same ones in the same order,
//! each in its own time, so that all build the same dataflows in the same order. What is added while
//! the engine runs is a [`Part`]: a plan of its own, a dataflow of its own. It reads what others
//! keep through taps, where a worker hands on its own changes of complete epochs.
//!
//! A part that reads anything is filled first. A tap puts changes by from some epoch on; a snapshot
//! of a later epoch goes in as if all of it had come then, and what was put by follows it.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, Sender, unbounded};

use super::operators::Operators;
use crate::catalog::{RowKey, Shown, Snapshot};
use crate::delta::{Diff, Time};
use crate::plan::Plan;

/// How many different rows of a snapshot a worker takes at once.
const FILL_ROWS: usize = 8_192;

/// Something that every worker does.
#[derive(Clone)]
pub(super) enum Command {
    /// Puts by the changes of some places from now on.
    Tap {
        /// The tap's number.
        tap: usize,
        /// What it reads.
        places: Arc<[usize]>,
        /// Told the epoch from which on nothing is missing.
        reply: Sender<Time>,
    },
    /// Throws away what a tap has put by.
    Untap(usize),
    /// Adds a dataflow.
    Install(Arc<Part>),
    /// Takes a dataflow away; told when it is gone.
    Drop {
        /// The part's number.
        part: usize,
        /// Told.
        reply: Sender<Time>,
    },
}

/// The senders and receivers of commands, one a worker.
pub(super) struct Commands {
    queues: Vec<(Sender<Command>, Receiver<Command>)>,
    /// Held while a command is sent, so that all workers have one order.
    order: Mutex<()>,
}

impl Commands {
    pub(super) fn new(workers: usize) -> Commands {
        Commands {
            queues: (0..workers).map(|_| unbounded()).collect(),
            order: Mutex::new(()),
        }
    }

    /// Tells all workers.
    pub(super) fn send(&self, command: &Command) {
        let _one_order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        for (sender, _) in &self.queues {
            // The receiver is beside it.
            let _is_sent = sender.send(command.clone());
        }
    }

    /// Where a worker finds what it is told.
    pub(super) fn receiver(&self, worker: usize) -> Receiver<Command> {
        self.queues[worker].1.clone()
    }
}

/// A plan that is added to what runs.
pub(super) struct Part {
    /// Its number, which is never another's.
    pub(super) number: usize,
    /// What is computed.
    pub(super) plan: Arc<Plan>,
    /// By output: its place in the catalog, and how its rows are kept there.
    pub(super) outputs: Vec<(usize, Arc<Shown>)>,
    /// Where rows go that an expression fails on.
    pub(super) rejects: usize,
    /// By input of the plan: where its rows come from.
    pub(super) inputs: Vec<From>,
    /// What its nodes do.
    pub(super) operators: Operators,
    /// What is there already of what it reads.
    pub(super) fill: Option<Fill>,
}

/// Where the rows of a part's input come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    /// They are written, as an input of the engine of this number.
    Written(usize),
    /// They are kept at this place.
    Kept(usize),
    /// They are what the clock shows; the number is an input's as well.
    Clock(usize),
}

/// Rows at one epoch, shared out among workers.
pub(super) struct Fill {
    /// The tap that has put by what comes after.
    pub(super) tap: usize,
    /// The epoch.
    pub(super) at: Time,
    snapshot: Arc<Snapshot>,
    /// By input of the plan that is filled: its number, and what it reads.
    sources: Vec<(usize, String)>,
    going: Mutex<Going>,
}

/// How far a fill is.
#[derive(Default)]
struct Going {
    source: usize,
    /// The rows of that source that have not been handed out, the last first.
    left: Option<Vec<(RowKey, Diff)>>,
}

/// Some rows of a fill, and how often each is there.
pub(super) struct Filling {
    /// The input of the plan.
    pub(super) input: usize,
    /// The rows, with all columns of what is read.
    pub(super) rows: RecordBatch,
    /// How often each is there.
    pub(super) counts: Vec<Diff>,
}

impl Fill {
    /// The rows of some relations in a snapshot, each for an input of the plan.
    pub(super) fn new(tap: usize, snapshot: Arc<Snapshot>, sources: Vec<(usize, String)>) -> Fill {
        Fill {
            tap,
            at: snapshot.epoch(),
            snapshot,
            sources,
            going: Mutex::default(),
        }
    }

    /// The next rows for the worker that asks; `None` once all have been handed out.
    pub(super) fn next(&self) -> Option<Filling> {
        let mut going = self.going.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let (input, name) = self.sources.get(going.source)?;
            let view = self.snapshot.view(name);
            let left = going.left.get_or_insert_with(|| {
                let mut rows = view.map_or_else(Vec::new, |view| view.counted());
                rows.reverse();
                rows
            });
            let (Some(view), false) = (view, left.is_empty()) else {
                going.source += 1;
                going.left = None;
                continue;
            };
            let part = left.split_off(left.len().saturating_sub(FILL_ROWS));
            drop(going);
            return Some(Filling {
                input: *input,
                rows: view.decode(&part),
                counts: part.iter().map(|(_, count)| *count).collect(),
            });
        }
    }
}
