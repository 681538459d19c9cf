//! How fresh answers are, and how quick reads, while events pour in over TCP.
//!
//! Starts the real binary on the scripts of `dataflows/`, sends visits and orders at several rates,
//! follows the sales view over server-sent events and a WebSocket, and prints how long it took
//! from a line written to its effect seen. Then reads single rows under load, and looks for the
//! highest rate that is held. `benches/run-live` builds and runs it; `--help` lists its options. The
//! client shares the cores with what it measures, and is made to be cheap.

mod follow;
mod load;
mod reads;
mod server;
mod traffic;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

use follow::{Over, Seen, VIEW, follow};
use load::{Load, Sent};
use server::Server;
use traffic::Made;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A rate is held if nearly all of it is taken, and nobody waits long.
const HELD_SHARE: f64 = 0.98;
const HELD_P99: Duration = Duration::from_millis(100);

/// Measures freshness and reads while events pour in
#[derive(Debug, Parser)]
struct Options {
    /// A few seconds, to check answers; nothing is timed
    #[arg(long)]
    smoke: bool,
    /// Events in a second
    #[arg(long, value_delimiter = ',', default_values_t = [1_000.0, 10_000.0, 50_000.0])]
    rates: Vec<f64>,
    /// How long each rate is kept
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// How long the highest rate is held
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// What is measured
    #[arg(long, value_delimiter = ',', default_values_t = ["sales".to_owned(), "pack".to_owned(), "reads".to_owned(), "hold".to_owned()])]
    parts: Vec<String>,
    /// Lines without ids: nothing of visits is remembered
    #[arg(long)]
    no_ids: bool,
    /// More arguments of `tillrace run`, such as --with=--workers=1
    #[arg(long)]
    with: Vec<String>,
    /// The binary
    #[arg(long, default_value = env!("CARGO_BIN_EXE_tillrace"))]
    binary: PathBuf,
    /// Cargo passes it on.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    // Without arguments, as under `cargo bench` over everything, there is nothing to measure.
    if std::env::args()
        .skip(1)
        .all(|argument| argument == "--bench")
    {
        return Ok(());
    }
    let options = Options::parse();
    if options.smoke {
        return smoke(&options.binary);
    }
    let seconds = Duration::from_secs_f64(options.seconds);
    for part in &options.parts {
        match part.as_str() {
            "sales" => rates(&options, "the sales views", &sales(), seconds)?,
            "pack" => rates(&options, "all of dataflows/", &[root("dataflows")], seconds)?,
            "reads" => point_reads(&options, seconds)?,
            "hold" => hold(&options)?,
            other => bail!("{other:?} is none of sales, pack, reads, hold"),
        }
    }
    Ok(())
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn sales() -> Vec<PathBuf> {
    ["tables", "sources", "time_and_people", "sales"]
        .map(|name| root(&format!("dataflows/{name}.sql")))
        .into_iter()
        .chain([root("dataflows/adapters")])
        .collect()
}

/// From a line written to its effect seen, at each rate.
fn rates(options: &Options, what: &str, scripts: &[PathBuf], time: Duration) -> Result<()> {
    println!("\nfrom a line written to its effect seen in {VIEW}; {what} run");
    println!("goal at 50,000 events/s: p50 < 5 ms, p99 < 20 ms");
    for rate in &options.rates {
        let server = Server::start(&options.binary, scripts, &options.with)?;
        let mut load = Load::connect(&server, !options.no_ids)?;
        let seen = [
            follow(&server, Over::Sse, false)?,
            follow(&server, Over::WebSocket, false)?,
        ];
        load.send(*rate, Duration::from_secs(2))?;
        let (cpu, begun) = (server.cpu_seconds(), Instant::now());
        let (rows_before, memory_before) = server.status()?;
        let sent = load.send(*rate, time)?;
        let cores = (server.cpu_seconds() - cpu) / begun.elapsed().as_secs_f64();
        let (rows, memory) = server.status()?;
        println!(
            "  {rate:>6} events/s asked, {:>6.0} sent, {cores:.2} cores, {memory:.0} MiB, {:.0} bytes more an event",
            sent.rate,
            (memory - memory_before) * 1_048_576.0 / (rows - rows_before).max(1) as f64,
        );
        for (name, seen) in ["SSE", "WebSocket"].iter().zip(&seen) {
            println!(
                "    {name:<10} {}",
                Percentiles::of(&latencies(seen, &sent))
            );
        }
    }
    Ok(())
}

/// How long each probe took; those that are not seen within some seconds count as so late.
fn latencies(seen: &Seen, sent: &Sent) -> Vec<Duration> {
    let last = sent.probes.last().map_or(0, |(probe, _)| *probe);
    let until = Instant::now() + Duration::from_secs(5);
    while seen.count() < last && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
    }
    let now = Instant::now();
    let probes = sent.probes.iter();
    probes
        .map(|(probe, at)| {
            seen.at(*probe)
                .unwrap_or(now)
                .saturating_duration_since(*at)
        })
        .collect()
}

