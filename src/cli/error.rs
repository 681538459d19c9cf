//! What can go wrong in a run of the command line.

use std::io;
use std::path::PathBuf;

use arrow::error::ArrowError;

use crate::backtest::BacktestError;
use crate::engine::EngineError;
use crate::oracle::OracleError;
use crate::script::{Faults, LoadError};
use crate::serve::ServeError;
use crate::sink::SinkError;
use crate::source::generate::GenerateError;
use crate::source::{SourceError, SourceErrors};
use crate::why::WhyError;
use crate::wiring::WiringError;

/// Why a subcommand failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The scripts could not be read or are wrong.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The scripts cannot be planned.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// Inputs could not be opened.
    #[error(transparent)]
    Source(#[from] SourceErrors),
    /// The run failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Traffic could not be generated.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// Nothing could be tried on history.
    #[error(transparent)]
    Backtest(#[from] BacktestError),
    /// A row could not be explained.
    #[error(transparent)]
    Why(#[from] WhyError),
    /// The answers could not be verified.
    #[error(transparent)]
    Oracle(#[from] OracleError),
    /// A server cannot be asked.
    #[error(transparent)]
    Client(#[from] super::sql::ClientError),
    /// The terminal cannot be read.
    #[error("could not read the terminal")]
    Terminal(#[source] rustyline::error::ReadlineError),
    /// Statements cannot be read.
    #[error("could not read statements")]
    ReadStatements(#[source] io::Error),
    /// A file cannot be read.
    #[error("could not read {path:?}")]
    ReadFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An answer holds values that cannot be shown.
    #[error("could not show the rows of \"{view}\"")]
    Show {
        /// Whose rows.
        view: String,
        /// Why.
        source: ArrowError,
    },
    /// A name of a view that does not exist.
    #[error("there is no view \"{name}\"{}", did_you_mean(.near))]
    UnknownView {
        /// What was asked for.
        name: String,
        /// A view with a name like it.
        near: Option<String>,
    },
    /// An input for a table that does not exist.
    #[error("there is no table \"{name}\" for the input \"{location}\"{}", did_you_mean(.near))]
    UnknownTable {
        /// What was asked for.
        name: String,
        /// What was to be read into it.
        location: String,
        /// A table with a name like it.
        near: Option<String>,
    },
    /// Nothing to read was named.
    #[error("no inputs: name at least one with --input table=path, or a list with --inputs FILE")]
    NoInputs,
    /// A list of inputs could not be read.
    #[error("could not read the list of inputs {path:?}")]
    ReadInputs {
        /// The list.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line in a list of inputs is wrong.
    #[error("{}:{line}", path.display())]
    InputLine {
        /// The list.
        path: PathBuf,
        /// The line, from one.
        line: usize,
        /// What is wrong with it.
        source: Box<SourceError>,
    },
    /// The folders of the samples are not where the program was started.
    #[error(
        "found no {missing:?} here: without a subcommand, tillrace replays the samples and must be \
         started from the top of its source tree\n\
         to read files of your own: tillrace replay SCRIPTS --input table=path (see tillrace --help)"
    )]
    NoSamples {
        /// What was looked for.
        missing: PathBuf,
    },
    /// A file or folder could not be written.
    #[error("could not write {path:?}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The wiring file could not be read or is wrong.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// A sink could not be opened.
    #[error(transparent)]
    Sink(Box<SinkError>),
    /// The server could not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A filter of the log that cannot be read.
    #[error("--log {filter}: {reason}")]
    LogFilter {
        /// The filter.
        filter: String,
        /// Why.
        reason: String,
    },
    /// No handler for signals could be installed.
    #[error("could not listen for signals")]
    Signals(#[source] io::Error),
    /// Arguments that do not go together.
    #[error("{0}")]
    Usage(&'static str),
    /// Standard output could not be written.
    #[error("could not write to standard output")]
    Print(#[from] io::Error),
    /// No handler for Ctrl-C could be installed.
    #[error("could not listen for Ctrl-C")]
    Interrupt(#[from] ctrlc::Error),
}

impl From<SinkError> for Error {
    fn from(error: SinkError) -> Self {
        Error::Sink(Box::new(error))
    }
}

impl Error {
    /// The exit status: 2 for a command line that cannot be meant, 1 for a run that failed.
    pub fn status(&self) -> u8 {
        match self {
            Error::Usage(_) | Error::NoInputs => 2,
            _ => 1,
        }
    }
}

fn did_you_mean(near: &Option<String>) -> String {
    near.as_ref()
        .map_or_else(String::new, |name| format!("; did you mean \"{name}\"?"))
}
