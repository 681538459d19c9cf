//! What is refused, and where it stands.
//!
//! Two things make a view faulty: SQL that DataFusion cannot plan, and SQL that it can plan but that
//! cannot be kept up to date here. Both flow in as [`Trouble`] and flow out as a [`Fault`] with a
//! place in the view's text and, where one is known, what to write instead.

use std::ops::ControlFlow;

use datafusion::common::{Column, DataFusionError, Diagnostic, SchemaError, Span};
use datafusion::sql::sqlparser::ast::{Expr, Spanned, visit_expressions};
use thiserror::Error;

use super::clock;
use crate::script::{self, Fault, Origin, View};

/// Why a view cannot be planned.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    /// It can be planned but not kept up to date.
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
    /// DataFusion cannot plan it.
    #[error(transparent)]
    DataFusion(Box<DataFusionError>),
}

/// A construct that is not kept up to date.
#[derive(Debug)]
pub(super) struct Refusal {
    pub message: String,
    pub help: Option<String>,
    pub span: Option<Span>,
}

impl From<DataFusionError> for Trouble {
    fn from(error: DataFusionError) -> Trouble {
        Trouble::DataFusion(Box::new(error))
    }
}

impl Trouble {
    /// A construct that is not kept up to date, and what to write instead.
    pub fn refused(message: impl Into<String>, help: impl Into<String>) -> Trouble {
        let help = Some(help.into());
        Trouble::Refused(Box::new(Refusal {
            message: message.into(),
            help,
            span: None,
        }))
    }

    /// The same, with its place in the text.
    pub fn at(mut self, place: Option<Span>) -> Trouble {
        if let Trouble::Refused(refusal) = &mut self {
            refusal.span = place;
        }
        self
    }

    /// What to tell the author of the view; one fault for each error that DataFusion found.
    pub fn faults(&self, view: &View) -> Vec<Fault> {
        match self {
            Trouble::Refused(refusal) => {
                let Refusal {
                    message,
                    help,
                    span,
                } = refusal.as_ref();
                let span = span.or_else(|| place_of_clock(view, message));
                vec![fault(view, span, message.clone(), help.clone())]
            }
            Trouble::DataFusion(error) => faults_of(view, error),
        }
    }
}

/// A fault of a view; without a place it is the whole query's.
pub(super) fn fault(
    view: &View,
    span: Option<Span>,
    message: String,
    help: Option<String>,
) -> Fault {
    let Some(span) = span else {
        let text = view.query.to_string();
        let first_word = text
            .chars()
            .take_while(|character| character.is_alphabetic())
            .count();
        let origin = view.query_origin.clone();
        return Fault {
            origin,
            length: first_word.max(1),
            message,
            help,
        };
    };
    let origin = Origin {
        file: view.query_origin.file.clone(),
        line: span.start.line,
        column: span.start.column,
    };
    let is_one_line = span.end.line == span.start.line && span.end.column > span.start.column;
    let length = if is_one_line {
        span.end.column - span.start.column
    } else {
        1
    };
    Fault {
        origin,
        length: usize::try_from(length).unwrap_or(1),
        message,
        help,
    }
}

fn faults_of(view: &View, error: &DataFusionError) -> Vec<Fault> {
    if let DataFusionError::Collection(errors) = error {
        return errors
            .iter()
            .flat_map(|error| faults_of(view, error))
            .collect();
    }
    let mut diagnostic = None;
    let mut cause = error;
    loop {
        cause = match cause {
            DataFusionError::Diagnostic(found, inner) => {
                diagnostic.get_or_insert(found.as_ref());
                inner
            }
            DataFusionError::Context(_, inner) => inner,
            DataFusionError::Shared(inner) => inner,
            _ => break,
        };
    }
    vec![explain(view, diagnostic, cause)]
}

