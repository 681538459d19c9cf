//! An engine that a suite feeds, and what it must answer.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use tillrace::engine::{Config, Engine};
use tillrace::oracle;
use tillrace::plan;
use tillrace::script::{self, Script, Sources};

/// An engine and what its tables hold.
pub struct Suite {
    engine: Engine,
    script: Arc<Script>,
    /// By table, in the order of the script.
    contents: Vec<RecordBatch>,
    /// How often an answer was compared, and how many of those had rows.
    pub compared: usize,
    pub with_rows: usize,
}

/// Who computes the answers to compare with.
#[derive(Clone, Copy)]
pub enum Batch {
    /// DataFusion with few of its rewrites: little is shared with the planner, and joins of many
    /// tables without `ON` are out of reach.
    Plain,
    /// DataFusion with all of its rewrites.
    Optimised,
}

/// A script out of texts.
pub fn parse(sql: &str) -> Arc<Script> {
    let mut sources = Sources::default();
    sources.insert(PathBuf::from("suite.sql"), sql.to_owned());
    Arc::new(script::parse(sources).unwrap_or_else(|faults| panic!("{faults}")))
}

impl Suite {
    /// Starts an engine whose tables are empty.
    pub fn start(sql: &str, workers: usize) -> Suite {
        let script = parse(sql);
        let plan = plan::plan(Arc::clone(&script)).unwrap_or_else(|faults| panic!("{faults}"));
        let config = Config {
            workers,
            ..Config::default()
        };
        let engine = Engine::start(Arc::new(plan), config).expect("the plan runs");
        let tables = script.tables.iter();
        let contents = tables
            .map(|table| RecordBatch::new_empty(table.schema()))
            .collect();
        Suite {
            engine,
            script,
            contents,
            compared: 0,
            with_rows: 0,
        }
    }

    /// What a table holds.
    pub fn contents(&self, table: &str) -> &RecordBatch {
        &self.contents[self.place(table)]
    }

    fn place(&self, table: &str) -> usize {
        let (place, _) = self.script.table(table).expect("a table of the suite");
        place
    }

    /// Adds rows to a table.
    pub fn insert(&mut self, table: &str, rows: RecordBatch) {
        let place = self.place(table);
        let held = &mut self.contents[place];
        *held = concat_batches(&held.schema(), [&*held, &rows]).expect("the table's columns");
        self.engine
            .insert(table, rows)
            .expect("the engine takes rows");
    }

    /// Takes rows of a table back: those that are marked.
    pub fn delete(&mut self, table: &str, marked: &BooleanArray) {
        let place = self.place(table);
        let held = &mut self.contents[place];
        let rows = filter_record_batch(held, marked).expect("a mark a row");
        let kept = (0..marked.len()).filter(|row| !marked.value(*row));
        let kept = UInt64Array::from_iter_values(kept.map(|row| row as u64));
        *held = take_record_batch(held, &kept).expect("rows that there are");
        let diffs = vec![-1; rows.num_rows()];
        let taken = self.engine.update(table, rows, diffs);
        taken.expect("the engine takes rows back");
    }

    /// Closes the epoch, and compares every materialised view with what a batch computes.
    pub fn check(&mut self, batch: Batch, when: &str) {
        let snapshot = self.engine.advance().expect("an epoch");
        let expected = match batch {
            Batch::Plain => {
                let answers = oracle::answers(&self.script, &self.contents);
                let answers = answers.expect("a batch session").into_iter();
                let answer = |(view, rows): (String, oracle::Answer)| {
                    let rows = rows.unwrap_or_else(|error| panic!("{view}: {error}"));
                    (view, rows)
                };
                answers.map(answer).collect()
            }
            Batch::Optimised => self.optimised(),
        };
        let mut wrong = Vec::new();
        for (view, rows) in &expected {
            let Some(found) = snapshot.rows(view) else {
                continue;
            };
            self.compared += 1;
            self.with_rows += usize::from(rows.num_rows() > 0);
            let difference = oracle::compare(rows, &found).expect("comparable rows");
            if let Some(difference) = difference {
                wrong.push(format!("{view} {when}:\n{difference}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// The answers of DataFusion with all of its rewrites, by view.
    fn optimised(&self) -> Vec<(String, RecordBatch)> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let context = plan::batch_context().expect("a batch session");
            for (table, rows) in self.script.tables.iter().zip(&self.contents) {
                let rows = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]);
                let rows = Arc::new(rows.expect("rows of one schema"));
                let name = table.name.as_str();
                context.register_table(name, rows).expect("a new name");
            }
            plan::define_views(&context, &self.script).expect("views that batch can read");
            let mut answers = Vec::new();
            for view in self.script.views.iter().filter(|view| view.materialized) {
                answers.push((view.name.clone(), all_rows(&context, &view.name).await));
            }
            answers
        })
    }

    /// Ends the workers.
    pub fn stop(self) {
        self.engine.stop().expect("the workers end");
    }
}

async fn all_rows(context: &SessionContext, view: &str) -> RecordBatch {
    let failed = |error: datafusion::error::DataFusionError| -> RecordBatch {
        panic!("{view}: {}", error.strip_backtrace())
    };
    let frame = match context.table(view).await {
        Ok(frame) => frame,
        Err(error) => return failed(error),
    };
    let schema = Arc::new(frame.schema().as_arrow().clone());
    match frame.collect().await {
        Ok(batches) => {
            let schema = batches.first().map_or(schema, RecordBatch::schema);
            concat_batches(&schema, &batches).expect("batches of one schema")
        }
        Err(error) => failed(error),
    }
}
