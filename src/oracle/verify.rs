//! The engine's answers in many runs over the same rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::read::read;
use super::{Answer, Difference, OracleError, answers_at, compare, contents, newest_event_time};
use crate::catalog::Snapshot;
use crate::engine::{self, Config, Engine, Progress};
use crate::plan::{Input, Plan, Relation};
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
    let epochs = read(plan, specs, &config)?;
    let now = now(plan, &epochs, &config)?;
    let expected = batch_answers(&plan.script, &epochs, now)?;
    let rows = epochs
        .iter()
        .flatten()
        .map(|rows| rows.num_rows() as u64)
        .sum();
    let mut verdict = Verdict {
        rows,
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
    let tables = plan.script.tables.iter().zip(&epochs);
    let arrived: Vec<RecordBatch> = tables
        .map(|(table, epochs)| concat_batches(&table.schema(), epochs))
        .collect::<Result<_, _>>()?;
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

/// The batch answers to what the tables hold after some epochs, given by table.
fn batch_answers(
    script: &Script,
    epochs: &[Vec<RecordBatch>],
    now: Option<i64>,
) -> Result<BTreeMap<String, Answer>, OracleError> {
    let tables = script.tables.iter().zip(epochs);
    let held: Vec<RecordBatch> = tables
        .map(|(table, epochs)| contents(table, epochs))
        .collect::<Result<_, _>>()?;
    Ok(answers_at(script, &held, now)?)
}

/// What `now()` is after some epochs, given by table; nothing before an event tells.
fn now(
    plan: &Plan,
    epochs: &[Vec<RecordBatch>],
    config: &Config,
) -> Result<Option<i64>, OracleError> {
    if config.as_of.is_some() {
        return Ok(config.as_of);
    }
    let tables = &plan.script.tables;
    let tells = |input: &Input| match input.relation {
        Relation::Table(table) => tables[table].options.event_time.is_some(),
        _ => false,
    };
    if !plan.inputs.iter().any(tells) {
        return Ok(Some(config.read_time));
    }
    let mut newest = None;
    for (table, epochs) in tables.iter().zip(epochs) {
        newest = newest.max(newest_event_time(table, epochs)?);
    }
    Ok(newest)
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
    let count = random.random_range(2..=MOST_EPOCHS);
    let look = random.random_range(0..count);
    let epochs = split(script, arrived, count, &mut random)?;

    let engine = Engine::start(
        plan.clone(),
        Config {
            workers,
            ..config.clone()
        },
    )?;
    let mut found = None;
    for epoch in 0..count {
        for (table, epochs) in script.tables.iter().zip(&epochs) {
            if epochs[epoch].num_rows() > 0 {
                engine.insert(&table.name, epochs[epoch].clone())?;
            }
        }
        let seen: Vec<Vec<RecordBatch>> = epochs
            .iter()
            .map(|epochs| epochs[..=epoch].to_vec())
            .collect();
        let now = now(plan, &seen, config)?;
        let snapshot = match now {
            Some(now) => engine.advance_to(now)?,
            None => engine.advance()?,
        };
        if epoch == look || epoch + 1 == count {
            let run = format!(
                "seed {seed}: {workers} workers, after epoch {} of {count}",
                epoch + 1
            );
            found = first_difference(&run, &batch_answers(script, &seen, now)?, &snapshot)?;
        }
        if found.is_some() {
            break;
        }
    }
    engine.stop()?;
    Ok(found)
}

/// Splits each table's rows into as many epochs, some of them empty; rows whose order means nothing
/// are shuffled first.
fn split(
    script: &Script,
    arrived: &[RecordBatch],
    epochs: usize,
    random: &mut ChaCha8Rng,
) -> Result<Vec<Vec<RecordBatch>>, OracleError> {
    let mut split = Vec::new();
    for (table, rows) in script.tables.iter().zip(arrived) {
        let any_order = table.is_append_only() && table.options.dedup.is_none();
        let rows = if any_order {
            shuffled(rows, random)?
        } else {
            rows.clone()
        };
        let mut start = 0;
        let slice = |end| {
            let from = std::mem::replace(&mut start, end);
            rows.slice(from, end - from)
        };
        split.push(
            cuts(rows.num_rows(), epochs, random)
                .into_iter()
                .map(slice)
                .collect(),
        );
    }
    Ok(split)
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
