//! The same queries, all at once, by DataFusion in this process and by DuckDB in another.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use arrow::datatypes::{DataType, Schema};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use parquet::arrow::ArrowWriter;
use tillrace::plan;

use crate::events::STREAMS;
use crate::feed::{Events, cpu_seconds, parse, tables};

/// What a query took.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    /// The rows of the answer.
    pub rows: usize,
    /// By the clock.
    pub seconds: f64,
    /// Of this process's CPU time; the peers do not tell.
    pub cpu_seconds: f64,
}

/// All tables, the side input too.
fn all_tables() -> impl Iterator<Item = &'static str> {
    STREAMS.into_iter().chain(["side_input"])
}

/// Answers a query by DataFusion on one thread.
pub fn datafusion(events: &Events, sql: &str) -> Result<Took> {
    let script = parse(&format!("{}\n{sql}", tables()?))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let state = plan::batch_context()?.state();
        let config = state.config().clone().with_target_partitions(1);
        let state = SessionStateBuilder::new_from_existing(state)
            .with_config(config)
            .build();
        let context = SessionContext::new_with_state(state);
        for table in all_tables() {
            let batches = events.of(table);
            let schema = batches[0].schema();
            let rows = MemTable::try_new(schema, vec![batches])?;
            context.register_table(table, Arc::new(rows))?;
        }
        plan::define_views(&context, &script)?;
        let view = &script.views[0].name;
        let (start, before) = (Instant::now(), cpu_seconds());
        let answer = context.table(view.as_str()).await?.collect().await?;
        Ok(Took {
            rows: answer.iter().map(|batch| batch.num_rows()).sum(),
            seconds: start.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds() - before,
        })
    })
}

/// Answers all queries by DuckDB on one thread, from tables in memory; nothing where it is not
/// there.
pub fn duckdb(events: &Events, queries: &[(String, String)]) -> Result<HashMap<String, Took>> {
    let Some(python) = std::env::var_os("TILLRACE_BENCH_PYTHON") else {
        return Ok(HashMap::new());
    };
    let folder = tempfile::tempdir()?;
    for table in all_tables() {
        let batches = events.of(table);
        // DuckDB takes microseconds for its timestamps; so are these, in whole milliseconds.
        let schema = batches[0].schema();
        ensure!(is_plain(&schema), "{table} has columns of other types");
        let file = File::create(folder.path().join(format!("{table}.parquet")))?;
        let mut writer = ArrowWriter::try_new(file, schema, None)?;
        for batch in &batches {
            writer.write(batch)?;
        }
        writer.close()?;
    }
    for (name, sql) in queries {
        std::fs::write(folder.path().join(format!("{name}.sql")), sql)?;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/nexmark/duck.py");
    let output = Command::new(python)
        .arg(script)
        .arg(folder.path())
        .output()
        .context("DuckDB does not run")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "DuckDB failed:\n{told}");
    let text = String::from_utf8(output.stdout)?;
    let mut took = HashMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [name, rows, seconds] = fields[..] else {
            anyhow::bail!("DuckDB says {line:?}");
        };
        let one = Took {
            rows: rows.parse()?,
            seconds: seconds.parse()?,
            cpu_seconds: 0.0,
        };
        took.insert(name.to_owned(), one);
    }
    Ok(took)
}

fn is_plain(schema: &Schema) -> bool {
    let mut fields = schema.fields().iter();
    fields.all(|field| {
        matches!(
            field.data_type(),
            DataType::Int64 | DataType::Utf8 | DataType::Timestamp(_, None)
        )
    })
}
