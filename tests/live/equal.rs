//! A replay of files and a live run over the same records end in the same answers, however the
//! records come: in another order, in pieces, late, twice, some as history and some live.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::thread;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tillrace::catalog::Snapshot;
use tillrace::engine::{Config, Progress, replay};
use tillrace::plan::Plan;
use tillrace::source::{Blocks, InputSpec, OpenOptions};

use crate::lines::{Lines, text, trickle};
use crate::support::{input, lines, plan, start, top, when_taken};

static DATAFLOWS: LazyLock<Arc<Plan>> = LazyLock::new(|| plan(&["dataflows"]));

/// The inputs that a list names.
fn listed(list: &str) -> Vec<InputSpec> {
    let path = top().join(list);
    let folder = path.parent().expect("it lies in a folder");
    let text = fs::read_to_string(&path).expect("the list can be read");
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let specs = lines.map(|line| {
        let mut spec = InputSpec::parse(line).unwrap_or_else(|error| panic!("{error}"));
        spec.relative_to(folder);
        spec
    });
    specs.collect()
}

fn replayed(plan: &Arc<Plan>, specs: &[InputSpec]) -> Arc<Snapshot> {
    let blocks = Blocks::open(specs, &OpenOptions::default());
    let blocks = Arc::new(blocks.unwrap_or_else(|errors| panic!("{errors}")));
    let config = Config {
        workers: 2,
        ..Config::default()
    };
    replay(
        Arc::clone(plan),
        blocks,
        &config,
        Arc::new(Progress::default()),
    )
    .unwrap_or_else(|error| panic!("{error}"))
}

/// Whether a view tells of where records were read rather than of what they say.
fn is_of_the_run(view: &str) -> bool {
    view.starts_with("tillrace.") || view == "data_freshness"
}

#[track_caller]
fn assert_equal(live: &Snapshot, replay: &Snapshot, what: &str) {
    let mut compared = 0;
    for output in replay.views() {
        let view = &output.view.name;
        if is_of_the_run(view) {
            continue;
        }
        let expected = lines(&replay.rows(view).expect("the view is there"));
        let found = lines(&live.rows(view).expect("the view is there"));
        if found != expected {
            let missing = expected.iter().filter(|row| !found.contains(row)).take(5);
            let surplus = found.iter().filter(|row| !expected.contains(row)).take(5);
            panic!(
                "{what}: {view} differs, {} rows instead of {}\nmissing:\n{}\nnot expected:\n{}",
                found.len(),
                expected.len(),
                missing.cloned().collect::<Vec<_>>().join("\n"),
                surplus.cloned().collect::<Vec<_>>().join("\n"),
            );
        }
        compared += 1;
    }
    assert!(compared > 0, "{what}: there is nothing to compare");
}

/// How records come.
struct Way {
    workers: usize,
    seed: u64,
    /// Every second record lies in a file at the start.
    half_is_history: bool,
}

/// Runs live over the records of files and compares with the replay of those files.
#[track_caller]
fn check(plan: &Arc<Plan>, specs: &[InputSpec], way: &Way) {
    let what = format!("{} workers, seed {}", way.workers, way.seed);
    let expected = replayed(plan, specs);
    let mut random = ChaCha8Rng::seed_from_u64(way.seed);
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let (mut history, mut live, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    let mut sent = 0;
    for (number, spec) in specs.iter().enumerate() {
        let found = Lines::read(spec);
        let (_, table) = plan.script.table(&spec.table).expect("the table is there");
        let mut records = found.shuffled(table, &mut random);
        sent += records.len() as u64;
        if way.half_is_history {
            let rest = records.split_off(records.len() / 2);
            if !records.is_empty() {
                let path = folder.path().join(format!("{number}.{}", found.format()));
                history.push(write(
                    &path,
                    &spec.table,
                    &text(found.header.as_ref(), &records),
                ));
            }
            records = rest;
        }
        let location = format!("{}=tcp://127.0.0.1:0?format={}", spec.table, found.format());
        live.push(input(&location));
        texts.push(text(found.header.as_ref(), &records));
    }
    let addresses: Vec<SocketAddr> = live
        .iter()
        .map(|live| live.source.address().expect("it listens"))
        .collect();
    let run = start(plan, way.workers, &history, live);
    thread::scope(|scope| {
        for (at, (address, text)) in addresses.iter().zip(&texts).enumerate() {
            scope.spawn(move || trickle(*address, text, way.seed + at as u64));
        }
    });
    let snapshot = when_taken(&run, sent);
    assert_equal(&snapshot, &expected, &what);
    run.stop().unwrap_or_else(|error| panic!("{error}"));
}

fn write(path: &Path, table: &str, text: &[u8]) -> InputSpec {
    fs::write(path, text).expect("there is room for a file");
    InputSpec::parse(&format!("{table}={}", path.display())).expect("an input")
}

#[test]
fn on_one_worker() {
    let way = Way {
        workers: 1,
        seed: 11,
        half_is_history: false,
    };
    check(&DATAFLOWS, &listed("data/samples/tillrace.inputs"), &way);
}

#[test]
fn on_four_workers() {
    let way = Way {
        workers: 4,
        seed: 12,
        half_is_history: false,
    };
    check(&DATAFLOWS, &listed("data/samples/tillrace.inputs"), &way);
}

#[test]
fn with_one_half_as_history() {
    let way = Way {
        workers: 4,
        seed: 13,
        half_is_history: true,
    };
    check(&DATAFLOWS, &listed("data/samples/tillrace.inputs"), &way);
}

/// Lines as they stand in the first letters about Tillrace. One has no time, so it takes that at
/// which it is read, which no two runs share: it is left out.
#[test]
fn over_the_given_lines() {
    let mut specs = listed("data/samples/given/tillrace.inputs");
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for (number, spec) in specs.iter_mut().enumerate() {
        let lines = Lines::read(spec);
        let (_, table) = DATAFLOWS
            .script
            .table(&spec.table)
            .expect("the table is there");
        let is_timed =
            |line: &&String| table.options.event_time.is_none() || line.contains("\"timestamp\"");
        let timed: Vec<String> = lines.records.iter().filter(is_timed).cloned().collect();
        let path = folder.path().join(format!("{number}.jsonl"));
        *spec = write(&path, &spec.table, &text(None, &timed));
    }
    for workers in [1, 3] {
        let way = Way {
            workers,
            seed: 14,
            half_is_history: false,
        };
        check(&DATAFLOWS, &specs, &way);
    }
}

#[test]
fn over_the_example_of_the_guide() {
    let plan = plan(&["docs/examples/shop.sql"]);
    let examples = top().join("docs/examples");
    let specs = ["orders=orders.jsonl", "products=products.csv"].map(|text| {
        let mut spec = InputSpec::parse(text).expect("an input");
        spec.relative_to(&examples);
        spec
    });
    for half_is_history in [false, true] {
        let way = Way {
            workers: 2,
            seed: 15,
            half_is_history,
        };
        check(&plan, &specs, &way);
    }
}
