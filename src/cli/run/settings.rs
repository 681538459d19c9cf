//! What a run is to do: the wiring file and the command line, which has the last word.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Arguments, DEFAULT_LISTEN, EngineArguments, ServerArguments};
use crate::cli::program::{self, DEFAULT_SCRIPTS};
use crate::cli::{Error, inputs, replay};
use crate::engine::{Config, LiveConfig, Ticks, chain};
use crate::plan::Plan;
use crate::script::{self, Fault, Faults, Origin, Sources};
use crate::serve::{ServeConfig, TlsFiles, Token};
use crate::sink::{ALL_VIEWS, SinkSpec};
use crate::source::InputSpec;
use crate::wiring::{self, Wire, Wiring};

/// How many rejects of an input are kept, if nothing else is said.
const DEFAULT_REJECTS: usize = 10_000;

/// A sink as it was said, and what that means.
pub type NamedSink = (String, SinkSpec);

/// What a run is to do, checked as far as it can be without opening anything.
pub struct Settings {
    /// The wiring file, if there is one.
    pub wiring: Option<PathBuf>,
    /// What is computed.
    pub plan: Arc<Plan>,
    /// How.
    pub config: LiveConfig,
    /// What is read, in order.
    pub inputs: Vec<InputSpec>,
    /// Where answers go: as it was said, and what it means.
    pub sinks: Vec<NamedSink>,
    /// Where they are served, if anywhere.
    pub serve: Option<ServeConfig>,
}

impl Settings {
    /// Reads the wiring file, if there is one, and the scripts.
    ///
    /// # Errors
    /// With every fault of whichever of them is wrong first.
    pub fn gather(arguments: &Arguments) -> Result<Settings, Error> {
        let Arguments {
            paths,
            inputs,
            engine,
            server,
            ..
        } = arguments;
        let mut settings = Settings::of_parts(paths, inputs, engine, server)?;
        for text in &arguments.sink {
            let sink = (text.clone(), SinkSpec::parse(text)?);
            settings.sinks.push(sink);
        }
        Ok(settings)
    }

    /// The same from what a command line has of it; sinks are those of the wiring file.
    ///
    /// # Errors
    /// With every fault of whichever of them is wrong first.
    pub fn of_parts(
        paths: &[PathBuf],
        named: &inputs::Inputs,
        engine: &EngineArguments,
        server: &ServerArguments,
    ) -> Result<Settings, Error> {
        let (file, scripts) = split_paths(paths)?;
        let wiring = match &file {
            Some(file) => wiring::load(file)?,
            None => Wiring::default(),
        };
        let scripts = match (scripts.is_empty(), wiring.scripts.is_empty()) {
            (false, _) => scripts,
            (true, false) => wiring.scripts.clone(),
            (true, true) => vec![PathBuf::from(DEFAULT_SCRIPTS)],
        };
        let script = script::load(&scripts)?;
        let serve = serve_config(server, &wiring);
        let plan = program::plan_to_run(script, serve.is_some())?;
        let (mut inputs, sinks) = match &file {
            Some(file) => read_wires(file, &wiring, &plan)?,
            None => (Vec::new(), Vec::new()),
        };
        let mut named = named.specs()?;
        inputs::check_tables(&mut named, &plan.script)?;
        inputs.extend(named);
        Ok(Settings {
            config: live_config(engine, &wiring),
            serve,
            wiring: file,
            plan,
            inputs,
            sinks,
        })
    }
}

/// The wiring file and the scripts among what was named.
fn split_paths(paths: &[PathBuf]) -> Result<(Option<PathBuf>, Vec<PathBuf>), Error> {
    let is_wiring = |path: &&PathBuf| path.extension().is_some_and(|end| end == "toml");
    let (files, scripts): (Vec<&PathBuf>, Vec<&PathBuf>) = paths.iter().partition(is_wiring);
    let default = Path::new(wiring::DEFAULT_FILE);
    match files.as_slice() {
        [] if paths.is_empty() && default.exists() => Ok((Some(default.to_owned()), Vec::new())),
        [] => Ok((None, scripts.into_iter().cloned().collect())),
        [file] => Ok((
            Some((*file).clone()),
            scripts.into_iter().cloned().collect(),
        )),
        _ => Err(Error::Usage("one wiring file is read, not several")),
    }
}