fn explain(view: &View, diagnostic: Option<&Diagnostic>, cause: &DataFusionError) -> Fault {
    let mut span = diagnostic.and_then(|diagnostic| diagnostic.span);
    if let DataFusionError::SchemaError(error, _) = cause {
        match error.as_ref() {
            SchemaError::FieldNotFound {
                field,
                valid_fields,
            } => {
                span = span.or_else(|| field.spans().first());
                let message = format!("column `{}` not found", field.flat_name());
                return fault(view, span, message, near(field, valid_fields));
            }
            SchemaError::AmbiguousReference { field } => {
                span = span.or_else(|| field.spans().first());
                let message = format!("column `{}` is in several of the relations", field.name);
                let help = format!("write the relation before it, as in t.{}", field.name);
                return fault(view, span, message, Some(help));
            }
            SchemaError::DuplicateUnqualifiedField { name }
            | SchemaError::DuplicateQualifiedField { name, .. } => {
                let message = format!("two columns are named `{name}`");
                return fault(
                    view,
                    span,
                    message,
                    Some("give one of them another name with AS".into()),
                );
            }
        }
    }
    let text = match diagnostic {
        Some(diagnostic) => diagnostic.message.clone(),
        None => cause.strip_backtrace(),
    };
    if let Some(name) = between(&text, "Invalid function '", "'") {
        let message = format!("function {name}() not found");
        let known = diagnostic.iter().flat_map(|found| &found.notes);
        let known = known.filter_map(|note| between(&note.message, "Possible function '", "'"));
        let help = script::near(name, known).map(|near| format!("did you mean {near}()?"));
        return fault(view, span, message, help);
    }
    if let Some(name) = between(&text, "Function '", "' failed to match any signature") {
        let message = format!("function {name}() does not take arguments of these types");
        let help = Some("CAST an argument to a type that it takes".to_owned());
        return fault(view, span.or_else(|| place_of(view, name)), message, help);
    }
    if text.ends_with(clock::MISPLACED) {
        let (message, help) = (clock::MISPLACED, clock::INSTEAD.to_owned());
        let span = place_of_clock(view, message);
        return fault(view, span, message.to_owned(), Some(help));
    }
    let help = diagnostic.and_then(|diagnostic| {
        let types: Vec<_> = diagnostic
            .notes
            .iter()
            .filter_map(|note| note.message.strip_prefix("has type "))
            .collect();
        if let [left, right] = types.as_slice() {
            return Some(format!(
                "the left side is {left}, the right side is {right}"
            ));
        }
        let helps = diagnostic.helps.iter().map(|help| &help.message);
        let notes = diagnostic.notes.iter().map(|note| &note.message);
        let all: Vec<_> = helps.chain(notes).map(|text| sentence(text)).collect();
        (!all.is_empty()).then(|| all.join("; "))
    });
    fault(view, span, sentence(&text), help)
}

/// The text between two others.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// Where a view first calls a function.
fn place_of(view: &View, function: &str) -> Option<Span> {
    let found = visit_expressions(&view.query, |expr| match expr {
        Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case(function) => {
            ControlFlow::Break(call.name.span())
        }
        _ => ControlFlow::Continue(()),
    });
    found.break_value().and_then(Span::try_from_sqlparser_span)
}

/// Where a view first asks for the clock, for a message that speaks of it.
fn place_of_clock(view: &View, message: &str) -> Option<Span> {
    message
        .starts_with("now()")
        .then(|| clock::NAMES.iter().find_map(|name| place_of(view, name)))?
}

/// DataFusion's message as ours: one line, lower case, without its own prefixes.
fn sentence(text: &str) -> String {
    const PREFIXES: [&str; 7] = [
        "Error during planning: ",
        "This feature is not implemented: ",
        "Schema error: ",
        "SQL error: ",
        "Internal error: ",
        "Arrow error: ",
        "Cast error: ",
    ];
    let mut text = text.lines().next().unwrap_or_default().trim();
    for prefix in PREFIXES {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    let text = text.trim_end_matches('.');
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if chars.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// The columns that an unknown one may stand for.
fn near(field: &Column, valid_fields: &[Column]) -> Option<String> {
    let mut names: Vec<&str> = valid_fields
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    if let Some(near) = script::near(&field.name, names.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    const SHOWN: usize = 12;
    let listed: Vec<_> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    (!names.is_empty()).then(|| format!("the columns are {}{more}", listed.join(", ")))
}
