//! `tillrace` alone: the samples through the dataflows that come along.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::output::OutputFormat;
use super::program::{self, DEFAULT_SCRIPTS};
use super::replay::{self, Replay};
use super::{Error, inputs, interrupt};
use crate::script;

const INPUTS: &str = "data/samples/tillrace.inputs";

/// One or two views of each subject, as far as they are there.
const MAIN_VIEWS: [&str; 11] = [
    "sales_by_category",
    "sales_by_hour",
    "low_stock",
    "funnel",
    "orders_by_state",
    "bought_together",
    "decisions",
    "fraud_alerts",
    "ratings_by_day",
    "live_session_audience",
    "minutes_against_last_week",
];

/// How many rows of each are shown.
const ROWS_SHOWN: usize = 5;

const NEXT: &str = "
All views with all of their rows, as files:
  tillrace replay dataflows --inputs data/samples/tillrace.inputs --out answers
What each view keeps, and why:
  tillrace check dataflows
How to add a metric: dataflows/README.md. Everything else: tillrace --help";

/// Replays the samples.
///
/// # Errors
/// If the folders of the samples are not here, or the replay fails.
pub fn run() -> Result<ExitCode, Error> {
    for missing in [DEFAULT_SCRIPTS, INPUTS].map(Path::new) {
        if !missing.exists() {
            return Err(Error::NoSamples {
                missing: missing.to_owned(),
            });
        }
    }
    let script = script::load(&[DEFAULT_SCRIPTS.into()])?;
    let mut specs = inputs::read_list(Path::new(INPUTS))?;
    inputs::check_tables(&mut specs, &script)?;
    let plan = program::plan(script)?;
    let all = program::shown(&plan, &[])?;
    let main: Vec<String> = all
        .iter()
        .filter(|v| MAIN_VIEWS.contains(&v.as_str()))
        .cloned()
        .collect();
    let views = if main.is_empty() { all } else { main };

    let Some(run) = Replay::new(plan, replay::cores(), None).run(&specs, false)? else {
        return Ok(ExitCode::from(interrupt::STATUS));
    };
    replay::print(&run.snapshot, &views, OutputFormat::Table, ROWS_SHOWN)?;
    writeln!(io::stdout(), "{NEXT}")?;
    run.summarize();
    Ok(ExitCode::SUCCESS)
}