/// The inputs and sinks of a wiring file, or every fault of them by its line.
fn read_wires(
    file: &Path,
    wiring: &Wiring,
    plan: &Plan,
) -> Result<(Vec<InputSpec>, Vec<NamedSink>), Error> {
    let mut faults: Vec<Fault> = Vec::new();
    let mut inputs = Vec::new();
    for Wire { text, origin } in &wiring.inputs {
        let mut spec = match InputSpec::parse(text) {
            Ok(spec) => vec![spec],
            Err(error) => {
                faults.push(fault(origin, error.to_string()));
                continue;
            }
        };
        match inputs::check_tables(&mut spec, &plan.script) {
            Ok(()) => inputs.append(&mut spec),
            Err(error) => faults.push(fault(origin, error.to_string())),
        }
    }
    let mut sinks = Vec::new();
    for Wire { text, origin } in &wiring.sinks {
        match SinkSpec::parse(text) {
            Ok(sink) => {
                let unknown = unknown_views(&sink, plan);
                faults.extend(unknown.into_iter().map(|message| fault(origin, message)));
                sinks.push((text.clone(), sink));
            }
            Err(error) => faults.push(fault(origin, chain(&error))),
        }
    }
    if faults.is_empty() {
        return Ok((inputs, sinks));
    }
    let mut sources = Sources::default();
    let text = std::fs::read_to_string(file).unwrap_or_default();
    sources.insert(file.to_owned(), text);
    Err(Faults::new(faults, Arc::new(sources)).into())
}

/// What is wrong with the views that a sink is to follow.
fn unknown_views(sink: &SinkSpec, plan: &Plan) -> Vec<String> {
    let known = || plan.views().map(|output| output.view.name.as_str());
    let named = sink.views.iter().map(String::as_str);
    let unknown = named.filter(|view| *view != ALL_VIEWS && !known().any(|name| name == *view));
    let messages = unknown.map(|view| {
        let near = script::near(view, known().collect::<Vec<_>>());
        let hint = near.map_or(String::new(), |near| format!("; did you mean \"{near}\"?"));
        format!(
            "there is no view \"{view}\" for sink \"{}\"{hint}",
            sink.name()
        )
    });
    messages.collect()
}

fn fault(origin: &Origin, message: String) -> Fault {
    Fault {
        origin: origin.clone(),
        length: 1,
        message,
        help: None,
    }
}

/// How the engine runs.
pub fn live_config(arguments: &EngineArguments, wiring: &Wiring) -> LiveConfig {
    let workers = arguments.workers.map(|workers| workers.get());
    let tick = arguments
        .tick
        .map(|tick| Duration::from_millis(tick.get() as u64));
    let mut ticks = Ticks::default();
    if let Some(tick) = tick.or(wiring.engine.tick) {
        ticks.busy = tick;
        ticks.catching_up = ticks.catching_up.max(tick);
        ticks.idle = ticks.idle.max(tick);
    }
    LiveConfig {
        engine: Config {
            workers: workers
                .or(wiring.engine.workers)
                .unwrap_or_else(|| (replay::cores() / 2).max(1)),
            records: wiring.engine.why,
            rejects: Some(wiring.engine.rejects.unwrap_or(DEFAULT_REJECTS)),
            ..Config::default()
        },
        ticks,
        keep: crate::catalog::Keep::default(),
        memory_limit: arguments.memory_limit.or(wiring.engine.memory_limit),
    }
}

/// Where and to whom answers are served, if at all.
pub fn serve_config(arguments: &ServerArguments, wiring: &Wiring) -> Option<ServeConfig> {
    let server = &wiring.server;
    if arguments.no_server || (server.disabled && arguments.listen.is_empty()) {
        return None;
    }
    let mut config = ServeConfig::on(DEFAULT_LISTEN);
    if let Some(listen) = [&arguments.listen, &server.listen]
        .into_iter()
        .find(|listen| !listen.is_empty())
    {
        config.listen = listen.clone();
    }
    let mut pg = [&arguments.pg, &server.pg].into_iter();
    config.pg = pg.find(|pg| !pg.is_empty()).cloned().unwrap_or_default();
    let read = arguments.read_token.iter().chain(&server.read_tokens);
    let write = arguments.write_token.iter().chain(&server.write_tokens);
    config.tokens = read
        .map(|token| Token::new(token, true, false))
        .chain(write.map(|token| Token::new(token, true, true)))
        .collect();
    let named = arguments
        .tls_certificate
        .clone()
        .zip(arguments.tls_key.clone());
    config.tls = named
        .or_else(|| server.tls.clone())
        .map(|(certificate, key)| TlsFiles { certificate, key });
    config.open = arguments.open || server.open;
    config.allowed_origins = server.cors_origins.clone();
    if let Some(bytes) = server.max_body {
        config.limits.body_bytes = bytes;
    }
    Some(config)
}
