//! What a connection does itself: transactions, settings, cursors, and copying.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::messages::copy::CopyInResponse;
use datafusion_postgres::pgwire::messages::response::TransactionStatus;
use datafusion_postgres::pgwire::messages::startup::ParameterStatus;
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};

use super::answer::Answer;
use super::command::{Command, FIXED_SETTINGS, SETTINGS};
use super::connection::{Connection, Ended, Sending};
use super::fault::{Fault, Trouble};
use super::wire::WireError;
use crate::session::{CopyIn, Described, Outcome};

/// The most cursors that a client keeps open.
const MOST_CURSORS: usize = 100;

/// How rows are told apart from what describes them.
pub(super) enum Told<'a> {
    /// The columns are described with the rows.
    WithRows,
    /// They have been described; the rows come in these formats.
    Before(&'a Format),
}

impl Connection {
    /// Refuses whatever comes after a fault in a transaction, but its end.
    ///
    /// # Errors
    /// If the transaction has failed.
    pub(super) fn check_transaction(&self, command: &Command) -> Result<(), Fault> {
        let ends = matches!(
            command,
            Command::Commit | Command::Rollback | Command::Nothing("ROLLBACK")
        );
        if self.status == TransactionStatus::Error && !ends {
            let message = "the transaction has failed already; nothing more is done in it";
            return Err(Fault::new("25P02", message).hint("ROLLBACK ends it"));
        }
        Ok(())
    }

    /// What a command of the protocol answers; `None` for what the session executes.
    pub(super) fn describe_command(&self, command: &Command) -> Option<Described> {
        let schema = match command {
            Command::Statement => return None,
            Command::Show(name) => Some(setting_schema(name)),
            _ => None,
        };
        Some(Described {
            parameters: Vec::new(),
            schema,
        })
    }

    /// Does what belongs to the protocol; whether it did.
    ///
    /// # Errors
    /// If that fails.
    pub(super) async fn protocol(
        &mut self,
        command: Command,
        told: Told<'_>,
    ) -> Result<bool, Trouble> {
        match command {
            Command::Statement => return Ok(false),
            Command::Begin => {
                self.status = TransactionStatus::Transaction;
                self.has_written = false;
                self.complete("BEGIN").await?;
            }
            Command::Commit => {
                let failed = self.status == TransactionStatus::Error;
                self.end_transaction();
                self.complete(if failed { "ROLLBACK" } else { "COMMIT" })
                    .await?;
            }
            Command::Rollback => {
                if self.status != TransactionStatus::Idle && self.has_written {
                    let message = "each statement stands by itself; what was written stays";
                    let notice = Fault::new("01000", message).notice("WARNING");
                    self.wire.send(notice).await?;
                }
                self.end_transaction();
                self.complete("ROLLBACK").await?;
            }
            Command::Nothing(tag) => {
                if tag == "ROLLBACK" && self.status == TransactionStatus::Error {
                    self.status = TransactionStatus::Transaction;
                }
                self.complete(tag).await?;
            }
            Command::Set(name, value) => self.set(&name, value).await?,
            Command::Show(name) => self.show(&name, told).await?,
            Command::Discard => {
                self.prepared.clear();
                self.portals.clear();
                self.cursors.clear();
                self.settings.clear();
                self.complete("DISCARD ALL").await?;
            }
            Command::Deallocate(name) => {
                match &name {
                    Some(name) => drop(self.prepared.remove(name)),
                    None => self.prepared.clear(),
                }
                let tag = if name.is_some() {
                    "DEALLOCATE"
                } else {
                    "DEALLOCATE ALL"
                };
                self.complete(tag).await?;
            }
            Command::Declare(name, query) => self.declare(name, &query).await?,
            Command::Fetch(most, name, wait) => {
                self.fetch(&name, Sending { most, wait }, told).await?;
            }
            Command::Close(name) => {
                match &name {
                    Some(name) => drop(self.cursors.remove(name).ok_or_else(|| no_cursor(name))?),
                    None => self.cursors.clear(),
                }
                self.complete("CLOSE CURSOR").await?;
            }
            Command::CopyOut(query, format) => {
                let mut answer = match self.execute(&query, &[]).await? {
                    Outcome::Rows(rows) => Answer::rows(rows, &Format::UnifiedText)?,
                    Outcome::Subscription(changes) => {
                        Answer::changes(changes, &Format::UnifiedText)?
                    }
                    _ => return Err(Fault::new("42601", "only rows can be copied").into()),
                };
                self.copy_out(&mut answer, format).await?;
            }
        }
        Ok(true)
    }

    fn end_transaction(&mut self) {
        self.status = TransactionStatus::Idle;
        self.has_written = false;
        self.cursors.clear();
    }

