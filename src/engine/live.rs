//! A plan at work on inputs that never end, for as long as it takes.
//!
//! Files that end and live sources flow in; a [`Catalog`] flows out, with a snapshot an epoch. The
//! wall clock closes epochs (see `clock`). The engine stops in order: files and sources first, then
//! what waits in queues is taken, published, and the workers end.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use arrow::array::RecordBatch;

use super::change::Changes;
use super::clock::{Clock, Knobs, Pace, Setting, Ticks};
use super::error::EngineError;
use super::intake::Intake;
use super::ledger::Ledger;
use super::live_feed::LiveFeed;
use super::live_source::LiveSource;
use super::now::Now;
use super::operators::NodeReport;
use super::program::Program;
use super::report::{InputKind, Report};
use super::wanted::Wanted;
use super::write::Write;
use super::{Config, Feed, Run, Shared, wake_all};
use crate::calendar::{now_ms, now_ns};
use crate::catalog::{Catalog, Keep};
use crate::delta::Diff;
use crate::plan::{Input, Plan, Relation};
use crate::source::live::{LiveInput, Outlet, queue};
use crate::source::{Blocks, Format, OpenInput};

/// How a live run is done.
#[derive(Debug, Clone)]
pub struct LiveConfig {
    /// Workers and the like.
    pub engine: Config,
    /// How long epochs are.
    pub ticks: Ticks,
    /// How much of the past readers can ask for.
    pub keep: Keep,
    /// While the process uses more memory than this, in bytes, nothing more is taken and senders
    /// wait.
    pub memory_limit: Option<u64>,
}

/// What a live run reads.
#[derive(Default)]
pub struct Wiring {
    /// Files that are read to their end, first.
    pub history: Option<Arc<Blocks>>,
    /// Sources that go on.
    pub live: Vec<LiveInput>,
}

/// A plan at work on inputs that never end.
pub struct Live {
    plan: Arc<Plan>,
    pub(super) feed: Arc<LiveFeed>,
    catalog: Arc<Catalog>,
    pub(super) shared: Arc<Shared>,
    pub(super) config: LiveConfig,
    pub(super) knobs: Knobs,
    started_ms: u64,
    /// All tables and views by now.
    pub(super) program: ArcSwap<Program>,
    pub(super) changes: Changes,
    pub(super) wake: Arc<dyn Fn() + Send + Sync>,
    threads: Mutex<Threads>,
    /// What has been opened by [`Live::outlet`], with the queue of each.
    pushed: Mutex<Vec<(String, Format, Outlet)>>,
}

struct Threads {
    run: Option<Run>,
    clock: Option<JoinHandle<()>>,
    sources: Vec<SourceThread>,
}

/// A source at work, and what it is the source of.
struct SourceThread {
    table: String,
    location: String,
    thread: JoinHandle<()>,
}

impl Live {
    /// Starts the workers, the clock and the sources.
    ///
    /// # Errors
    ///
    /// If the plan cannot be rendered, an input does not fit its table, or a thread cannot start.
    pub fn start(
        plan: Arc<Plan>,
        config: LiveConfig,
        wiring: Wiring,
    ) -> Result<Arc<Live>, EngineError> {
        let feed = Arc::new(LiveFeed::new(wiring.history.clone()));
        let shared_feed: Arc<dyn Feed> = feed.clone();
        let (mut shared, catalog) = Shared::live(&plan, shared_feed, &config.engine, config.keep)?;
        let history = wiring.history.iter().flat_map(|blocks| blocks.inputs());
        let live = wiring.live.iter().map(|live| &live.input);
        shared.check_inputs(history.chain(live))?;
        shared.now = Now::Wall { started: now_ns() };
        let shared = Arc::new(shared);
        let run = Run::start(Arc::clone(&shared))?;
        let wake = wake_all(run.threads());
        let knobs = Knobs::new(Setting {
            ticks: ticks(&plan, config.ticks),
            memory_limit: config.memory_limit,
        });
        feed.set_pace(Pace {
            knobs: knobs.clone(),
            status: Arc::clone(&shared.status),
            wake: Arc::clone(&wake),
        });
        let clock = Clock {
            feed: Arc::clone(&feed),
            status: Arc::clone(&shared.status),
            knobs: knobs.clone(),
            wake_workers: Arc::clone(&wake),
        };
        let started = clock.start();
        let clock = started.map_err(|error| EngineError::Start(error.to_string()))?;
        feed.set_clock(clock.thread().clone());
        let of_epochs = Arc::downgrade(&feed);
        shared.status.set_told(Box::new(move || {
            if let Some(feed) = of_epochs.upgrade() {
                feed.note_published();
            }
        }));
        let live = Live {
            program: ArcSwap::from_pointee(Program::of(&plan)),
            changes: Changes::default(),
            plan,
            feed,
            catalog,
            shared,
            config,
            knobs,
            started_ms: now_ms(),
            wake,
            threads: Mutex::new(Threads {
                run: Some(run),
                clock: Some(clock),
                sources: Vec::new(),
            }),
            pushed: Mutex::default(),
        };
        for input in wiring.live {
            live.run_source(input)?;
        }
        Ok(Arc::new(live))
    }

