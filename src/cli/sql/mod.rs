//! `tillrace sql`: a session in the terminal, with a server that runs or with scripts of one's own.
//!
//! Statements flow in from the terminal, a pipe, files or the command line; answers flow out. With
//! scripts, an engine is started in this process, and asked as a server would be.

mod client;
mod complete;
mod print;
mod reader;
mod shell;
mod target;

use std::io::{self, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::PoisonError;
use std::time::Duration;

use clap::Args;

use super::Error;
use super::inputs;
use super::output::OutputFormat;
use super::run::{EngineArguments, LogArguments, Session, Settings, start_log};
use client::Client;
pub use client::ClientError;
use print::Printer;
use shell::Shell;
use target::Target;

const EXAMPLES: &str = "\
Examples:
  tillrace sql                                          the server at 127.0.0.1:5433 (tillrace run --pg)
  tillrace sql --url postgres://ann:TOKEN@shop.example:5433
  tillrace sql -c 'SELECT * FROM sales_by_category'     one statement
  tillrace sql -f report.sql --format csv > report.csv  the statements of a file
  tillrace sql shop.sql -i orders=orders.jsonl          scripts and files, without a server";

/// Ask a running server, or scripts and files, in SQL
///
/// Without scripts it asks the server that --url names. With scripts (or a wiring file) it reads
/// their inputs in this process, waits until files have been read, and asks that. Statements come
/// from -c and -f, or else from the terminal or a pipe.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{}\n\n{EXAMPLES}", inputs::HELP))]
pub struct Arguments {
    /// SQL files and folders of them, or a wiring file, to run here instead of asking a server
    #[arg(value_name = "WIRING|SCRIPTS")]
    paths: Vec<PathBuf>,

    /// The server: postgres://user:token@host:port, or host:port
    #[arg(
        long,
        value_name = "URL",
        env = "TILLRACE_SQL_URL",
        hide_env_values = true,
        default_value = "127.0.0.1:5433",
        conflicts_with = "paths"
    )]
    url: Target,

    /// Executes these statements and ends (may be repeated)
    #[arg(short, long = "command", value_name = "SQL")]
    commands: Vec<String>,

    /// Executes the statements of a file and ends (may be repeated); - is standard input
    #[arg(short, long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// How rows are written
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,

    /// Says how long each answer took
    #[arg(long)]
    timing: bool,

    #[command(flatten)]
    inputs: inputs::Inputs,

    #[command(flatten)]
    engine: EngineArguments,

    #[command(flatten)]
    log: LogArguments,
}

/// Executes statements until there are no more.
///
/// # Errors
/// If the server or the scripts cannot be asked. A statement that fails ends in status 1.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    start_log(&arguments.log)?;
    if arguments.paths.is_empty() {
        return ask(arguments, &arguments.url);
    }
    let mut session = Session::start(&arguments.settings()?)?;
    let address = *session
        .pg_addresses()
        .first()
        .expect("a server has an address for the one it was given");
    session.wait_for_history()?;
    let target = Target::at(address);
    let asked = ask(arguments, &target);
    session.stop()?;
    asked
}

fn ask(arguments: &Arguments, target: &Target) -> Result<ExitCode, Error> {
    let client = Client::connect(target)?;
    let is_interactive =
        arguments.commands.is_empty() && arguments.files.is_empty() && shell::is_typed();
    cancel_on_interrupt(&client)?;
    let printer = Printer::new(arguments.format, arguments.log.quiet || !is_interactive);
    let mut shell = Shell::new(client, printer, arguments.timing);
    if is_interactive {
        if !arguments.log.quiet {
            eprintln!("statements end with a semicolon; \\? helps, \\q ends");
        }
        shell.interact()?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut is_good = true;
    for command in &arguments.commands {
        is_good = is_good && shell.run(&mut command.as_bytes(), true)?;
    }
    for file in &arguments.files {
        is_good = is_good
            && match file.as_os_str() == "-" {
                true => shell.run(&mut io::stdin().lock(), true)?,
                false => shell.run_file(file)?,
            };
    }
    if arguments.commands.is_empty() && arguments.files.is_empty() {
        is_good = shell.run(&mut BufReader::new(io::stdin()), true)?;
    }
    Ok(if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Ctrl-C cancels the statement that runs; without one it ends the process.
fn cancel_on_interrupt(client: &Client) -> Result<(), Error> {
    let running = client.running();
    ctrlc::set_handler(move || {
        let key = running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match key {
            Some(key) => {
                if let Err(error) = key.cancel() {
                    eprintln!("error: the statement could not be cancelled: {error}");
                }
            }
            None => std::process::exit(i32::from(super::interrupt::STATUS)),
        }
    })?;
    Ok(())
}

impl Arguments {
    fn settings(&self) -> Result<Settings, Error> {
        let mut settings =
            Settings::of_parts(&self.paths, &self.inputs, &self.engine, &Default::default())?;
        let mut serve = crate::serve::ServeConfig::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        serve.pg = std::mem::take(&mut serve.listen);
        // Nobody waits for another's query here.
        serve.limits.query = Duration::from_secs(3600);
        settings.serve = Some(serve);
        Ok(settings)
    }
}