    async fn set(&mut self, name: &str, value: Option<String>) -> Result<(), Trouble> {
        if FIXED_SETTINGS.iter().any(|(fixed, _)| *fixed == name) {
            let message = format!("parameter \"{name}\" cannot be changed");
            return Err(Fault::new("55P02", message).into());
        }
        let is_utf8 = |value: &str| {
            let plain = value.to_ascii_uppercase().replace(['-', '_'], "");
            plain == "UTF8" || plain == "UNICODE"
        };
        if name == "client_encoding" && value.as_deref().is_some_and(|value| !is_utf8(value)) {
            let message = "texts are UTF-8 and nothing else";
            return Err(Fault::new("22023", message).into());
        }
        let tag = if value.is_some() { "SET" } else { "RESET" };
        match value {
            Some(value) => {
                if name == "application_name" {
                    let status = ParameterStatus::new(name.to_owned(), value.clone());
                    let message = PgWireBackendMessage::ParameterStatus(status);
                    self.wire.send(message).await?;
                }
                self.settings.insert(name.to_owned(), value);
            }
            None if name == "all" => self.settings.clear(),
            None => drop(self.settings.remove(name)),
        }
        self.complete(tag).await
    }

    async fn show(&mut self, name: &str, told: Told<'_>) -> Result<(), Trouble> {
        let known = SETTINGS.iter().chain(&FIXED_SETTINGS);
        let first = known.into_iter().find(|(setting, _)| *setting == name);
        let first = first.map_or("", |(_, value)| *value);
        let value = self.settings.get(name).map_or(first, String::as_str);
        let value: ArrayRef = Arc::new(StringArray::from(vec![value]));
        let batch = RecordBatch::try_new(setting_schema(name), vec![value]);
        let batch = batch.map_err(|error| Fault::new("XX000", error.to_string()))?;
        let mut answer = Answer::whole(batch, &Format::UnifiedText)?;
        if let Told::WithRows = told {
            self.wire.send(answer.description()).await?;
        }
        self.send_rows(&mut answer, Sending::ALL).await?;
        self.complete("SHOW").await
    }

    async fn declare(&mut self, name: String, query: &str) -> Result<(), Trouble> {
        if self.cursors.contains_key(&name) {
            let message = format!("there is a cursor \"{name}\" already");
            return Err(Fault::new("42P03", message).into());
        }
        if self.cursors.len() >= MOST_CURSORS {
            return Err(Fault::new("53000", "too many cursors are open").into());
        }
        let mut answer = match self.execute(query, &[]).await? {
            Outcome::Rows(rows) => Answer::rows(rows, &Format::UnifiedText)?,
            Outcome::Subscription(changes) => Answer::changes(changes, &Format::UnifiedText)?,
            _ => return Err(Fault::new("42601", "a cursor is for a query").into()),
        };
        answer.keep().await?;
        self.cursors.insert(name, answer);
        self.complete("DECLARE CURSOR").await
    }

    async fn fetch(&mut self, name: &str, sending: Sending, told: Told<'_>) -> Result<(), Trouble> {
        let mut answer = self.cursors.remove(name).ok_or_else(|| no_cursor(name))?;
        let mut sending = sending;
        if answer.is_endless() && sending.most == usize::MAX && sending.wait.is_none() {
            // All there is: without an end, that is what is there now.
            sending.wait = Some(std::time::Duration::from_millis(100));
        }
        match told {
            Told::WithRows => self.wire.send(answer.description()).await?,
            Told::Before(format) => answer.reformat(format)?,
        }
        let before = answer.sent;
        let ended = self.send_rows(&mut answer, sending).await;
        let fetched = answer.sent - before;
        self.cursors.insert(name.to_owned(), answer);
        let (Ended::All | Ended::Enough) = ended?;
        self.complete(format!("FETCH {fetched}")).await
    }

    /// Takes rows in; the tag of what was done.
    ///
    /// # Errors
    /// If they cannot be read, or the client gives up.
    pub(super) async fn copy_in(&mut self, mut copy: CopyIn) -> Result<String, Trouble> {
        let columns = i16::try_from(copy.schema().fields().len()).unwrap_or(i16::MAX);
        let formats = vec![0; copy.schema().fields().len()];
        let response = CopyInResponse::new(0, columns, formats);
        let message = PgWireBackendMessage::CopyInResponse(response);
        self.wire.send(message).await?;
        self.wire.flush().await?;
        loop {
            match self.wire.next().await?.ok_or(WireError::Gone)? {
                PgWireFrontendMessage::CopyData(data) => copy.push(&data.data).await?,
                PgWireFrontendMessage::CopyDone(_) => break,
                PgWireFrontendMessage::CopyFail(fail) => {
                    let message = format!("the client gave up: {}", fail.message);
                    return Err(Fault::new("57014", message).into());
                }
                // Clients send these behind the statement, before any data.
                PgWireFrontendMessage::Flush(_) | PgWireFrontendMessage::Sync(_) => {}
                PgWireFrontendMessage::Terminate(_) => return Err(WireError::Gone.into()),
                _ => {
                    let message = "rows were expected, and nothing else";
                    return Err(Fault::new("08P01", message).into());
                }
            }
        }
        match copy.finish().await? {
            Outcome::Tag(tag) => Ok(tag),
            _ => Ok("COPY".to_owned()),
        }
    }
}

fn setting_schema(name: &str) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8, false)]))
}

/// There is no cursor of a name.
pub(super) fn no_cursor(name: &str) -> Fault {
    let fault = Fault::new("34000", format!("there is no cursor \"{name}\""));
    fault.hint("cursors end with their transaction")
}
