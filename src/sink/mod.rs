//! Changes out: views followed to files, HTTP servers and standard output.
//!
//! Snapshots flow in from the [`Catalog`]; rows flow out. Each sink has a thread of its own, which
//! keeps no queue: per view it remembers up to which epoch it has handed everything out, and when
//! it is free again it takes the net changes from there to the latest snapshot in one go. A slow or
//! broken destination makes its sink fall behind and nothing else: the engine does not wait for it,
//! memory does not grow, and nothing is lost, because a [`Cursor`] always knows the way on.
//!
//! In a run, what a sink has handed out adds up to the view at the epoch that its status tells. Every
//! run begins with the whole view.

mod backoff;
mod board;
mod error;
mod file;
mod follow;
mod rows;
mod spec;
mod status;
mod stdout;
mod target;
mod text;
mod wait;
mod webhook;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::catalog::{Catalog, Cursor};
use crate::plan::Output;
use follow::{Follow, Follower, Undelivered};
use rows::ChangeRows;
use stdout::{Print, Printer, Stdout};
use target::Target;
use wait::Stop;

pub use board::Board;
pub use error::SinkError;
pub use spec::{
    ALL_VIEWS, BodyFormat, DeadLetters, Destination, FileFormat, FileSpec, Headers, Mode, SinkSpec,
    Url, WebhookSpec,
};
pub use status::SinkStatus;

/// What the names of the system's own views begin with.
const SYSTEM_PREFIX: &str = "tillrace.";

/// A sink that is ready: its views exist, its files and folders can be written.
pub struct Sink {
    spec: SinkSpec,
    name: String,
    /// By view: its name, and where it goes.
    targets: Vec<(String, Box<dyn Target>)>,
    status: Arc<SinkStatus>,
    stop: Arc<Stop>,
}

impl Sink {
    /// Checks what a sink needs, before anything runs: `views` are those of the plan, or of any
    /// snapshot.
    ///
    /// # Errors
    ///
    /// If a view is not there or does not fit, or a file or folder cannot be written.
    pub fn open<'a>(
        spec: SinkSpec,
        views: impl IntoIterator<Item = &'a Output>,
    ) -> Result<Sink, SinkError> {
        Sink::open_onto(spec, views, io::stdout())
    }

    /// Does the same, with something that stands for standard output.
    ///
    /// # Errors
    ///
    /// As for [`Sink::open`].
    pub fn open_onto<'a>(
        spec: SinkSpec,
        views: impl IntoIterator<Item = &'a Output>,
        stdout: impl Write + Send + 'static,
    ) -> Result<Sink, SinkError> {
        let name = spec.name();
        let views: Vec<&Output> = views.into_iter().collect();
        let chosen = chosen(&spec, &name, &views)?;
        if let Destination::File(file) = &spec.to
            && chosen.len() > 1
            && !file::has_view(&file.path)
        {
            return Err(SinkError::OneFile { sink: name });
        }
        let printer: Printer = Arc::new(Mutex::new(stdout));
        let mut sink = Sink {
            targets: Vec::with_capacity(chosen.len()),
            name,
            spec,
            status: Arc::default(),
            stop: Arc::default(),
        };
        for output in chosen {
            let target = sink.target(output, &printer)?;
            sink.targets.push((output.view.name.clone(), target));
        }
        Ok(sink)
    }

    fn target(&self, output: &Output, printer: &Printer) -> Result<Box<dyn Target>, SinkError> {
        match &self.spec.to {
            Destination::File(file) => file::open(&self.name, file, output, &self.status),
            Destination::Webhook(webhook) => {
                webhook::open(&self.name, webhook, output, &self.status, &self.stop)
            }
            Destination::Stdout(mode) => Ok(Box::new(Stdout {
                print: match mode {
                    Mode::Changes => Print::Changes(ChangeRows::new(output, true)?),
                    Mode::Snapshot => Print::Snapshot(output.view.name.clone()),
                },
                to: Arc::clone(printer),
                status: Arc::clone(&self.status),
                has_printed: false,
            })),
        }
    }

    /// Follows the views of a catalog from their first row on, on a thread of its own.
    ///
    /// # Errors
    ///
    /// If the catalog does not have the views, or the thread does not start.
    pub fn start(self, catalog: Arc<Catalog>) -> Result<RunningSink, SinkError> {
        let snapshot = catalog.latest();
        let mut followers = Vec::with_capacity(self.targets.len());
        for (view, target) in self.targets {
            let Some(found) = snapshot.view(&view) else {
                let known = snapshot.views().map(|output| output.view.name.as_str());
                return Err(no_view(&self.name, &view, known));
            };
            let cursor = Cursor::at_start(&catalog, found.place());
            followers.push(Follower::new(cursor, target));
        }
        let follow = Follow {
            name: self.name.clone(),
            catalog,
            followers,
            every: self.spec.every,
            status: Arc::clone(&self.status),
            stop: Arc::clone(&self.stop),
        };
        let thread = std::thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || follow.run())
            .map_err(|source| SinkError::Start {
                sink: self.name.clone(),
                source,
            })?;
        Ok(RunningSink {
            name: self.name,
            spec: self.spec,
            status: self.status,
            stop: self.stop,
            thread: Some(thread),
        })
    }
}

