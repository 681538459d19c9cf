//! Rows by a key: what is decided for a user, a product, an order.
//!
//! A view says with `WITH (decision_key = 'column')` that its rows are decisions, each for a value of
//! that column. A key without rows of its own gets the fallback: the rows that have no key, or, with
//! `fallback_key = 'value'`, those that have this one. The catalog keeps an index by the key, so that
//! an answer costs the rows that it has, whatever else the view holds.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, Scalar, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::compute::kernels::cmp::not_distinct;
use arrow::error::ArrowError;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::app::App;
use super::filter::{column_of, operand};
use super::openapi::Failure;
use super::problem::{Problem, shortened};
use super::views::{self, Pairs, push_epoch, query};
use crate::catalog::{Catalog, Snapshot, ViewAt};
use crate::present::json::{self, Rows};

/// How many rows a key is answered with at most.
const MOST_ROWS: usize = 100;

/// What is decided for a key. It is written without passing through this.
#[derive(Serialize, ToSchema)]
pub(super) struct Decision {
    view: String,
    /// The epoch that the answer is of.
    epoch: u64,
    /// When the epoch was published.
    closed_at: String,
    /// The newest event time among the tables that the view reads.
    newest_event_time: Option<String>,
    /// The column that was looked at.
    column: String,
    /// What was asked for.
    key: String,
    /// Whether there is nothing for this key, so that the rows are those for all others.
    fallback: bool,
    /// The first of the rows.
    decision: Map<String, Value>,
    /// All rows, in the view's order; a hundred at most.
    rows: Vec<Map<String, Value>>,
}

/// What is decided for a key, by the view that says `WITH (decision_key = ...)`.
#[utoipa::path(
    get, path = "/decisions/{key}", tag = "decisions",
    params(
        ("key" = String, Path, description = "Whom or what it is decided for"),
        ("view" = Option<String>, Query, description = "Which view decides, where several do"),
    ),
    responses(
        (status = 200, description = "The decision", body = Decision),
        (status = 400, description = "The key is none, or several views decide", body = Failure),
        (status = 404, description = "Nothing is decided for this key, or no view decides", body = Failure),
        (status = "default", description = "Why not", body = Failure),
    ),
)]
pub(super) async fn decision(
    State(app): State<Arc<App>>,
    key: Result<Path<String>, PathRejection>,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let key = views::path(key)?;
    let snapshot = app.live.catalog().latest();
    let view = decider(&app, &snapshot, &query(pairs)?)?;
    let column = view.output().view.decision_key();
    let column = column.expect("a view that decides has a key");
    answer(app.live.catalog(), &snapshot, &view, column, &key)
}

/// The rows of a view for a value of one of its columns, as a decision.
#[utoipa::path(
    get, path = "/views/{name}/by/{column}/{key}", tag = "decisions",
    params(
        ("name" = String, Path, description = "The view"),
        ("column" = String, Path, description = "The column to look at"),
        ("key" = String, Path, description = "Its value"),
    ),
    responses(
        (status = 200, description = "The rows", body = Decision),
        (status = 400, description = "The key or the column is none", body = Failure),
        (status = 404, description = "There are no such rows, or there is no such view", body = Failure),
        (status = "default", description = "Why not", body = Failure),
    ),
)]
pub(super) async fn by_key(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String, String)>, PathRejection>,
) -> Result<Response, Problem> {
    let Path((name, column, key)) =
        path.map_err(|_| Problem::bad("bad_path", "the path is not UTF-8"))?;
    let snapshot = app.live.catalog().latest();
    let view = views::view(&app, &snapshot, &name)?;
    answer(app.live.catalog(), &snapshot, &view, &column, &key)
}

/// Asks for the indexes by which decisions are looked up, so that the first question finds them.
pub(super) fn want_indexes(catalog: &Catalog) {
    let snapshot = catalog.latest();
    for output in snapshot.views() {
        let view = snapshot.view(&output.view.name);
        let column = output.view.decision_key();
        let column = column.and_then(|column| output.schema.index_of(column).ok());
        if let (Some(view), Some(column)) = (view, column) {
            catalog.want_index(view.place(), &[column]);
        }
    }
}

