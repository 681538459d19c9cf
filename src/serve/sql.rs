//! `POST /sql`: an ad hoc query over all views at one epoch.

use std::sync::Arc;

use arrow::array::RecordBatch;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::runtime::Handle;
use utoipa::ToSchema;

use super::app::App;
use super::guard;
use super::ingest::{body, media_type};
use super::openapi::{Failure, SqlAnswer};
use super::problem::Problem;
use super::question::MOST_ROWS;
use super::views::unknown_view;
use crate::decode::sql_type;
use crate::present::json::{self, Rows};
use crate::session::{Code, Outcome, Session, SessionError};

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

/// Executes one statement: a query over any tables and views, all at one epoch, or, with the right
/// to write, what changes rows, tables or views.
#[utoipa::path(
    post, path = "/sql", tag = "sql",
    request_body(description = "The query", content((Sql = "application/json"), (String = "text/plain"))),
    responses(
        (status = 200, description = "The rows", body = SqlAnswer),
        (status = 400, description = "What is wrong with the statement, with line and column where known", body = Failure),
        (status = 403, description = "The token does not give the right to change anything", body = Failure),
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
    let limit = app.config().limits.query;
    let slow = move || {
        let message = format!("the query took longer than {} s", limit.as_secs());
        Problem::busy("query_too_slow", message, 5)
    };
    let worker = Arc::clone(&app);
    let runtime = Handle::current();
    let mut session = app.sessions.open(guard::may_write(&app, &headers));
    let turn = tokio::time::timeout(limit, session.take_turn());
    turn.await.map_err(|_| slow())?;
    // Beside the threads that serve: a query computes without pause.
    let running = tokio::task::spawn_blocking(move || {
        runtime.block_on(async {
            let answer = tokio::time::timeout(limit, answer(&mut session, &text)).await;
            let answer = answer.map_err(|_| slow())?;
            answer.map_err(|error| explained(&worker, &text, &error))
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
    let bytes = body(request, MOST_SQL_BYTES, app.config().limits.body_pause).await?;
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

/// Executes a statement, and writes its rows or what has been done.
async fn answer(session: &mut Session, sql: &str) -> Result<Vec<u8>, SessionError> {
    let rows = match session.execute(sql, &[]).await? {
        Outcome::Rows(rows) => rows,
        Outcome::Tag(tag) => {
            // As if a query had asked for it: whoever is answered sees what has been done.
            session.execute("FLUSH", &[]).await?;
            return Ok(json!({ "done": tag }).to_string().into_bytes());
        }
        Outcome::Empty => {
            return Err(SessionError::new(Code::Syntax, "there is no statement"));
        }
        Outcome::Subscription(_) | Outcome::CopyIn(_) => {
            let message = "what goes on for long cannot be asked here";
            let hint = "follow /views/{name}/changes, and push to /ingest/{table}";
            return Err(SessionError::new(Code::Unsupported, message).hint(hint));
        }
    };
    let (epoch, closed_at_ms) = (rows.epoch(), rows.closed_at_ms());
    let rows = rows.collect(MOST_ROWS).await?;
    Ok(written(epoch, closed_at_ms, &rows))
}

fn written(epoch: u64, closed_at_ms: i64, rows: &RecordBatch) -> Vec<u8> {
    let fields = rows.schema_ref().fields().iter();
    let columns: Vec<AnswerColumn> = fields
        .map(|field| AnswerColumn {
            name: field.name().clone(),
            data_type: sql_type(field.data_type()).into_owned(),
        })
        .collect();
    let mut out = Vec::with_capacity(256 + rows.num_rows() * 64);
    out.extend_from_slice(b"{\"epoch\":");
    json::push(&mut out, &epoch);
    out.extend_from_slice(b",\"closed_at\":");
    json::push(&mut out, &json::time_text(closed_at_ms));
    out.extend_from_slice(b",\"columns\":");
    json::push(&mut out, &columns);
    out.extend_from_slice(b",\"rows\":");
    Rows::new(rows).push_all(&mut out);
    out.push(b'}');
    out
}

fn explained(app: &App, sql: &str, error: &SessionError) -> Problem {
    let message = error.message();
    let problem = match (error.code(), error.name()) {
        (Code::UndefinedTable | Code::NotHeld, Some(name)) => {
            let snapshot = app.live.catalog().latest();
            unknown_view(app, &snapshot, name).status(StatusCode::BAD_REQUEST)
        }
        (Code::OutOfMemory, _) => return Problem::busy("query_too_large", message, 5),
        (Code::Internal, _) => {
            return Problem::internal("the query could not be answered", &message);
        }
        (Code::TooManyRows, _) => Problem::bad("too_many_rows", message),
        (Code::Unsupported, _) => Problem::bad("not_supported", message),
        (Code::NotAllowed, _) => Problem::new(StatusCode::FORBIDDEN, "no_right", message),
        (Code::Stopping, _) => return Problem::busy("stopping", message, 5),
        (Code::NotNull | Code::InvalidText | Code::OutOfRange | Code::DuplicateTable, _)
        | (Code::DependentsExist | Code::WrongObject, _) => Problem::bad("refused", message),
        _ => Problem::bad("bad_sql", message),
    };
    let problem = problem.with("sqlstate", error.sqlstate());
    let problem = match error.help() {
        Some(hint) => problem.with("hint", hint),
        None => problem,
    };
    match error.position() {
        Some(position) => {
            let before = sql.chars().take(position.saturating_sub(1));
            let before: String = before.collect();
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            problem.with("line", line).with("column", column)
        }
        None => problem,
    }
}
