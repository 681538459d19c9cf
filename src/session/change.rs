//! `CREATE`, `DROP`, `COMMENT ON`: tables and views that come and go.
//!
//! The text of a statement is read as a script's is, against the names that there are. The engine
//! makes the change on a thread of its own: whoever asked may go away, the change is finished.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::tokenizer::Token;
use tokio::sync::oneshot;

use super::error::{Code, SessionError};
use super::outcome::Outcome;
use super::words::Words;
use super::{Session, Sessions};
use crate::engine::{ChangeError, Live, Program};
use crate::plan::{Plan, explain};
use crate::script::{Faults, Script, Sources, parse_addition};

/// What stands before a query that is to be explained.
const EXPLAINED: &str = "CREATE MATERIALIZED VIEW query AS\n";

impl Session {
    /// `CREATE TABLE` or `CREATE [MATERIALIZED] VIEW`, perhaps `IF NOT EXISTS`.
    pub(super) async fn create(
        &mut self,
        sql: &str,
        words: &mut Words<'_>,
    ) -> Result<Outcome, SessionError> {
        let mut text = sql.trim_end().trim_end_matches(';').to_owned();
        if words.peek(0).as_deref() == Some("OR") {
            let message = "OR REPLACE is not supported";
            let hint = "drop what there is first: others may read it";
            return Err(SessionError::new(Code::Unsupported, message).hint(hint));
        }
        if words.peek(0).as_deref() == Some("MODEL") {
            let message = "a model is loaded when the engine starts";
            return Err(
                SessionError::new(Code::Unsupported, message).hint("write it in the script")
            );
        }
        let tag = match (words.eat(&["TABLE"]), words.eat(&["MATERIALIZED", "VIEW"])) {
            (true, _) => "CREATE TABLE",
            (_, true) => "CREATE MATERIALIZED VIEW",
            _ if words.eat(&["VIEW"]) => "CREATE VIEW",
            _ => "CREATE",
        };
        let tag = Outcome::Tag(tag.to_owned());
        let from = words.offset();
        if words.eat(&["IF", "NOT", "EXISTS"]) {
            let upto = words.offset();
            let blank = " ".repeat(upto - from);
            text.replace_range(from..upto, &blank);
            if self.shared.live.program().entry(&words.name()?).is_some() {
                return Ok(tag);
            }
        }
        let program = self.shared.live.program();
        let addition = read(&program, &text)?;
        let live = Arc::clone(&self.shared.live);
        let change = move || live.create(&addition);
        let made = on_a_thread(change).await?;
        made.map_err(|error| SessionError::of_change(&error, sql))?;
        Ok(tag)
    }

    /// `DROP TABLE | [MATERIALIZED] VIEW [IF EXISTS] name, ... [CASCADE | RESTRICT]`.
    pub(super) async fn drop_relations(
        &mut self,
        sql: &str,
        words: &mut Words<'_>,
    ) -> Result<Outcome, SessionError> {
        let (is_table, tag) = match words.eat(&["TABLE"]) {
            true => (true, "DROP TABLE"),
            false if words.eat(&["MATERIALIZED", "VIEW"]) => (false, "DROP MATERIALIZED VIEW"),
            false if words.eat(&["VIEW"]) => (false, "DROP VIEW"),
            false => return Err(words.expected("TABLE, VIEW or MATERIALIZED VIEW")),
        };
        let if_exists = words.eat(&["IF", "EXISTS"]);
        let program = self.shared.live.program();
        let mut names = Vec::new();
        loop {
            let position = words.position();
            let name = words.name()?;
            match program.entry(&name) {
                None if if_exists => {}
                None => return Err(SessionError::no_relation(&name).at(position)),
                Some(_) if program.script.table(&name).is_some() != is_table => {
                    let (is, word) = match is_table {
                        true => ("a view", "VIEW"),
                        false => ("a table", "TABLE"),
                    };
                    let message = format!("\"{name}\" is {is}");
                    let error = SessionError::new(Code::WrongObject, message).at(position);
                    return Err(error.hint(format!("write DROP {word} {name}")));
                }
                Some(_) => names.push(name),
            }
            if !words.eat_token(&Token::Comma) {
                break;
            }
        }
        let cascade = words.eat(&["CASCADE"]);
        let _is_said = words.eat(&["RESTRICT"]);
        words.end()?;
        self.settle().await?;
        let live = Arc::clone(&self.shared.live);
        let change = move || live.drop_relations(&names, cascade);
        let dropped = on_a_thread(change).await?;
        dropped.map_err(|error| SessionError::of_change(&error, sql))?;
        Ok(Outcome::Tag(tag.to_owned()))
    }

    /// `COMMENT ON TABLE | [MATERIALIZED] VIEW | COLUMN name IS 'text' | NULL`.
    pub(super) fn comment(&mut self, words: &mut Words<'_>) -> Result<Outcome, SessionError> {
        if !words.eat(&["ON"]) {
            return Err(words.expected("ON"));
        }
        let of_column = words.eat(&["COLUMN"]);
        let is_said = of_column
            || words.eat(&["TABLE"])
            || words.eat(&["MATERIALIZED", "VIEW"])
            || words.eat(&["VIEW"]);
        if !is_said {
            return Err(words.expected("TABLE, VIEW, MATERIALIZED VIEW or COLUMN"));
        }
        let written = words.name()?;
        let (name, column) = match written.rsplit_once('.').filter(|_| of_column) {
            Some((name, column)) => (name.to_owned(), Some(column.to_owned())),
            None => (written, None),
        };
        if !words.eat(&["IS"]) {
            return Err(words.expected("IS"));
        }
        let text = match words.eat(&["NULL"]) {
            true => None,
            false => Some(words.text()?),
        };
        words.end()?;
        let live = &self.shared.live;
        live.comment(|script| set_comment(script, &name, column.as_deref(), text))?;
        Ok(Outcome::Tag("COMMENT".to_owned()))
    }
}

