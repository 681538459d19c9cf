//! `tillrace backtest`: thresholds tried on history, all at once.

use std::io;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use clap::Args;

use super::inputs::{self, Inputs};
use super::output::{self, OutputFormat};
use super::program::{self, Scripts};
use super::replay::{Replay, cores};
use super::{Error, interrupt, timestamp};
use crate::backtest::{self, Backtest, BacktestError, Label, Outcome, Vary};

const EXAMPLES: &str = "\
Examples:
  tillrace backtest fraud.sql --vary limits.most=3,5,8 --view alerts --key transaction_id \\
    --of transactions --label chargebacks.fraud -i transactions=t.jsonl -i chargebacks=c.csv
  tillrace backtest --vary 'rules[rule=velocity].most=3,5' --vary 'rules[rule=amount].most=100,500' ...";

/// Try thresholds on history, all in one replay
///
/// The views between what varies and --view run once for each variant, side by side; inputs are read
/// once. Of several --vary every combination is a variant. For each, and for the script as it is: how
/// many keys the view has, out of how many, and with --label how many of them rightly.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{}\n\n{EXAMPLES}", inputs::HELP))]
pub struct Arguments {
    #[command(flatten)]
    scripts: Scripts,

    #[command(flatten)]
    inputs: Inputs,

    /// A column of a table or view, and values for it: table.column=1,2,3, or only in some rows:
    /// table[column=value].column=1,2,3 (may be repeated)
    #[arg(long, required = true, value_name = "COLUMN=VALUES", value_parser = vary)]
    vary: Vec<Vary>,

    /// The view whose rows would be blocked
    #[arg(long, value_name = "VIEW")]
    view: String,

    /// Its column that names what is blocked
    #[arg(long, value_name = "COLUMN")]
    key: String,

    /// The table or view of all that could be blocked, with a column of the same name
    #[arg(long, value_name = "TABLE")]
    of: String,

    /// A column that tells what should be blocked, in a table with the key: table.column, which is
    /// true or false, or table.column=value
    #[arg(long, value_name = "COLUMN", value_parser = label)]
    label: Option<Label>,

    /// Threads that do the work [default: the cores there are]
    #[arg(short, long, value_name = "N")]
    workers: Option<NonZeroUsize>,

    /// How the outcomes are written
    #[arg(short, long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,

    /// Leaves events after this time out
    #[arg(long, value_name = "TIMESTAMP", value_parser = timestamp::parse)]
    as_of: Option<i64>,

    /// Writes nothing on standard error but errors
    #[arg(short, long)]
    quiet: bool,
}

fn vary(text: &str) -> Result<Vary, String> {
    Vary::parse(text).map_err(|error: BacktestError| error.to_string())
}

fn label(text: &str) -> Result<Label, String> {
    Label::parse(text).map_err(|error: BacktestError| error.to_string())
}

/// Tries.
///
/// # Errors
/// If the scripts, the inputs or what varies are wrong, or the run fails.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    if arguments.format == OutputFormat::Parquet {
        return Err(Error::Usage(
            "--format parquet writes files, which backtest does not",
        ));
    }
    let script = arguments.scripts.load()?;
    let specs = arguments.inputs.resolve(&script)?;
    let backtest = Backtest {
        vary: arguments.vary.clone(),
        view: arguments.view.clone(),
        key: arguments.key.clone(),
        of: arguments.of.clone(),
        label: arguments.label.clone(),
    };
    let variants = backtest.variants()?;
    let plan = program::plan(backtest::write(&script, &backtest)?)?;
    let workers = arguments.workers.map_or_else(cores, NonZeroUsize::get);
    let replay = Replay::new(plan, workers, arguments.as_of);
    let Some(run) = replay.run(&specs, arguments.quiet)? else {
        return Ok(ExitCode::from(interrupt::STATUS));
    };
    let outcomes = backtest::outcomes(&run.snapshot, &variants);
    let rows = rows(&backtest, &outcomes).map_err(|source| Error::Show {
        view: arguments.view.clone(),
        source,
    })?;
    output::write(&mut io::stdout(), arguments.format, &rows, usize::MAX)?;
    if !arguments.quiet {
        run.summarize();
    }
    Ok(ExitCode::SUCCESS)
}

/// A row a variant: its values, then the counts and shares.
fn rows(backtest: &Backtest, outcomes: &[Outcome]) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (at, vary) in backtest.vary.iter().enumerate() {
        fields.push(Field::new(vary.name(), DataType::Utf8, true));
        let values = outcomes.iter().map(|outcome| outcome.values[at].as_deref());
        columns.push(Arc::new(values.collect::<StringArray>()));
    }
    let mut count = |name: &str, value: &dyn Fn(&Outcome) -> Option<i64>| {
        fields.push(Field::new(name, DataType::Int64, true));
        let values = outcomes.iter().map(value);
        columns.push(Arc::new(values.collect::<Int64Array>()));
    };
    count("blocked", &|outcome| Some(outcome.blocked));
    count("total", &|outcome| Some(outcome.total));
    if backtest.label.is_some() {
        count("labelled", &|outcome| Some(outcome.labelled?.known));
        count("hits", &|outcome| Some(outcome.labelled?.hits));
        count("wanted", &|outcome| Some(outcome.labelled?.wanted));
    }
    let mut share = |name: &str, value: &dyn Fn(&Outcome) -> Option<f64>| {
        fields.push(Field::new(name, DataType::Float64, true));
        let rounded = |share: f64| (share * 1e4).round() / 1e4;
        let values = outcomes.iter().map(|outcome| value(outcome).map(rounded));
        columns.push(Arc::new(values.collect::<Float64Array>()));
    };
    share("blocked_share", &Outcome::share);
    if backtest.label.is_some() {
        share("precision", &Outcome::precision);
        share("recall", &Outcome::recall);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}
