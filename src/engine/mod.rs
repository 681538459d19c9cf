//! The handle: a plan on its workers, from the first event to the last answer.
//!
//! A [`Plan`] and events flow in, [`Snapshot`]s flow out. [`replay`] runs a plan over inputs that
//! end and returns the last snapshot; [`Engine`] lets a program push rows and close epochs itself;
//! [`Live`] goes on for as long as its sources do. All drive the same workers (`worker`); they
//! differ only in the `Feed` from which a free worker takes what it does next.

mod added;
mod change;
mod clock;
mod command;
mod config;
mod error;
mod feed;
mod intake;
mod ledger;
mod live;
mod live_feed;
mod live_source;
mod live_state;
pub mod memory;
mod now;
mod operators;
mod program;
mod reading;
mod report;
mod status;
mod tables;
mod wanted;
mod worker;
mod write;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

use arrow::array::RecordBatch;
use timely::{CommunicationConfig, WorkerConfig};

pub use change::PartReport;
pub use clock::Ticks;
pub use config::{Config, Progress};
pub(crate) use error::chain;
pub use error::{ChangeError, EngineError, InputError};
pub use ledger::{Entry, Ledger};
pub use live::{Live, LiveConfig, Wiring};
pub use operators::NodeReport;
pub use program::{Named, Program};
pub use report::{InputCounts, InputKind, InputReport, InputState, Report, RunState};

use crate::catalog::{self, Catalog, Delivery, Keep, Shape, Shards, Snapshot};
use crate::delta::{Diff, Time};
use crate::plan::{Plan, Relation};
use crate::render;
use crate::source::{Block, Blocks, Format, OpenInput};
use command::Commands;
use crossbeam_channel::Sender;
use feed::{Feed, PushFeed, ReplayFeed, Task};
use intake::Intake;
use now::Now;
use operators::Operators;
use status::Status;
use tables::Tables;

/// Runs a plan over inputs that end, and returns what its views answer then.
///
/// # Errors
///
/// If the plan cannot be rendered, an input does not fit its table, or a worker dies.
pub fn replay(
    plan: Arc<Plan>,
    blocks: Arc<Blocks>,
    config: &Config,
    progress: Arc<Progress>,
) -> Result<Arc<Snapshot>, EngineError> {
    let inputs = blocks.inputs().to_vec();
    let feed = ReplayFeed::new(blocks, config.epoch_blocks.max(1), Arc::clone(&progress));
    let shape = Shape::new(&plan)?;
    let shards = Shards::new(Arc::clone(&shape), config.workers.max(1));
    let publishing = Publishing::AtTheEnd(shards);
    let mut shared = Shared::new(plan, Arc::new(feed), shape, publishing, config.clone())?;
    shared.progress = progress;
    shared.check_inputs(inputs.iter())?;
    let run = Run::start(Arc::new(shared))?;
    let (shared, epoch) = run.join()?;
    let shared = Arc::into_inner(shared).expect("the workers are gone");
    match shared.publishing {
        Publishing::AtTheEnd(shards) => Ok(Arc::new(shards.finish(epoch))),
        Publishing::EachEpoch(_) => unreachable!("a replay publishes at its end"),
    }
}

/// Where workers put the changes of complete epochs.
enum Publishing {
    /// Into shards, which are read when all have ended.
    AtTheEnd(Shards),
    /// To the thread that publishes a snapshot an epoch.
    EachEpoch(Sender<Delivery>),
}

/// How many deliveries may wait for the thread that publishes, for each worker.
const WAITING_DELIVERIES: usize = 4;

/// What the workers and their handle share.
struct Shared {
    plan: Arc<Plan>,
    feed: Arc<dyn Feed>,
    /// What the plan's outputs are kept as.
    shape: Arc<Shape>,
    tables: Tables,
    commands: Commands,
    publishing: Publishing,
    config: Config,
    progress: Arc<Progress>,
    status: Arc<Status>,
    /// The records that were taken, where somebody may ask.
    ledger: Option<Arc<Ledger>>,
    /// What nodes do, where somebody may ask.
    operators: Option<Operators>,
    /// Whether rows come from files, which never take one back.
    only_added: bool,
    /// What `now()` is.
    now: Now,
}

