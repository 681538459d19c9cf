//! A small shop, and what its sinks have handed out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tillrace::catalog::Snapshot;
use tillrace::engine::{Config, Engine};
use tillrace::plan;
use tillrace::script::{self, Sources};
use tillrace::sink::{self, RunningSink, SinkSpec};
use tillrace::source::Format;

/// Sales by category, and all of them by themselves.
pub const SHOP: &str = "
    CREATE TABLE sales (category TEXT, amount DECIMAL(18,2));
    CREATE MATERIALIZED VIEW by_category AS
        SELECT category, sum(amount) AS revenue, count(*) AS sales FROM sales GROUP BY category;
    CREATE MATERIALIZED VIEW total AS SELECT count(*) AS sales FROM sales;
";

pub fn engine(sql: &str) -> Engine {
    let mut sources = Sources::default();
    sources.insert(PathBuf::from("test.sql"), sql.to_owned());
    let script = script::parse(sources).unwrap_or_else(|faults| panic!("{faults}"));
    let plan = plan::plan(Arc::new(script)).unwrap_or_else(|faults| panic!("{faults}"));
    let config = Config {
        workers: 2,
        ..Config::default()
    };
    Engine::start(Arc::new(plan), config).expect("the plan runs")
}

/// Sells something for an amount and closes the epoch.
pub fn sell(engine: &Engine, category: &str, amount: f64) -> Arc<Snapshot> {
    let line = format!(r#"{{"category":"{category}","amount":{amount:.2}}}"#);
    engine
        .ingest("test", "sales", &Format::Json, line.into_bytes())
        .expect("there is a table sales");
    engine.advance().expect("an epoch")
}

pub fn start(engine: &Engine, sink: &str) -> RunningSink {
    let spec = SinkSpec::parse(sink).unwrap_or_else(|error| panic!("{error}"));
    sink::start(spec, Arc::clone(engine.catalog())).unwrap_or_else(|error| panic!("{error}"))
}

/// Looks until something is so. Not a wait for things to happen in time: it is only given up when
/// it never will be.
#[track_caller]
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "never: {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

#[track_caller]
pub fn until_delivered(sink: &RunningSink, snapshot: &Snapshot) {
    until("the epoch is handed out", || {
        sink.status().delivered_epoch() >= snapshot.epoch()
    });
}

/// Rows as fields with lines between, NULL as nothing.
pub fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default();
    let format = |column| ArrayFormatter::try_new(column, &options).expect("a printable column");
    let columns: Vec<_> = batch.columns().iter().map(|c| format(c)).collect();
    let line = |row| {
        let values = columns.iter().map(|column| column.value(row).to_string());
        values.collect::<Vec<_>>().join("|")
    };
    (0..batch.num_rows()).map(line).collect()
}

pub fn rows(snapshot: &Snapshot, view: &str) -> Vec<String> {
    let mut lines = lines(&snapshot.rows(view).expect("there is such a view"));
    lines.sort();
    lines
}

/// A change: the epoch, the diff, the row.
pub type Change = (u64, i64, String);

/// What changes add up to.
pub fn sum(changes: &[Change]) -> Vec<String> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for (_, diff, row) in changes {
        *counts.entry(row).or_default() += diff;
    }
    assert!(counts.values().all(|count| *count >= 0), "{counts:?}");
    let rows = counts.into_iter();
    rows.flat_map(|(row, count)| std::iter::repeat_n(row.to_owned(), count as usize))
        .collect()
}

/// The files of a folder in the order of their names.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.sort();
    paths
}

/// The changes of a file, by the end of its name.
pub fn changes_of(file: &Path) -> Vec<Change> {
    let extension = file.extension().expect("an extension").to_str();
    match extension.expect("UTF-8") {
        "jsonl" => json_changes(&fs::read_to_string(file).expect("a file")),
        "csv" => csv_changes(&fs::read_to_string(file).expect("a file")),
        "parquet" => parquet_changes(file),
        other => panic!("{other}"),
    }
}

/// Changes as JSON lines.
pub fn json_changes(text: &str) -> Vec<Change> {
    let change = |line: &str| {
        let mut row: serde_json::Map<String, Value> = serde_json::from_str(line).expect("JSON");
        row.shift_remove("_view");
        let epoch = row.shift_remove("_epoch").expect("an epoch");
        let diff = row.shift_remove("_diff").expect("a diff");
        let row: Vec<String> = row.values().map(text_of).collect();
        (
            epoch.as_u64().expect("a number"),
            diff.as_i64().expect("a number"),
            row.join("|"),
        )
    };
    text.lines().map(change).collect()
}

pub fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        // The only fractions here are amounts of money.
        Value::Number(number) if number.is_f64() => {
            format!("{:.2}", number.as_f64().expect("a float"))
        }
        other => other.to_string(),
    }
}

fn csv_changes(text: &str) -> Vec<Change> {
    let mut lines = text.lines();
    let header = lines.next().expect("every file has a header");
    assert_eq!(header, "_epoch,_diff,category,revenue,sales");
    let change = |line: &str| {
        let mut fields = line.splitn(3, ',');
        let mut field = || fields.next().expect("a field");
        (
            field().parse().expect("an epoch"),
            field().parse().expect("a diff"),
            field().replace(',', "|"),
        )
    };
    lines.map(change).collect()
}

fn parquet_changes(file: &Path) -> Vec<Change> {
    let file = fs::File::open(file).expect("a file");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a whole Parquet file");
    let mut changes = Vec::new();
    for batch in reader.build().expect("a reader") {
        for line in lines(&batch.expect("a batch")) {
            let mut fields = line.splitn(3, '|');
            let mut field = || fields.next().expect("a field");
            changes.push((
                field().parse().expect("an epoch"),
                field().parse().expect("a diff"),
                field().to_owned(),
            ));
        }
    }
    changes
}
