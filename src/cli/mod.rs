//! The command line: one file a subcommand, and what they share.
//!
//! Arguments flow in; answers flow out on standard output, everything about the run on standard
//! error. Parsing does nothing but parse. What is wrong with a command line ends in status 2, what
//! goes wrong in a run in status 1, and a run that is interrupted in status 130.

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

mod backtest;
mod check;
mod completions;
mod demo;
mod error;
mod explain;
mod generate;
mod inputs;
mod interrupt;
mod output;
mod program;
mod progress;
mod rejects;
mod replay;
mod run;
mod samples;
mod sql;
mod timestamp;
mod verify;
mod why;

pub use error::Error;

use crate::present::count;

const EXAMPLES: &str = "\
Examples:
  tillrace                                     the samples through the dataflows that come along
  tillrace replay shop.sql --input orders=orders.jsonl
  tillrace replay dataflows --inputs data/samples/tillrace.inputs --view sales_by_category
  tillrace run shop.sql -i orders=tail:orders.jsonl   live, with a page at 127.0.0.1:7717
  tillrace sql -c 'SELECT * FROM sales'        ask a server that runs with --pg
  tillrace demo                                a made-up shop, live, in the browser
  tillrace check shop.sql                      what is wrong with a script, and what it will keep
  tillrace why sales_by_category toys shop.sql -i orders=orders.jsonl   the events that moved it
  tillrace generate --events 1000000 --out traffic

Every subcommand has examples of its own: tillrace replay --help";

/// Keeps commerce metrics exactly right: SQL views over event files, on all cores.
///
/// A metric is a CREATE MATERIALIZED VIEW in a .sql file. Tillrace reads events (JSON lines, CSV,
/// Parquet; plain, gzip or zstd), keeps every view up to date, and prints or writes the answers.
/// Without a subcommand it replays the samples, to show what it does.
#[derive(Debug, Parser)]
#[command(name = "tillrace", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Replay(replay::Arguments),
    Run(run::Arguments),
    Sql(sql::Arguments),
    Demo(demo::Arguments),
    Check(check::Arguments),
    Explain(explain::Arguments),
    Verify(verify::Arguments),
    Why(why::Arguments),
    Backtest(backtest::Arguments),
    Generate(generate::Arguments),
    Completions(completions::Arguments),
}

/// Does what the command line asks for. A reader of standard output that goes away (`| head`) ends
/// the run without an error.
///
/// # Errors
/// If the run fails.
pub fn run(cli: Cli) -> Result<ExitCode, Error> {
    let outcome = match cli.command {
        None => samples::run(),
        Some(Command::Replay(arguments)) => replay::run(&arguments),
        Some(Command::Run(arguments)) => run::run(&arguments),
        Some(Command::Sql(arguments)) => sql::run(&arguments),
        Some(Command::Demo(arguments)) => demo::run(&arguments),
        Some(Command::Check(arguments)) => check::run(&arguments),
        Some(Command::Explain(arguments)) => explain::run(&arguments),
        Some(Command::Verify(arguments)) => verify::run(&arguments),
        Some(Command::Why(arguments)) => why::run(&arguments),
        Some(Command::Backtest(arguments)) => backtest::run(&arguments),
        Some(Command::Generate(arguments)) => generate::run(&arguments),
        Some(Command::Completions(arguments)) => completions::run(&arguments, Cli::command()),
    };
    match outcome {
        Err(Error::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(ExitCode::SUCCESS)
        }
        outcome => outcome,
    }
}

/// `1 row`, `2 rows`.
fn counted(number: u64, noun: &str) -> String {
    format!(
        "{} {noun}{}",
        count(number),
        if number == 1 { "" } else { "s" }
    )
}
