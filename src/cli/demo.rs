//! `tillrace demo`: a shop that is made up, live, with all of the dataflows and the page open.
//!
//! Needs nothing but the binary: the scripts and the shop's settings are in it.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use clap::Args;

use super::run::{
    EngineArguments, LogArguments, ServerArguments, Session, Settings, Signals, follow, settings,
    start_log,
};
use super::{Error, program};
use crate::script::{self, Sources};
use crate::source::live::{Piece, generated_tables};
use crate::source::{CsvOptions, Format, InputSpec};
use crate::wiring::Wiring;

const EXAMPLES: &str = "\
Examples:
  tillrace demo                                 a hundred events a second, and the page at 127.0.0.1:7717
  tillrace demo --rate 5000 --no-open
  curl 127.0.0.1:7717/views/sales_by_category   the same numbers for programs";

macro_rules! files {
    ($folder:literal: $($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../", $folder, "/", $name)))),*]
    };
}

/// The scripts of `dataflows/` that the traffic feeds, and those that they read.
const SCRIPTS: [(&str, &str); 16] = files!["dataflows":
    "adapters/rees46.sql", "adapters/retailrocket.sql", "adapters/segment.sql", "behavior.sql",
    "decisions.sql", "fraud.sql", "inventory.sql", "live_commerce.sql", "monitoring.sql",
    "orders.sql", "recommendation.sql", "sales.sql", "sources.sql", "support.sql", "tables.sql",
    "time_and_people.sql",
];

/// How the shop wants to be measured: a table each.
const SHOP: [(&str, &str); 8] = files!["data/samples/shop":
    "accessories.csv", "exchange_rates.csv", "fraud_rules.csv", "locations.csv",
    "low_stock_thresholds.csv", "places.csv", "settings.csv", "utc_offsets.csv",
];

/// Watch a made-up shop live, in the browser
///
/// Generates the traffic of a shop (visits, orders, payments, stock, ratings, live sessions; some of it
/// late, twice, fraudulent or taken back), keeps all views of dataflows/ up to date, and opens the page that shows them.
/// Nothing is written anywhere; Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Events a second, of all tables together
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,

    /// Which shop: the same seed makes the same one
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// How much of the shop's past is there at the start, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    history: u64,

    /// Opens no browser
    #[arg(long)]
    no_open: bool,

    #[command(flatten)]
    engine: EngineArguments,

    #[command(flatten)]
    server: ServerArguments,

    #[command(flatten)]
    log: LogArguments,
}

/// Runs until a signal asks it to stop.
///
/// # Errors
/// If the port is taken, or a worker dies.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    start_log(&arguments.log)?;
    let signals = Signals::listen()?;
    let settings = arguments.settings()?;
    let mut session = Session::start(&settings)?;
    push_settings(&session)?;
    if !arguments.log.quiet {
        session.announce();
    }
    if let Some(page) = session.pages().first().filter(|_| !arguments.no_open) {
        open(page);
    }
    follow(&mut session, &signals, arguments.log.quiet, |_| {
        tracing::warn!("a demonstration has no wiring to read again");
    })
}

impl Arguments {
    fn settings(&self) -> Result<Settings, Error> {
        let mut sources = Sources::default();
        for (name, text) in SCRIPTS {
            sources.insert(PathBuf::from("dataflows").join(name), text.to_owned());
        }
        let plan = program::plan_to_run(script::parse(sources)?, true)?;
        let wiring = Wiring::default();
        let mut inputs = Vec::new();
        for (table, location) in generated_tables() {
            if plan.script.table(table).is_none() {
                continue;
            }
            let Arguments {
                rate,
                seed,
                history,
                ..
            } = self;
            let text = format!("{table}={location}?rate={rate}&seed={seed}&history={history}");
            inputs.push(InputSpec::parse(&text).map_err(|error| {
                let errors = vec![error];
                crate::source::SourceErrors(errors)
            })?);
        }
        Ok(Settings {
            wiring: None,
            plan,
            config: settings::live_config(&self.engine, &wiring),
            inputs,
            sinks: Vec::new(),
            serve: settings::serve_config(&self.server, &wiring),
        })
    }
}

/// Hands the shop's settings over, as a client would.
fn push_settings(session: &Session) -> Result<(), Error> {
    let format = Format::Csv(CsvOptions::default());
    for (file, text) in SHOP {
        let table = file.trim_end_matches(".csv");
        let outlet = session.live().outlet(file, table, &format)?;
        let piece = Piece::of_text(Arc::new(PathBuf::from(file)), 0, text.as_bytes().to_vec());
        outlet
            .send(piece)
            .expect("an engine that has just started takes records");
    }
    Ok(())
}

/// Opens a page in the browser; nothing is said where there is none, the address has been printed.
fn open(page: &str) {
    let (program, before): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        ("cmd", &["/C", "start", ""])
    } else {
        ("xdg-open", &[])
    };
    let started = Command::new(program)
        .args(before)
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = started {
        tracing::info!(%error, "no browser is opened");
    }
}