    /// Adds an input while the run goes on.
    ///
    /// # Errors
    ///
    /// If it does not fit its table, or no thread starts.
    pub fn connect(&self, input: LiveInput) -> Result<(), EngineError> {
        self.shared.check_inputs([&input.input].into_iter())?;
        self.run_source(input)
    }

    /// Ends the inputs of a table from a location, as [`InputReport`](super::InputReport) names
    /// it, and waits until they have let go of ports and files. What they handed over is still
    /// taken.
    pub fn disconnect(&self, table: &str, location: &str) {
        self.feed.close(table, location);
        let ended: Vec<SourceThread> = {
            let mut threads = self.threads();
            let all = std::mem::take(&mut threads.sources).into_iter();
            let (ended, stay) =
                all.partition(|source| source.table == table && source.location == location);
            threads.sources = stay;
            ended
        };
        for source in ended {
            if source.thread.join().is_err() {
                tracing::error!(table, location, "a source panicked");
            }
        }
    }

    /// Starts a source on a thread of its own.
    fn run_source(&self, LiveInput { input, source }: LiveInput) -> Result<(), EngineError> {
        let table = input.spec.table.clone();
        let location = input.spec.location.clone();
        let shown = location.clone();
        let outlet = self.add(input, InputKind::Live);
        let thread = std::thread::Builder::new()
            .name(location.chars().take(15).collect())
            .spawn(move || {
                if let Err(error) = source.run(&outlet) {
                    tracing::error!(location = %shown, %error, "a source has ended");
                    outlet.status().note_fault(error.to_string());
                }
            });
        let thread = thread.map_err(|error| EngineError::Start(error.to_string()))?;
        self.threads().sources.push(SourceThread {
            table,
            location,
            thread,
        });
        Ok(())
    }

    fn add(&self, input: OpenInput, kind: InputKind) -> Outlet {
        let (outlet, inlet) = queue(Arc::clone(&self.wake));
        let waits_for = self.waits_for(&input.spec.table);
        self.feed.add(LiveSource {
            input: Arc::new(input),
            inlet,
            next: None,
            counts: Arc::default(),
            kind,
            waits_for,
            ended: false,
        });
        outlet
    }

    /// The history inputs of a table, where a later record wins over those before it.
    fn waits_for(&self, table: &str) -> Vec<usize> {
        let at = self.shared.tables.get(table);
        let has_identity = at
            .is_some_and(|at| !at.table.primary_key.is_empty() || at.table.options.dedup.is_some());
        match has_identity {
            true => self.feed.history_of(table),
            false => Vec::new(),
        }
    }

    /// Writes rows into a table, all in one epoch, which `told` is told by a worker. The batch has
    /// all of the table's columns. Without diffs rows are added as records are: a primary key
    /// replaces, dedup drops what is there. With diffs they are exact, but for a primary key,
    /// whose row is taken back by any row with that key and a negative diff; later rows win.
    ///
    /// # Errors
    /// If there is no such table, its columns are others, or the engine stops.
    pub fn write(
        &self,
        table: &str,
        batch: &RecordBatch,
        diffs: Option<Vec<Diff>>,
        told: impl FnOnce(u64) + Send + 'static,
    ) -> Result<(), EngineError> {
        let unknown = || EngineError::NoTable(table.to_owned());
        let at = self.shared.tables.get(table).ok_or_else(unknown)?;
        let columns = batch.columns().iter().map(|column| column.data_type());
        let wanted = at.table.columns.iter().map(|column| &column.data_type);
        let rows = diffs.as_ref().map_or(batch.num_rows(), Vec::len);
        if !columns.eq(wanted) || rows != batch.num_rows() {
            return Err(EngineError::WrongColumns(table.to_owned()));
        }
        let Some(input) = at.input else {
            told(self.catalog.latest().epoch());
            return Ok(());
        };
        let is_taken = self.feed.write(Write {
            input,
            batch: batch.project(&at.columns)?,
            diffs: diffs.map(Into::into),
            waits_for: self.waits_for(table),
            told: Box::new(told),
        });
        (self.wake)();
        match is_taken {
            true => Ok(()),
            false => Err(EngineError::Stopping),
        }
    }

