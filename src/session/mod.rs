//! A session: one client's SQL statements against the engine while it runs.
//!
//! SQL text and parameters flow in, [`Outcome`]s flow out. All sessions of a process share a
//! [`Sessions`]: the engine's handle, the memory for queries, and how many queries run side by
//! side. A statement that reads sees all tables and views at one epoch. A statement that fails has
//! done nothing. Each statement stands by itself: there is no transaction that spans several.
//!
//! Whoever speaks with clients (the wire protocol, HTTP, a terminal) brings the threads: futures
//! here compute without pause, on a tokio runtime that can afford that.

mod copy;
mod error;
mod outcome;
mod query;
mod show;
mod words;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::SchemaProvider;
use datafusion::common::ScalarValue;
use datafusion::execution::context::SessionState;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use copy::CopyIn;
pub use error::{Code, SessionError};
pub use outcome::{Described, Outcome, Rows, Subscription};
pub use show::{Kind, RelationInfo};
pub use words::{Piece, split};

use crate::catalog::Snapshot;
use crate::engine::Live;
use crate::plan::explain;
use query::{Queries, View};
use words::Words;

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
        }
    }

    /// The engine.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// All tables and views.
    pub fn relations(&self) -> Vec<RelationInfo> {
        show::relations(&self.live.plan().script, &self.live.catalog().latest())
    }
}

/// One client's statements.
pub struct Session {
    shared: Arc<Sessions>,
    may_write: bool,
    turn: Option<OwnedSemaphorePermit>,
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
        if words.eat(&["EXPLAIN"]) {
            return self.explain(&mut words).map(Outcome::Rows);
        }
        if words.eat(&["SHOW"]) {
            let snapshot = self.latest();
            let batch = show::show(&mut words, &self.shared.relations())?;
            return Ok(Outcome::Rows(Rows::whole(batch, &snapshot)));
        }
        if words.eat(&["DESCRIBE"]) || words.eat(&["DESC"]) {
            let snapshot = self.latest();
            let name = words.name()?;
            words.end()?;
            let batch = show::columns(&name, &self.shared.relations())?;
            return Ok(Outcome::Rows(Rows::whole(batch, &snapshot)));
        }
        if words.eat(&["SUBSCRIBE"]) {
            return self.subscribe(&mut words);
        }
        if !is_query(&words) {
            let word = words.peek(0).unwrap_or_default();
            let message = format!("{word} cannot be executed");
            let error = SessionError::new(Code::Unsupported, message);
            return Err(match self.may_write {
                true => error,
                false => error.hint("this session may only read"),
            });
        }
        self.query(sql, parameters).await.map(Outcome::Rows)
    }

    /// What a statement asks for and answers, without executing it.
    ///
    /// # Errors
    /// If it cannot be read or does not fit together.
    pub async fn describe(&self, sql: &str) -> Result<Described, SessionError> {
        let words = Words::new(sql)?;
        if !is_query(&words) {
            return Ok(Described {
                parameters: Vec::new(),
                schema: self.schema_of(words)?,
            });
        }
        let statement = self.shared.queries.parse(sql)?;
        let snapshot = self.latest();
        let view = self.view(&snapshot);
        let (plan, _) = self.shared.queries.plan(sql, statement, view).await?;
        query::describe(&plan, sql)
    }

    /// The columns of what is no query; `None` if it has no rows.
    fn schema_of(&self, mut words: Words<'_>) -> Result<Option<SchemaRef>, SessionError> {
        if words.eat(&["EXPLAIN"]) {
            return Ok(Some(plan_schema()));
        }
        if words.eat(&["SHOW"]) {
            let batch = show::show(&mut words, &self.shared.relations())?;
            return Ok(Some(batch.schema()));
        }
        if words.eat(&["DESCRIBE"]) || words.eat(&["DESC"]) {
            let batch = show::columns(&words.name()?, &self.shared.relations())?;
            return Ok(Some(batch.schema()));
        }
        if words.eat(&["SUBSCRIBE"]) {
            let Outcome::Subscription(changes) = self.subscribe(&mut words)? else {
                return Ok(None);
            };
            return Ok(Some(Arc::clone(changes.schema())));
        }
        Ok(None)
    }

    async fn query(&mut self, sql: &str, parameters: &[ScalarValue]) -> Result<Rows, SessionError> {
        let queries = &self.shared.queries;
        let statement = queries.parse(sql)?;
        let turn = match self.turn.take() {
            Some(turn) => turn,
            None => self.new_turn().await,
        };
        let snapshot = self.latest();
        let view = self.view(&snapshot);
        let (plan, state) = queries.plan(sql, statement, view).await?;
        let stream = queries.run(sql, plan, state, parameters).await?;
        Ok(Rows::stream(stream, &snapshot, sql, turn))
    }

    fn explain(&self, words: &mut Words<'_>) -> Result<Rows, SessionError> {
        let plan = self.shared.live.plan();
        let _is_said = words.eat(&["MATERIALIZED"]) | words.eat(&["VIEW"]);
        let name = words.name()?;
        words.end()?;
        let known = plan.outputs.iter().any(|output| output.view.name == name);
        if !known {
            return Err(SessionError::no_relation(&name));
        }
        let text = explain::text(plan, &[name]);
        let lines: ArrayRef = Arc::new(StringArray::from(text.lines().collect::<Vec<_>>()));
        let batch = RecordBatch::try_new(plan_schema(), vec![lines])
            .expect("a plan's lines are one column");
        Ok(Rows::whole(batch, &self.latest()))
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

    fn view<'a>(&'a self, snapshot: &'a Snapshot) -> View<'a> {
        let script = &self.shared.live.plan().script;
        View { snapshot, script }
    }
}

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
