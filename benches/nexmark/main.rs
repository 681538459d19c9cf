//! NEXMark, query by query, and what one small change costs on a large state.
//!
//! `cargo bench --bench nexmark -- run [EVENTS]` feeds each query's view with generated events on one
//! worker and prints events a second of CPU and of the clock, beside DataFusion's batch time for the same
//! query over the same events in this process. With `TILLRACE_BENCH_PYTHON` set to a Python that has
//! `duckdb`, DuckDB answers the same (`duck.py`). Rows of all answers are counted and must be as many.
//!
//! `cargo bench --bench nexmark -- change [ROWS]` fills each kind of node with rows, then changes one row
//! an epoch and prints the median and the 99th percentile of the time until the change is visible, and
//! bytes of memory a row.
//!
//! `smoke` does a little of both. Without arguments, as under `cargo bench` over everything, there is
//! nothing to measure.

#[path = "../../tests/suites/events.rs"]
mod events;

mod change;
mod feed;
mod peers;
mod throughput;

use anyhow::{Context, Result};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: usize = 1_000_000;
const ROWS: usize = 1_000_000;
const SMOKE: usize = 20_000;

fn main() -> Result<()> {
    // Cargo passes `--bench` on.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let count = |otherwise: usize| match arguments.get(1) {
        Some(text) => text.parse().context("a number was expected"),
        None => Ok(otherwise),
    };
    let only = arguments.get(2).map(String::as_str);
    match arguments.first().map(String::as_str) {
        None => Ok(()),
        Some("run") => throughput::run(count(EVENTS)?, only),
        Some("change") => change::run(count(ROWS)?, only),
        Some("smoke") => {
            throughput::run(SMOKE, None)?;
            change::run(SMOKE, None)
        }
        Some(other) => anyhow::bail!("\"{other}\" is none of run, change, smoke"),
    }
}
