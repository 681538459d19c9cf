//! Waiting, and what live runs in this process need.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use tillrace::catalog::Snapshot;
use tillrace::engine::{Config, Live, LiveConfig, Ticks, Wiring};
use tillrace::plan::{self, Plan};
use tillrace::script;
use tillrace::source::live::{LiveInput, LiveOptions, open};
use tillrace::source::{Blocks, InputSpec, OpenOptions};

/// Nothing that is waited for takes longer.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until something is so.
#[track_caller]
pub fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    assert!(is_soon(is_so), "waited in vain until {what}");
}

/// Whether something is so before the deadline.
pub fn is_soon(mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(3));
    }
    true
}

/// The top of the source tree.
pub fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The plan of scripts in the source tree.
pub fn plan(scripts: &[&str]) -> Arc<Plan> {
    let paths: Vec<PathBuf> = scripts.iter().map(|path| top().join(path)).collect();
    let script = script::load(&paths).unwrap_or_else(|error| panic!("{error}"));
    let plan = plan::plan(Arc::new(script)).unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(plan)
}

/// The plan of a text.
pub fn plan_of(sql: &str) -> Arc<Plan> {
    let mut sources = script::Sources::default();
    sources.insert(PathBuf::from("test.sql"), sql.to_owned());
    let script = script::parse(sources).unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(plan::plan(Arc::new(script)).unwrap_or_else(|faults| panic!("{faults}")))
}

/// An input that is ready to run.
pub fn input(text: &str) -> LiveInput {
    let spec = InputSpec::parse(text).unwrap_or_else(|error| panic!("{error}"));
    open(&spec, &LiveOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Starts a live run whose epochs go on by themselves every few milliseconds.
pub fn start(
    plan: &Arc<Plan>,
    workers: usize,
    history: &[InputSpec],
    live: Vec<LiveInput>,
) -> Arc<Live> {
    let history = (!history.is_empty()).then(|| {
        let blocks = Blocks::open(history, &OpenOptions::default());
        Arc::new(blocks.unwrap_or_else(|errors| panic!("{errors}")))
    });
    let config = LiveConfig {
        engine: Config {
            workers,
            ..Config::default()
        },
        ticks: Ticks {
            idle: Duration::from_millis(20),
            ..Ticks::default()
        },
        keep: Default::default(),
        memory_limit: None,
    };
    let started = Live::start(Arc::clone(plan), config, Wiring { history, live });
    started.unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until so many records have been taken; the snapshot in which all of them are.
#[track_caller]
pub fn when_taken(live: &Live, records: u64) -> Arc<Snapshot> {
    let taken = || -> u64 {
        let inputs = live.report().inputs;
        let counts = inputs.iter().map(|input| {
            input.counts.rows.load(Ordering::Relaxed) + input.counts.rejects.load(Ordering::Relaxed)
        });
        counts.sum()
    };
    let are_taken = is_soon(|| taken() >= records);
    assert!(are_taken, "{} of {records} records are taken", taken());
    assert_eq!(taken(), records, "records that nobody sent");
    let epoch = live.report().open_epoch;
    wait_until("the epoch is published", || {
        live.catalog().latest().epoch() >= epoch
    });
    live.catalog().latest()
}

/// A view's rows as lines of text, in the order of the view.
pub fn lines(rows: &RecordBatch) -> Vec<String> {
    let shown = arrow::util::pretty::pretty_format_batches(std::slice::from_ref(rows));
    let shown = shown.expect("rows can be shown").to_string();
    shown.lines().map(str::to_owned).collect()
}
