//! The time until one small change is visible, and the memory of a row, for each kind of node.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use tillrace::engine::memory::resident_bytes;

use crate::feed::{engine, parse};

/// A fact with a group, a value and a text, and what the groups are.
const TABLES: &str = "
    CREATE TABLE facts (id BIGINT, part BIGINT, value BIGINT, note TEXT);
    CREATE TABLE parts (part BIGINT, name TEXT);
";

/// Kinds of nodes, each by a view that has little besides it.
const KINDS: [(&str, &str); 10] = [
    (
        "map",
        "SELECT id, value * 2 AS twice FROM facts WHERE value % 1000 = 0",
    ),
    (
        "sum",
        "SELECT part, sum(value) AS total, count(*) AS n FROM facts GROUP BY part",
    ),
    (
        "min, max",
        "SELECT part, min(value) AS least, max(value) AS most FROM facts GROUP BY part",
    ),
    (
        "count distinct",
        "SELECT part, count(DISTINCT value) AS n FROM facts GROUP BY part",
    ),
    (
        "distinct",
        "SELECT DISTINCT part, value % 100 AS rest FROM facts",
    ),
    (
        "join",
        "SELECT f.part, p.name, count(*) AS n FROM facts f JOIN parts p ON f.part = p.part GROUP BY f.part, p.name",
    ),
    (
        "top-k",
        "SELECT * FROM (SELECT part, id, value, row_number() OVER (PARTITION BY part ORDER BY value DESC, id) AS place FROM facts) WHERE place <= 3",
    ),
    (
        "general",
        "SELECT part, median(value) AS middle FROM facts GROUP BY part",
    ),
    (
        "window",
        "SELECT id, part, sum(value) OVER (PARTITION BY part ORDER BY id ROWS 2 PRECEDING) AS last FROM facts WHERE id % 10 = 0",
    ),
    (
        "semi join",
        "SELECT count(*) AS n FROM facts f WHERE EXISTS (SELECT 1 FROM parts p WHERE p.part = f.part)",
    ),
];

/// Facts in a group.
const PART_ROWS: i64 = 10;

/// Rows in an epoch while the state is filled.
const FILL_ROWS: usize = 100_000;

const CHANGES: usize = 1_000;

/// Measures all kinds of nodes, or the one that is named.
pub fn run(rows: usize, only: Option<&str>) -> Result<()> {
    println!(
        "one row changed an epoch, {CHANGES} times, on {rows} facts in groups of {PART_ROWS}; one worker"
    );
    println!(
        "{:<15} {:>10} {:>10} {:>10} {:>12}",
        "", "p50 us", "p99 us", "fill s", "bytes/row"
    );
    for (name, query) in KINDS {
        match only {
            None => measure_apart(name, rows)?,
            Some(only) if only == name => measure(name, query, rows)?,
            Some(_) => {}
        }
    }
    Ok(())
}

/// Measures in a process of its own, in which nobody else has taken and given back memory.
fn measure_apart(name: &str, rows: usize) -> Result<()> {
    let output = Command::new(std::env::current_exe()?)
        .args(["change", &rows.to_string(), name])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "{name} was not measured");
    let told = String::from_utf8(output.stdout)?;
    println!("{}", told.lines().last().unwrap_or_default());
    Ok(())
}

fn measure(name: &str, query: &str, rows: usize) -> Result<()> {
    let sql = format!("{TABLES}\nCREATE MATERIALIZED VIEW measured AS {query};");
    let script = parse(&sql)?;
    let schema = |table: &str| script.table(table).expect("a table").1.schema();
    let (facts, parts) = (schema("facts"), schema("parts"));
    let engine = engine(&sql)?;
    engine.advance()?;
    let before = resident_bytes().unwrap_or(0);
    let start = Instant::now();
    engine.insert("parts", parts_of(&parts, rows)?)?;
    for from in (0..rows).step_by(FILL_ROWS) {
        let upto = rows.min(from + FILL_ROWS);
        engine.insert("facts", facts_of(&facts, from as i64..upto as i64)?)?;
        engine.advance()?;
    }
    let filled = start.elapsed();
    // What has been merged is given back a little later.
    for _ in 0..20 {
        engine.advance()?;
    }
    let bytes = resident_bytes().unwrap_or(0).saturating_sub(before);
    let mut taken: Vec<Duration> = Vec::with_capacity(CHANGES);
    for number in 0..CHANGES {
        // Every other change brings back what the one before it took.
        let row = facts_of(&facts, taken_id(number / 2, rows))?;
        let diff = if number % 2 == 0 { -1 } else { 1 };
        let start = Instant::now();
        engine.update("facts", row, vec![diff])?;
        engine.advance()?;
        taken.push(start.elapsed());
    }
    taken.sort();
    println!(
        "{name:<15} {:>10.0} {:>10.0} {:>10.2} {:>12.0}",
        taken[CHANGES / 2].as_secs_f64() * 1e6,
        taken[CHANGES * 99 / 100].as_secs_f64() * 1e6,
        filled.as_secs_f64(),
        bytes as f64 / rows as f64,
    );
    engine.stop()?;
    Ok(())
}

/// The one fact that a change is about.
fn taken_id(number: usize, rows: usize) -> std::ops::Range<i64> {
    let id = (number * 7919 % rows) as i64;
    id..id + 1
}

fn facts_of(schema: &SchemaRef, ids: std::ops::Range<i64>) -> Result<RecordBatch> {
    let number = |of: fn(i64) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(ids.clone().map(of)))
    };
    let notes = ids.clone().map(|id| format!("note {id}"));
    let notes: ArrayRef = Arc::new(StringArray::from_iter_values(notes));
    let columns = vec![
        number(|id| id),
        number(|id| id / PART_ROWS),
        number(|id| id * 2_654_435_761 % 1_000_003),
        notes,
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn parts_of(schema: &SchemaRef, rows: usize) -> Result<RecordBatch> {
    let parts = 0..(rows as i64 / PART_ROWS + 1);
    let names = parts.clone().map(|part| format!("part {part}"));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(parts)),
        Arc::new(StringArray::from_iter_values(names)),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