/// The view that decides: the one that is named, or the only one.
fn decider<'a>(
    app: &App,
    snapshot: &'a Snapshot,
    pairs: &[(String, String)],
) -> Result<ViewAt<'a>, Problem> {
    let named = pairs.iter().rev().find(|(name, _)| name == "view");
    if let Some((_, name)) = named {
        let view = views::view(app, snapshot, name)?;
        if view.output().view.decision_key().is_none() {
            let message = format!("view \"{name}\" decides nothing; it has no decision_key");
            return Err(Problem::bad("no_decisions", message));
        }
        return Ok(view);
    }
    let deciders = snapshot.views().filter(|o| o.view.decision_key().is_some());
    let names: Vec<&str> = deciders.map(|output| output.view.name.as_str()).collect();
    match names.as_slice() {
        [name] => views::view(app, snapshot, name),
        [] => {
            let message = "no view decides; WITH (decision_key = 'column') lets one";
            let status = StatusCode::NOT_FOUND;
            Err(Problem::new(status, "no_decisions", message))
        }
        several => {
            let message = format!("several views decide: say ?view={}", several.join(" or "));
            Err(Problem::bad("which_view", message).with("views", several.to_vec()))
        }
    }
}

fn answer(
    catalog: &Catalog,
    snapshot: &Snapshot,
    view: &ViewAt<'_>,
    column: &str,
    key: &str,
) -> Result<Response, Problem> {
    let output = view.output();
    let place = column_of(&output.schema, column)?;
    let field = output.schema.field(place);
    let failed = |error| Problem::internal("the rows could not be compared", &error);
    let mut rows = find(catalog, view, place, operand(field, key)?).map_err(failed)?;
    let decides = output.view.decision_key() == Some(column);
    let fallback = rows.num_rows() == 0 && decides;
    if fallback {
        let other = match output.view.fallback_key() {
            Some(value) => operand(field, value)?,
            None => new_null_array(field.data_type(), 1),
        };
        rows = find(catalog, view, place, other).map_err(failed)?;
    }
    if rows.num_rows() == 0 {
        let code = if decides { "no_decision" } else { "no_row" };
        let key = shortened(key);
        let message = format!("view \"{}\" has no row for \"{key}\"", output.view.name);
        let problem = Problem::new(StatusCode::NOT_FOUND, code, message);
        return Err(problem.with("epoch", snapshot.epoch()));
    }
    let rows = rows.slice(0, rows.num_rows().min(MOST_ROWS));
    let mut body = Vec::with_capacity(512);
    body.extend_from_slice(b"{\"view\":");
    json::push(&mut body, &output.view.name);
    push_epoch(&mut body, snapshot);
    body.extend_from_slice(b",\"newest_event_time\":");
    json::push_time(&mut body, view.newest_event_time());
    body.extend_from_slice(b",\"column\":");
    json::push(&mut body, column);
    body.extend_from_slice(b",\"key\":");
    json::push(&mut body, key);
    body.extend_from_slice(b",\"fallback\":");
    json::push(&mut body, &fallback);
    body.extend_from_slice(b",\"decision\":");
    let written = Rows::new(&rows);
    written.push(&mut body, 0);
    body.extend_from_slice(b",\"rows\":");
    written.push_all(&mut body);
    body.push(b'}');
    let mut response = body.into_response();
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The rows whose column has a value, or has none, by the index if it is there already.
fn find(
    catalog: &Catalog,
    view: &ViewAt<'_>,
    column: usize,
    value: ArrayRef,
) -> Result<RecordBatch, ArrowError> {
    let by = [column];
    // The bytes of a row tell zero from minus zero.
    if !value.data_type().is_floating() {
        if let Some(rows) = view.find(&by, std::slice::from_ref(&value)) {
            return Ok(rows);
        }
        catalog.want_index(view.place(), &by);
    }
    let rows = view.rows();
    let mask = not_distinct(rows.column(column), &Scalar::new(value))?;
    filter_record_batch(&rows, &mask)
}
