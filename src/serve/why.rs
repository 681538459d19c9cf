//! `/views/{name}/why`: the events that moved a row since an epoch.
//!
//! The run keeps the records that it takes, if it is told how many bytes they may have; each of those
//! since the epoch is taken away, and an engine of its own asked again. That takes a while, so one such
//! question is answered at a time, beside the threads that serve.

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::app::App;
use super::openapi::Failure;
use super::problem::{Problem, shortened};
use super::views::{self, Pairs, push_epoch, query};
use crate::present::json::{self, Rows};
use crate::why::{self, Explanation, Key, Question, Since, WhyError};

/// How many events are tried at most.
const MOST_EVENTS: usize = 20_000;
/// How many events are told at most.
const MOST_TOLD: usize = 1000;

/// Why a row is what it is. It is written without passing through this.
#[derive(Serialize, ToSchema)]
pub(super) struct Reasons {
    view: String,
    /// The epoch that the answer is of.
    epoch: u64,
    /// When the epoch was published.
    closed_at: String,
    /// The epoch after which events were looked at; null for all of them.
    since: Option<u64>,
    /// The rows of the key at that epoch.
    before: Vec<Map<String, Value>>,
    /// The rows of the key now.
    now: Vec<Map<String, Value>>,
    /// How many events were tried.
    tried: usize,
    /// How many of them moved the rows.
    moved: usize,
    /// The first thousand of those.
    events: Vec<Reason>,
}

/// An event without which the rows would be others.
#[derive(Serialize, ToSchema)]
struct Reason {
    /// When it happened, if it says so.
    time: Option<String>,
    /// The epoch in which it was taken.
    epoch: Option<u64>,
    table: String,
    /// Where in its file or connection its record begins.
    position: u64,
    event: Map<String, Value>,
    /// The rows as they would be without it.
    without: Vec<Map<String, Value>>,
}

/// The events that moved a row since an epoch, each with what the row would be without it.
#[utoipa::path(
    get, path = "/views/{name}/why", tag = "views",
    params(
        ("name" = String, Path, description = "The view"),
        ("key" = String, Query, description = "Which row: column=value, several joined by commas, or a value alone", example = "category=toys"),
        ("since" = Option<u64>, Query, description = "Events after this epoch; all of them if not given"),
    ),
    responses(
        (status = 200, description = "The events", body = Reasons),
        (status = 400, description = "The key is none, or there are too many events", body = Failure),
        (status = 404, description = "There is no such view, or the run keeps no records", body = Failure),
        (status = 410, description = "More records have come than are kept", body = Failure),
        (status = "default", description = "Why not", body = Failure),
    ),
)]
pub(super) async fn why(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let name = views::path(name)?;
    let pairs = query(pairs)?;
    let (key, since) = asked(&pairs)?;
    let snapshot = app.live.catalog().latest();
    let output = views::view(&app, &snapshot, &name)?.output();
    let key =
        Key::parse(output, key).map_err(|error| Problem::bad("bad_key", error.to_string()))?;
    let Some(ledger) = app.live.ledger() else {
        let message = "this run keeps no records; [engine] why = \"256MiB\" lets it";
        let status = StatusCode::NOT_FOUND;
        return Err(Problem::new(status, "no_records", message));
    };
    let Some(entries) = ledger.entries(snapshot.epoch()) else {
        let message = "more records have come than this run keeps, so nobody can tell any more";
        return Err(Problem::new(StatusCode::GONE, "records_gone", message));
    };
    let question = Question {
        view: name.clone(),
        key,
        since: since.map(Since::Epoch),
        as_of: None,
        most: MOST_EVENTS,
    };
    let _turn = app.reasons.acquire().await;
    let plan = Arc::clone(app.live.plan());
    let finding =
        tokio::task::spawn_blocking(move || why::explain_kept(&plan, &entries, &question));
    let failed = |error| Problem::internal("the row could not be explained", &error);
    let found = finding.await.map_err(failed)?;
    let explanation = found.map_err(|error| match error {
        WhyError::TooMany { .. } => Problem::bad("too_many_events", error.to_string()),
        other => Problem::internal("the row could not be explained", &other),
    })?;
    let mut body = b"{\"view\":".to_vec();
    json::push(&mut body, &name);
    push_epoch(&mut body, &snapshot);
    push_reasons(&mut body, since, &explanation);
    let mut response = body.into_response();
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The key and the epoch that are asked for.
fn asked(pairs: &[(String, String)]) -> Result<(&str, Option<u64>), Problem> {
    let (mut key, mut since) = (None, None);
    for (name, value) in pairs {
        match name.as_str() {
            "key" => key = Some(value.as_str()),
            "since" => {
                let epoch = value.parse().map_err(|_| {
                    let message = format!("since is an epoch, \"{}\" is none", shortened(value));
                    Problem::bad("bad_number", message)
                })?;
                since = Some(epoch);
            }
            other => {
                let message = format!("there is no parameter \"{}\"", shortened(other));
                return Err(Problem::bad("unknown_parameter", message));
            }
        }
    }
    let key = key.ok_or_else(|| Problem::bad("no_key", "say which row: ?key=column=value"))?;
    Ok((key, since))
}

fn push_reasons(body: &mut Vec<u8>, since: Option<u64>, explanation: &Explanation) {
    let mut member = |name: &str, write: &dyn Fn(&mut Vec<u8>)| {
        body.push(b',');
        json::push(body, name);
        body.push(b':');
        write(body);
    };
    member("since", &|out| json::push(out, &since));
    member("before", &|out| {
        Rows::new(&explanation.before).push_all(out)
    });
    member("now", &|out| Rows::new(&explanation.now).push_all(out));
    member("tried", &|out| json::push(out, &explanation.tried));
    member("moved", &|out| json::push(out, &explanation.movers.len()));
    member("events", &|out| {
        out.push(b'[');
        for (at, mover) in explanation.movers.iter().take(MOST_TOLD).enumerate() {
            out.extend_from_slice(if at > 0 {
                b",{\"time\":"
            } else {
                b"{\"time\":"
            });
            json::push_time(out, mover.time);
            out.extend_from_slice(b",\"epoch\":");
            json::push(out, &mover.epoch);
            out.extend_from_slice(b",\"table\":");
            json::push(out, &mover.table);
            out.extend_from_slice(b",\"position\":");
            json::push(out, &mover.position);
            out.extend_from_slice(b",\"event\":");
            Rows::new(&mover.event).push(out, 0);
            out.extend_from_slice(b",\"without\":");
            Rows::new(&mover.without).push_all(out);
            out.push(b'}');
        }
        out.push(b']');
    });
    body.push(b'}');
}
