//! Why a number is what it is: the events without which a row would be another.
//!
//! A plan, inputs that end, a view and a key flow in; the rows of that key at two points in time flow
//! out, with the events in between that moved them. Nothing is guessed from how the query is written:
//! an event is listed if and only if the answer without it, everything else being as it is, differs.
//!
//! The engine itself is asked: the same views over tables that are told row by row what they hold, so
//! that taking an event away is one small epoch and putting it back another. What a table holds without
//! an event follows from its key: the record before it stands again. All records are held in memory,
//! and an event costs an epoch: a question about a stretch of history, not a way to run.
//!
//! A record without an event time cannot be said to lie between two points; it is part of both.

mod arrivals;
mod holdings;
mod key;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::error::ArrowError;

use crate::catalog::Snapshot;
use crate::engine::{Config, Engine, EngineError, Entry};
use crate::oracle::OracleError;
use crate::plan::{self, Plan};
use crate::script::{Faults, Script};
use crate::source::InputSpec;
use arrivals::Arrived;
use holdings::{Change, Holdings};

pub use key::{Key, KeyError};

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    /// The inputs could not be read.
    #[error(transparent)]
    Read(#[from] OracleError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The views cannot be planned over tables that are told what they hold.
    #[error(transparent)]
    Plan(#[from] Faults),
    /// The key names no row.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Rows could not be compared.
    #[error("could not compare rows")]
    Rows(#[from] ArrowError),
    /// There are more events to try than will be tried.
    #[error("there are {found} events to look at, more than {most}; ask about a shorter time")]
    TooMany {
        /// How many there are.
        found: usize,
        /// How many are tried at most.
        most: usize,
    },
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The view, which is among the plan's outputs.
    pub view: String,
    /// Which of its rows.
    pub key: Key,
    /// Events after this count; all of them without it.
    pub since: Option<Since>,
    /// Events after this are left out, in nanoseconds since the Unix epoch.
    pub as_of: Option<i64>,
    /// How many events are tried at most.
    pub most: usize,
}

/// From when on events count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Those that happened after a time, in nanoseconds since the Unix epoch.
    Time(i64),
    /// Those that were taken after an epoch of a run.
    Epoch(u64),
}

/// What moved some rows.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The rows of the key before the events in question.
    pub before: RecordBatch,
    /// The rows now.
    pub now: RecordBatch,
    /// How many events were tried.
    pub tried: usize,
    /// Those that moved the rows, in order of event time.
    pub movers: Vec<Mover>,
}

/// An event that moved rows.
#[derive(Debug, Clone)]
pub struct Mover {
    /// When it happened, in nanoseconds since the Unix epoch, if it says so.
    pub time: Option<i64>,
    /// The epoch in which a run took it.
    pub epoch: Option<u64>,
    /// The table that it is a row of.
    pub table: String,
    /// The file that it was read from.
    pub file: Arc<PathBuf>,
    /// Where in the file its record begins.
    pub position: u64,
    /// The event, a batch of one row.
    pub event: RecordBatch,
    /// The rows of the key as they would be without it.
    pub without: RecordBatch,
}

/// Finds the events of inputs that end which moved the rows of a key.
///
/// # Errors
/// If the inputs cannot be read, the key fits no column, or there are too many events.
pub fn explain(
    plan: &Plan,
    specs: &[InputSpec],
    question: &Question,
) -> Result<Explanation, WhyError> {
    let arrivals = arrivals::read(plan, specs, question.as_of)?;
    explain_arrivals(plan, &arrivals, question)
}

/// Finds the events of a run that goes on which moved the rows of a key, among all that it has taken.
///
/// # Errors
/// If the key fits no column, or there are too many events.
pub fn explain_kept(
    plan: &Plan,
    entries: &[Entry],
    question: &Question,
) -> Result<Explanation, WhyError> {
    let arrivals = arrivals::of_ledger(plan, entries)?;
    explain_arrivals(plan, &arrivals, question)
}

