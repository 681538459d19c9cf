//! `/views`: what there is to read, and the rows of each view.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::app::App;
use super::formats::Form;
use super::openapi::{Failure, RowsAnswer};
use super::problem::{Problem, shortened};
use super::question::{Found, Question, ROWS};
use crate::catalog::{Catalog, Snapshot, ViewAt};
use crate::decode::sql_type;
use crate::present::json::{self, Rows, time_text};
use crate::script::{SYSTEM_SCHEMA, near};

/// The names and values of a query string.
pub(super) type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// What there is to read.
#[derive(Serialize, ToSchema)]
pub(super) struct Views {
    /// The epoch that the answer is of.
    epoch: u64,
    views: Vec<ViewEntry>,
}

/// A view.
#[derive(Serialize, ToSchema)]
pub(super) struct ViewEntry {
    name: String,
    comment: Option<String>,
    /// How many rows it has.
    rows: usize,
    /// The last epoch that changed it.
    changed_at: Option<u64>,
    columns: Vec<ColumnEntry>,
    /// How its rows are shown.
    order: Vec<OrderEntry>,
    /// The view's `WITH (...)`.
    options: BTreeMap<String, String>,
    /// The tables that it reads, through whatever other views.
    tables: Vec<String>,
    /// The newest event time among those tables.
    newest_event_time: Option<String>,
    /// Whether the engine keeps it about itself.
    system: bool,
}

/// A view and its query.
#[derive(Serialize, ToSchema)]
pub(super) struct ViewSchema {
    #[serde(flatten)]
    view: ViewEntry,
    /// The epoch that the answer is of.
    epoch: u64,
    /// The query's text, as written.
    sql: String,
    /// The statement that makes the view.
    script: String,
}

/// A column of a view.
#[derive(Serialize, ToSchema)]
struct ColumnEntry {
    name: String,
    /// The type as SQL names it.
    #[serde(rename = "type")]
    data_type: String,
    nullable: bool,
    comment: Option<String>,
}

/// One key of a view's order.
#[derive(Serialize, ToSchema)]
struct OrderEntry {
    column: String,
    descending: bool,
}

impl ViewEntry {
    fn new(view: &ViewAt<'_>) -> ViewEntry {
        let output = view.output();
        let fields = output.schema.fields();
        let columns = fields.iter().map(|field| ColumnEntry {
            name: field.name().clone(),
            data_type: sql_type(field.data_type()).into_owned(),
            nullable: field.is_nullable(),
            comment: output.view.column_comments.get(field.name()).cloned(),
        });
        let order = output.order.iter().map(|(column, options)| OrderEntry {
            column: fields[*column].name().clone(),
            descending: options.descending,
        });
        ViewEntry {
            name: output.view.name.clone(),
            comment: output.view.comment.clone(),
            rows: view.total(),
            changed_at: view.changed_at(),
            columns: columns.collect(),
            order: order.collect(),
            options: output.view.options.clone(),
            tables: view.tables().to_vec(),
            newest_event_time: view.newest_event_time().map(nanoseconds_text),
            system: is_system(&output.view.name),
        }
    }
}

/// Whether the engine keeps a view about itself.
pub(super) fn is_system(name: &str) -> bool {
    let schema = name.split_once('.').map(|(schema, _)| schema);
    schema == Some(SYSTEM_SCHEMA)
}

/// A time in nanoseconds since the Unix epoch, as the contract writes it.
pub(super) fn nanoseconds_text(nanoseconds: i64) -> String {
    let mut text = Vec::new();
    json::push_time(&mut text, Some(nanoseconds));
    String::from_utf8_lossy(&text).trim_matches('"').to_owned()
}

/// Lists the views.
#[utoipa::path(
    get, path = "/views", tag = "views",
    responses(
        (status = 200, description = "What there is to read", body = Views),
        (status = "default", description = "Why not", body = Failure),
    ),
)]
pub(super) async fn list(State(app): State<Arc<App>>) -> Json<Views> {
    let snapshot = app.live.catalog().latest();
    let views = snapshot.views().filter_map(|output| {
        let view = snapshot.view(&output.view.name)?;
        Some(ViewEntry::new(&view))
    });
    Json(Views {
        epoch: snapshot.epoch(),
        views: views.collect(),
    })
}

