//! `/status`, `/healthz`, `/readyz`: how the run goes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::app::App;
use super::openapi::Failure;
use super::problem::Problem;
use super::views::nanoseconds_text;
use crate::calendar::now_ms;
use crate::engine::{InputKind, InputReport, InputState, Report, RunState, memory};
use crate::present::json::time_text;

/// How often rates are looked at.
const SAMPLE: Duration = Duration::from_secs(1);
/// Over how many looks a rate is taken.
const SAMPLES: usize = 5;

/// How the run goes.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    version: &'static str,
    /// `starting`, `catching_up`, `live` or `stopping`.
    state: &'static str,
    /// The newest epoch that can be read.
    epoch: u64,
    /// When it was published; null before the first.
    closed_at: Option<String>,
    uptime_s: u64,
    workers: usize,
    epochs_published: u64,
    /// Memory of the process; null where the system does not tell.
    memory_bytes: Option<u64>,
    /// For how long the oldest records that nobody can see yet have been waiting.
    frontier_age_ms: u64,
    inputs: Vec<InputStatus>,
}

/// How an input goes.
#[derive(Serialize, ToSchema)]
struct InputStatus {
    table: String,
    /// Where its records come from, as it was named.
    location: String,
    /// `history` or `live`.
    kind: &'static str,
    /// `reading`, `live`, `waiting` (for the history of its table), `ended` or `failed`.
    state: &'static str,
    rows: u64,
    bytes: u64,
    rejects: u64,
    /// Over the last seconds.
    rows_per_s: f64,
    /// Over the last seconds.
    bytes_per_s: f64,
    /// Pieces of records that wait for a worker.
    waiting: usize,
    /// Bytes that are known to lie ahead.
    behind_bytes: u64,
    connections: u64,
    newest_event_time: Option<String>,
    last_fault: Option<String>,
}

/// How fast inputs flow: what their counts were at the last looks.
#[derive(Default)]
pub(super) struct Rates(Mutex<Vec<Look>>);

/// What counts were at some time.
struct Look {
    when: Instant,
    /// By input: rows and bytes.
    counts: Vec<(u64, u64)>,
}

impl Rates {
    fn look(&self, report: &Report) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.len() > SAMPLES {
            looks.remove(0);
        }
        looks.push(Look {
            when: Instant::now(),
            counts: report.inputs.iter().map(counts).collect(),
        });
    }

    /// Rows and bytes a second of an input, by its place.
    fn of(&self, place: usize, input: &InputReport) -> (f64, f64) {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = looks.iter().find_map(|look| {
            let counts = look.counts.get(place)?;
            Some((look.when, *counts))
        });
        let Some((when, (rows, bytes))) = before else {
            return (0.0, 0.0);
        };
        let seconds = when.elapsed().as_secs_f64().max(0.001);
        let (rows_now, bytes_now) = counts(input);
        let rate = |now: u64, before: u64| {
            let rate = now.saturating_sub(before) as f64 / seconds;
            (rate * 10.0).round() / 10.0
        };
        (rate(rows_now, rows), rate(bytes_now, bytes))
    }
}

fn counts(input: &InputReport) -> (u64, u64) {
    let rows = input.counts.rows.load(Ordering::Relaxed);
    (rows, input.counts.bytes.load(Ordering::Relaxed))
}

/// Looks at the counts until the server stops.
pub(super) async fn sample(app: Arc<App>) {
    let mut ticks = tokio::time::interval(SAMPLE);
    loop {
        tokio::select! {
            _ = ticks.tick() => app.rates.look(&app.live.report()),
            () = app.closed() => return,
        }
    }
}

/// Whether what was there at the start can be read.
#[derive(Default)]
pub(super) struct Readiness {
    /// The epoch that was open when all files had been read.
    caught_up: OnceLock<u64>,
}

