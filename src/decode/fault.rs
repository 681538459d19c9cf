//! What is wrong with a value, in words that a user understands.

use std::borrow::Cow;
use std::fmt;

use arrow::datatypes::DataType;

use super::number::Problem;
use super::slot::{Kind, Value};

/// Why a value does not fit its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where inside the column's value: `[2].price`; empty for the value itself.
    path: String,
    what: String,
}

impl Fault {
    fn new(what: String) -> Box<Fault> {
        Box::new(Fault {
            path: String::new(),
            what,
        })
    }

    /// The reason for which a record is rejected, of a value of the named column.
    pub(super) fn reason(&self, column: &str) -> String {
        let Fault { path, what } = self;
        match path.trim_start_matches('.') {
            "" => format!("column \"{column}\": {what}"),
            path => format!("column \"{column}\" at {path}: {what}"),
        }
    }

    /// The fault with a step put before its path.
    pub(super) fn inside(mut self: Box<Self>, step: impl fmt::Display) -> Box<Fault> {
        self.path = format!("{step}{}", self.path);
        self
    }
}
/// The type as SQL names it.
pub fn sql_type(data_type: &DataType) -> Cow<'static, str> {
    match data_type {
        DataType::Utf8 => "TEXT".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 => "TINYINT UNSIGNED".into(),
        DataType::UInt16 => "SMALLINT UNSIGNED".into(),
        DataType::UInt32 => "INT UNSIGNED".into(),
        DataType::UInt64 => "BIGINT UNSIGNED".into(),
        DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision},{scale})").into(),
        DataType::Date32 => "DATE".into(),
        DataType::Timestamp(..) => "TIMESTAMP".into(),
        DataType::List(item) => format!("{}[]", sql_type(item.data_type())).into(),
        DataType::Struct(_) => "STRUCT".into(),
        other => other.to_string().into(),
    }
}

/// What is said of a value that does not fit.
#[cold]
pub(super) fn fault(value: Value<'_>, data_type: &DataType, problem: Problem) -> Box<Fault> {
    const SHOWN_CHARS: usize = 60;
    let mut shown: String = value.text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < value.text.len() {
        shown.push('…');
    }
    if value.kind == Kind::Text {
        shown = format!("\"{shown}\"");
    }
    let scale = match data_type {
        DataType::Decimal128(_, scale) => *scale,
        DataType::Timestamp(..) => 9,
        _ => 0,
    };
    Fault::new(match problem {
        Problem::NotOne => format!("{shown} is not {}", with_article(&sql_type(data_type))),
        Problem::OutOfRange => format!("{shown} is out of range for {}", sql_type(data_type)),
        Problem::TooFine if matches!(data_type, DataType::Timestamp(..)) => {
            format!("{shown} is finer than a nanosecond")
        }
        Problem::TooFine if scale == 0 => format!("{shown} is not a whole number"),
        Problem::TooFine => format!(
            "{shown} has more than {scale} digits after the point, too many for {}",
            sql_type(data_type)
        ),
    })
}

fn with_article(name: &str) -> String {
    let article = if name.starts_with('I') { "an" } else { "a" };
    format!("{article} {name}")
}

/// What is said of a record that lacks a value.
#[cold]
pub(super) fn absent_fault(kind: Kind) -> Box<Fault> {
    let what = if kind == Kind::Null {
        "null"
    } else {
        "missing"
    };
    Fault::new(format!("{what}, but the column is NOT NULL"))
}
