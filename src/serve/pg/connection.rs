//! One client: its statements, one after the other, and what it keeps between them.
//!
//! Messages flow in and out of a [`Wire`]; what a statement means is its [`Session`]'s. The client
//! may send statements in a text (simple protocol, here) or prepare, bind and execute them
//! (`extended`). While an answer is computed or sent, the connection watches for whoever cancels
//! it, for the client's end and for the server's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::ScalarValue;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::messages::response::{
    CommandComplete, EmptyQueryResponse, TransactionStatus,
};
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use tokio::sync::watch;

use super::Pg;
use super::answer::Answer;
use super::catalogue;
use super::command;
use super::commands::Told;
use super::extended::{Bound, Prepared};
use super::fault::{Fault, Trouble};
use super::startup::{Started, ready};
use super::wire::{Wire, WireError};
use crate::session::{Outcome, Session, split};

/// One client.
pub(super) struct Connection {
    pub(super) pg: Arc<Pg>,
    pub(super) wire: Wire,
    pub(super) session: Session,
    /// Changed whenever somebody cancels what runs here.
    cancelled: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    pub(super) status: TransactionStatus,
    /// Whether anything has been written since the transaction began.
    pub(super) has_written: bool,
    pub(super) settings: HashMap<String, String>,
    pub(super) prepared: HashMap<String, Arc<Prepared>>,
    pub(super) portals: HashMap<String, Bound>,
    pub(super) cursors: HashMap<String, Answer>,
    /// Whether messages are left unread until the client has noticed a fault.
    pub(super) skips_to_sync: bool,
}

/// How the sending of rows ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// All have been sent.
    All,
    /// As many as were asked for have been sent.
    Enough,
}

/// How an answer's rows are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sending {
    /// How many rows at most.
    pub(super) most: usize,
    /// How long to wait for the first rows of what has no end, and for no more after them.
    pub(super) wait: Option<Duration>,
}

impl Sending {
    /// All rows.
    pub(super) const ALL: Sending = Sending {
        most: usize::MAX,
        wait: None,
    };
}

impl Connection {
    /// A connection whose client may ask.
    pub(super) fn new(pg: Arc<Pg>, started: Started) -> Connection {
        let Started {
            wire,
            may_write,
            process,
        } = started;
        Connection {
            session: pg.sessions.open(may_write),
            cancelled: pg.watch(process),
            closing: pg.closing.subscribe(),
            pg,
            wire,
            status: TransactionStatus::Idle,
            has_written: false,
            settings: HashMap::new(),
            prepared: HashMap::new(),
            portals: HashMap::new(),
            cursors: HashMap::new(),
            skips_to_sync: false,
        }
    }

    /// Answers the client until it leaves or the server stops.
    ///
    /// # Errors
    /// If the connection breaks.
    pub(super) async fn serve(&mut self) -> Result<(), WireError> {
        loop {
            let message = tokio::select! {
                message = self.wire.next() => message?,
                () = set(&mut self.closing) => {
                    let fault = Fault::new("57P01", "the server stops");
                    self.wire.send(fault.message("FATAL")).await?;
                    self.wire.close().await;
                    return Ok(());
                }
            };
            match message {
                None | Some(PgWireFrontendMessage::Terminate(_)) => return Ok(()),
                Some(PgWireFrontendMessage::Query(query)) => {
                    self.skips_to_sync = false;
                    self.simple(&query.query).await?;
                }
                Some(message) => self.extended(message).await?,
            }
        }
    }

    /// Executes the statements of a text, up to the first that fails.
    async fn simple(&mut self, text: &str) -> Result<(), WireError> {
        // The unnamed statement and portal end with it (PostgreSQL documentation, 53.2.3).
        self.prepared.remove("");
        self.portals.remove("");
        if let Err(trouble) = self.statements(text).await {
            self.tell(trouble).await?;
        }
        self.wire.send(ready(self.status)).await?;
        self.wire.flush().await
    }

