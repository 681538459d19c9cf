//! The engine's answers in many runs over the same rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::read::read;
use super::{Answer, Difference, OracleError, answers, compare, contents};
use crate::catalog::Snapshot;
use crate::engine::{self, Config, Engine, Progress};
use crate::plan::Plan;
use crate::script::Script;
use crate::source::{Blocks, InputSpec, OpenOptions};

/// The numbers of workers of the straight replays.
const WORKERS: [usize; 3] = [1, 2, 4];

/// The most epochs into which a round splits the rows.
const MOST_EPOCHS: usize = 24;

/// What to try.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What the rounds follow from.
    pub seed: u64,
    /// How many times the rows are shuffled and split.
    pub rounds: u64,
    /// When the engine's clock stops, in nanoseconds since the Unix epoch.
    pub as_of: Option<i64>,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// How many views were compared.
    pub views: usize,
    /// How many rows the inputs have.
    pub rows: u64,
    /// How many runs were compared.
    pub runs: u64,
    /// The views without a batch answer, and why they have none.
    pub unanswered: Vec<(String, String)>,
    /// The first difference; the runs end there.
    pub difference: Option<Found>,
}

/// A difference, and where it was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// What was special about the run.
    pub run: String,
    /// The view.
    pub view: String,
    /// The rows.
    pub difference: Difference,
}

/// Compares the maintained answers with the batch answers until the first difference.
///
/// # Errors
/// If the inputs cannot be read or a run fails.
pub fn verify(
    plan: &Arc<Plan>,
    specs: &[InputSpec],
    options: &Options,
) -> Result<Verdict, OracleError> {
    let config = Config {
        as_of: options.as_of,
        ..Config::default()
    };
    let arrived = read(plan, specs, config.read_time)?;
    let expected = batch_answers(&plan.script, &arrived)?;
    let mut verdict = Verdict {
        rows: arrived.iter().map(|rows| rows.num_rows() as u64).sum(),
        ..Verdict::default()
    };
    for output in &plan.outputs {
        match expected.get(&output.view.name) {
            Some(Ok(_)) => verdict.views += 1,
            Some(Err(reason)) => {
                verdict
                    .unanswered
                    .push((output.view.name.clone(), reason.clone()));
            }
            None => {}
        }
    }
    for workers in WORKERS {
        let snapshot = replay(
            plan,
            specs,
            Config {
                workers,
                ..config.clone()
            },
        )?;
        let run = format!("straight replay on {workers} workers");
        verdict.difference = first_difference(&run, &expected, &snapshot)?;
        verdict.runs += 1;
        if verdict.difference.is_some() {
            return Ok(verdict);
        }
    }
    for round in 0..options.rounds {
        let seed = options.seed.wrapping_add(round);
        verdict.difference = play_round(plan, &arrived, &config, seed)?;
        verdict.runs += 1;
        if verdict.difference.is_some() {
            return Ok(verdict);
        }
    }
    Ok(verdict)
}

fn batch_answers(
    script: &Script,
    arrived: &[RecordBatch],
) -> Result<BTreeMap<String, Answer>, OracleError> {
    let tables = script.tables.iter().zip(arrived);
    let held: Vec<RecordBatch> = tables
        .map(|(table, rows)| contents(table, rows))
        .collect::<Result<_, _>>()?;
    Ok(answers(script, &held)?)
}

fn replay(
    plan: &Arc<Plan>,
    specs: &[InputSpec],
    config: Config,
) -> Result<Arc<Snapshot>, OracleError> {
    let blocks = Arc::new(Blocks::open(specs, &OpenOptions::default())?);
    Ok(engine::replay(
        plan.clone(),
        blocks,
        &config,
        Arc::new(Progress::default()),
    )?)
}

fn first_difference(
    run: &str,
    expected: &BTreeMap<String, Answer>,
    snapshot: &Snapshot,
) -> Result<Option<Found>, OracleError> {
    for (view, answer) in expected {
        let (Ok(answer), Some(found)) = (answer, snapshot.rows(view)) else {
            continue;
        };
        if let Some(difference) = compare(answer, &found)? {
            return Ok(Some(Found {
                run: run.to_owned(),
                view: view.clone(),
                difference,
            }));
        }
    }
    Ok(None)
}

/// Hands the rows to an engine in many epochs, and compares after one of them and at the end.
fn play_round(
    plan: &Arc<Plan>,
    arrived: &[RecordBatch],
    config: &Config,
    seed: u64,
) -> Result<Option<Found>, OracleError> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let script = &plan.script;
    let workers = WORKERS[random.random_range(0..WORKERS.len())];
    let epochs = random.random_range(2..=MOST_EPOCHS);
    let look = random.random_range(0..epochs);
    let tables = script.tables.iter().zip(arrived);
    let ordered: Vec<RecordBatch> = tables
        .map(|(table, rows)| {
            let any_order = table.is_append_only() && table.options.dedup.is_none();
            if any_order {
                shuffled(rows, &mut random)
            } else {
                Ok(rows.clone())
            }
        })
        .collect::<Result<_, _>>()?;
    let ends: Vec<Vec<usize>> = ordered
        .iter()
        .map(|rows| cuts(rows.num_rows(), epochs, &mut random))
        .collect();

    let engine = Engine::start(
        plan.clone(),
        Config {
            workers,
            ..config.clone()
        },
    )?;
    let mut found = None;
    for epoch in 0..epochs {
        let mut seen = Vec::new();
        for (table, (rows, ends)) in script.tables.iter().zip(ordered.iter().zip(&ends)) {
            let start = if epoch == 0 { 0 } else { ends[epoch - 1] };
            let part = rows.slice(start, ends[epoch] - start);
            if part.num_rows() > 0 {
                engine.insert(&table.name, part)?;
            }
            seen.push(rows.slice(0, ends[epoch]));
        }
        let snapshot = engine.advance()?;
        if epoch == look || epoch + 1 == epochs {
            let run = format!(
                "seed {seed}: {workers} workers, after epoch {} of {epochs}",
                epoch + 1
            );
            found = first_difference(&run, &batch_answers(script, &seen)?, &snapshot)?;
        }
        if found.is_some() {
            break;
        }
    }
    engine.stop()?;
    Ok(found)
}

fn shuffled(rows: &RecordBatch, random: &mut ChaCha8Rng) -> Result<RecordBatch, OracleError> {
    let mut order: Vec<u64> = (0..rows.num_rows() as u64).collect();
    order.shuffle(random);
    Ok(take_record_batch(rows, &UInt64Array::from(order))?)
}

/// Where each epoch ends among so many rows; some epochs are empty.
fn cuts(rows: usize, epochs: usize, random: &mut ChaCha8Rng) -> Vec<usize> {
    let mut ends: Vec<usize> = (1..epochs).map(|_| random.random_range(0..=rows)).collect();
    ends.sort_unstable();
    ends.push(rows);
    ends
}