impl Shared {
    fn new(
        plan: Arc<Plan>,
        feed: Arc<dyn Feed>,
        shape: Arc<Shape>,
        publishing: Publishing,
        config: Config,
    ) -> Result<Self, EngineError> {
        check_renders(&plan)?;
        let now = Now::of_records(&plan, &config);
        Ok(Shared {
            tables: Tables::of(&plan),
            commands: Commands::new(config.workers.max(1)),
            plan,
            feed,
            shape,
            publishing,
            config,
            progress: Arc::default(),
            status: Arc::default(),
            ledger: None,
            operators: None,
            only_added: true,
            now,
        })
    }

    /// What workers share that publish a snapshot an epoch, and where it is published. The thread
    /// that does so ends when the workers have.
    fn live(
        plan: &Arc<Plan>,
        feed: Arc<dyn Feed>,
        config: &Config,
        keep: Keep,
    ) -> Result<(Self, Arc<Catalog>), EngineError> {
        let shape = Shape::new(plan)?;
        let catalog = Catalog::new(Arc::clone(&shape), keep);
        let workers = config.workers.max(1);
        let (sender, deliveries) = crossbeam_channel::bounded(workers * WAITING_DELIVERIES);
        let publishing = Publishing::EachEpoch(sender);
        let mut shared = Shared::new(Arc::clone(plan), feed, shape, publishing, config.clone())?;
        shared.ledger = config.records.map(|bytes| Arc::new(Ledger::new(bytes)));
        shared.operators = Some(Operators::new(plan, workers));
        let (status, publisher) = (Arc::clone(&shared.status), Arc::clone(&catalog));
        let publish = move || {
            let watch = status.watch();
            catalog::publish(&publisher, workers, &deliveries, |epoch| {
                status.publish(epoch)
            });
            status.end();
            watch.end();
        };
        let thread = std::thread::Builder::new().name("catalog".to_owned());
        let started: std::io::Result<JoinHandle<()>> = thread.spawn(publish);
        started.map_err(|error| EngineError::Start(error.to_string()))?;
        Ok((shared, catalog))
    }

    /// What each node of the plan has done so far; nothing in a replay.
    fn report_operators(&self) -> Vec<NodeReport> {
        let operators = self.operators.as_ref();
        operators.map_or_else(Vec::new, |operators| operators.report(&self.plan))
    }

    /// Whether every input can be decoded, before anything runs.
    fn check_inputs<'a>(
        &self,
        inputs: impl Iterator<Item = &'a OpenInput>,
    ) -> Result<(), EngineError> {
        let faults: Vec<InputError> = inputs
            .filter_map(|input| Intake::new(&self.tables, input, self.config.read_time).err())
            .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(EngineError::Inputs(faults))
        }
    }
}

/// Renders the plan once to no purpose, so that what cannot be rendered is found by the caller
/// and not by every worker.
fn check_renders(plan: &Arc<Plan>) -> Result<(), EngineError> {
    let plan = Arc::clone(plan);
    timely::execute::execute_directly(move |worker| {
        worker.dataflow::<Time, _, _>(|scope| {
            render::render(scope, &plan, (0, 1), false, None, None).map(|_| ())
        })
    })?;
    Ok(())
}

/// Workers at work.
struct Run {
    shared: Arc<Shared>,
    guards: timely::communication::WorkerGuards<Time>,
}

