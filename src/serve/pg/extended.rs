//! Statements that are prepared once, and executed with values.
//!
//! The messages of the extended protocol (PostgreSQL documentation, 53.2.3): Parse, Bind, Describe,
//! Execute, Close, Flush, Sync. After a fault, all up to the next Sync are left unread.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion_postgres::arrow_pg::datatypes::into_pg_type;
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::api::portal::{Format, Portal};
use datafusion_postgres::pgwire::api::stmt::StoredStatement;
use datafusion_postgres::pgwire::messages::data::{NoData, ParameterDescription};
use datafusion_postgres::pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete,
    PortalSuspended,
};
use datafusion_postgres::pgwire::messages::response::EmptyQueryResponse;
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};

use super::answer::{Answer, description, fields};
use super::catalogue;
use super::command::{self, Command};
use super::commands::{Told, no_cursor};
use super::connection::{Connection, Ended, Sending};
use super::fault::{Fault, Trouble};
use super::startup::ready;
use super::values::{are_as_found, values};
use super::wire::WireError;
use crate::session::{Described, Outcome};

/// The most statements, and the most portals, that a client keeps.
const MOST_KEPT: usize = 10_000;

/// What the messages that name a statement or a portal name.
const STATEMENT: u8 = b'S';

/// A prepared statement.
#[derive(Debug)]
pub(super) struct Prepared {
    sql: String,
    command: Command,
    described: Described,
    /// The types of its parameters: as the client said, or else as the session found.
    types: Vec<Type>,
}

/// A prepared statement with values.
pub(super) struct Bound {
    prepared: Arc<Prepared>,
    values: Vec<ScalarValue>,
    format: Format,
    /// Once it has begun.
    answer: Option<Answer>,
    is_done: bool,
}

impl Connection {
    /// Answers a message of the extended protocol.
    pub(super) async fn extended(
        &mut self,
        message: PgWireFrontendMessage,
    ) -> Result<(), WireError> {
        if let PgWireFrontendMessage::Sync(_) = message {
            self.skips_to_sync = false;
            self.wire.send(ready(self.status)).await?;
            return self.wire.flush().await;
        }
        if self.skips_to_sync {
            return Ok(());
        }
        let done = match message {
            PgWireFrontendMessage::Parse(parse) => self.parse(parse).await,
            PgWireFrontendMessage::Bind(bind) => self.bind(bind).await,
            PgWireFrontendMessage::Describe(describe) => self.describe(&describe).await,
            PgWireFrontendMessage::Execute(execute) => self.run(&execute).await,
            PgWireFrontendMessage::Close(close) => self.forget(&close).await,
            PgWireFrontendMessage::Flush(_) => self.wire.flush().await.map_err(Trouble::from),
            // What is left over of a copy that has failed.
            PgWireFrontendMessage::CopyData(_)
            | PgWireFrontendMessage::CopyDone(_)
            | PgWireFrontendMessage::CopyFail(_) => Ok(()),
            _ => Err(Fault::new("08P01", "this message was not expected here").into()),
        };
        if let Err(trouble) = done {
            self.tell(trouble).await?;
            self.skips_to_sync = true;
            self.wire.flush().await?;
        }
        Ok(())
    }

    async fn parse(&mut self, parse: Parse) -> Result<(), Trouble> {
        let name = parse.name.unwrap_or_default();
        if self.prepared.len() >= MOST_KEPT {
            return Err(Fault::new("53000", "too many statements are prepared").into());
        }
        if !name.is_empty() && self.prepared.contains_key(&name) {
            let message = format!("there is a prepared statement \"{name}\" already");
            return Err(Fault::new("42P05", message).into());
        }
        let sql = parse.query;
        let command = command::read(&sql)?;
        self.check_transaction(&command)?;
        let described = match self.describe_command(&command) {
            Some(described) => described,
            None => {
                let rewritten = catalogue::rewritten(&sql);
                let asked = rewritten.as_deref().unwrap_or(&sql);
                self.session.describe(asked).await?
            }
        };
        let types = types(&parse.type_oids, &described.parameters)?;
        let prepared = Prepared {
            sql,
            command,
            described,
            types,
        };
        self.prepared.insert(name, Arc::new(prepared));
        let complete = PgWireBackendMessage::ParseComplete(ParseComplete::new());
        Ok(self.wire.send(complete).await?)
    }

    async fn bind(&mut self, bind: Bind) -> Result<(), Trouble> {
        let name = bind.statement_name.clone().unwrap_or_default();
        let prepared = self.prepared(&name)?;
        if self.portals.len() >= MOST_KEPT {
            return Err(Fault::new("53000", "too many portals are open").into());
        }
        let expected = prepared.types.len();
        if bind.parameters.len() != expected {
            let message = format!(
                "the statement has {expected} parameters, {} values are given",
                bind.parameters.len()
            );
            return Err(Fault::new("08P01", message).into());
        }
        let formats = bind.parameter_format_codes.len();
        if formats > 1 && formats != expected {
            return Err(Fault::new("08P01", "a format is needed for each parameter").into());
        }
        let types = prepared.types.iter().cloned().map(Some).collect();
        let statement = Arc::new(StoredStatement::new(name, (), types));
        let portal = Portal::try_new(&bind, statement)?;
        let bound = Bound {
            values: values(&portal, &prepared.described, &prepared.types)?,
            prepared,
            format: portal.result_column_format.clone(),
            answer: None,
            is_done: false,
        };
        self.portals
            .insert(bind.portal_name.unwrap_or_default(), bound);
        let complete = PgWireBackendMessage::BindComplete(BindComplete::new());
        Ok(self.wire.send(complete).await?)
    }

