//! Runs a case: after every epoch, every maintained answer against the batch answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use tillrace::catalog::Snapshot;
use tillrace::engine::{Config, Engine};
use tillrace::oracle;
use tillrace::plan::{self, Plan};
use tillrace::script::{self, Script, Sources};

use crate::case::{Case, Event};
use crate::schema::{Identity, Row};

/// How long a case may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many answers were compared, and how many had no batch answer to compare with.
pub static COMPARED: AtomicUsize = AtomicUsize::new(0);
pub static WITHOUT_BATCH_ANSWER: AtomicUsize = AtomicUsize::new(0);
/// How many scripts neither engine takes.
pub static REFUSED: AtomicUsize = AtomicUsize::new(0);
/// How many compared answers had rows.
pub static WITH_ROWS: AtomicUsize = AtomicUsize::new(0);

static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Runs a case in a thread of its own: a worker that panics leaves the others waiting for ever.
pub fn run(case: Case) -> Result<(), String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // Threads of the tests have names of tests; those of cases have none.
            let thread = thread::current();
            match thread.name() {
                Some(name) if !name.starts_with("timely") => report(panic),
                _ => *PANIC.lock().expect("no panic while it is held") = Some(panic.to_string()),
            }
        }));
    });
    PANIC.lock().expect("no panic while it is held").take();
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(play(&case)));
    let start = Instant::now();
    loop {
        match receive.recv_timeout(Duration::from_millis(20)) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) if start.elapsed() > PATIENCE => {
                return Err(format!("not done after {PATIENCE:?}"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(message) = PANIC.lock().expect("no panic while it is held").take() {
            return Err(format!("panic: {message}"));
        }
    }
}

/// A script from text.
pub fn parse(sql: &str) -> Result<Script, String> {
    let mut sources = Sources::default();
    sources.insert(PathBuf::from("case.sql"), sql.to_owned());
    script::parse(sources).map_err(|faults| format!("refused by script:\n{faults}"))
}

/// A plan from text.
pub fn planned(sql: &str) -> Result<Arc<Plan>, String> {
    let plan = plan::plan(Arc::new(parse(sql)?));
    plan.map(Arc::new)
        .map_err(|faults| format!("refused by plan:\n{faults}"))
}

/// Whether a script is refused for something that is refused by name, and documented as such.
fn is_known_refusal(faults: &str) -> bool {
    faults.contains("NOT IN with a sub-query")
}

/// Whether the batch engine cannot answer some view either, as over columns of equal names.
fn batch_refuses(case: &Case) -> Result<bool, String> {
    let script = parse(&case.sql())?;
    let empty: Vec<RecordBatch> = script
        .tables
        .iter()
        .map(|table| RecordBatch::new_empty(table.schema()))
        .collect();
    let answers = oracle::answers(&script, &empty).map_err(|error| error.to_string())?;
    Ok(answers.values().any(Result::is_err))
}

fn play(case: &Case) -> Result<(), String> {
    let plan = match planned(&case.sql()) {
        Ok(plan) => plan,
        Err(faults) if is_known_refusal(&faults) || batch_refuses(case)? => {
            REFUSED.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        Err(faults) => return Err(faults),
    };
    let config = Config {
        workers: case.workers,
        ..Config::default()
    };
    let engine = Engine::start(plan.clone(), config).map_err(|error| chain(&error))?;
    let outcome = play_epochs(case, &plan.script, &engine);
    // An engine that is dropped leaves its workers running.
    let stopped = engine.stop().map_err(|error| chain(&error));
    outcome.and(stopped)
}

fn play_epochs(case: &Case, script: &Script, engine: &Engine) -> Result<(), String> {
    let mut arrived: Vec<Vec<Row>> = vec![Vec::new(); case.tables.len()];
    let mut changed = Changed::default();
    // Before anything arrives there are answers too.
    let nothing = Vec::new();
    for (number, epoch) in std::iter::once(&nothing).chain(&case.epochs).enumerate() {
        send(case, script, engine, epoch, &mut arrived)?;
        let now = now(number);
        let snapshot = engine.advance_to(now).map_err(|error| chain(&error))?;
        let after = |message: String| format!("after epoch {number}: {message}");
        compare(case, script, &snapshot, &arrived, now).map_err(after)?;
        for view in case.views.iter().filter(|view| view.materialized) {
            changed.apply(&snapshot, &view.name).map_err(after)?;
        }
    }
    Ok(())
}

/// What the clock shows after an epoch: it goes on unevenly through the times that rows tell.
fn now(epoch: usize) -> i64 {
    const HOUR: i64 = 3_600_000_000_000;
    const HOURS: [i64; 8] = [-800, -1, 0, 1, 20, 700, 720, 9_000];
    let hours = HOURS[epoch.min(HOURS.len() - 1)];
    crate::schema::DAY * 24 * HOUR + hours * HOUR
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", chain(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}

/// Every view's rows as its changes add up to.
#[derive(Default)]
struct Changed(HashMap<String, BTreeMap<String, i64>>);

impl Changed {
    /// Adds an epoch's changes, which must be consolidated and lead to the view's rows.
    fn apply(&mut self, snapshot: &Snapshot, view: &str) -> Result<(), String> {
        let (changes, diffs) = snapshot.changes(view).ok_or("a view has changes")?;
        let rows = self.0.entry(view.to_owned()).or_default();
        let mut changed = BTreeSet::new();
        for (row, diff) in diffs.iter().enumerate() {
            let text = show(&changes, row)?;
            *rows.entry(text.clone()).or_default() += diff;
            if *diff == 0 || !changed.insert(text.clone()) {
                return Err(format!(
                    "{view}: changes are not consolidated: {diff} x {text}"
                ));
            }
        }
        rows.retain(|_, count| *count != 0);
        let expected = counted(snapshot, view)?;
        if *rows != expected {
            return Err(format!(
                "{view}: changes lead to {rows:?}\nbut the rows are {expected:?}"
            ));
        }
        Ok(())
    }
}

/// A view's rows, and how often each is there.
fn counted(snapshot: &Snapshot, view: &str) -> Result<BTreeMap<String, i64>, String> {
    let mut counts = BTreeMap::new();
    let rows = snapshot.rows(view).ok_or("a view has rows")?;
    for row in 0..rows.num_rows() {
        *counts.entry(show(&rows, row)?).or_default() += 1;
    }
    Ok(counts)
}

fn show(batch: &RecordBatch, row: usize) -> Result<String, String> {
    oracle::show_row(batch, row).map_err(|error| error.to_string())
}

/// Hands events to the engine and notes them.
fn send(
    case: &Case,
    script: &Script,
    engine: &Engine,
    events: &[Event],
    arrived: &mut [Vec<Row>],
) -> Result<(), String> {
    let failed = |error: tillrace::engine::EngineError| chain(&error);
    // Rows for one table that follow each other are handed over together.
    let mut waiting: Option<(usize, Vec<Row>, Vec<i64>)> = None;
    let flush = |waiting: Option<(usize, Vec<Row>, Vec<i64>)>| {
        let Some((table, rows, diffs)) = waiting else {
            return Ok(());
        };
        let batch = case.tables[table].batch(script.tables[table].schema(), &rows);
        let name = &case.tables[table].name;
        match case.tables[table].identity {
            Identity::None => engine.update(name, batch, diffs).map_err(failed),
            _ => engine.insert(name, batch).map_err(failed),
        }
    };
    for event in events {
        let (table, row, diff, copies) = match event {
            Event::Add { table, row, copies } => (*table, row.clone(), 1, *copies),
            Event::TakeBack { table, number } => {
                let rows = &mut arrived[*table];
                if rows.is_empty() {
                    continue;
                }
                let row = rows.remove(number % rows.len());
                (*table, row, -1, 1)
            }
        };
        if waiting.as_ref().is_some_and(|(other, ..)| *other != table) {
            flush(waiting.take())?;
        }
        let (_, rows, diffs) = waiting.get_or_insert_with(|| (table, Vec::new(), Vec::new()));
        for _ in 0..copies {
            rows.push(row.clone());
            diffs.push(diff);
            if diff > 0 {
                arrived[table].push(row.clone());
            }
        }
    }
    flush(waiting)
}

fn compare(
    case: &Case,
    script: &Script,
    snapshot: &Snapshot,
    arrived: &[Vec<Row>],
    now: i64,
) -> Result<(), String> {
    let mut contents: Vec<RecordBatch> = Vec::new();
    for ((table, rows), defined) in case.tables.iter().zip(arrived).zip(&script.tables) {
        let batch = table.batch(defined.schema(), rows);
        contents.push(oracle::contents(defined, &[batch]).map_err(|error| error.to_string())?);
    }
    let answers =
        oracle::answers_at(script, &contents, Some(now)).map_err(|error| error.to_string())?;
    for view in case.views.iter().filter(|view| view.materialized) {
        let Ok(expected) = &answers[&view.name] else {
            WITHOUT_BATCH_ANSWER.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let found = snapshot
            .rows(&view.name)
            .ok_or_else(|| format!("no view {}", view.name))?;
        let difference = oracle::compare(expected, &found).map_err(|error| error.to_string())?;
        if let Some(difference) = difference {
            return Err(format!("{}:\n{difference}", view.name));
        }
        COMPARED.fetch_add(1, Ordering::Relaxed);
        WITH_ROWS.fetch_add(usize::from(expected.num_rows() > 0), Ordering::Relaxed);
    }
    Ok(())
}
