//! A run from its start to its end: the engine, the server and the sinks, started and stopped in
//! order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::settings::Settings;
use crate::cli::program::is_own;
use crate::cli::{Error, counted};
use crate::engine::{InputKind, Live, Report, RunState, Wiring, chain};
use crate::serve::{ServeConfig, Server};
use crate::sink::{Board, RunningSink, Sink, SinkError};
use crate::source::live::{self, LiveInput, LiveOptions};
use crate::source::{Blocks, InputSpec, OpenOptions, SourceErrors};

/// How often it is looked whether files have been read.
const HISTORY_POLL: Duration = Duration::from_millis(5);

/// A run that goes on.
pub struct Session {
    live: Arc<Live>,
    server: Option<Server>,
    is_tls: bool,
    /// Sinks, as they were named.
    sinks: Vec<(String, RunningSink)>,
    /// The live inputs that run.
    inputs: Vec<Connected>,
    history: Vec<InputSpec>,
    options: LiveOptions,
    /// Where the server finds the sinks.
    board: Board,
    started: Instant,
}

/// A live input that runs.
struct Connected {
    /// As it was named.
    spec: InputSpec,
    /// The location as the engine shows it.
    location: String,
}

impl Connected {
    fn new(spec: InputSpec, input: &LiveInput) -> Connected {
        Connected {
            spec,
            location: input.input.spec.location.clone(),
        }
    }
}

impl Session {
    /// Opens every input, binds every port, and starts.
    ///
    /// # Errors
    /// With every input that cannot be opened, or what else cannot start.
    pub fn start(settings: &Settings) -> Result<Session, Error> {
        let started = Instant::now();
        let options = LiveOptions::default();
        let (inputs, history): (Vec<_>, Vec<_>) = settings
            .inputs
            .iter()
            .cloned()
            .partition(|spec| live::is_live(&spec.location));
        let wiring = open(&history, &inputs, &options)?;
        let inputs = inputs.into_iter().zip(&wiring.live);
        let inputs = inputs.map(|(spec, input)| Connected::new(spec, input));
        let inputs = inputs.collect();
        let views = || settings.plan.views();
        let sinks = settings.sinks.iter().map(|(text, spec)| {
            let opened = Sink::open(spec.clone(), views());
            Ok((text.clone(), opened?))
        });
        let sinks = sinks.collect::<Result<Vec<_>, SinkError>>()?;
        let config = settings.config.clone();
        let live = Live::start(Arc::clone(&settings.plan), config, wiring)?;
        let mut session = Session {
            live,
            server: None,
            is_tls: false,
            sinks: Vec::new(),
            inputs,
            history,
            options,
            board: Board::default(),
            started,
        };
        for (text, sink) in sinks {
            let running = sink.start(Arc::clone(session.live.catalog()))?;
            session.sinks.push((text, running));
        }
        session.show_sinks();
        if let Some(config) = session.serve_config(settings) {
            session.is_tls = config.tls.is_some();
            session.server = Some(Server::start(config, Arc::clone(&session.live))?);
        }
        Ok(session)
    }

    /// The engine.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// How it goes.
    pub fn report(&self) -> Report {
        self.live.report()
    }

    /// Where the page of the views is: a URL for each address that is served.
    pub fn pages(&self) -> Vec<String> {
        let addresses = self.server.iter().flat_map(Server::addresses);
        let scheme = if self.is_tls { "https" } else { "http" };
        addresses
            .map(|address| format!("{scheme}://{address}/"))
            .collect()
    }

    /// Where it speaks the PostgreSQL protocol.
    pub fn pg_addresses(&self) -> &[SocketAddr] {
        self.server.as_ref().map_or(&[], Server::pg_addresses)
    }