    async fn describe(&mut self, describe: &Describe) -> Result<(), Trouble> {
        let name = describe.name.as_deref().unwrap_or_default();
        let (prepared, format) = if describe.target_type == STATEMENT {
            let prepared = self.prepared(name)?;
            let types = prepared.types.iter().map(Type::oid).collect();
            let parameters = ParameterDescription::new(types);
            let message = PgWireBackendMessage::ParameterDescription(parameters);
            self.wire.send(message).await?;
            (prepared, Format::UnifiedText)
        } else if let Some(cursor) = self.cursors.get(name) {
            // A cursor is a portal by another way.
            let columns = cursor.description();
            return Ok(self.wire.send(columns).await?);
        } else {
            let bound = self.portals.get(name).ok_or_else(|| no_portal(name))?;
            (Arc::clone(&bound.prepared), bound.format.clone())
        };
        let columns = match (&prepared.command, &prepared.described.schema) {
            (Command::Fetch(_, cursor, _), _) => {
                let answer = self.cursors.get(cursor);
                let answer = answer.ok_or_else(|| no_cursor(cursor))?;
                answer.description()
            }
            (_, Some(schema)) => description(&fields(schema, &format)?),
            (_, None) => PgWireBackendMessage::NoData(NoData::new()),
        };
        Ok(self.wire.send(columns).await?)
    }

    async fn run(&mut self, execute: &Execute) -> Result<(), Trouble> {
        let name = execute.name.as_deref().unwrap_or_default();
        let mut bound = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        let most = usize::try_from(execute.max_rows).unwrap_or(0);
        let done = self.run_bound(&mut bound, most).await;
        self.portals.insert(name.to_owned(), bound);
        done
    }

    async fn run_bound(&mut self, bound: &mut Bound, most: usize) -> Result<(), Trouble> {
        let prepared = Arc::clone(&bound.prepared);
        self.check_transaction(&prepared.command)?;
        if bound.answer.is_none() && !bound.is_done {
            bound.is_done = true;
            let told = Told::Before(&bound.format);
            if self.protocol(prepared.command.clone(), told).await? {
                return Ok(());
            }
            match self.execute(&prepared.sql, &bound.values).await? {
                Outcome::Rows(rows) => {
                    check_columns(bound, rows.schema())?;
                    bound.answer = Some(Answer::rows(rows, &bound.format)?);
                }
                Outcome::Subscription(changes) => {
                    bound.answer = Some(Answer::changes(changes, &bound.format)?);
                }
                Outcome::Tag(tag) => return self.complete(tag).await,
                Outcome::CopyIn(copy) => {
                    let tag = self.copy_in(copy).await?;
                    return self.complete(tag).await;
                }
                Outcome::Empty => {
                    let empty = EmptyQueryResponse::new();
                    let message = PgWireBackendMessage::EmptyQueryResponse(empty);
                    return Ok(self.wire.send(message).await?);
                }
            }
        }
        let Some(answer) = &mut bound.answer else {
            return self.complete("SELECT 0").await;
        };
        let most = match most {
            0 => usize::MAX,
            most => {
                answer.keep().await?;
                most
            }
        };
        let before = answer.sent;
        let sending = Sending { most, wait: None };
        match self.send_rows(answer, sending).await? {
            Ended::Enough => {
                let suspended = PgWireBackendMessage::PortalSuspended(PortalSuspended::new());
                Ok(self.wire.send(suspended).await?)
            }
            Ended::All => {
                let tag = format!("SELECT {}", answer.sent - before);
                self.complete(tag).await
            }
        }
    }

    async fn forget(&mut self, close: &Close) -> Result<(), Trouble> {
        let name = close.name.as_deref().unwrap_or_default();
        if close.target_type == STATEMENT {
            self.prepared.remove(name);
        } else {
            self.portals.remove(name);
        }
        let complete = PgWireBackendMessage::CloseComplete(CloseComplete::new());
        Ok(self.wire.send(complete).await?)
    }

    fn prepared(&self, name: &str) -> Result<Arc<Prepared>, Fault> {
        self.prepared.get(name).map(Arc::clone).ok_or_else(|| {
            Fault::new(
                "26000",
                format!("there is no prepared statement \"{name}\""),
            )
        })
    }
}

fn no_portal(name: &str) -> Fault {
    Fault::new("34000", format!("there is no portal \"{name}\""))
}

/// The types of a statement's parameters.
fn types(said: &[u32], found: &[DataType]) -> Result<Vec<Type>, Trouble> {
    let count = said.len().max(found.len());
    let of = |place: usize| {
        let said = said.get(place).filter(|oid| **oid != 0);
        let said = said.and_then(|oid| Type::from_oid(*oid));
        match (said.filter(|said| *said != Type::UNKNOWN), found.get(place)) {
            (Some(said), _) => Ok(said),
            (None, Some(found)) => Ok(into_pg_type(found)?),
            (None, None) => Ok(Type::TEXT),
        }
    };
    (0..count).map(of).collect()
}

/// Refuses columns that are of other types than the client was told: it would misread them. They
/// may be where a value has kept another type than its parameter was found to have.
fn check_columns(bound: &Bound, columns: &Schema) -> Result<(), Trouble> {
    let described = &bound.prepared.described;
    let Some(told) = described.schema.as_deref() else {
        return Ok(());
    };
    if are_as_found(&bound.values, &described.parameters) {
        return Ok(());
    }
    let format = &Format::UnifiedText;
    for (told, column) in fields(told, format)?.iter().zip(fields(columns, format)?) {
        if told.datatype() != column.datatype() {
            let message = format!(
                "with these values column \"{}\" is {}, not {}",
                told.name(),
                column.datatype(),
                told.datatype()
            );
            let hint = "cast the parameter, as in $1::double precision";
            return Err(Fault::new("42804", message).hint(hint).into());
        }
    }
    Ok(())
}