impl Run {
    fn start(shared: Arc<Shared>) -> Result<Self, EngineError> {
        let communication = match shared.config.workers {
            0 | 1 => CommunicationConfig::Thread,
            workers => CommunicationConfig::Process(workers),
        };
        let config = timely::Config {
            communication,
            worker: WorkerConfig::default(),
        };
        let for_workers = Arc::clone(&shared);
        let guards = timely::execute(config, move |worker| worker::work(worker, &for_workers))
            .map_err(EngineError::Start)?;
        Ok(Run { shared, guards })
    }

    /// The workers' threads, to be woken.
    fn threads(&self) -> Vec<Thread> {
        let guards = self.guards.guards().iter();
        guards.map(|guard| guard.thread().clone()).collect()
    }

    /// Waits for the workers to end; the last epoch.
    fn join(self) -> Result<(Arc<Shared>, Time), EngineError> {
        let mut last = 0;
        for epoch in self.guards.join() {
            last = last.max(epoch.map_err(EngineError::Worker)?);
        }
        Ok((self.shared, last))
    }
}

/// Wakes threads that wait for something to do.
fn wake_all(threads: Vec<Thread>) -> Arc<dyn Fn() + Send + Sync> {
    Arc::new(move || threads.iter().for_each(Thread::unpark))
}

/// A plan at work that a program feeds.
pub struct Engine {
    // Dropped before `run`, which waits for the workers.
    hand: Hand,
    run: Run,
    catalog: Arc<Catalog>,
    pushed: Mutex<Pushed>,
}

/// What feeds the workers. They end when it is let go.
struct Hand {
    feed: Arc<PushFeed>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Hand {
    fn wake(&self) {
        (self.wake)();
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.feed.end();
        self.wake();
    }
}

/// What has been pushed so far.
#[derive(Default)]
struct Pushed {
    blocks: u64,
    inputs: Vec<Arc<OpenInput>>,
}

impl Engine {
    /// Starts the workers of a plan.
    ///
    /// # Errors
    ///
    /// If the plan cannot be rendered.
    pub fn start(plan: Arc<Plan>, config: Config) -> Result<Engine, EngineError> {
        let feed = Arc::new(PushFeed::new());
        let shared_feed: Arc<dyn Feed> = feed.clone();
        let (mut shared, catalog) = Shared::live(&plan, shared_feed, &config, Keep::default())?;
        // A program may take rows back, and say what time it is.
        shared.only_added = false;
        if config.as_of.is_none() {
            shared.now = Now::Events;
        }
        let run = Run::start(Arc::new(shared))?;
        let wake = wake_all(run.threads());
        Ok(Engine {
            hand: Hand { feed, wake },
            run,
            catalog,
            pushed: Mutex::default(),
        })
    }

    /// Adds rows to a table. The batch has all of the table's columns, in order.
    ///
    /// # Errors
    ///
    /// If there is no such table, or its columns are others.
    pub fn insert(&self, table: &str, batch: RecordBatch) -> Result<(), EngineError> {
        self.push_rows(table, batch, None)
    }

    /// Adds rows to a table and takes rows back, each as often as its diff says. The table has
    /// neither a primary key nor dedup: those say themselves which rows stand.
    ///
    /// # Errors
    ///
    /// If there is no such table, its columns are others, or it has an identity of its own.
    pub fn update(
        &self,
        table: &str,
        batch: RecordBatch,
        diffs: Vec<Diff>,
    ) -> Result<(), EngineError> {
        self.push_rows(table, batch, Some(diffs))
    }

