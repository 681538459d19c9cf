//! `tillrace replay`: event files through views, once, as fast as the machine reads them.

use std::fs;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use super::inputs::Inputs;
use super::interrupt::{self, Interrupt};
use super::output::{self, OutputFormat};
use super::program::{self, Scripts};
use super::progress::{per_second, show_while};
use super::{Error, count, counted, inputs, rejects, timestamp};
use crate::catalog::Snapshot;
use crate::engine::{self, Config, Progress, memory};
use crate::plan::Plan;
use crate::present::whole_file;
use crate::source::{Blocks, InputSpec, OpenOptions};

const EXAMPLES: &str = "\
Examples:
  tillrace replay shop.sql --input orders=orders.jsonl
  tillrace replay shop.sql -i orders='logs/2023-*.jsonl.gz' -i products=products.csv --view sales
  zcat events.gz | tillrace replay shop.sql --input events=- --view funnel --format csv
  tillrace replay dataflows --inputs data/samples/tillrace.inputs --out answers --format parquet";

/// How many rejects are described at the end of a run.
const REJECTS_SHOWN: usize = 5;

/// How many rows of a view a table shows.
pub const ROWS_SHOWN: usize = 20;

/// Replay event files through views and print or write the answers
///
/// Reads every input once, on all cores, and then shows each materialized view. Records that are no
/// rows (malformed, of a wrong type) are counted and told at the end; --view tillrace.rejects shows
/// them all.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{}\n\n{EXAMPLES}", inputs::HELP))]
pub struct Arguments {
    #[command(flatten)]
    scripts: Scripts,

    #[command(flatten)]
    inputs: Inputs,

    /// Threads that do the work [default: the cores there are]
    #[arg(short, long, value_name = "N")]
    workers: Option<NonZeroUsize>,

    /// Computes and shows this view only (may be repeated)
    #[arg(long, value_name = "VIEW")]
    view: Vec<String>,

    /// Writes a file for each view into this folder instead of printing
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// How answers are written [default: table, or csv with --out]
    #[arg(short, long, value_enum)]
    format: Option<OutputFormat>,

    /// How many rows of each view a printed table shows; 0 for all
    #[arg(long, value_name = "ROWS", default_value_t = ROWS_SHOWN)]
    limit: usize,

    /// Stops the engine's clock at this time, such as 2023-10-01T12:00:00Z
    #[arg(long, value_name = "TIMESTAMP", value_parser = timestamp::parse)]
    as_of: Option<i64>,

    /// Ends in status 1 if any record was rejected
    #[arg(long)]
    strict: bool,

    /// Writes nothing on standard error but errors
    #[arg(short, long)]
    quiet: bool,
}

/// Replays and shows.
///
/// # Errors
/// If the scripts, the inputs, the run or the output fail.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let format = arguments.format();
    if arguments.out.is_none() && format == OutputFormat::Parquet {
        return Err(Error::Usage(
            "--format parquet writes files: say where with --out DIR",
        ));
    }
    let mut script = arguments.scripts.load()?;
    program::keep_only(&mut script, &arguments.view)?;
    let specs = arguments.inputs.resolve(&script)?;
    let plan = program::plan(script)?;
    let views = program::shown(&plan, &arguments.view)?;
    if arguments.out.is_none() && format != OutputFormat::Table && views.len() != 1 {
        return Err(Error::Usage(
            "only tables of several views can be printed: name one with --view, or write files \
             with --out DIR",
        ));
    }
    if let Some(folder) = &arguments.out {
        create_folder(folder)?;
    }

    let workers = arguments.workers.map_or_else(cores, NonZeroUsize::get);
    let replay = Replay::new(plan, workers, arguments.as_of);
    let Some(run) = replay.run(&specs, arguments.quiet)? else {
        return Ok(ExitCode::from(interrupt::STATUS));
    };
    match &arguments.out {
        Some(folder) => write_files(&run.snapshot, &views, folder, format, arguments.quiet)?,
        None => print(&run.snapshot, &views, format, arguments.limit())?,
    }
    if !arguments.quiet {
        run.summarize();
    }
    let failed = arguments.strict && run.rejects() > 0;
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

impl Arguments {
    fn format(&self) -> OutputFormat {
        let default = if self.out.is_some() {
            OutputFormat::Csv
        } else {
            OutputFormat::Table
        };
        self.format.unwrap_or(default)
    }

    fn limit(&self) -> usize {
        if self.limit == 0 {
            usize::MAX
        } else {
            self.limit
        }
    }
}

/// The cores that this process may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// A replay that has not begun.
pub struct Replay {
    plan: Arc<Plan>,
    config: Config,
}

/// A replay that has read all of its inputs.
pub struct Run {
    /// The answers.
    pub snapshot: Arc<Snapshot>,
    progress: Arc<Progress>,
    elapsed: Duration,
    workers: usize,
}