impl Sessions {
    /// How a query, or a view that there is, is kept up to date.
    pub(super) fn explain(&self, words: &mut Words<'_>) -> Result<String, SessionError> {
        let program = self.live.program();
        let is_said = words.eat(&["MATERIALIZED", "VIEW"]) || words.eat(&["VIEW"]);
        let query = words.rest();
        let before = words.position() - 1;
        if !is_said && super::is_query(words) {
            let text = format!("{EXPLAINED}{query}");
            let plan = read_explained(&self.live, &program, &text).map_err(|error| {
                let position = error.position().map(|position| {
                    position.saturating_sub(EXPLAINED.chars().count()).max(1) + before
                });
                error.moved(position)
            })?;
            return Ok(explain::text(&plan, &["query".to_owned()]));
        }
        let name = words.name()?;
        words.end()?;
        let entry = program.entry(&name);
        let entry = entry.ok_or_else(|| SessionError::no_relation(&name))?;
        Ok(explain::text(&entry.plan, &[name]))
    }
}

fn read_explained(live: &Live, program: &Program, text: &str) -> Result<Arc<Plan>, SessionError> {
    let addition = read(program, text)?;
    let plan = live.plan_addition(&addition);
    plan.map_err(|error| SessionError::of_change(&error, text))
}

/// Reads a statement that may name what there is.
fn read(program: &Program, text: &str) -> Result<Script, SessionError> {
    let known: BTreeSet<String> = program.names().map(str::to_owned).collect();
    let addition = parse_addition(Sources::from(text), known);
    addition.map_err(|faults| SessionError::of_faults(&faults, code_of(&faults), text))
}

fn set_comment(
    script: &mut Script,
    name: &str,
    column: Option<&str>,
    text: Option<String>,
) -> Result<(), SessionError> {
    let no_column = |column: &str| {
        let message = format!("\"{name}\" has no column \"{column}\"");
        SessionError::new(Code::UndefinedColumn, message)
    };
    if let Some(table) = script.tables.iter_mut().find(|table| table.name == name) {
        match column {
            None => table.comment = text,
            Some(column) => {
                let mut columns = table.columns.iter_mut();
                let found = columns.find(|c| c.name == column);
                found.ok_or_else(|| no_column(column))?.comment = text;
            }
        }
        return Ok(());
    }
    let view = script.views.iter_mut().find(|view| view.name == name);
    let view = view.ok_or_else(|| SessionError::no_relation(name))?;
    match (column, text) {
        (None, text) => view.comment = text,
        (Some(column), Some(text)) => {
            view.column_comments.insert(column.to_owned(), text);
        }
        (Some(column), None) => drop(view.column_comments.remove(column)),
    }
    Ok(())
}

/// Runs what waits for workers on a thread that may wait.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SessionError> {
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("change".to_owned());
    let started = thread.spawn(move || {
        // Whoever asked may have gone.
        let _is_heard = sender.send(work());
    });
    let failed = |error: String| SessionError::new(Code::Internal, error);
    started.map_err(|error| failed(error.to_string()))?;
    receiver.await.map_err(|error| failed(error.to_string()))
}

/// What kind of fault a statement has.
fn code_of(faults: &Faults) -> Code {
    let message = faults.faults.first().map_or("", |fault| &fault.message);
    if message.ends_with("exists already") {
        Code::DuplicateTable
    } else if message.starts_with("there is no table or view") {
        Code::UndefinedTable
    } else if message.starts_with("expected") {
        Code::Syntax
    } else {
        Code::Invalid
    }
}

impl SessionError {
    /// Why the engine does not create or drop something.
    pub(super) fn of_change(error: &ChangeError, sql: &str) -> SessionError {
        let message = error.to_string();
        match error {
            ChangeError::Exists(name) => {
                SessionError::new(Code::DuplicateTable, message).naming(name)
            }
            ChangeError::Unknown(name) => SessionError::no_relation(name),
            ChangeError::OfScript(name) => SessionError::new(Code::Unsupported, message)
                .naming(name)
                .hint("take it out of the script; it is gone at the next start"),
            ChangeError::Used { name, .. } => SessionError::new(Code::DependentsExist, message)
                .naming(name)
                .hint("drop those first, or write CASCADE"),
            ChangeError::NotHeld(name) => SessionError::not_held(name),
            ChangeError::Faults(faults) => {
                let code = match faults.faults.first() {
                    Some(fault) if fault.message.contains("not kept up to date") => {
                        Code::Unsupported
                    }
                    _ => code_of(faults),
                };
                SessionError::of_faults(faults, code, sql)
            }
            ChangeError::Memory { .. } => SessionError::new(Code::OutOfMemory, message),
            ChangeError::Stopping => SessionError::new(Code::Stopping, message),
            ChangeError::Engine(_) => {
                SessionError::new(Code::Unsupported, crate::engine::chain(error))
            }
        }
    }

    /// A table's rows are not held.
    pub(super) fn not_held(name: &str) -> SessionError {
        let message = format!("the rows of table \"{name}\" are not held: only views read them");
        SessionError::new(Code::NotHeld, message)
            .naming(name)
            .hint("write WITH (held = true) where the table is created")
    }
}