/// Rows of single users, while visits change them.
fn point_reads(options: &Options, time: Duration) -> Result<()> {
    println!(
        "\nreads of one of {} rows by its key, which 50,000 events/s change",
        traffic::USERS
    );
    println!("goal at 10,000 reads/s: p99 < 1 ms");
    for (events, asked) in [(0.0, 10_000.0), (50_000.0, 10_000.0)] {
        let scripts = [root("dataflows/tables.sql"), root("benches/live/users.sql")];
        let server = Server::start(&options.binary, &scripts, &options.with)?;
        let mut load = Load::connect(&server, false)?;
        all_users(&server, &mut load)?;
        let http = server.http;
        for path in ["/views/visits_by_user?user_id=", "/decisions/"] {
            let reader = thread::spawn(move || reads::read(http, path, asked, time));
            let sent = load.send(events, time)?;
            let found = reader.join().ok().context("the reader panicked")??;
            println!(
                "  {:>6.0} events/s: {:>6.0} reads/s of {path:<30} {}",
                sent.rate,
                found.rate,
                Percentiles::of(&found.latencies)
            );
        }
    }
    Ok(())
}

/// Has all users visit once, and the index made.
fn all_users(server: &Server, load: &mut Load) -> Result<()> {
    load.traffic.all_users();
    load.flush(|| ())?;
    let until = Instant::now() + Duration::from_secs(30);
    while total(server)? < traffic::USERS {
        ensure!(
            Instant::now() < until,
            "the users have not arrived after half a minute"
        );
        thread::sleep(Duration::from_millis(20));
    }
    // The first read asks for the index; the next epoch has it.
    let _answer = server.get("/views/visits_by_user?user_id=u1")?;
    load.traffic.next();
    load.flush(|| ())?;
    thread::sleep(Duration::from_millis(500));
    Ok(())
}

/// How many users are told.
fn total(server: &Server) -> Result<u64> {
    let answer: serde_json::Value =
        serde_json::from_str(&server.get("/views/visits_by_user?limit=1")?)?;
    Ok(answer["total"].as_u64().unwrap_or(0))
}

/// The highest rate that is held.
fn hold(options: &Options) -> Result<()> {
    let step = Duration::from_secs(8);
    println!(
        "\nthe highest rate of the sales views: {} % taken, p99 < {} ms",
        100.0 * HELD_SHARE,
        HELD_P99.as_millis()
    );
    let (mut rate, mut highest) = (20_000.0, 0.0);
    while rate < 2_000_000.0 {
        let (sent, found) = try_rate(options, rate, step)?;
        println!("  {rate:>8.0} events/s asked, {sent:>8.0} sent  {found}");
        if sent < HELD_SHARE * rate || found.p99 > HELD_P99 {
            break;
        }
        highest = rate;
        rate *= 1.5;
    }
    ensure!(highest > 0.0, "not even {rate} events/s are held");
    println!(
        "held at {highest:.0} events/s for {} minutes:",
        options.minutes
    );
    let server = Server::start(&options.binary, &sales(), &options.with)?;
    let mut load = Load::connect(&server, !options.no_ids)?;
    let seen = follow(&server, Over::Sse, false)?;
    let parts = 5u32;
    let part = Duration::from_secs_f64(options.minutes * 60.0) / parts;
    for at in 1..=parts {
        let sent = load.send(highest, part)?;
        let (rows, memory) = server.status()?;
        println!(
            "  after {:>4.0} s: {:>8.0} sent/s, {rows} rows, {memory:.0} MiB  {}",
            (part * at).as_secs_f64(),
            sent.rate,
            Percentiles::of(&latencies(&seen, &sent))
        );
    }
    Ok(())
}