/// A view's columns, order, options and query.
#[utoipa::path(
    get, path = "/views/{name}/schema", tag = "views",
    params(("name" = String, Path, description = "The view")),
    responses(
        (status = 200, description = "The view", body = ViewSchema),
        (status = 404, description = "There is no such view", body = Failure),
        (status = "default", description = "Why not", body = Failure),
    ),
)]
pub(super) async fn schema(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<ViewSchema>, Problem> {
    let name = path(name)?;
    let snapshot = app.live.catalog().latest();
    let view = view(&app, &snapshot, &name)?;
    Ok(Json(ViewSchema {
        view: ViewEntry::new(&view),
        epoch: snapshot.epoch(),
        sql: view.output().view.sql.clone(),
        script: view.output().view.statement(),
    }))
}

/// The rows of a view, all from one epoch.
///
/// Every other parameter is a condition on a column: `category=toys`, or with an ending `.eq .ne .lt
/// .le .gt .ge .like` or `.is` (`null` or `not_null`).
#[utoipa::path(
    get, path = "/views/{name}", tag = "views",
    params(
        ("name" = String, Path, description = "The view"),
        ("order" = Option<String>, Query, description = "Columns to sort by, `-` for descending", example = "-revenue,category"),
        ("limit" = Option<u32>, Query, maximum = 100000, description = "How many rows at most; 1000 if not given"),
        ("skip" = Option<u64>, Query, description = "How many rows to pass over"),
        ("at" = Option<u64>, Query, description = "The answer of an epoch of late"),
        ("q" = Option<String>, Query, description = "Text that some value of a row contains, whatever the case"),
        ("columns" = Option<String>, Query, description = "The columns to show", example = "category,revenue"),
        ("format" = Option<Form>, Query, description = "Takes precedence over the Accept header"),
    ),
    responses(
        (status = 200, description = "The rows. In other formats than JSON the headers Tillrace-Epoch, Tillrace-Closed-At, Tillrace-Newest-Event-Time and Tillrace-Total tell the rest", content(
            (RowsAnswer = "application/json"),
            (String = "application/x-ndjson"),
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
        )),
        (status = 400, description = "A parameter is none", body = Failure),
        (status = 404, description = "There is no such view", body = Failure),
        (status = 410, description = "The epoch is forgotten", body = Failure),
        (status = "default", description = "Why not", body = Failure),
    ),
)]
pub(super) async fn rows(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    pairs: Pairs,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let name = path(name)?;
    let catalog = app.live.catalog();
    let (question, snapshot, indexed, is_heavy) = {
        let latest = catalog.latest();
        let schema = &view(&app, &latest, &name)?.output().schema;
        let question = Question::parse(schema, &query(pairs)?)?;
        let snapshot = at(catalog, latest, question.at)?;
        let view = view(&app, &snapshot, &name)?;
        let indexed = question.by_index(&view);
        let is_heavy = indexed.is_none() && question.is_heavy(&view);
        (question, snapshot, indexed, is_heavy)
    };
    let form = question.form.unwrap_or_else(|| Form::accepted(&headers));
    if !is_heavy {
        return answer(catalog, &snapshot, &name, &question, form, indexed);
    }
    let catalog = Arc::clone(catalog);
    let reading = tokio::task::spawn_blocking(move || {
        answer(&catalog, &snapshot, &name, &question, form, indexed)
    });
    let failed = |error| Problem::internal("the rows could not be read", &error);
    reading.await.map_err(failed)?
}