    /// Returns when all files have been read and their rows are published.
    ///
    /// # Errors
    /// If a worker dies.
    pub fn wait_for_history(&self) -> Result<(), Error> {
        let mut read_by = None;
        loop {
            let report = self.report();
            if report.state != RunState::CatchingUp {
                let epoch = *read_by.get_or_insert(report.open_epoch);
                if report.published_epoch >= epoch {
                    return Ok(());
                }
            }
            thread::sleep(HISTORY_POLL);
        }
    }

    /// Says on standard error what runs, and where.
    pub fn announce(&self) {
        let plan = self.live.plan();
        let names = plan.views().map(|output| &output.view.name);
        eprintln!(
            "{} over {}, {}",
            counted(names.filter(|name| is_own(name)).count() as u64, "view"),
            counted(plan.script.tables.len() as u64, "table"),
            counted(self.report().workers as u64, "worker"),
        );
        for input in self.report().inputs {
            let kind = match input.kind {
                InputKind::History => "history",
                InputKind::Live | InputKind::Pushed => "live",
            };
            eprintln!("  {kind:<8} {}={}", input.table, input.location);
        }
        for (_, sink) in &self.sinks {
            eprintln!("  sink     {}", sink.name());
        }
        let pages = self.pages();
        if pages.is_empty() {
            eprintln!("  nothing is served");
        }
        for page in pages {
            eprintln!("  page     {page}");
        }
        for address in self.pg_addresses() {
            eprintln!("  pg       {address}");
        }
        eprintln!("running; Ctrl-C finishes and ends");
    }

    /// How answers are served, and that the sinks are among what is told.
    fn serve_config(&self, settings: &Settings) -> Option<ServeConfig> {
        let config = settings.serve.clone()?;
        Some(ServeConfig {
            sinks: self.board.clone(),
            ..config
        })
    }

    fn show_sinks(&self) {
        self.board.show(self.sinks.iter().map(|(_, sink)| sink));
    }

    /// Takes over another wiring: sources and sinks come and go, and so do tokens, limits and ticks;
    /// what cannot change while it runs is named in the log and waits for the next start.
    pub fn rewire(&mut self, settings: &Settings) {
        let (inputs, history): (Vec<_>, Vec<_>) = settings
            .inputs
            .iter()
            .cloned()
            .partition(|spec| live::is_live(&spec.location));
        if history != self.history {
            tracing::warn!("other files of history are read at the next start");
        }
        if settings.plan.script.sources != self.live.plan().script.sources {
            tracing::warn!("other scripts are taken over at the next start");
        }
        let running = std::mem::take(&mut self.inputs).into_iter();
        let (kept, gone): (Vec<_>, Vec<_>) =
            running.partition(|running| inputs.contains(&running.spec));
        self.inputs = kept;
        for Connected { spec, location } in gone {
            self.live.disconnect(&spec.table, &location);
            tracing::info!(table = %spec.table, %location, "input taken out");
        }
        for spec in inputs {
            if !self.inputs.iter().any(|running| running.spec == spec) {
                self.connect(spec);
            }
        }
        self.rewire_sinks(settings);
        self.show_sinks();
        self.retune(settings);
    }

    /// Takes over what can be of the engine's and the server's settings.
    fn retune(&self, settings: &Settings) {
        let wait = |key: &str| tracing::warn!(key, "another value is taken over at the next start");
        let (before, config) = (&self.live.config().engine, &settings.config);
        if before.workers != config.engine.workers {
            wait("engine.workers");
        }
        if before.rejects != config.engine.rejects {
            wait("engine.rejects");
        }
        if before.records != config.engine.records {
            wait("engine.why");
        }
        self.live.turn(config.ticks, config.memory_limit);
        match (&self.server, self.serve_config(settings)) {
            (Some(server), Some(config)) => match server.reconfigure(config) {
                Ok(waits) => waits.iter().for_each(|key| wait(&format!("server.{key}"))),
                Err(error) => {
                    let error = chain(&error);
                    tracing::error!(%error, "the server stays as it was");
                }
            },
            (None, None) => {}
            _ => wait("server.enabled"),
        }
    }