impl Replay {
    /// Prepares a replay; `as_of` is in nanoseconds since the Unix epoch.
    pub fn new(plan: Arc<Plan>, workers: usize, as_of: Option<i64>) -> Self {
        let config = Config {
            workers,
            as_of,
            ..Config::default()
        };
        Self { plan, config }
    }

    /// Reads all inputs; nothing if Ctrl-C was pressed before their end.
    ///
    /// # Errors
    /// If an input cannot be opened, or the engine fails.
    pub fn run(self, specs: &[InputSpec], quiet: bool) -> Result<Option<Run>, Error> {
        let start = Instant::now();
        let blocks = Arc::new(Blocks::open(specs, &OpenOptions::default())?);
        let progress = Arc::new(Progress::default());
        let interrupt = Interrupt::listen(progress.clone())?;
        let outcome = show_while(&progress, blocks.total_bytes(), quiet, || {
            engine::replay(
                self.plan.clone(),
                blocks.clone(),
                &self.config,
                progress.clone(),
            )
        });
        if interrupt.happened() {
            if !quiet {
                let rows = progress.rows.load(Ordering::Relaxed);
                eprintln!(
                    "stopped after {}; no answers are shown",
                    counted(rows, "event")
                );
            }
            return Ok(None);
        }
        let snapshot = outcome?;
        let (elapsed, workers) = (start.elapsed(), self.config.workers);
        Ok(Some(Run {
            snapshot,
            progress,
            elapsed,
            workers,
        }))
    }
}

impl Run {
    /// How many records were rejected.
    pub fn rejects(&self) -> u64 {
        let listed = self
            .snapshot
            .rows(rejects::VIEW)
            .map_or(0, |rows| rows.num_rows() as u64);
        listed.max(self.progress.rejects.load(Ordering::Relaxed))
    }

    /// Writes what the run did, and where the first rejects lie, on standard error.
    pub fn summarize(&self) {
        let rows = self.progress.rows.load(Ordering::Relaxed);
        let bytes = self.progress.bytes.load(Ordering::Relaxed);
        let megabytes = bytes as f64 / 1e6 / self.elapsed.as_secs_f64().max(1e-9);
        let memory = memory::peak_bytes().map_or_else(String::new, |bytes| {
            format!(", peak memory {:.0} MiB", bytes as f64 / f64::from(1 << 20))
        });
        eprintln!(
            "{} in {:.2} s: {} events/s, {megabytes:.1} MB/s, {}{memory}, {}",
            counted(rows, "event"),
            self.elapsed.as_secs_f64(),
            count(per_second(rows, self.elapsed)),
            counted(self.workers as u64, "worker"),
            counted(self.rejects(), "reject"),
        );
        let Some(rejects) = self.snapshot.rows(rejects::VIEW) else {
            return;
        };
        for line in rejects::describe(&rejects, REJECTS_SHOWN) {
            eprintln!("  {line}");
        }
        if rejects.num_rows() > REJECTS_SHOWN {
            eprintln!("  ... --view {} shows all", rejects::VIEW);
        }
    }
}

/// Prints views one after the other; tables with their names above them.
///
/// # Errors
/// If standard output cannot be written.
pub fn print(
    snapshot: &Snapshot,
    views: &[String],
    format: OutputFormat,
    limit: usize,
) -> Result<(), Error> {
    let mut out = io::BufWriter::new(io::stdout());
    for (index, view) in views.iter().enumerate() {
        if format == OutputFormat::Table {
            writeln!(out, "{}{view}", if index > 0 { "\n" } else { "" })?;
        }
        let rows = snapshot.rows(view).expect("a planned view has an answer");
        output::write(&mut out, format, &rows, limit)?;
    }
    Ok(out.flush()?)
}

fn write_files(
    snapshot: &Snapshot,
    views: &[String],
    folder: &Path,
    format: OutputFormat,
    quiet: bool,
) -> Result<(), Error> {
    for view in views {
        let rows = snapshot.rows(view).expect("a planned view has an answer");
        let path = output::write_file(folder, view, format, &rows)
            .map_err(|(path, source)| Error::Write { path, source })?;
        if !quiet {
            eprintln!(
                "{}: {}",
                path.display(),
                counted(rows.num_rows() as u64, "row")
            );
        }
    }
    Ok(())
}

/// Makes the folder before the run, so that a run of an hour does not end in "permission denied".
fn create_folder(folder: &Path) -> Result<(), Error> {
    let failed = |source| Error::Write {
        path: folder.to_owned(),
        source,
    };
    fs::create_dir_all(folder).map_err(failed)?;
    whole_file::check_writable(folder).map_err(failed)
}
