//! `/openapi.json`: the contract, made from the code that keeps it.

use axum::Json;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use super::formats::Form;
use super::ingest::{Packing, Wait};
use super::sql::AnswerColumn;
use super::{changes, decisions, graph, ingest, metrics, sql, status, views, why};

/// Why a request was not answered.
#[derive(Serialize, ToSchema)]
pub(super) struct Failure {
    error: FailureDetail,
}

/// A code for programs and a sentence for people; some codes come with more.
#[derive(Serialize, ToSchema)]
struct FailureDetail {
    code: String,
    message: String,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// Rows of a view. They are written without passing through this.
#[derive(Serialize, ToSchema)]
pub(super) struct RowsAnswer {
    view: String,
    /// The epoch that the answer is of.
    epoch: u64,
    /// When the epoch was published.
    closed_at: String,
    /// The newest event time among the tables that the view reads.
    newest_event_time: Option<String>,
    /// How many rows match, shown or not.
    total: u64,
    skip: u64,
    rows: Vec<Map<String, Value>>,
}

/// The answer of an ad hoc query. It is written without passing through this.
#[derive(Serialize, ToSchema)]
pub(super) struct SqlAnswer {
    /// The epoch that the answer is of.
    epoch: u64,
    /// When the epoch was published.
    closed_at: String,
    columns: Vec<AnswerColumn>,
    rows: Vec<Map<String, Value>>,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tillrace",
        description = "Commerce metrics that are live and right. Every answer is of one epoch, in which all views agree."
    ),
    paths(
        views::list,
        views::rows,
        views::schema,
        changes::changes,
        why::why,
        decisions::decision,
        decisions::by_key,
        sql::sql,
        ingest::ingest,
        graph::graph,
        status::status,
        status::healthz,
        status::readyz,
        metrics::metrics,
    ),
    components(schemas(Form, Wait, Packing)),
    modifiers(&Bearer),
    tags(
        (name = "views", description = "What views answer, and how that changes"),
        (name = "decisions", description = "Rows by a key"),
        (name = "sql", description = "Ad hoc queries"),
        (name = "ingest", description = "Pushing events"),
        (name = "engine", description = "How the run goes"),
    ),
)]
struct Document;

/// Says that a token may be needed.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        if let Some(components) = document.components.as_mut() {
            let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
            components.add_security_scheme("token", scheme);
        }
    }
}

/// The document.
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
