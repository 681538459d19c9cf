//! `tillrace generate`: seeded commerce traffic at any size and rate.

use std::io::{self, IsTerminal};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{Error, counted, timestamp};
use crate::source::generate::{
    EventSink, FolderSink, GenerateError, GenerateOptions, Preset, Table, TableSink, generate,
};

const EXAMPLES: &str = "\
Examples:
  tillrace generate --out traffic                        a day of a small shop, a file a table
  tillrace generate --events 1000000 --rate 500 --seed 7 --out traffic
  tillrace generate --preset bench --out bench           10 million flat events
  tillrace generate --table behavior | tillrace replay dataflows --input behavior=-";

const NANOSECONDS_PER_MS: i64 = 1_000_000;
const MS_PER_HOUR: f64 = 3_600_000.0;

/// Write seeded commerce traffic: visits, carts, orders, payments, stock, with real logs' mistakes
///
/// The same options write the same bytes on every machine. Products are chosen by a Zipf law,
/// sessions convert or are abandoned, orders are cancelled and refunded, events come late and twice,
/// stock moves between locations.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Writes TABLE.jsonl for each table into this folder
    #[arg(short, long, value_name = "DIR", required_unless_present = "table")]
    out: Option<PathBuf>,

    /// Writes this table only (may be repeated with --out; without, to standard output)
    #[arg(short, long, value_name = "TABLE", value_parser = table)]
    table: Vec<Table>,

    /// Which traffic
    #[arg(long, value_enum, default_value_t = Kind::Shop)]
    preset: Kind,

    /// How many events [default: 18000, or 10000000 of bench]
    #[arg(short, long, value_name = "N")]
    events: Option<u64>,

    /// What everything follows from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// When the first event happens [default: 2026-01-01]
    #[arg(long, value_name = "TIMESTAMP", value_parser = timestamp::parse)]
    start: Option<i64>,

    /// Over how many hours the events are spread [default: 24]
    #[arg(long, value_name = "HOURS", conflicts_with = "rate")]
    hours: Option<f64>,

    /// How many events happen in a second, on average
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU64>,

    /// How many users there are [default: 1200, or 100000 of bench]
    #[arg(long, value_name = "N")]
    users: Option<u32>,

    /// How many products there are [default: 240, or 10000 of bench]
    #[arg(long, value_name = "N")]
    products: Option<u32>,
}

/// Kinds of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A shop, over all tables of the dataflows
    Shop,
    /// Flat events of one shape, for measuring
    Bench,
}

fn table(name: &str) -> Result<Table, String> {
    Table::named(name).ok_or_else(|| {
        let names: Vec<&str> = Table::ALL.iter().map(|table| table.name()).collect();
        format!("the tables are {}", names.join(", "))
    })
}

/// Generates.
///
/// # Errors
/// If the options contradict themselves, or something cannot be written.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let options = arguments.options();
    let written = match &arguments.out {
        Some(folder) => {
            let failed = |source| Error::Write {
                path: folder.clone(),
                source,
            };
            generate_into(&options, &mut FolderSink::create(folder).map_err(failed)?)?
        }
        None if arguments.table.len() > 1 => {
            return Err(Error::Usage(
                "lines of several tables cannot share standard output: name a folder with --out",
            ));
        }
        None => generate_into(&options, &mut TableSink::new(io::stdout().lock()))?,
    };
    if arguments.out.is_some() || !io::stdout().is_terminal() {
        eprintln!("{written}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Generates into a sink; what was written, in words.
fn generate_into(options: &GenerateOptions, sink: &mut dyn EventSink) -> Result<String, Error> {
    let written = generate(options, sink).map_err(|error| match error {
        // So that a reader that goes away is known as one.
        GenerateError::Write { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => {
            Error::Print(source)
        }
        other => Error::Generate(other),
    })?;
    Ok(format!(
        "{}, {:.1} MB",
        counted(written.lines, "line"),
        written.bytes as f64 / 1e6
    ))
}

impl Arguments {
    fn options(&self) -> GenerateOptions {
        let defaults = match self.preset {
            Kind::Shop => GenerateOptions::default(),
            Kind::Bench => GenerateOptions::bench(),
        };
        let mut options = GenerateOptions {
            preset: match self.preset {
                Kind::Shop => Preset::Shop,
                Kind::Bench => Preset::Bench,
            },
            seed: self.seed,
            events: self.events.unwrap_or(defaults.events),
            start_ms: self
                .start
                .map_or(defaults.start_ms, |time| time / NANOSECONDS_PER_MS),
            users: self.users.unwrap_or(defaults.users),
            products: self.products.unwrap_or(defaults.products),
            tables: (!self.table.is_empty()).then(|| self.table.clone()),
            ..defaults
        };
        if let Some(hours) = self.hours {
            options.duration_ms = (hours * MS_PER_HOUR) as u64;
        }
        match self.rate {
            Some(rate) => options.at_rate(rate.get()),
            None => options,
        }
    }
}
