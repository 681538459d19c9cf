//! Why a statement has no outcome, as clients are told.

use std::fmt;

use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use crate::script::{Faults, Origin};

/// What kind of fault it is; each has an SQLSTATE (PostgreSQL documentation, appendix A).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The statement cannot be read.
    Syntax,
    /// There is no such table or view.
    UndefinedTable,
    /// There is no such column.
    UndefinedColumn,
    /// There is no such function.
    UndefinedFunction,
    /// A name is taken.
    DuplicateTable,
    /// What is named is of another kind.
    WrongObject,
    /// Others use what was to be dropped.
    DependentsExist,
    /// Types do not fit.
    TypeMismatch,
    /// A value is none of its type.
    InvalidText,
    /// A number is too large for its type.
    OutOfRange,
    /// A number is divided by zero.
    DivisionByZero,
    /// A column that must have a value has none.
    NotNull,
    /// Parameters are missing or too many.
    Parameters,
    /// What is copied in cannot be read.
    BadCopy,
    /// The engine does not do this.
    Unsupported,
    /// The table's rows are not held.
    NotHeld,
    /// The session may only read.
    NotAllowed,
    /// There is not enough memory.
    OutOfMemory,
    /// The answer is longer than the session takes.
    TooManyRows,
    /// The engine stops.
    Stopping,
    /// Anything else that is wrong with the statement.
    Invalid,
    /// The engine is at fault.
    Internal,
}

impl Code {
    /// The SQLSTATE.
    pub fn sqlstate(self) -> &'static str {
        match self {
            Code::Syntax => "42601",
            Code::UndefinedTable => "42P01",
            Code::UndefinedColumn => "42703",
            Code::UndefinedFunction => "42883",
            Code::DuplicateTable => "42P07",
            Code::WrongObject => "42809",
            Code::DependentsExist => "2BP01",
            Code::TypeMismatch => "42804",
            Code::InvalidText => "22P02",
            Code::OutOfRange => "22003",
            Code::DivisionByZero => "22012",
            Code::NotNull => "23502",
            Code::Parameters => "08P01",
            Code::BadCopy => "22P04",
            Code::Unsupported => "0A000",
            Code::NotHeld => "55000",
            Code::NotAllowed => "42501",
            Code::OutOfMemory => "53200",
            Code::TooManyRows => "54000",
            Code::Stopping => "57P01",
            Code::Invalid => "42000",
            Code::Internal => "XX000",
        }
    }
}

/// Why a statement has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", told.message)]
pub struct SessionError {
    told: Box<Told>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    code: Code,
    message: String,
    name: Option<String>,
    position: Option<usize>,
    hint: Option<String>,
}

impl SessionError {
    /// A fault; the message is a sentence without full stop.
    pub fn new(code: Code, message: impl Into<String>) -> SessionError {
        SessionError {
            told: Box::new(Told {
                code,
                message: message.into(),
                name: None,
                position: None,
                hint: None,
            }),
        }
    }

    /// Adds what to write or do instead.
    pub fn hint(mut self, hint: impl Into<String>) -> SessionError {
        self.told.hint = Some(hint.into());
        self
    }

    /// Adds where in the statement, as the number of a character, from one.
    pub fn at(mut self, position: usize) -> SessionError {
        self.told.position = Some(position);
        self
    }

    /// Puts another place, or none, in the place of where it is.
    pub(super) fn moved(mut self, position: Option<usize>) -> SessionError {
        self.told.position = position;
        self
    }

    /// Adds the name that it is about.
    pub(super) fn naming(mut self, name: impl Into<String>) -> SessionError {
        self.told.name = Some(name.into());
        self
    }

    /// What kind of fault it is.
    pub fn code(&self) -> Code {
        self.told.code
    }

