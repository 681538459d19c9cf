//! `tillrace why`: the events that moved a row of a view.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use clap::Args;

use super::inputs::{self, Inputs};
use super::output::{self, OutputFormat};
use super::program::{self, Scripts};
use super::{Error, counted, timestamp};
use crate::oracle::show_row;
use crate::present::cell::Column;
use crate::why::{self, Explanation, Key, Mover, Question, Since};

const EXAMPLES: &str = "\
Examples:
  tillrace why sales_by_category toys shop.sql --input orders=orders.jsonl
  tillrace why stock product_id=p1,location=berlin --since 2024-05-01 --inputs shop.inputs
  tillrace why sales_by_category toys shop.sql -i orders=orders.jsonl --format jsonl";

/// List the events that moved a row of a view
///
/// Reads the inputs whole, and tries for each event after --since what the row would be if that one
/// event had never come. Those without which it would be another are listed, with what it would be:
/// the refund, the late cancellation, the product that was moved to another category. Without --since
/// all events are tried.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{}\n\n{EXAMPLES}", inputs::HELP))]
pub struct Arguments {
    /// The view
    #[arg(value_name = "VIEW")]
    view: String,

    /// Which row: column=value, several joined by commas, or a value of the view's first column
    #[arg(value_name = "KEY")]
    key: String,

    #[command(flatten)]
    scripts: Scripts,

    #[command(flatten)]
    inputs: Inputs,

    /// Tries events after this time only, such as 2023-10-01T12:00:00Z
    #[arg(long, value_name = "TIMESTAMP", value_parser = timestamp::parse)]
    since: Option<i64>,

    /// Leaves events after this time out
    #[arg(long, value_name = "TIMESTAMP", value_parser = timestamp::parse)]
    as_of: Option<i64>,

    /// How the events are written
    #[arg(short, long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,

    /// How many events a printed table shows; 0 for all
    #[arg(long, value_name = "ROWS", default_value_t = 50)]
    limit: usize,

    /// Gives up if there are more events to try than this
    #[arg(long, value_name = "EVENTS", default_value_t = 100_000)]
    most: usize,
}

/// Explains.
///
/// # Errors
/// If the scripts, the inputs or the key are wrong, or a run fails.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    if arguments.format == OutputFormat::Parquet {
        return Err(Error::Usage(
            "--format parquet writes files, which why does not",
        ));
    }
    let mut script = arguments.scripts.load()?;
    let specs = arguments.inputs.resolve(&script)?;
    program::keep_only(&mut script, std::slice::from_ref(&arguments.view))?;
    let plan = program::plan(script)?;
    let views = program::shown(&plan, std::slice::from_ref(&arguments.view))?;
    let view = views.into_iter().next().expect("one view was named");
    let mut outputs = plan.outputs.iter();
    let output = outputs.find(|output| output.view.name == view);
    let output = output.expect("a shown view has an output");
    let question = Question {
        key: Key::parse(output, &arguments.key).map_err(why::WhyError::from)?,
        view,
        since: arguments.since.map(Since::Time),
        as_of: arguments.as_of,
        most: arguments.most,
    };
    let explanation = why::explain(&plan, &specs, &question)?;
    let events = events(&explanation).map_err(|source| Error::Show {
        view: question.view.clone(),
        source,
    })?;
    let mut out = io::stdout();
    if arguments.format == OutputFormat::Table {
        write_rows(&mut out, "since then", &explanation, arguments.since)?;
        if explanation.movers.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let limit = match arguments.limit {
        0 => usize::MAX,
        limit => limit,
    };
    output::write(&mut out, arguments.format, &events, limit)?;
    Ok(ExitCode::SUCCESS)
}

/// The rows at both times, and how many events moved them.
fn write_rows(
    out: &mut dyn Write,
    when: &str,
    explanation: &Explanation,
    since: Option<i64>,
) -> Result<(), Error> {
    let rows = |name: &str, batch: &RecordBatch| -> io::Result<Vec<String>> {
        if batch.num_rows() == 0 {
            return Ok(vec![format!("{name}: no row")]);
        }
        let row = |row| {
            Ok(format!(
                "{name}: {}",
                show_row(batch, row).map_err(io::Error::other)?
            ))
        };
        (0..batch.num_rows()).map(row).collect()
    };
    let mut lines = Vec::new();
    if since.is_some() {
        lines.extend(rows("before", &explanation.before)?);
    }
    lines.extend(rows("now", &explanation.now)?);
    for line in lines {
        writeln!(out, "{line}")?;
    }
    let tried = counted(explanation.tried as u64, "event");
    let when = if since.is_some() { when } else { "in all" };
    writeln!(
        out,
        "{} of {tried} {when} moved it",
        explanation.movers.len()
    )?;
    Ok(())
}

/// The events as rows: when, what, from where, and what the answer would be without each.
fn events(explanation: &Explanation) -> Result<RecordBatch, arrow::error::ArrowError> {
    let movers = &explanation.movers;
    let text = |value: &dyn Fn(&Mover) -> Result<String, arrow::error::ArrowError>| {
        let values = movers.iter().map(value).collect::<Result<Vec<_>, _>>()?;
        Ok::<ArrayRef, arrow::error::ArrowError>(Arc::new(StringArray::from(values)))
    };
    let times: TimestampNanosecondArray = movers.iter().map(|mover| mover.time).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times),
        text(&|mover| Ok(mover.table.clone()))?,
        text(&|mover| Ok(format!("{} at {}", mover.file.display(), mover.position)))?,
        text(&|mover| without_it(&explanation.now, &mover.without))?,
        text(&|mover| shown(&mover.event, 0))?,
    ];
    let name = |name| Field::new(name, DataType::Utf8, false);
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let schema = Schema::new(vec![
        Field::new("time", time, true),
        name("table"),
        name("record"),
        name("without_it"),
        name("event"),
    ]);
    RecordBatch::try_new(Arc::new(schema), columns)
}

/// What the rows would be without an event: of a single row, the columns that would be others.
fn without_it(now: &RecordBatch, then: &RecordBatch) -> Result<String, arrow::error::ArrowError> {
    if then.num_rows() == 0 {
        return Ok("no row".to_owned());
    }
    if now.num_rows() != 1 || then.num_rows() != 1 {
        let rows = (0..then.num_rows()).map(|row| show_row(then, row));
        return Ok(rows.collect::<Result<Vec<_>, _>>()?.join("; "));
    }
    let (columns, others) = (Column::of_batch(now)?, Column::of_batch(then)?);
    let schema = then.schema();
    let fields = schema.fields().iter().zip(columns.iter().zip(&others));
    let changed = fields.filter_map(|(field, (column, other))| {
        let (before, after) = (column.text(0), other.text(0));
        let is_same = before == after && column.is_null(0) == other.is_null(0);
        let after = if other.is_null(0) { "NULL" } else { &after };
        (!is_same).then(|| format!("{}={after}", field.name()))
    });
    Ok(changed.collect::<Vec<_>>().join(", "))
}

/// An event's columns that have values.
fn shown(event: &RecordBatch, row: usize) -> Result<String, arrow::error::ArrowError> {
    let schema = event.schema();
    let columns = Column::of_batch(event)?;
    let fields = schema.fields().iter().zip(&columns);
    let known = fields.filter(|(_, column)| !column.is_null(row));
    let known = known.map(|(field, column)| format!("{}={}", field.name(), column.text(row)));
    Ok(known.collect::<Vec<_>>().join(", "))
}