    /// Has epochs close soon, as if they held records, for as long as what is returned is held.
    pub fn want_epochs(&self) -> impl Drop + Send + '_ {
        Wanted::new(&self.feed)
    }

    /// Ends what hands over records of a table.
    pub(super) fn close_outlets(&self, table: &str) {
        self.feed.close_table(table);
        let mut pushed = self.pushed.lock().unwrap_or_else(PoisonError::into_inner);
        pushed.retain(|(of, _, _)| of != table);
    }

    /// Where a program hands over records of a table; `name` is that of the input in
    /// `tillrace.inputs`. Asked again for the same table and format, it is the same queue.
    ///
    /// # Errors
    ///
    /// If there is no such table, or the format cannot hold it.
    pub fn outlet(&self, name: &str, table: &str, format: &Format) -> Result<Outlet, EngineError> {
        if self.shared.tables.get(table).is_none() {
            return Err(EngineError::NoTable(table.to_owned()));
        }
        let mut pushed = self.pushed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = pushed.iter();
        if let Some((_, _, outlet)) = known.find(|(of, f, _)| of == table && f == format) {
            return Ok(outlet.clone());
        }
        let input = OpenInput::pushed(name, table, format.clone());
        Intake::new(&self.shared.tables, &input, self.config.engine.read_time)
            .map_err(|error| EngineError::Inputs(vec![error]))?;
        let outlet = self.add(input, InputKind::Pushed);
        pushed.push((table.to_owned(), format.clone(), outlet.clone()));
        Ok(outlet)
    }

    /// Takes over other ticks and another limit of memory, from the next epoch on.
    pub fn turn(&self, ticks: Ticks, memory_limit: Option<u64>) {
        self.knobs.set(Setting {
            ticks: self::ticks(&self.plan, ticks),
            memory_limit,
        });
    }

    /// The records that it has taken, if it keeps them.
    pub fn ledger(&self) -> Option<&Arc<Ledger>> {
        self.shared.ledger.as_ref()
    }

    /// How it was set up at its start.
    pub fn config(&self) -> &LiveConfig {
        &self.config
    }

    /// What the engine was started with.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// What the views answer.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// How much memory the process may use, in bytes, if that is limited.
    pub fn memory_limit(&self) -> Option<u64> {
        self.knobs.get().memory_limit
    }

    /// What each node of the plan has done so far, in order.
    pub fn operators(&self) -> Vec<NodeReport> {
        self.shared.report_operators()
    }

    /// How the run goes.
    pub fn report(&self) -> Report {
        let (open_epoch, state, held_ms) = self.feed.progress();
        let published_epoch = self.catalog.latest().epoch();
        Report {
            state,
            started_ms: i64::try_from(self.started_ms).unwrap_or(i64::MAX),
            workers: self.shared.config.workers.max(1),
            open_epoch,
            published_epoch,
            epochs: self.shared.status.epochs(),
            frontier_age_ms: held_ms,
            inputs: self.feed.inputs(),
        }
    }

    /// Stops in order: sources end, what they handed over is published, workers end. Outlets that
    /// others hold take nothing any more; whoever serves them must be done before.
    ///
    /// # Errors
    ///
    /// If a worker has died.
    pub fn stop(&self) -> Result<(), EngineError> {
        self.changes.stop();
        self.feed.stop_reading();
        let (run, clock, sources) = {
            let mut threads = self.threads();
            let sources = std::mem::take(&mut threads.sources);
            (threads.run.take(), threads.clock.take(), sources)
        };
        for source in sources {
            source
                .thread
                .join()
                .map_err(|_| died("a source panicked"))?;
        }
        self.feed.drain();
        (self.wake)();
        if let Some(run) = run {
            run.join()?;
            self.shared.status.wait_for_end()?;
        }
        if let Some(clock) = clock {
            clock.join().map_err(|_| died("the clock panicked"))?;
        }
        Ok(())
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What runs is stopped, so that no thread is left behind.
impl Drop for Live {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "a run did not stop as it should");
        }
    }
}

/// How long an epoch without records is at most where views move with the clock.
const IDLE_BY_THE_CLOCK: Duration = Duration::from_millis(250);

/// How long epochs are: where views ask for the clock, it goes on without records as well.
fn ticks(plan: &Plan, ticks: Ticks) -> Ticks {
    let asks = |input: &Input| input.relation == Relation::Clock;
    match plan.inputs.iter().any(asks) {
        true => Ticks {
            idle: ticks.idle.min(IDLE_BY_THE_CLOCK),
            ..ticks
        },
        false => ticks,
    }
}

fn died(what: &str) -> EngineError {
    EngineError::Worker(what.to_owned())
}
