//! A session: one client's SQL statements against the engine while it runs.
//!
//! SQL text and parameters flow in, [`Outcome`]s flow out. All sessions of a process share a
//! [`Sessions`]: the engine's handle, the memory for queries, and how many queries run side by
//! side. A statement that reads sees all tables and views at one epoch. A statement that fails has
//! done nothing. Each statement stands by itself: there is no transaction that spans several.
//!
//! Whoever speaks with clients (the wire protocol, HTTP, a terminal) brings the threads: futures
//! here compute without pause, on a tokio runtime that can afford that.

mod change;
mod copy;
mod error;
mod outcome;
mod query;
mod show;
mod words;
mod write;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::SchemaProvider;
use datafusion::common::ScalarValue;
use datafusion::execution::context::SessionState;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

pub use copy::CopyIn;
pub use error::{Code, SessionError};
pub use outcome::{Described, Outcome, Rows, Subscription};
pub use show::{Kind, RelationInfo};
pub use words::{Piece, split};

use crate::catalog::Snapshot;
use crate::engine::{Live, memory};
use query::{Queries, View};
use words::Words;
use write::Writers;

/// Bounds on what all sessions take together.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// How many queries run side by side; others wait.
    pub queries: usize,
    /// How much memory all queries may take for sorting, grouping and joining, in bytes.
    pub query_bytes: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        SessionLimits {
            queries: 2,
            query_bytes: 256 << 20,
        }
    }
}

/// What all sessions of a process share.
pub struct Sessions {
    live: Arc<Live>,
    queries: Queries,
    turns: Arc<Semaphore>,
    writers: Writers,
}

impl Sessions {
    /// Prepares for sessions with an engine.
    ///
    /// # Errors
    /// If DataFusion has no session.
    pub fn new(live: Arc<Live>, limits: SessionLimits) -> Result<Sessions, SessionError> {
        let queries = Queries::new(limits.query_bytes, &live.plan().script);
        let queries = queries.map_err(|error| SessionError::of_datafusion(&error, ""))?;
        Ok(Sessions {
            live,
            queries,
            turns: Arc::new(Semaphore::new(limits.queries.max(1))),
            writers: Writers::default(),
        })
    }

    /// Lets queries read a schema that is not the engine's, such as `pg_catalog`.
    pub fn add_schema(&mut self, name: &str, schema: Arc<dyn SchemaProvider>) {
        self.queries.add_schema(name, schema);
    }

    /// What queries are planned with, to which functions can be added.
    pub fn base_mut(&mut self) -> &mut SessionState {
        self.queries.base_mut()
    }

    /// A session for a client; one that may not write only reads.
    pub fn open(self: &Arc<Self>, may_write: bool) -> Session {
        Session {
            shared: Arc::clone(self),
            may_write,
            turn: None,
            written: Vec::new(),
            block: None,
        }
    }

    /// The engine.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// All tables and views.
    pub fn relations(&self) -> Vec<RelationInfo> {
        show::relations(&self.live.program(), &self.live.catalog().latest())
    }

    /// Whether there is memory for more rows.
    fn check_memory(&self) -> Result<(), SessionError> {
        let limit = self.live.memory_limit();
        match limit.zip(memory::resident_bytes()) {
            Some((limit, used)) if used > limit => {
                let message =
                    format!("the engine uses more memory than its limit of {limit} bytes");
                Err(SessionError::new(Code::OutOfMemory, message))
            }
            _ => Ok(()),
        }
    }
}

/// One client's statements.
pub struct Session {
    shared: Arc<Sessions>,
    may_write: bool,
    turn: Option<OwnedSemaphorePermit>,
    /// What it has written that it may not see yet.
    written: Vec<watch::Receiver<u64>>,
    /// Whether it has changed anything since `BEGIN`, if it has begun.
    block: Option<bool>,
}

impl Session {
    /// What all sessions share.
    pub fn shared(&self) -> &Arc<Sessions> {
        &self.shared
    }

    /// Waits until the next query may run, which does not wait again.
    pub async fn take_turn(&mut self) {
        if self.turn.is_none() {
            self.turn = Some(self.new_turn().await);
        }
    }