    fn rewire_sinks(&mut self, settings: &Settings) {
        let stays = |text: &String| settings.sinks.iter().any(|(other, _)| other == text);
        let running = std::mem::take(&mut self.sinks);
        let (kept, gone): (Vec<_>, Vec<_>) = running.into_iter().partition(|(text, _)| stays(text));
        self.sinks = kept;
        gone.into_iter().for_each(|(_, sink)| end_sink(sink));
        for (text, spec) in &settings.sinks {
            if self.sinks.iter().any(|(running, _)| running == text) {
                continue;
            }
            let opened = Sink::open(spec.clone(), self.live.plan().views());
            match opened.and_then(|sink| sink.start(Arc::clone(self.live.catalog()))) {
                Ok(running) => self.sinks.push((text.clone(), running)),
                Err(error) => {
                    tracing::error!(sink = %spec.name(), error = %chain(&error), "a sink does not start");
                }
            }
        }
    }

    fn connect(&mut self, spec: InputSpec) {
        let connected = live::open(&spec, &self.options)
            .map_err(|error| chain(&error))
            .and_then(|input| {
                let connected = Connected::new(spec.clone(), &input);
                let outcome = self.live.connect(input);
                outcome.map(|()| connected).map_err(|error| chain(&error))
            });
        match connected {
            Ok(connected) => {
                tracing::info!(table = %spec.table, location = %connected.location, "input added");
                self.inputs.push(connected);
            }
            Err(error) => {
                tracing::error!(table = %spec.table, %error, "an input does not start");
            }
        }
    }

    /// Stops in order: what is pushed first, then the sources, then the workers; sinks hand out
    /// what is left.
    ///
    /// # Errors
    /// If a worker has died.
    pub fn stop(&mut self) -> Result<(), Error> {
        if let Some(server) = self.server.take() {
            server.stop();
        }
        self.live.stop()?;
        let sinks = std::mem::take(&mut self.sinks);
        sinks.iter().for_each(|(_, sink)| sink.ask_to_stop());
        sinks.into_iter().for_each(|(_, sink)| end_sink(sink));
        Ok(())
    }

    /// Says on standard error what came of it.
    pub fn summarize(&self) {
        let report = self.report();
        debug_assert_eq!(report.state, RunState::Stopping);
        let counts = || report.inputs.iter().map(|input| &input.counts);
        let rows: u64 = counts().map(|c| c.rows.load(Ordering::Relaxed)).sum();
        let rejects: u64 = counts().map(|c| c.rejects.load(Ordering::Relaxed)).sum();
        eprintln!(
            "stopped after {:.1} s: {}, {}, {} published, the last is {}",
            self.started.elapsed().as_secs_f64(),
            counted(rows, "event"),
            counted(rejects, "reject"),
            counted(report.epochs, "epoch"),
            report.published_epoch,
        );
    }
}

/// Ends a sink; it hands out first what is left.
fn end_sink(sink: RunningSink) {
    let name = sink.name().to_owned();
    if let Err(error) = sink.stop() {
        tracing::error!(sink = %name, error = %chain(&error), "a sink has not handed out all");
    }
}

/// Opens all inputs.
///
/// # Errors
/// With every one that cannot be opened.
fn open(
    history: &[InputSpec],
    inputs: &[InputSpec],
    options: &LiveOptions,
) -> Result<Wiring, Error> {
    let mut errors = Vec::new();
    let mut live: Vec<LiveInput> = Vec::new();
    for spec in inputs {
        match live::open(spec, options) {
            Ok(input) => live.push(input),
            Err(error) => errors.push(error),
        }
    }
    let blocks = match history {
        [] => None,
        files => match Blocks::open(files, &OpenOptions::default()) {
            Ok(blocks) => Some(Arc::new(blocks)),
            Err(SourceErrors(more)) => {
                errors.extend(more);
                None
            }
        },
    };
    if !errors.is_empty() {
        return Err(SourceErrors(errors).into());
    }
    Ok(Wiring {
        history: blocks,
        live,
    })
}
