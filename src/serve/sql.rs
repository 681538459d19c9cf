//! `POST /sql`: an ad hoc query over all views at one epoch.

use std::sync::Arc;

use arrow::array::RecordBatch;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use utoipa::ToSchema;

use super::app::App;
use super::ingest::{body, media_type};
use super::json::{self, Rows};
use super::openapi::{Failure, SqlAnswer};
use super::problem::Problem;
use super::question::MOST_ROWS;
use super::sessions::Unanswered;
use super::views::unknown_view;
use crate::catalog::Snapshot;
use crate::decode::sql_type;

/// The longest query, in bytes.
const MOST_SQL_BYTES: usize = 256 << 10;

/// A query.
#[derive(Deserialize, ToSchema)]
pub(super) struct Sql {
    /// A SELECT over views.
    #[schema(example = "SELECT 1 AS one")]
    sql: String,
}

/// A column of an answer.
#[derive(Serialize, ToSchema)]
pub(super) struct AnswerColumn {
    name: String,
    /// The type as SQL names it.
    #[serde(rename = "type")]
    data_type: String,
}

/// Answers a SELECT over any views, all at one epoch. Nothing can be changed by it.
#[utoipa::path(
    post, path = "/sql", tag = "sql",
    request_body(description = "The query", content((Sql = "application/json"), (String = "text/plain"))),
    responses(
        (status = 200, description = "The rows", body = SqlAnswer),
        (status = 400, description = "What is wrong with the query, with line and column where known", body = Failure),
        (status = 503, description = "The query took too long or needed too much memory", body = Failure),
        (status = "default", description = "Why not", body = Failure),
    ),
)]
pub(super) async fn sql(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    request: Body,
) -> Result<Response, Problem> {
    let text = text_of(&app, &headers, request).await?;
    let limit = app.config.limits.query;
    let slow = move || {
        let message = format!("the query took longer than {} s", limit.as_secs());
        Problem::busy("query_too_slow", message, 5)
    };
    let worker = Arc::clone(&app);
    let runtime = Handle::current();
    let turn = tokio::time::timeout(limit, app.sessions.turns.acquire());
    let _turn = turn.await.map_err(|_| slow())?;
    // Beside the threads that serve: a query computes without pause.
    let running = tokio::task::spawn_blocking(move || {
        runtime.block_on(async {
            let snapshot = worker.live.catalog().latest();
            let answer = worker.sessions.answer(&text, &snapshot);
            let rows = tokio::time::timeout(limit, answer).await;
            let rows = rows.map_err(|_| slow())?;
            let rows = rows.map_err(|unanswered| explained(&worker, &snapshot, unanswered))?;
            Ok(written(&snapshot, &rows))
        })
    });
    let failed = |error| Problem::internal("the query could not be answered", &error);
    let out: Vec<u8> = running.await.map_err(failed)??;
    let mut response = out.into_response();
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn text_of(app: &App, headers: &HeaderMap, request: Body) -> Result<String, Problem> {
    let media = media_type(headers);
    let bytes = body(request, MOST_SQL_BYTES, app.config.limits.body_pause).await?;
    let text =
        String::from_utf8(bytes).map_err(|_| Problem::bad("bad_utf8", "the query is not UTF-8"))?;
    match media.as_deref() {
        Some("text/plain" | "application/sql") => Ok(text),
        Some("application/json") => {
            let parsed: Result<Sql, _> = serde_json::from_str(&text);
            parsed.map(|Sql { sql }| sql).map_err(|error| {
                let message = "the body is an object with the text member \"sql\"";
                Problem::bad("bad_json", message)
                    .with("line", error.line())
                    .with("column", error.column())
            })
        }
        // Without a type: whichever it is.
        None => Ok(serde_json::from_str(&text).map_or(text, |Sql { sql }| sql)),
        Some(_) => {
            let message = "send application/json or text/plain";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            Err(Problem::new(status, "unsupported_media_type", message))
        }
    }
}

fn written(snapshot: &Snapshot, rows: &RecordBatch) -> Vec<u8> {
    let fields = rows.schema_ref().fields().iter();
    let columns: Vec<AnswerColumn> = fields
        .map(|field| AnswerColumn {
            name: field.name().clone(),
            data_type: sql_type(field.data_type()).into_owned(),
        })
        .collect();
    let mut out = Vec::with_capacity(256 + rows.num_rows() * 64);
    out.extend_from_slice(b"{\"epoch\":");
    json::push(&mut out, &snapshot.epoch());
    out.extend_from_slice(b",\"closed_at\":");
    json::push(&mut out, &json::time_text(snapshot.closed_at_ms()));
    out.extend_from_slice(b",\"columns\":");
    json::push(&mut out, &columns);
    out.extend_from_slice(b",\"rows\":");
    Rows::new(rows).push_all(&mut out);
    out.push(b'}');
    out
}

fn explained(app: &App, snapshot: &Snapshot, unanswered: Unanswered) -> Problem {
    match unanswered {
        Unanswered::NoQuery => Problem::bad(
            "not_a_query",
            "only one SELECT can be asked; nothing can be changed here",
        ),
        Unanswered::UnknownView(name) => {
            unknown_view(app, snapshot, &name).status(StatusCode::BAD_REQUEST)
        }
        Unanswered::TooManyRows => {
            let message = format!("the answer has more than {MOST_ROWS} rows; add a LIMIT");
            Problem::bad("too_many_rows", message)
        }
        Unanswered::Failed(error) => of_datafusion(&error),
    }
}

fn of_datafusion(error: &DataFusionError) -> Problem {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => {
            let message = "the query needs more memory than there is for queries";
            return Problem::busy("query_too_large", message, 5);
        }
        DataFusionError::Internal(cause) => {
            return Problem::internal("the query could not be answered", cause);
        }
        _ => {}
    }
    let message = plain(error.find_root());
    let (message, place) = split_place(&message);
    let known = error.diagnostic().and_then(|told| told.span);
    let place = known
        .map(|span| (span.start.line, span.start.column))
        .or(place);
    let problem = Problem::bad("bad_sql", message);
    match place {
        Some((line, column)) => problem.with("line", line).with("column", column),
        None => problem,
    }
}

/// What an error says, without the names of the parts of DataFusion that say it.
fn plain(error: &DataFusionError) -> String {
    match error {
        DataFusionError::SQL(error, _) => match error.as_ref() {
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => {
                message.clone()
            }
            other => other.to_string(),
        },
        DataFusionError::Plan(message)
        | DataFusionError::Execution(message)
        | DataFusionError::NotImplemented(message) => message.clone(),
        DataFusionError::SchemaError(error, _) => error.to_string(),
        DataFusionError::ArrowError(error, _) => error.to_string(),
        other => other.strip_backtrace(),
    }
}

/// Takes the place off the end of what the parser says: `... at Line: 1, Column: 8`.
fn split_place(message: &str) -> (&str, Option<(u64, u64)>) {
    let trimmed = message.trim_end_matches(['"', ')', '.', ' ']);
    let found = trimmed.rsplit_once(" at Line: ");
    let Some((before, place)) = found else {
        return (message, None);
    };
    let place = place
        .split_once(", Column: ")
        .and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
    match place {
        Some(place) => (before, Some(place)),
        None => (message, None),
    }
}