/// The views that a sink is to follow.
fn chosen<'a>(
    spec: &SinkSpec,
    name: &str,
    views: &[&'a Output],
) -> Result<Vec<&'a Output>, SinkError> {
    let mut chosen: Vec<&Output> = Vec::new();
    let mut add = |output: &'a Output| {
        let known = |other: &&Output| other.view.name == output.view.name;
        if !chosen.iter().any(known) {
            chosen.push(output);
        }
    };
    for view in &spec.views {
        if view == ALL_VIEWS {
            let own = |output: &&&Output| !output.view.name.starts_with(SYSTEM_PREFIX);
            views.iter().filter(own).for_each(|output| add(output));
            continue;
        }
        let found = views.iter().find(|output| output.view.name == *view);
        let names = views.iter().map(|output| output.view.name.as_str());
        add(found.ok_or_else(|| no_view(name, view, names))?);
    }
    Ok(chosen)
}

fn no_view<'a>(sink: &str, view: &str, known: impl Iterator<Item = &'a str>) -> SinkError {
    SinkError::NoView {
        sink: sink.to_owned(),
        view: view.to_owned(),
        known: known.collect::<Vec<_>>().join(", "),
    }
}

/// A sink at work. Let go without [`RunningSink::stop`], it stops by itself and nobody waits for it.
pub struct RunningSink {
    name: String,
    spec: SinkSpec,
    status: Arc<SinkStatus>,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<Result<(), Undelivered>>>,
}

impl RunningSink {
    /// What the sink is called: its views and where they go, without options.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it does.
    pub fn spec(&self) -> &SinkSpec {
        &self.spec
    }

    /// How it does.
    pub fn status(&self) -> &Arc<SinkStatus> {
        &self.status
    }

    /// Asks it to hand out what there is and to end, without waiting for it: of several sinks, ask
    /// all before you wait for each with [`RunningSink::stop`].
    pub fn ask_to_stop(&self) {
        self.stop.ask(self.spec.stop_within);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Hands out everything up to the latest snapshot and ends; in not much more time than the spec
    /// allows. Files are whole and on the disk then.
    ///
    /// # Errors
    ///
    /// If not everything could be handed out in that time, or the thread panicked.
    pub fn stop(mut self) -> Result<(), SinkError> {
        self.ask_to_stop();
        let sink = self.name.clone();
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(undelivered))) => Err(SinkError::Undelivered {
                sink,
                delivered: self.status.delivered_epoch(),
                latest: undelivered.latest,
                reason: undelivered.reason,
            }),
            Some(Err(_)) => Err(SinkError::Panicked { sink }),
        }
    }
}

impl Drop for RunningSink {
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}

/// Opens a sink on a catalog's views and starts it.
///
/// # Errors
///
/// As for [`Sink::open`] and [`Sink::start`].
pub fn start(spec: SinkSpec, catalog: Arc<Catalog>) -> Result<RunningSink, SinkError> {
    let snapshot = catalog.latest();
    Sink::open(spec, snapshot.views())?.start(catalog)
}