fn answer(
    catalog: &Catalog,
    snapshot: &Snapshot,
    name: &str,
    question: &Question,
    form: Form,
    indexed: Option<RecordBatch>,
) -> Result<Response, Problem> {
    let view = snapshot.view(name).expect("the view has been found");
    let failed = |error| Problem::internal("the rows could not be compared", &error);
    let limit = question.limit.unwrap_or(ROWS);
    let found = question.answer(catalog, &view, limit, indexed);
    let found = found.map_err(failed)?;
    let newest = view.newest_event_time();
    let body = match form {
        Form::Json => json_body(snapshot, name, newest, question.skip, &found),
        _ => form
            .rows(&found.rows)
            .map_err(|error| Problem::internal("the rows could not be written", &error))?,
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static(form.media_type());
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut tell = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    tell("tillrace-epoch", &snapshot.epoch().to_string());
    tell("tillrace-closed-at", &time_text(snapshot.closed_at_ms()));
    tell("tillrace-total", &found.total.to_string());
    if let Some(newest) = newest {
        tell("tillrace-newest-event-time", &nanoseconds_text(newest));
    }
    Ok(response)
}

fn json_body(
    snapshot: &Snapshot,
    name: &str,
    newest: Option<i64>,
    skip: usize,
    found: &Found,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + found.rows.num_rows() * 64);
    out.extend_from_slice(b"{\"view\":");
    json::push(&mut out, name);
    push_epoch(&mut out, snapshot);
    out.extend_from_slice(b",\"newest_event_time\":");
    json::push_time(&mut out, newest);
    out.extend_from_slice(b",\"total\":");
    json::push(&mut out, &found.total);
    out.extend_from_slice(b",\"skip\":");
    json::push(&mut out, &skip);
    out.extend_from_slice(b",\"rows\":");
    Rows::new(&found.rows).push_all(&mut out);
    out.push(b'}');
    out
}

/// Appends `,"epoch":E,"closed_at":T`.
pub(super) fn push_epoch(out: &mut Vec<u8>, snapshot: &Snapshot) {
    out.extend_from_slice(b",\"epoch\":");
    json::push(out, &snapshot.epoch());
    out.extend_from_slice(b",\"closed_at\":");
    json::push(out, &time_text(snapshot.closed_at_ms()));
}

/// The name in a path.
pub(super) fn path(name: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let Path(name) = name.map_err(|_| Problem::bad("bad_path", "the path is not UTF-8"))?;
    Ok(name)
}

/// The names and values of a query string.
pub(super) fn query(pairs: Pairs) -> Result<Vec<(String, String)>, Problem> {
    let Query(pairs) =
        pairs.map_err(|_| Problem::bad("bad_query", "the query string cannot be read"))?;
    Ok(pairs)
}

/// A view by its name.
pub(super) fn view<'a>(
    app: &App,
    snapshot: &'a Snapshot,
    name: &str,
) -> Result<ViewAt<'a>, Problem> {
    let found = snapshot.view(name);
    found.ok_or_else(|| unknown_view(app, snapshot, name))
}

/// What is said of a name that is no view's.
pub(super) fn unknown_view(app: &App, snapshot: &Snapshot, name: &str) -> Problem {
    let program = app.live.program();
    let script = &program.script;
    if let Some(epoch) = snapshot.dropped_at(name) {
        let message = format!("\"{}\" has been dropped", shortened(name));
        return Problem::new(StatusCode::GONE, "dropped", message).with("epoch", epoch);
    }
    let message = if script.view(name).is_some() {
        format!("the answer of view \"{name}\" is not kept; CREATE MATERIALIZED VIEW keeps one")
    } else if script.table(name).is_some() {
        format!("\"{name}\" is a table; views are read")
    } else {
        let names = snapshot.views().map(|output| output.view.name.as_str());
        let near = near(name, names.collect::<Vec<_>>());
        return Problem::unknown("unknown_view", "view", name, near);
    };
    Problem::new(StatusCode::NOT_FOUND, "unknown_view", message)
}

/// The snapshot that was the last one at an epoch; the latest unless one is asked for.
fn at(
    catalog: &Catalog,
    latest: Arc<Snapshot>,
    epoch: Option<u64>,
) -> Result<Arc<Snapshot>, Problem> {
    let Some(epoch) = epoch else {
        return Ok(latest);
    };
    catalog.at(epoch).ok_or_else(|| {
        let (oldest, newest) = catalog.range();
        let (status, code, message) = if epoch > newest {
            let message = format!("epoch {epoch} is yet to come; the newest is {newest}");
            (StatusCode::NOT_FOUND, "epoch_to_come", message)
        } else {
            let message = format!("epoch {epoch} is forgotten; the oldest is {oldest}");
            (StatusCode::GONE, "epoch_gone", message)
        };
        Problem::new(status, code, message)
            .with("oldest", oldest)
            .with("newest", newest)
    })
}
