//! Why an engine does not run.

use arrow::error::ArrowError;

use crate::decode::DecodeError;
use crate::render::RenderError;
use crate::script::Faults;

/// Why an engine does not run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The plan has no dataflow.
    #[error("could not render the plan")]
    Render(#[from] RenderError),
    /// A view's columns, or rows that were pushed.
    #[error("could not take rows of these types")]
    Rows(#[from] ArrowError),
    /// Inputs that do not fit their tables: all of them.
    #[error("could not read the inputs: {}", list(.0))]
    Inputs(Vec<InputError>),
    /// The workers did not start.
    #[error("could not start the workers: {0}")]
    Start(String),
    /// A worker died.
    #[error("a worker died: {0}")]
    Worker(String),
    /// The engine stops.
    #[error("the engine stops")]
    Stopping,
    /// There is no such table.
    #[error("there is no table \"{0}\"")]
    NoTable(String),
    /// Rows of other columns than the table's.
    #[error("the rows do not have the columns of table \"{0}\"")]
    WrongColumns(String),
    /// Rows taken back from a table that says itself which rows stand.
    #[error("table \"{0}\" has a key or dedup: its rows cannot be taken back one by one")]
    Identified(String),
}

/// Why nothing is created or dropped.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A name is taken.
    #[error("there is a table or view \"{0}\" already")]
    Exists(String),
    /// There is no table or view of a name.
    #[error("there is no table or view \"{0}\"")]
    Unknown(String),
    /// What was to be dropped is part of the script.
    #[error("\"{0}\" is part of the script that the engine was started with")]
    OfScript(String),
    /// What was to be dropped is read by others.
    #[error("\"{name}\" is read by {}", .by.join(", "))]
    Used {
        /// What.
        name: String,
        /// By which views.
        by: Vec<String>,
    },
    /// A table's rows are not held.
    #[error("the rows of table \"{0}\" are not held, so that nothing new can read them")]
    NotHeld(String),
    /// A view cannot be planned.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// There is not enough memory.
    #[error("it needs more memory than the limit of {limit} bytes leaves")]
    Memory {
        /// The limit of the process, in bytes.
        limit: u64,
    },
    /// The engine stops.
    #[error("the engine stops")]
    Stopping,
    /// The engine cannot run it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Why an input cannot be read into its table.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// There is no such table.
    #[error("there is no table \"{table}\" for input {location}{}", hint(.near))]
    NoTable {
        /// The table that was named.
        table: String,
        /// Where the input is read from.
        location: String,
        /// A table of a like name.
        near: Option<String>,
    },
    /// The input cannot hold the table's columns.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

fn hint(near: &Option<String>) -> String {
    near.as_ref()
        .map_or(String::new(), |near| format!(": did you mean \"{near}\"?"))
}

fn list(errors: &[InputError]) -> String {
    errors
        .iter()
        .map(|error| error.to_string())
        .collect::<Vec<_>>()
        .join("; ")
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