impl Readiness {
    /// Whether the history has been read and published.
    pub(super) fn is_ready(&self, report: &Report) -> bool {
        if report.state != RunState::Live || report.published_epoch == 0 {
            return false;
        }
        let mut inputs = report.inputs.iter();
        if !inputs.any(|input| input.kind == InputKind::History) {
            return true;
        }
        let caught_up = *self.caught_up.get_or_init(|| report.open_epoch);
        report.published_epoch >= caught_up
    }
}

/// How the run goes, and each of its inputs.
#[utoipa::path(
    get, path = "/status", tag = "engine",
    responses(
        (status = 200, description = "How the run goes", body = Status),
        (status = "default", description = "Why not", body = Failure),
    ),
)]
pub(super) async fn status(State(app): State<Arc<App>>) -> Json<Status> {
    let report = app.live.report();
    let latest = app.live.catalog().latest();
    let is_published = latest.epoch() > 0;
    let state = match (app.is_closing(), report.state, is_published) {
        (true, ..) | (_, RunState::Stopping, _) => "stopping",
        (_, _, false) => "starting",
        (_, RunState::CatchingUp, _) => "catching_up",
        (_, RunState::Live, _) => "live",
    };
    let inputs = report.inputs.iter().enumerate();
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        state,
        epoch: latest.epoch(),
        closed_at: is_published.then(|| time_text(latest.closed_at_ms())),
        uptime_s: uptime_s(&report),
        workers: report.workers,
        epochs_published: report.epochs,
        memory_bytes: memory::resident_bytes(),
        frontier_age_ms: report.frontier_age_ms,
        inputs: inputs
            .map(|(place, input)| of_input(&app.rates, place, input))
            .collect(),
    })
}

fn of_input(rates: &Rates, place: usize, input: &InputReport) -> InputStatus {
    let (rows_per_s, bytes_per_s) = rates.of(place, input);
    let source = input.source.as_deref();
    let number = |count: Option<&std::sync::atomic::AtomicU64>| {
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    };
    let last_fault = source.and_then(|source| source.last_fault());
    let state = match (input.state, input.kind) {
        (InputState::Waiting, _) => "waiting",
        (InputState::Ended, InputKind::Live) if last_fault.is_some() => "failed",
        (InputState::Ended, _) => "ended",
        (InputState::Reading, InputKind::History) => "reading",
        (InputState::Reading, _) => "live",
    };
    InputStatus {
        table: input.table.clone(),
        location: input.location.clone(),
        kind: match input.kind {
            InputKind::History => "history",
            InputKind::Live | InputKind::Pushed => "live",
        },
        state,
        rows: counts(input).0,
        bytes: counts(input).1,
        rejects: input.counts.rejects.load(Ordering::Relaxed),
        rows_per_s,
        bytes_per_s,
        waiting: input.waiting,
        behind_bytes: number(source.map(|source| &source.behind_bytes)),
        connections: number(source.map(|source| &source.connections)),
        newest_event_time: input.counts.newest_event_time().map(nanoseconds_text),
        last_fault,
    }
}

/// For how long it has been running, in seconds.
pub(super) fn uptime_s(report: &Report) -> u64 {
    let started = u64::try_from(report.started_ms).unwrap_or(0);
    now_ms().saturating_sub(started) / 1000
}

/// Whether the process answers at all.
#[utoipa::path(
    get, path = "/healthz", tag = "engine",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")),
)]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether what was there at the start has been read and can be asked for.
#[utoipa::path(
    get, path = "/readyz", tag = "engine",
    responses(
        (status = 200, description = "It can", body = String, content_type = "text/plain"),
        (status = 503, description = "Not yet, or not any more", body = Failure),
    ),
)]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    if app.is_closing() {
        return Err(Problem::busy("stopping", "the server stops", 5));
    }
    match app.readiness.is_ready(&app.live.report()) {
        true => Ok("ready\n"),
        false => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let message = "the history is still being read";
            Err(Problem::new(status, "catching_up", message))
        }
    }
}
