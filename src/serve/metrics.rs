//! `/metrics`: the run as numbers, in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::app::App;
use super::openapi::Failure;
use super::status::uptime_s;
use super::traffic::Traffic;
use crate::calendar::now_ns;
use crate::catalog::Snapshot;
use crate::engine::{InputKind, InputReport, InputState, NodeReport, Report, memory};
use crate::sink::{Board, SinkStatus};

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The run as numbers, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "engine",
    responses(
        (status = 200, description = "Prometheus' text format", body = String, content_type = "text/plain"),
        (status = "default", description = "Why not", body = Failure),
    ),
)]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    let mut text = Exposition(String::with_capacity(16 << 10));
    let report = app.live.report();
    let latest = app.live.catalog().latest();
    of_process(&mut text, &report, &latest, &app);
    of_inputs(&mut text, &report.inputs);
    of_views(&mut text, &latest);
    of_sinks(&mut text, &app.config().sinks, latest.epoch());
    of_nodes(&mut text, &app.live.operators());
    of_requests(&mut text, &app.traffic);
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], text.0)
}

/// Metrics as they are written, one after the other.
struct Exposition(String);

impl Exposition {
    /// Begins a metric.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.0.push_str(name);
        for (position, (label, text)) in labels.iter().enumerate() {
            self.0.push(if position == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            for letter in text.chars() {
                match letter {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    letter => self.0.push(letter),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    /// A metric of one number.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl fmt::Display) {
        self.metric(name, kind, help);
        self.sample(name, &[], value);
    }

    fn line(&mut self, text: fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a String takes any text");
        self.0.push('\n');
    }
}

fn of_process(text: &mut Exposition, report: &Report, latest: &Snapshot, app: &App) {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    text.metric("tillrace_build_info", "gauge", "The version that runs.");
    text.sample("tillrace_build_info", &version, 1);
    text.one(
        "tillrace_uptime_seconds",
        "gauge",
        "For how long the engine has been running.",
        uptime_s(report),
    );
    if let Some(bytes) = memory::resident_bytes() {
        text.one(
            "tillrace_memory_bytes",
            "gauge",
            "Memory of the process.",
            bytes,
        );
    }
    text.one(
        "tillrace_workers",
        "gauge",
        "Worker threads.",
        report.workers,
    );
    text.one(
        "tillrace_epochs_total",
        "counter",
        "Epochs that were published.",
        report.epochs,
    );
    text.one(
        "tillrace_published_epoch",
        "gauge",
        "The newest epoch that can be read, in milliseconds since 1970.",
        latest.epoch(),
    );
    text.one(
        "tillrace_frontier_age_seconds",
        "gauge",
        "For how long the oldest records that nobody can see yet have been waiting.",
        report.frontier_age_ms as f64 / 1000.0,
    );
    let ready = u8::from(app.readiness.is_ready(report));
    text.one(
        "tillrace_ready",
        "gauge",
        "Whether the history has been read and published.",
        ready,
    );
    let limit = app.config().limits.followers;
    text.one(
        "tillrace_followers",
        "gauge",
        "Clients that follow changes.",
        limit.saturating_sub(app.followers.available_permits()),
    );
}

fn of_nodes(text: &mut Exposition, nodes: &[NodeReport]) {
    let mut of_all = |name: &str, kind: &str, help: &str, value: &dyn Fn(&NodeReport) -> f64| {
        text.metric(name, kind, help);
        for node in nodes {
            let label = format!("n{}", node.node);
            text.sample(name, &[("node", label.as_str())], value(node));
        }
    };
    of_all(
        "tillrace_node_records_in_total",
        "counter",
        "Rows that a node of the dataflow was given.",
        &|node| node.records_in as f64,
    );
    of_all(
        "tillrace_node_records_out_total",
        "counter",
        "Rows that a node of the dataflow gave on.",
        &|node| node.records_out as f64,
    );
    of_all(
        "tillrace_node_seconds_total",
        "counter",
        "For how long a node of the dataflow has run, on all workers.",
        &|node| node.time_ns as f64 / 1e9,
    );
    of_all(
        "tillrace_node_held_records",
        "gauge",
        "Updates, keys, ids and groups that a node of the dataflow holds.",
        &|node| node.held_records as f64,
    );
}

fn of_inputs(text: &mut Exposition, inputs: &[InputReport]) {
    let mut of_all =
        |name: &str, kind: &str, help: &str, value: &dyn Fn(&InputReport) -> Option<f64>| {
            text.metric(name, kind, help);
            for (place, input) in inputs.iter().enumerate() {
                let Some(value) = value(input) else { continue };
                let place = place.to_string();
                let kind = match input.kind {
                    InputKind::History => "history",
                    InputKind::Live => "live",
                    InputKind::Pushed => "pushed",
                };
                let labels = [
                    ("input", place.as_str()),
                    ("table", &input.table),
                    ("location", &input.location),
                    ("kind", kind),
                ];
                text.sample(name, &labels, value);
            }
        };
    let count = |count: &std::sync::atomic::AtomicU64| Some(count.load(Ordering::Relaxed) as f64);
    of_all(
        "tillrace_input_rows_total",
        "counter",
        "Records that became rows.",
        &|input| count(&input.counts.rows),
    );
    of_all(
        "tillrace_input_bytes_total",
        "counter",
        "Bytes that were decoded.",
        &|input| count(&input.counts.bytes),
    );
    of_all(
        "tillrace_input_rejects_total",
        "counter",
        "Records that were rejected.",
        &|input| count(&input.counts.rejects),
    );
    of_all(
        "tillrace_input_waiting_pieces",
        "gauge",
        "Pieces of records that wait for a worker.",
        &|input| Some(input.waiting as f64),
    );
    of_all(
        "tillrace_input_behind_bytes",
        "gauge",
        "Bytes that are known to lie ahead.",
        &|input| count(&input.source.as_ref()?.behind_bytes),
    );
    of_all(
        "tillrace_input_connections",
        "gauge",
        "Connections or files that are open.",
        &|input| count(&input.source.as_ref()?.connections),
    );
    of_all(
        "tillrace_input_faults_total",
        "counter",
        "Connections that broke and files that went away.",
        &|input| count(&input.source.as_ref()?.faults),
    );
    of_all(
        "tillrace_input_waited_seconds_total",
        "counter",
        "How long the source waited for the engine.",
        &|input| {
            let waited = input.source.as_ref()?.waited_ns.load(Ordering::Relaxed);
            Some(waited as f64 / 1e9)
        },
    );
    of_all(
        "tillrace_input_lag_seconds",
        "gauge",
        "How old the newest event time is.",
        &|input| Some(age_s(input.counts.newest_event_time()?)),
    );
    of_all(
        "tillrace_input_up",
        "gauge",
        "Whether more can come of it.",
        &|input| Some(f64::from(u8::from(input.state != InputState::Ended))),
    );
}

/// How long ago a time in nanoseconds since the Unix epoch is, in seconds.
fn age_s(nanoseconds: i64) -> f64 {
    let age_ms = now_ns().saturating_sub(nanoseconds) / 1_000_000;
    age_ms as f64 / 1000.0
}

fn of_views(text: &mut Exposition, latest: &Snapshot) {
    let views: Vec<_> = latest
        .views()
        .filter_map(|output| latest.view(&output.view.name))
        .collect();
    text.metric("tillrace_view_rows", "gauge", "Rows of the view.");
    for view in &views {
        let labels = [("view", view.output().view.name.as_str())];
        text.sample("tillrace_view_rows", &labels, view.total());
    }
    let name = "tillrace_view_changed_epoch";
    text.metric(name, "gauge", "The last epoch that changed the view.");
    for view in &views {
        let labels = [("view", view.output().view.name.as_str())];
        if let Some(epoch) = view.changed_at() {
            text.sample(name, &labels, epoch);
        }
    }
    let name = "tillrace_view_freshness_seconds";
    let help = "How old the newest event time is of the tables that the view reads.";
    text.metric(name, "gauge", help);
    for view in &views {
        let labels = [("view", view.output().view.name.as_str())];
        if let Some(newest) = view.newest_event_time() {
            text.sample(name, &labels, age_s(newest));
        }
    }
}

fn of_sinks(text: &mut Exposition, board: &Board, latest: u64) {
    let sinks = board.all();
    let mut of_all = |name: &str, kind: &str, help: &str, value: &dyn Fn(&SinkStatus) -> u64| {
        text.metric(name, kind, help);
        for (place, (sink, status)) in sinks.iter().enumerate() {
            let place = place.to_string();
            let labels = [("sink", place.as_str()), ("name", sink.as_str())];
            text.sample(name, &labels, value(status));
        }
    };
    of_all(
        "tillrace_sink_rows_total",
        "counter",
        "Rows that a sink has handed out.",
        &SinkStatus::rows,
    );
    of_all(
        "tillrace_sink_bytes_total",
        "counter",
        "Bytes that a sink has handed out.",
        &SinkStatus::bytes,
    );
    of_all(
        "tillrace_sink_deliveries_total",
        "counter",
        "How often a sink has handed something out.",
        &SinkStatus::deliveries,
    );
    of_all(
        "tillrace_sink_retries_total",
        "counter",
        "How often handing out has failed and was tried again.",
        &SinkStatus::retries,
    );
    of_all(
        "tillrace_sink_dead_letters_total",
        "counter",
        "Bodies that went to the file of dead letters.",
        &SinkStatus::dead_letters,
    );
    of_all(
        "tillrace_sink_failing",
        "gauge",
        "Whether the last attempt to hand something out has failed.",
        &|status| u64::from(status.is_failing()),
    );
    of_all(
        "tillrace_sink_behind_milliseconds",
        "gauge",
        "How far what was handed out is behind what can be read.",
        &|status| latest.saturating_sub(status.delivered_epoch().max(1)),
    );
}

fn of_requests(text: &mut Exposition, traffic: &Traffic) {
    let name = "tillrace_http_request_seconds";
    let help = "How long it took until answers began, by route and status.";
    text.metric(name, "histogram", help);
    for ((route, status), series) in traffic.all() {
        let status = status.to_string();
        let labels = [("route", route.as_str()), ("status", status.as_str())];
        let bucket = format!("{name}_bucket");
        let count = series.count();
        for (bound_us, at_most) in series.at_most() {
            let bound = (bound_us as f64 / 1e6).to_string();
            let labels = [labels[0], labels[1], ("le", bound.as_str())];
            text.sample(&bucket, &labels, at_most.min(count));
        }
        text.sample(&bucket, &[labels[0], labels[1], ("le", "+Inf")], count);
        let total = series.total_us() as f64 / 1e6;
        text.sample(&format!("{name}_sum"), &labels, total);
        text.sample(&format!("{name}_count"), &labels, count);
    }
}