    /// Executes one statement, with values for `$1`, `$2` and so on.
    ///
    /// # Errors
    /// If it cannot be read, is not allowed, or fails; it has done nothing then.
    pub async fn execute(
        &mut self,
        sql: &str,
        parameters: &[ScalarValue],
    ) -> Result<Outcome, SessionError> {
        let mut words = Words::new(sql)?;
        if words.at_end() {
            return Ok(Outcome::Empty);
        }
        if is_query(&words) {
            self.settle().await?;
            return self.query(sql, parameters).await.map(Outcome::Rows);
        }
        if let Some(rows) = self.told(&mut words)? {
            return Ok(Outcome::Rows(Rows::whole(rows, &self.latest())));
        }
        if words.eat(&["SUBSCRIBE"]) {
            self.settle().await?;
            return self.subscribe(&mut words);
        }
        if words.eat(&["FLUSH"]) {
            words.end()?;
            self.shared.writers.flush(&self.shared.live).await?;
            self.written.clear();
            return Ok(Outcome::Tag("FLUSH".to_owned()));
        }
        if let Some(tag) = self.transact(&mut words)? {
            return Ok(Outcome::Tag(tag.to_owned()));
        }
        self.change(sql, &mut words, parameters).await
    }

    /// Executes what changes something.
    async fn change(
        &mut self,
        sql: &str,
        words: &mut Words<'_>,
        parameters: &[ScalarValue],
    ) -> Result<Outcome, SessionError> {
        let word = words.peek(0).unwrap_or_default();
        if !CHANGES.contains(&word.as_str()) {
            let message = format!("{word} cannot be executed");
            return Err(SessionError::new(Code::Unsupported, message).at(words.position()));
        }
        if !self.may_write {
            let message = format!("this session may only read, so it cannot {word}");
            return Err(SessionError::new(Code::NotAllowed, message));
        }
        if let Some(changed) = &mut self.block {
            *changed = true;
        }
        match word.as_str() {
            "UPDATE" | "DELETE" => self.write(sql, parameters).await,
            "INSERT" => {
                self.shared.check_memory()?;
                self.write(sql, parameters).await
            }
            _ => {
                let _word = words.eat(&[&word]);
                match word.as_str() {
                    "TRUNCATE" => self.truncate(words).await,
                    "COPY" => self.copy(words).map(Outcome::CopyIn),
                    "CREATE" => self.create(sql, words).await,
                    "DROP" => self.drop_relations(sql, words).await,
                    _ => self.comment(words),
                }
            }
        }
    }

    /// `EXPLAIN`, `SHOW`, `DESCRIBE`; `None` if it is none of them.
    fn told(&self, words: &mut Words<'_>) -> Result<Option<RecordBatch>, SessionError> {
        if words.eat(&["EXPLAIN"]) {
            let text = self.shared.explain(words)?;
            let lines: ArrayRef = Arc::new(StringArray::from(text.lines().collect::<Vec<_>>()));
            let batch = RecordBatch::try_new(plan_schema(), vec![lines]);
            return Ok(Some(batch.expect("a plan's lines are one column")));
        }
        if words.eat(&["SHOW"]) {
            return show::show(words, &self.shared.relations()).map(Some);
        }
        if words.eat(&["DESCRIBE"]) || words.eat(&["DESC"]) {
            let name = words.name()?;
            words.end()?;
            return show::columns(&name, &self.shared.relations()).map(Some);
        }
        Ok(None)
    }