    /// The SQLSTATE.
    pub fn sqlstate(&self) -> &'static str {
        self.told.code.sqlstate()
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.told.message
    }

    /// The table or view that it is about, if it is about one.
    pub fn name(&self) -> Option<&str> {
        self.told.name.as_deref()
    }

    /// Where in the statement: the number of a character, from one.
    pub fn position(&self) -> Option<usize> {
        self.told.position
    }

    /// What to write or do instead.
    pub fn help(&self) -> Option<&str> {
        self.told.hint.as_deref()
    }

    /// There is no table or view of a name.
    pub(super) fn no_relation(name: &str) -> SessionError {
        let message = format!("there is no table or view \"{name}\"");
        SessionError::new(Code::UndefinedTable, message).naming(name)
    }

    /// What DataFusion says of a statement's text.
    pub(super) fn of_datafusion(error: &DataFusionError, sql: &str) -> SessionError {
        let root = error.find_root();
        let message = plain(root);
        let (message, place) = split_place(&message);
        let known = error.diagnostic().and_then(|told| told.span);
        let place = known
            .map(|span| (span.start.line, span.start.column))
            .or(place);
        let told = SessionError::new(code_of(root, message), message);
        match place.and_then(|(line, column)| character(sql, line, column)) {
            Some(position) => told.at(position),
            None => told,
        }
    }

    /// The first of a statement's faults, the others in the message.
    pub(super) fn of_faults(faults: &Faults, code: Code, sql: &str) -> SessionError {
        let Some(first) = faults.faults.first() else {
            return SessionError::new(Code::Internal, "the statement has a fault without a name");
        };
        let message = faults.faults.iter().map(|fault| fault.message.as_str());
        let message = message.collect::<Vec<_>>().join("; ");
        let mut told = SessionError::new(code, message);
        told.told.hint.clone_from(&first.help);
        let Origin { line, column, .. } = first.origin;
        told.told.position = character(sql, line, column);
        told
    }
}

/// The number, from one, of the character at a line and column, which count from one as well;
/// `None` if the text has no such place.
pub(super) fn character(sql: &str, line: u64, column: u64) -> Option<usize> {
    let before = usize::try_from(line.checked_sub(1)?).ok()?;
    let mut lines = sql.split('\n');
    let passed: usize = lines
        .by_ref()
        .take(before)
        .map(|line| line.chars().count() + 1)
        .sum();
    lines.next()?;
    Some(passed + usize::try_from(column).ok()?.max(1))
}

/// What kind of fault DataFusion found.
fn code_of(error: &DataFusionError, message: &str) -> Code {
    use datafusion::arrow::error::ArrowError;
    use datafusion::common::SchemaError;
    match error {
        DataFusionError::SQL(..) => Code::Syntax,
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            SchemaError::FieldNotFound { .. } => Code::UndefinedColumn,
            _ => Code::Invalid,
        },
        DataFusionError::ResourcesExhausted(_) => Code::OutOfMemory,
        DataFusionError::NotImplemented(_) => Code::Unsupported,
        DataFusionError::Internal(_) => Code::Internal,
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::DivideByZero => Code::DivisionByZero,
            ArrowError::ArithmeticOverflow(_) => Code::OutOfRange,
            ArrowError::CastError(_) | ArrowError::ParseError(_) => Code::InvalidText,
            _ => Code::Invalid,
        },
        DataFusionError::Plan(_) if message.starts_with("Invalid function") => {
            Code::UndefinedFunction
        }
        DataFusionError::Plan(_) if message.contains("placeholder") => Code::Parameters,
        DataFusionError::Plan(_) if message.contains("coerce") => Code::TypeMismatch,
        _ => Code::Invalid,
    }
}

/// What an error says, without the names of the parts of DataFusion that say it.
fn plain(error: &DataFusionError) -> String {
    match error {
        DataFusionError::SQL(error, _) => match error.as_ref() {
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => {
                message.clone()
            }
            other => other.to_string(),
        },
        DataFusionError::Plan(message)
        | DataFusionError::Execution(message)
        | DataFusionError::NotImplemented(message) => message.clone(),
        DataFusionError::SchemaError(error, _) => error.to_string(),
        DataFusionError::ArrowError(error, _) => error.to_string(),
        DataFusionError::ResourcesExhausted(_) => {
            "the query needs more memory than there is for queries".to_owned()
        }
        other => other.strip_backtrace(),
    }
}

/// Takes the place off the end of what the parser says: `... at Line: 1, Column: 8`.
fn split_place(message: &str) -> (&str, Option<(u64, u64)>) {
    let trimmed = message.trim_end_matches(['"', ')', '.', ' ']);
    let found = trimmed.rsplit_once(" at Line: ");
    let Some((before, place)) = found else {
        return (message, None);
    };
    let place = place
        .split_once(", Column: ")
        .and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
    match place {
        Some(place) => (before, Some(place)),
        None => (message, None),
    }
}

/// Shows the SQLSTATE.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sqlstate())
    }
}
