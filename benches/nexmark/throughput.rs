//! Events a second for each query, beside batch engines.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::feed::{Events, cpu_seconds, engine, folder, tables};
use crate::peers::{self, Took};

/// Times all queries, or the one that is named, such as `q04`.
pub fn run(events: usize, only: Option<&str>) -> Result<()> {
    let generated = Events::generate(events)?;
    let queries: Vec<(String, String)> = queries()?
        .into_iter()
        .filter(|(name, _)| only.is_none_or(|only| only == name))
        .collect();
    let duck = peers::duckdb(&generated, &queries)?;
    println!("NEXMark, {events} events, one worker; batch engines on one thread, from memory");
    println!(
        "{:<5} {:>9} {:>9} {:>12} {:>12} {:>12} {:>12}",
        "", "rows", "s", "events/s", "a CPU s", "DataFusion s", "DuckDB s"
    );
    for (name, sql) in &queries {
        let ours = maintain(&generated, sql)?;
        let batch = peers::datafusion(&generated, sql)?;
        let duck = duck.get(name);
        ensure!(
            ours.rows == batch.rows,
            "{name}: {} rows are kept, batch has {}",
            ours.rows,
            batch.rows
        );
        if let Some(duck) = duck {
            ensure!(
                ours.rows == duck.rows,
                "{name}: {} rows are kept, DuckDB has {}",
                ours.rows,
                duck.rows
            );
        }
        let duck = duck.map_or("-".to_owned(), |duck| format!("{:.3}", duck.seconds));
        println!(
            "{name:<5} {:>9} {:>9.3} {:>12.0} {:>12.0} {:>12.3} {duck:>12}",
            ours.rows,
            ours.seconds,
            events as f64 / ours.seconds,
            events as f64 / ours.cpu_seconds.max(0.01),
            batch.seconds,
        );
    }
    Ok(())
}

/// The queries by their names.
fn queries() -> Result<Vec<(String, String)>> {
    let mut queries = Vec::new();
    for number in 0..=22 {
        let name = format!("q{number:02}");
        let path = folder().join(format!("{name}.sql"));
        queries.push((name, std::fs::read_to_string(path)?));
    }
    Ok(queries)
}

/// Feeds a view epoch by epoch.
fn maintain(events: &Events, sql: &str) -> Result<Took> {
    let engine = engine(&format!("{}\n{sql}", tables()?))?;
    let view = engine.plan().outputs.iter();
    let view = view.map(|output| output.view.name.clone());
    let view: Vec<String> = view.filter(|name| name.starts_with('q')).collect();
    let (start, before) = (Instant::now(), cpu_seconds());
    let mut snapshot = engine.advance()?;
    for epoch in &events.epochs {
        for (table, rows) in epoch {
            engine.insert(table, rows.clone())?;
        }
        snapshot = engine.advance()?;
    }
    let (seconds, cpu_seconds) = (start.elapsed().as_secs_f64(), cpu_seconds() - before);
    let rows = snapshot.view(&view[0]).map_or(0, |view| view.total());
    engine.stop()?;
    Ok(Took {
        rows,
        seconds,
        cpu_seconds,
    })
}