fn explain_arrivals(
    plan: &Plan,
    arrivals: &[Arrived],
    question: &Question,
) -> Result<Explanation, WhyError> {
    let tables = wanted_tables(plan, &question.view);
    let mut asked = Asked::start(plan, question)?;
    let mut candidates = Vec::new();
    let mut holdings = Vec::with_capacity(arrivals.len());
    for (at, arrived) in arrivals.iter().enumerate() {
        let table = &plan.script.tables[at];
        let held = Holdings::new(table, arrived.rows.clone())?;
        asked.engine.insert(&table.name, held.standing()?)?;
        if tables[at] {
            let rows = 0..arrived.rows.num_rows();
            let is_new = |row: &usize| {
                question
                    .since
                    .is_none_or(|since| arrived.is_after(*row, since))
            };
            candidates.extend(rows.filter(is_new).map(|row| (at, row)));
        }
        holdings.push(held);
    }
    if candidates.len() > question.most {
        return Err(WhyError::TooMany {
            found: candidates.len(),
            most: question.most,
        });
    }
    let now = asked.advance()?;
    candidates.sort_by_key(|(table, row)| arrivals[*table].time(*row));
    let mut movers = Vec::new();
    let mut undo: Option<(usize, Change)> = None;
    for (table, row) in &candidates {
        let Some(change) = holdings[*table].without(*row) else {
            continue;
        };
        if let Some((table, change)) = undo.take() {
            asked.push(&plan.script, &holdings[table], table, &change.undone())?;
        }
        asked.push(&plan.script, &holdings[*table], *table, &change)?;
        let without = asked.advance()?;
        undo = Some((*table, change));
        if key::same_rows(&now, &without)? {
            continue;
        }
        let arrived = &arrivals[*table];
        let (file, position) = arrived.place(*row);
        movers.push(Mover {
            time: arrived.time(*row),
            epoch: arrived.epoch(*row),
            table: plan.script.tables[*table].name.clone(),
            file,
            position,
            event: arrived.rows.slice(*row, 1),
            without,
        });
    }
    let before = match question.since {
        None => now.slice(0, 0),
        Some(since) => rows_before(plan, arrivals, question, since)?,
    };
    Ok(Explanation {
        before,
        now,
        tried: candidates.len(),
        movers,
    })
}

/// By table of the script: whether the view reads it.
fn wanted_tables(plan: &Plan, view: &str) -> Vec<bool> {
    let outputs = plan.outputs.iter();
    let mut outputs = outputs.filter(|output| output.view.name == view);
    let names = outputs.next().map(|output| plan.tables_of(output.node));
    let names = names.unwrap_or_default();
    let tables = plan.script.tables.iter();
    tables.map(|table| names.contains(&table.name)).collect()
}

/// The rows of the key when nothing after `since` had happened.
fn rows_before(
    plan: &Plan,
    arrivals: &[Arrived],
    question: &Question,
    since: Since,
) -> Result<RecordBatch, WhyError> {
    let mut asked = Asked::start(plan, question)?;
    for (table, arrived) in plan.script.tables.iter().zip(arrivals) {
        let rows = 0..arrived.rows.num_rows();
        let mask = rows
            .map(|row| Some(!arrived.is_after(row, since)))
            .collect();
        let old = filter_record_batch(&arrived.rows, &mask)?;
        let held = Holdings::new(table, old)?;
        asked.engine.insert(&table.name, held.standing()?)?;
    }
    asked.advance()
}

/// An engine over tables that are told what they hold, and the rows of the key in it.
struct Asked<'a> {
    engine: Engine,
    question: &'a Question,
    /// The rows of the key when they were last looked at.
    last: Option<RecordBatch>,
}

impl<'a> Asked<'a> {
    fn start(plan: &Plan, question: &'a Question) -> Result<Self, WhyError> {
        let mut script = Script::clone(&plan.script);
        for table in &mut script.tables {
            table.primary_key.clear();
            table.options.dedup = None;
            table.options.deleted = None;
        }
        for view in &mut script.views {
            view.materialized = view.name == question.view;
        }
        let plan = plan::plan(Arc::new(script))?;
        let config = Config {
            workers: 1,
            ..Config::default()
        };
        let engine = Engine::start(Arc::new(plan), config)?;
        Ok(Asked {
            engine,
            question,
            last: None,
        })
    }

    fn push(
        &self,
        script: &Script,
        holdings: &Holdings,
        table: usize,
        change: &Change,
    ) -> Result<(), WhyError> {
        let rows: UInt32Array = change.iter().map(|(row, _)| row).collect();
        let batch = take_record_batch(holdings.arrived(), &rows)?;
        let diffs = change.iter().map(|(_, diff)| diff).collect();
        let name = &script.tables[table].name;
        Ok(self.engine.update(name, batch, diffs)?)
    }

    /// Lets what was pushed take effect; the rows of the key then.
    fn advance(&mut self) -> Result<RecordBatch, WhyError> {
        let snapshot: Arc<Snapshot> = self.engine.advance()?;
        let view = snapshot.view(&self.question.view).ok_or(KeyError::NoView)?;
        let (changed, _) = view.changes();
        let is_touched = self.question.key.of(&changed)?.num_rows() > 0;
        if let Some(last) = self.last.as_ref().filter(|_| !is_touched) {
            return Ok(last.clone());
        }
        let rows = self.question.key.of(&view.rows())?;
        self.last = Some(rows.clone());
        Ok(rows)
    }
}
