//! `tillrace verify`: maintained answers against batch answers on the same input.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;

use super::inputs::{self, Inputs};
use super::program::{self, Scripts};
use super::{Error, counted, timestamp};
use crate::oracle::{self, Options};

const EXAMPLES: &str = "\
Examples:
  tillrace verify shop.sql --input orders=orders.jsonl
  tillrace verify dataflows --inputs data/samples/tillrace.inputs --rounds 10 --seed 7";

/// Check that maintained answers equal batch answers
///
/// Reads the inputs whole into memory, has DataFusion answer every view in one batch, and compares:
/// a straight replay on 1, 2 and 4 workers, and then, a round each, the same rows split into many
/// epochs, on random numbers of workers, with the rows of append-only tables shuffled. Says the
/// first difference and ends in status 1.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{}\n\n{EXAMPLES}", inputs::HELP))]
pub struct Arguments {
    #[command(flatten)]
    scripts: Scripts,

    #[command(flatten)]
    inputs: Inputs,

    /// What the order and the epochs of the rounds follow from
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// How many times the rows are shuffled and split
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: u64,

    /// Stops the engine's clock at this time, such as 2023-10-01T12:00:00Z
    #[arg(long, value_name = "TIMESTAMP", value_parser = timestamp::parse)]
    as_of: Option<i64>,
}

/// Verifies.
///
/// # Errors
/// If the scripts or inputs are wrong, or a run fails; not if answers differ.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let script = arguments.scripts.load()?;
    let specs = arguments.inputs.resolve(&script)?;
    if specs.iter().any(|spec| spec.location == "-") {
        return Err(Error::Usage(
            "verify reads its inputs several times: name files, not -",
        ));
    }
    let plan = program::plan(script)?;
    let options = Options {
        seed: arguments.seed,
        rounds: arguments.rounds,
        as_of: arguments.as_of,
    };
    let verdict = oracle::verify(&plan, &specs, &options)?;

    let mut out = io::stdout();
    for (view, reason) in &verdict.unanswered {
        writeln!(out, "{view} has no batch answer: {reason}")?;
    }
    if let Some(found) = &verdict.difference {
        writeln!(
            out,
            "\"{}\" differs ({}):\n{}",
            found.view, found.run, found.difference
        )?;
        return Ok(ExitCode::FAILURE);
    }
    if verdict.views == 0 {
        writeln!(out, "no view has a batch answer to compare with")?;
        return Ok(ExitCode::FAILURE);
    }
    writeln!(
        out,
        "{} equal their batch answers over {}, in {}",
        counted(verdict.views as u64, "view"),
        counted(verdict.rows, "row"),
        counted(verdict.runs, "run"),
    )?;
    Ok(ExitCode::SUCCESS)
}