    fn push_rows(
        &self,
        table: &str,
        batch: RecordBatch,
        diffs: Option<Vec<Diff>>,
    ) -> Result<(), EngineError> {
        let plan = &self.run.shared.plan;
        let (position, found) = plan
            .script
            .table(table)
            .ok_or_else(|| EngineError::NoTable(table.to_owned()))?;
        let fits = batch.num_columns() == found.columns.len()
            && batch
                .columns()
                .iter()
                .zip(&found.columns)
                .all(|(a, b)| *a.data_type() == b.data_type)
            && diffs
                .as_ref()
                .is_none_or(|diffs| diffs.len() == batch.num_rows());
        if !fits {
            return Err(EngineError::WrongColumns(table.to_owned()));
        }
        if diffs.is_some() && (!found.primary_key.is_empty() || found.options.dedup.is_some()) {
            return Err(EngineError::Identified(table.to_owned()));
        }
        let Some(input) = plan
            .inputs
            .iter()
            .position(|input| input.relation == Relation::Table(position))
        else {
            return Ok(());
        };
        let columns = &plan.inputs[input].columns;
        let batch = batch.project(columns)?;
        let mut pushed = self.pushed();
        pushed.blocks += 1;
        let block = pushed.blocks;
        self.hand.feed.push(Task::Rows {
            input,
            batch,
            diffs: diffs.map(Into::into),
            block,
        });
        drop(pushed);
        self.hand.wake();
        Ok(())
    }

    /// Adds records to a table as a file of the given format holds them. `input` names them in
    /// `tillrace.inputs` and `tillrace.rejects`.
    ///
    /// # Errors
    ///
    /// If there is no such table, or the format cannot hold it.
    pub fn ingest(
        &self,
        input: &str,
        table: &str,
        format: &Format,
        text: Vec<u8>,
    ) -> Result<(), EngineError> {
        let shared = &self.run.shared;
        if shared.plan.script.table(table).is_none() {
            return Err(EngineError::NoTable(table.to_owned()));
        }
        let mut pushed = self.pushed();
        let same = |known: &Arc<OpenInput>| {
            known.spec.table == table && known.spec.location == input && known.format == *format
        };
        let number = match pushed.inputs.iter().position(same) {
            Some(number) => number,
            None => {
                let opened = OpenInput::pushed(input, table, format.clone());
                Intake::new(&shared.tables, &opened, shared.config.read_time)
                    .map_err(|error| EngineError::Inputs(vec![error]))?;
                pushed.inputs.push(Arc::new(opened));
                pushed.inputs.len() - 1
            }
        };
        pushed.blocks += 1;
        let block = Block::pushed(number, Arc::new(PathBuf::from(input)), pushed.blocks, text);
        let opened = Arc::clone(&pushed.inputs[number]);
        self.hand.feed.push(Task::of_block(opened, block));
        drop(pushed);
        self.hand.wake();
        Ok(())
    }

    /// Closes the epoch: what has been pushed is in it, and what all views answer then is returned.
    ///
    /// # Errors
    ///
    /// If a worker has died.
    pub fn advance(&self) -> Result<Arc<Snapshot>, EngineError> {
        let pushed = self.pushed();
        let closed = self.hand.feed.close_epoch();
        self.hand.wake();
        self.run.shared.status.wait_for(closed)?;
        let snapshot = self.catalog.latest();
        drop(pushed);
        Ok(snapshot)
    }

    /// Sets `now()` to a time, in nanoseconds since the Unix epoch, unless it is later already, and
    /// closes the epoch as [`Engine::advance`] does. Events move `now()` on too, if their tables say
    /// when they happened.
    ///
    /// # Errors
    ///
    /// If a worker has died.
    pub fn advance_to(&self, now: i64) -> Result<Arc<Snapshot>, EngineError> {
        self.hand.feed.push(Task::Clock { now });
        self.advance()
    }

    /// What is computed.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.run.shared.plan
    }

    /// What each node of the plan has done so far, in order.
    pub fn operators(&self) -> Vec<NodeReport> {
        self.run.shared.report_operators()
    }

    /// What the views answer, from epoch to epoch.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Ends the workers.
    ///
    /// # Errors
    ///
    /// If a worker has died.
    pub fn stop(self) -> Result<(), EngineError> {
        let Engine { hand, run, .. } = self;
        drop(hand);
        run.join().map(|_| ())
    }

    fn pushed(&self) -> std::sync::MutexGuard<'_, Pushed> {
        self.pushed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