fn try_rate(options: &Options, rate: f64, time: Duration) -> Result<(f64, Percentiles)> {
    let server = Server::start(&options.binary, &sales(), &options.with)?;
    let mut load = Load::connect(&server, !options.no_ids)?;
    let seen = follow(&server, Over::Sse, false)?;
    load.send(rate, Duration::from_secs(1))?;
    let sent = load.send(rate, time)?;
    Ok((sent.rate, Percentiles::of(&latencies(&seen, &sent))))
}

/// Whether all that is sent arrives, and all ways of asking agree.
fn smoke(binary: &Path) -> Result<()> {
    let mut scripts = sales();
    scripts.push(root("benches/live/users.sql"));
    let server = Server::start(binary, &scripts, &[])?;
    let mut load = Load::connect(&server, true)?;
    let seen = [
        follow(&server, Over::Sse, true)?,
        follow(&server, Over::WebSocket, true)?,
    ];
    all_users(&server, &mut load)?;
    let http = server.http;
    let reader = thread::spawn(move || {
        let path = "/views/visits_by_user?user_id=";
        reads::read(http, path, 500.0, Duration::from_secs(2))
    });
    let sent = load.send(5_000.0, Duration::from_secs(2))?;
    let read = reader.join().ok().context("the reader panicked")??;
    let made = load.traffic.made;
    let probes = sent.probes.last().map_or(0, |(probe, _)| *probe);
    wait_for(&server, &made)?;
    for seen in &seen {
        latencies(seen, &sent);
        ensure!(
            seen.count() == probes,
            "{} of {probes} probes were seen",
            seen.count()
        );
    }
    let rows = server.rows(VIEW)?;
    let sum = |column: &str| -> f64 {
        rows.iter()
            .map(|row| {
                row[column]
                    .as_f64()
                    .or_else(|| row[column].as_str()?.parse().ok())
                    .unwrap_or(f64::NAN)
            })
            .sum()
    };
    let gmv_cents = (sum("gmv") * 100.0).round();
    ensure!(
        sum("units") == made.units as f64 && gmv_cents == made.gmv_cents as f64,
        "sold were {made:?}, told are {rows:?}"
    );
    for (seen, over) in seen.iter().zip(["SSE", "WebSocket"]) {
        let until = Instant::now() + Duration::from_secs(5);
        while told_rows(seen)? != sorted(&rows) {
            ensure!(
                Instant::now() < until,
                "{over} and REST disagree: {:?} and {rows:?}",
                told_rows(seen)?
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
    ensure!(!read.latencies.is_empty(), "nothing was read");
    println!(
        "{} lines, {} orders, {probes} probes, {} reads: all answers are equal",
        made.lines,
        made.orders,
        read.latencies.len()
    );
    Ok(())
}

fn wait_for(server: &Server, made: &Made) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let visits: serde_json::Value = serde_json::from_str(&server.get("/views/sales_totals")?)?;
        if visits["rows"][0]["orders"].as_u64() == Some(made.orders) {
            return Ok(());
        }
        ensure!(
            Instant::now() < until,
            "{} orders were made, {visits} are told",
            made.orders
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// The rows that snapshots and changes come to.
fn told_rows(seen: &Arc<Seen>) -> Result<Vec<String>> {
    let mut rows: std::collections::BTreeMap<String, i64> = std::collections::BTreeMap::new();
    for event in seen.told() {
        let event: serde_json::Value = serde_json::from_str(&event)?;
        if let Some(all) = event["rows"].as_array() {
            rows = all.iter().map(|row| (row.to_string(), 1)).collect();
        }
        for change in event["changes"].as_array().into_iter().flatten() {
            *rows.entry(change["row"].to_string()).or_default() +=
                change["diff"].as_i64().unwrap_or(0);
        }
    }
    rows.retain(|_, count| *count != 0);
    Ok(rows.into_keys().collect())
}

fn sorted(rows: &[serde_json::Value]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    rows.sort();
    rows
}

/// What a share of the times stays under.
struct Percentiles {
    count: usize,
    p50: Duration,
    p99: Duration,
    max: Duration,
}

impl Percentiles {
    fn of(times: &[Duration]) -> Percentiles {
        let mut times = times.to_vec();
        times.sort_unstable();
        let at = |share: f64| {
            let rank = (share * times.len() as f64).ceil() as usize;
            times
                .get(rank.saturating_sub(1))
                .copied()
                .unwrap_or_default()
        };
        Percentiles {
            count: times.len(),
            p50: at(0.5),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(
            f,
            "p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms of {}",
            ms(self.p50),
            ms(self.p99),
            ms(self.max),
            self.count
        )
    }
}