    async fn statements(&mut self, text: &str) -> Result<(), Trouble> {
        let pieces = split(text)?;
        if pieces.is_empty() {
            let empty = PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new());
            return Ok(self.wire.send(empty).await?);
        }
        for piece in pieces {
            let done = self.statement(&piece.text).await;
            done.map_err(|trouble| match trouble {
                Trouble::Fault(fault) => fault.moved(piece.before).into(),
                wire => wire,
            })?;
        }
        Ok(())
    }

    /// Executes one statement of the simple protocol.
    async fn statement(&mut self, sql: &str) -> Result<(), Trouble> {
        let command = command::read(sql)?;
        self.check_transaction(&command)?;
        if self.protocol(command, Told::WithRows).await? {
            return Ok(());
        }
        let format = Format::UnifiedText;
        match self.execute(sql, &[]).await? {
            Outcome::Rows(rows) => {
                let mut answer = Answer::rows(rows, &format)?;
                self.wire.send(answer.description()).await?;
                self.send_rows(&mut answer, Sending::ALL).await?;
                self.complete(format!("SELECT {}", answer.sent)).await
            }
            Outcome::Subscription(changes) => {
                let mut answer = Answer::changes(changes, &format)?;
                self.wire.send(answer.description()).await?;
                self.send_rows(&mut answer, Sending::ALL).await?;
                self.complete(format!("SUBSCRIBE {}", answer.sent)).await
            }
            Outcome::Tag(tag) => self.complete(tag).await,
            Outcome::CopyIn(copy) => {
                let tag = self.copy_in(copy).await?;
                self.complete(tag).await
            }
            Outcome::Empty => {
                let empty = PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new());
                Ok(self.wire.send(empty).await?)
            }
        }
    }

    /// Executes a statement in the session, for as long as statements may take.
    pub(super) async fn execute(
        &mut self,
        sql: &str,
        parameters: &[ScalarValue],
    ) -> Result<Outcome, Trouble> {
        let rewritten = catalogue::rewritten(sql);
        let asked = rewritten.as_deref().unwrap_or(sql);
        let limit = self.time_limit();
        self.cancelled.borrow_and_update();
        let executing = tokio::time::timeout(limit, self.session.execute(asked, parameters));
        let outcome = tokio::select! {
            outcome = executing => outcome,
            _ = self.cancelled.changed() => return Err(Fault::cancelled("somebody asked for it").into()),
            closed = self.wire.closed() => {
                closed?;
                return Err(WireError::Gone.into());
            }
        };
        let outcome = outcome.map_err(|_| too_slow(limit))?;
        let outcome = outcome.map_err(|error| {
            let mut fault = Fault::from(error);
            if rewritten.is_some() {
                // It is a position in what the client has not written.
                fault.position = None;
            }
            fault
        })?;
        self.has_written |= matches!(outcome, Outcome::Tag(_) | Outcome::CopyIn(_));
        Ok(outcome)
    }

    /// Sends an answer's rows, up to so many.
    pub(super) async fn send_rows(
        &mut self,
        answer: &mut Answer,
        sending: Sending,
    ) -> Result<Ended, Trouble> {
        let end = answer.sent.saturating_add(sending.most);
        let limit = self.time_limit();
        let mut computed = Duration::ZERO;
        self.cancelled.borrow_and_update();
        let first = answer.sent;
        loop {
            while answer.sent < end {
                match answer.next_row()? {
                    Some(row) => self.wire.send(row).await?,
                    None => break,
                }
            }
            if answer.sent >= end {
                return Ok(Ended::Enough);
            }
            let patience = match (answer.is_endless(), sending.wait) {
                (false, _) => limit.saturating_sub(computed),
                (true, None) => Duration::MAX,
                // What is there, is there at once.
                (true, Some(_)) if answer.sent > first => Duration::ZERO,
                (true, Some(wait)) => wait,
            };
            if answer.is_endless() {
                self.wire.flush().await?;
            }
            let start = Instant::now();
            let fetched = tokio::select! {
                fetched = tokio::time::timeout(patience, answer.fetch()) => fetched,
                _ = self.cancelled.changed() => return Err(Fault::cancelled("somebody asked for it").into()),
                () = set(&mut self.closing) => {
                    return Err(Fault::new("57P01", "the server stops").into());
                }
                closed = self.wire.closed() => {
                    closed?;
                    return Err(WireError::Gone.into());
                }
            };
            computed += start.elapsed();
            match fetched {
                Ok(more) => match more? {
                    true => {}
                    false => return Ok(Ended::All),
                },
                Err(_) if answer.is_endless() => return Ok(Ended::Enough),
                Err(_) => return Err(too_slow(limit).into()),
            }
        }
    }

    /// How long a statement may compute.
    fn time_limit(&self) -> Duration {
        let asked = self.settings.get("statement_timeout");
        let asked = asked.and_then(|text| command::duration(text));
        let asked = asked.filter(|limit| !limit.is_zero());
        asked.map_or(self.pg.limits.query, |limit| {
            limit.min(self.pg.limits.query)
        })
    }

    /// Says that a statement is done.
    pub(super) async fn complete(&mut self, tag: impl Into<String>) -> Result<(), Trouble> {
        let complete = CommandComplete::new(tag.into());
        let message = PgWireBackendMessage::CommandComplete(complete);
        Ok(self.wire.send(message).await?)
    }

    /// Tells the client of a fault; a transaction is no good any more.
    pub(super) async fn tell(&mut self, trouble: Trouble) -> Result<(), WireError> {
        let fault = match trouble {
            Trouble::Fault(fault) => fault,
            Trouble::Wire(error) => return Err(error),
        };
        tracing::debug!(
            code = fault.code,
            message = fault.message,
            "a statement failed"
        );
        if self.status == TransactionStatus::Transaction {
            self.status = TransactionStatus::Error;
        }
        self.wire.send(fault.message("ERROR")).await
    }
}

/// Returns when something is set, or nobody is left to set it.
pub(super) async fn set(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|flag| *flag).await;
}

fn too_slow(limit: Duration) -> Fault {
    Fault::cancelled(&format!("it took longer than {} ms", limit.as_millis()))
}
