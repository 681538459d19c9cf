//! Engines, events and clocks for both measurements.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use tillrace::engine::{Config, Engine};
use tillrace::plan;
use tillrace::script::{self, Script, Sources};

use crate::events::{STREAMS, generator, take};

/// Events in an epoch.
pub const EPOCH_EVENTS: usize = 50_000;

/// By the clock of the events, as NEXMark has it unless told otherwise.
const EVENTS_PER_SECOND: usize = 10_000;

/// Ticks of a CPU clock in a second, as Linux tells them to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// The folder of the queries.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suites/nexmark")
}

/// The tables' text.
pub fn tables() -> Result<String> {
    fs::read_to_string(folder().join("schema.sql")).context("the tables of NEXMark")
}

/// A script out of text.
pub fn parse(sql: &str) -> Result<Arc<Script>> {
    let mut sources = Sources::default();
    sources.insert(PathBuf::from("bench.sql"), sql.to_owned());
    let script = script::parse(sources).map_err(|faults| anyhow!("{faults}"))?;
    Ok(Arc::new(script))
}

/// An engine for a script, on one worker.
pub fn engine(sql: &str) -> Result<Engine> {
    let plan = plan::plan(parse(sql)?).map_err(|faults| anyhow!("{faults}"))?;
    let config = Config {
        workers: 1,
        ..Config::default()
    };
    Ok(Engine::start(Arc::new(plan), config)?)
}

/// Events by epoch: rows of tables.
pub struct Events {
    /// In each epoch, the rows of each table.
    pub epochs: Vec<Vec<(&'static str, RecordBatch)>>,
}

impl Events {
    /// Generates events; the side input is there from the start.
    pub fn generate(events: usize) -> Result<Events> {
        let script = parse(&tables()?)?;
        let schema = |name: &str| -> SchemaRef {
            let (_, table) = script.table(name).expect("a table of NEXMark");
            table.schema()
        };
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000));
        let values = (0..10_000).map(|key| format!("value {key}"));
        let values: ArrayRef = Arc::new(StringArray::from_iter_values(values));
        let side = RecordBatch::try_new(schema("side_input"), vec![keys, values])?;
        let mut epochs = vec![vec![("side_input", side)]];
        let schemas = STREAMS.map(schema);
        let mut generator = generator(EVENTS_PER_SECOND);
        let mut left = events;
        while left > 0 {
            let now = left.min(EPOCH_EVENTS);
            let batches = take(&mut generator, now, &schemas);
            epochs.push(STREAMS.into_iter().zip(batches).collect());
            left -= now;
        }
        Ok(Events { epochs })
    }

    /// All batches of a table.
    pub fn of(&self, table: &str) -> Vec<RecordBatch> {
        let all = self.epochs.iter().flatten();
        let of_table = all.filter(|(name, _)| *name == table);
        of_table.map(|(_, batch)| batch.clone()).collect()
    }
}

/// The CPU time of this process so far, in seconds; known on Linux only.
pub fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is a name in parentheses, which may hold anything.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = fields.split(' ').skip(11).take(2);
    ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}