    /// `BEGIN`, `COMMIT`, `ROLLBACK`, `SET`: taken for the sake of clients that always say them.
    fn transact(&mut self, words: &mut Words<'_>) -> Result<Option<&'static str>, SessionError> {
        let word = words.peek(0).unwrap_or_default();
        Ok(match word.as_str() {
            "BEGIN" | "START" => {
                self.block = Some(false);
                Some("BEGIN")
            }
            "COMMIT" | "END" => {
                self.block = None;
                Some("COMMIT")
            }
            "ROLLBACK" | "ABORT" => match self.block.take() {
                Some(true) => {
                    let message = "what was changed since BEGIN stays changed";
                    let hint = "each statement stands by itself: there is no transaction";
                    return Err(SessionError::new(Code::Unsupported, message).hint(hint));
                }
                _ => Some("ROLLBACK"),
            },
            "SET" | "RESET" | "DISCARD" => Some("SET"),
            _ => None,
        })
    }

    /// What a statement asks for and answers, without executing it.
    ///
    /// # Errors
    /// If it cannot be read or does not fit together.
    pub async fn describe(&self, sql: &str) -> Result<Described, SessionError> {
        let mut words = Words::new(sql)?;
        let word = words.peek(0).unwrap_or_default();
        let is_write = ["INSERT", "UPDATE", "DELETE"].contains(&word.as_str());
        if !is_query(&words) && !is_write {
            let schema = match self.told(&mut words)? {
                Some(rows) => Some(rows.schema()),
                None if words.eat(&["SUBSCRIBE"]) => match self.subscribe(&mut words)? {
                    Outcome::Subscription(changes) => Some(Arc::clone(changes.schema())),
                    _ => None,
                },
                None => None,
            };
            let parameters = Vec::new();
            return Ok(Described { parameters, schema });
        }
        let queries = &self.shared.queries;
        let statement = queries.parse(sql)?;
        let target = match is_write {
            true => Some(write::target_of(&statement)?),
            false => None,
        };
        let (snapshot, program) = (self.latest(), self.shared.live.program());
        let view = View {
            snapshot: &snapshot,
            program: &program,
        };
        let planned = queries.plan(sql, statement, view, target.as_ref()).await?;
        query::describe(&planned.0, sql)
    }

    async fn query(&mut self, sql: &str, parameters: &[ScalarValue]) -> Result<Rows, SessionError> {
        let queries = &self.shared.queries;
        let statement = queries.parse(sql)?;
        let turn = match self.turn.take() {
            Some(turn) => turn,
            None => self.new_turn().await,
        };
        let (snapshot, program) = (self.latest(), self.shared.live.program());
        let view = View {
            snapshot: &snapshot,
            program: &program,
        };
        let (plan, state) = queries.plan(sql, statement, view, None).await?;
        let stream = queries.run(sql, plan, state, parameters).await?;
        Ok(Rows::stream(stream, &snapshot, sql, turn))
    }

    /// `SUBSCRIBE [TO] view [WITH (SNAPSHOT [=] true|false)]`.
    fn subscribe(&self, words: &mut Words<'_>) -> Result<Outcome, SessionError> {
        use datafusion::sql::sqlparser::tokenizer::Token;
        let _is_said = words.eat(&["TO"]);
        let name = words.name()?;
        let mut with_snapshot = true;
        if words.eat(&["WITH"]) {
            let open = words.eat_token(&Token::LParen);
            if !open || !words.eat(&["SNAPSHOT"]) {
                return Err(words.expected("(SNAPSHOT = true) or (SNAPSHOT = false)"));
            }
            let _is_said = words.eat_token(&Token::Eq);
            with_snapshot = !words.eat(&["FALSE"]);
            if with_snapshot {
                let _is_said = words.eat(&["TRUE"]);
            }
            if !words.eat_token(&Token::RParen) {
                return Err(words.expected("`)`"));
            }
        }
        words.end()?;
        let catalog = self.shared.live.catalog();
        Subscription::new(catalog, &name, with_snapshot).map(Outcome::Subscription)
    }

    async fn new_turn(&self) -> OwnedSemaphorePermit {
        let turns = Arc::clone(&self.shared.turns);
        turns
            .acquire_owned()
            .await
            .expect("the turns are never closed")
    }

    fn latest(&self) -> Arc<Snapshot> {
        self.shared.live.catalog().latest()
    }
}

/// The words that begin what changes something.
const CHANGES: [&str; 8] = [
    "INSERT", "UPDATE", "DELETE", "TRUNCATE", "COPY", "CREATE", "DROP", "COMMENT",
];

/// Whether a statement only reads, as far as its first word tells.
fn is_query(words: &Words<'_>) -> bool {
    match words.peek(0) {
        Some(word) => ["SELECT", "WITH", "VALUES", "TABLE", "FROM"].contains(&word.as_str()),
        // A parenthesis.
        None => true,
    }
}

/// The one column of a plan's lines.
fn plan_schema() -> SchemaRef {
    let field = Field::new("QUERY PLAN", DataType::Utf8, false);
    Arc::new(Schema::new(vec![field]))
}
