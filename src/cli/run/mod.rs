//! `tillrace run`: the same views, for as long as it takes, on what keeps coming.
//!
//! Reads what there is, goes on with what arrives, serves and hands out answers, until a signal
//! asks it to stop. Everything that can be wrong with the command line, the wiring, the scripts, the
//! inputs, the sinks and the ports is found before anything runs.

mod session;
pub(super) mod settings;
mod signals;
mod status_line;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use super::Error;
use super::inputs;
use crate::engine::chain;
use crate::wiring::parse_bytes;
pub(super) use session::Session;
pub(super) use settings::Settings;
use signals::Signal;
pub(super) use signals::Signals;
use status_line::StatusLine;

const EXAMPLES: &str = "\
Examples:
  tillrace run                                         what ./tillrace.toml says
  tillrace run shop.sql -i orders='history/*.jsonl.zst' -i orders=tcp://127.0.0.1:7070
  tillrace run shop.sql -i orders='tail:logs/*.jsonl' --sink sales=out/sales.jsonl
  tillrace run dataflows --listen 127.0.0.1:8000       then curl 127.0.0.1:8000/views
  tillrace run shop.sql --pg 127.0.0.1:5433            then psql -h 127.0.0.1 -p 5433";

/// Where it listens unless told otherwise.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7717);

/// Keep views up to date on live traffic, and serve them
///
/// Files are read to their end first, as history; sources that go on (tail:, tcp://, unix:, ...)
/// are read beside them and from then on. Answers are served over HTTP with a dashboard at /,
/// and handed out to sinks. Ctrl-C or SIGTERM finishes what has been taken and ends; SIGHUP reads
/// the wiring file again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{}\n\n{EXAMPLES}", inputs::HELP))]
pub struct Arguments {
    /// A wiring file (ends in .toml), or SQL files and folders of them [default: tillrace.toml]
    #[arg(value_name = "WIRING|SCRIPTS")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    inputs: inputs::Inputs,

    /// Hands a view's changes out: a file, stdout: or http(s)://... (may be repeated)
    #[arg(short, long = "sink", value_name = "VIEW=TO")]
    sink: Vec<String>,

    #[command(flatten)]
    engine: EngineArguments,

    #[command(flatten)]
    server: ServerArguments,

    #[command(flatten)]
    log: LogArguments,
}

/// How the engine runs.
#[derive(Debug, Clone, Default, Args)]
pub struct EngineArguments {
    /// Threads that do the work [default: half of the cores; the others read, publish and serve]
    #[arg(short, long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,

    /// Closes an epoch that holds records no sooner than this after the one before [default: 2]
    #[arg(long, value_name = "MS")]
    pub tick: Option<NonZeroUsize>,

    /// Takes no more records while the process uses more memory than this, such as 2GB
    #[arg(long, value_name = "BYTES", value_parser = memory)]
    pub memory_limit: Option<u64>,
}

/// Where and to whom it serves.
#[derive(Debug, Clone, Default, Args)]
pub struct ServerArguments {
    /// Serves at this address (may be repeated) [default: 127.0.0.1:7717]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<SocketAddr>,

    /// Speaks the PostgreSQL protocol at this address (may be repeated), such as 127.0.0.1:5433
    #[arg(long, value_name = "ADDRESS")]
    pub pg: Vec<SocketAddr>,

    /// Serves nothing
    #[arg(long, conflicts_with_all = ["listen", "pg"])]
    pub no_server: bool,

    /// A bearer token, or password, that may read; with any token, nobody may ask without one
    #[arg(
        long,
        value_name = "TOKEN",
        env = "TILLRACE_READ_TOKEN",
        hide_env_values = true
    )]
    pub read_token: Vec<String>,

    /// A bearer token, or password, that may read and write
    #[arg(
        long,
        value_name = "TOKEN",
        env = "TILLRACE_WRITE_TOKEN",
        hide_env_values = true
    )]
    pub write_token: Vec<String>,

    /// Lets everybody ask who reaches an address that is not of this machine alone
    #[arg(long)]
    pub open: bool,

    /// Serves TLS with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,

    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
}

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
pub struct LogArguments {
    /// What is logged on standard error: error, warn, info, debug, or a filter such as
    /// tillrace::serve=debug
    #[arg(
        long,
        value_name = "FILTER",
        env = "TILLRACE_LOG",
        default_value = "warn"
    )]
    pub log: String,

    /// How log lines are written
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Writes nothing on standard error but logs and errors
    #[arg(short, long)]
    pub quiet: bool,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// A JSON object a line
    Json,
}

fn memory(text: &str) -> Result<u64, String> {
    let bytes = parse_bytes(text).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| "write a number of bytes, or 512MB, 2GiB".to_owned())
}

/// Runs until a signal asks it to stop.
///
/// # Errors
/// If anything is wrong before it runs, or a worker dies.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    start_log(&arguments.log)?;
    let signals = Signals::listen()?;
    let settings = Settings::gather(arguments)?;
    let reload = |session: &mut Session| {
        let Some(file) = &settings.wiring else {
            tracing::warn!("there is no wiring file to read again");
            return;
        };
        match Settings::gather(arguments) {
            Ok(settings) => session.rewire(&settings),
            Err(error) => {
                let error = chain(&error);
                tracing::error!(file = %file.display(), %error, "the wiring stays as it was");
            }
        }
    };
    let mut session = Session::start(&settings)?;
    if !arguments.log.quiet {
        session.announce();
    }
    follow(&mut session, &signals, arguments.log.quiet, reload)
}

/// Shows how it goes until it is to stop, then stops.
///
/// # Errors
/// If a worker has died.
pub(super) fn follow(
    session: &mut Session,
    signals: &Signals,
    quiet: bool,
    reload: impl Fn(&mut Session),
) -> Result<ExitCode, Error> {
    let mut line = StatusLine::new(quiet);
    loop {
        match signals.wait(Duration::from_secs(1)) {
            Some(Signal::Stop) => break,
            Some(Signal::Reload) => reload(session),
            None => line.show(&session.report()),
        }
    }
    line.clear();
    session.stop()?;
    if !quiet {
        session.summarize();
    }
    Ok(ExitCode::SUCCESS)
}

/// Sends what is logged to standard error.
///
/// # Errors
/// If the filter is none.
pub(super) fn start_log(arguments: &LogArguments) -> Result<(), Error> {
    let filter = EnvFilter::try_new(&arguments.log).map_err(|source| Error::LogFilter {
        filter: arguments.log.clone(),
        reason: source.to_string(),
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // Set already where a program that embeds this has its own.
    let _is_first = match arguments.log_format {
        LogFormat::Text => log.with_ansi(is_terminal()).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    Ok(())
}

fn is_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal()
}
