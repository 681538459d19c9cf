//! Why a sink cannot be had, or did not hand everything out.

use std::io;
use std::path::PathBuf;

/// Why a sink cannot be had, or did not hand everything out. `sink` is always what the user called
/// it, without its options, which may be secret.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// There is no view or no location.
    #[error(
        "{text:?} is not a sink: write view=location, such as sales=out/sales.jsonl, \
         sales=https://example.org/hook or sales=stdout:"
    )]
    NotASink {
        /// What was written.
        text: String,
    },
    /// There is no sink of this kind.
    #[error(
        "sink \"{sink}\" goes to {scheme:?}, which is none that there is: a path, \
         http://, https:// and stdout:"
    )]
    UnknownScheme {
        /// The sink.
        sink: String,
        /// What stands before the colon.
        scheme: String,
    },
    /// An option that a sink of this kind does not have.
    #[error("sink \"{sink}\" has no option {option:?}: it has {known}")]
    UnknownOption {
        /// The sink.
        sink: String,
        /// The option's name.
        option: String,
        /// Those that there are.
        known: String,
    },
    /// A value that an option cannot have.
    #[error("option {option:?} of sink \"{sink}\" is {value:?}: it must be {expected}")]
    BadOption {
        /// The sink.
        sink: String,
        /// The option's name.
        option: String,
        /// The value; three points if it may be secret.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// There is no such view.
    #[error("there is no view \"{view}\" for sink \"{sink}\": there are {known}")]
    NoView {
        /// The sink.
        sink: String,
        /// The view that was named.
        view: String,
        /// Those that there are.
        known: String,
    },
    /// Several views would be written to one file.
    #[error(
        "sink \"{sink}\" has several views and one file: write {{view}} where the view's name \
         shall stand in the path, or end the path in / for a file a view"
    )]
    OneFile {
        /// The sink.
        sink: String,
    },
    /// A view has a column of a name that changes need.
    #[error(
        "view \"{view}\" has a column \"{column}\", which is what a sink calls {meaning}: rename it"
    )]
    ReservedColumn {
        /// The view.
        view: String,
        /// The column.
        column: &'static str,
        /// What the sink puts there.
        meaning: &'static str,
    },
    /// The format cannot hold a view's columns.
    #[error("sink \"{sink}\" cannot hold the columns of view \"{view}\"")]
    Columns {
        /// The sink.
        sink: String,
        /// The view.
        view: String,
        /// Why.
        source: io::Error,
    },
    /// A file or folder cannot be written.
    #[error("could not open sink \"{sink}\" at {path:?}")]
    Open {
        /// The sink.
        sink: String,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The thread did not start.
    #[error("could not start sink \"{sink}\"")]
    Start {
        /// The sink.
        sink: String,
        /// Why.
        source: io::Error,
    },
    /// Not all was handed out in the time that there was.
    #[error("sink \"{sink}\" stopped at epoch {delivered} of {latest}: {reason}")]
    Undelivered {
        /// The sink.
        sink: String,
        /// The epoch up to which everything has been handed out.
        delivered: u64,
        /// The epoch up to which everything should have been.
        latest: u64,
        /// What was in the way.
        reason: String,
    },
    /// The sink's thread panicked.
    #[error("sink \"{sink}\" panicked")]
    Panicked {
        /// The sink.
        sink: String,
    },
}
