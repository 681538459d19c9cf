//! `POST /ingest/{table}`: events that a client pushes.
//!
//! A body flows in, pieces of whole records flow out to the queue of the table; the answer says
//! what became of each record, after the epoch that has them is published: whoever reads then, reads
//! what it wrote. A full queue makes the client wait, and in the end come back later.

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use flate2::read::MultiGzDecoder;
use futures::StreamExt;
use serde::Serialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::app::App;
use super::cut::{Cut, Records};
use super::openapi::Failure;
use super::problem::{Problem, shortened};
use super::views::{Pairs, path, query};
use crate::decode::Reject;
use crate::engine::EngineError;
use crate::script::near;
use crate::source::Format;
use crate::source::live::{Outlet, Piece, Receipt, SendError, Taken};

/// How often a full queue is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// Bodies of no more bytes are unpacked and cut on the spot.
const SMALL_BYTES: usize = 64 << 10;

/// What became of the records.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Ingested {
    table: String,
    /// Records that became rows.
    accepted: u64,
    /// Records that did not.
    rejected: u64,
    /// The first of those, with reasons.
    rejects: Vec<RejectEntry>,
    /// The epoch from which on every view has the rows; null if there were no records.
    epoch: Option<u64>,
}

/// A record that did not become a row.
#[derive(Debug, Serialize, ToSchema)]
struct RejectEntry {
    /// Where it begins in the body, in bytes.
    position: u64,
    reason: String,
    /// The record's text, cut short if it is long.
    text: String,
}

impl Ingested {
    fn add(&mut self, taken: Taken) {
        self.accepted += taken.rows;
        self.rejected += taken.rejected;
        let room = Receipt::MOST_REJECTS.saturating_sub(self.rejects.len());
        let entry = |reject: Reject| RejectEntry {
            position: reject.position,
            reason: reject.reason,
            text: reject.text,
        };
        let listed = taken.rejects.into_iter().take(room).map(entry);
        self.rejects.extend(listed);
        self.epoch = self.epoch.max(Some(taken.epoch));
    }
}

/// Pushes events into a table and answers once every view has them.
///
/// The body is a JSON value, an array of them, JSON lines, or CSV with a header, perhaps packed by
/// gzip. Records that are no rows are rejected one by one; the others are accepted.
#[utoipa::path(
    post, path = "/ingest/{table}", tag = "ingest",
    params(
        ("table" = String, Path, description = "The table"),
        ("wait" = Option<Wait>, Query, description = "What to wait for: `published` (if not given) or `taken`"),
        ("Content-Encoding" = Option<Packing>, Header, description = "How the body is packed"),
    ),
    request_body(description = "The records", content(
        (serde_json::Value = "application/json"),
        (String = "application/x-ndjson"),
        (String = "text/csv"),
    )),
    responses(
        (status = 200, description = "What became of the records", body = Ingested),
        (status = 400, description = "The body is not what it says", body = Failure),
        (status = 404, description = "There is no such table", body = Failure),
        (status = 413, description = "The body is too long", body = Failure),
        (status = 415, description = "The body is of no known type", body = Failure),
        (status = 503, description = "The queue is full, or the engine stops; come back. What was taken before is told in `accepted` and `bytes`", body = Failure),
        (status = "default", description = "Why not", body = Failure),
    ),
)]
pub(super) async fn ingest(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    table: Result<Path<String>, PathRejection>,
    pairs: Pairs,
    headers: HeaderMap,
    request: Body,
) -> Result<Json<Ingested>, Problem> {
    let table = path(table)?;
    check_table(&app, &table)?;
    let wait = wait(&query(pairs)?)?;
    let records = records(&headers)?;
    let packing = packing(&headers)?;
    if app.is_closing() {
        return Err(stopping());
    }
    let config = app.config();
    let limits = &config.limits;
    let packed = body(request, limits.body_bytes, limits.body_pause).await?;
    let most = limits.body_bytes;
    let is_small = packing == Packing::None && packed.len() <= SMALL_BYTES;
    let prepare = move || Cut::new(unpack(packed, packing, most)?, records);
    let cut = if is_small {
        prepare()?
    } else {
        let failed = |error| Problem::internal("the body could not be read", &error);
        tokio::task::spawn_blocking(prepare)
            .await
            .map_err(failed)??
    };
    check_header(&app, &table, &cut)?;
    let mut ingested = hand_over(&app, table, &cut, peer).await?;
    if let Some(epoch) = ingested.epoch.filter(|_| wait == Wait::Published) {
        let mut published = app.live.catalog().subscribe();
        let over = published.wait_for(|published| *published >= epoch).await;
        let over = over.map_err(|error| Problem::internal("the engine has stopped", &error))?;
        // Epochs that end together are published as the last of them.
        ingested.epoch = Some(*over);
    }
    Ok(Json(ingested))
}

/// Puts a body's records into the queue of their table and waits until all have been taken.
async fn hand_over(
    app: &App,
    table: String,
    cut: &Cut,
    peer: SocketAddr,
) -> Result<Ingested, Problem> {
    let outlet = outlet(app, &table, &cut.format)?;
    let deadline = Instant::now() + app.config().limits.queue;
    let name = Arc::new(PathBuf::from(peer.to_string()));
    let mut receipts = Vec::new();
    let mut refused = None;
    for (start, text) in cut.pieces() {
        let (receipt, taken) = receipt();
        let piece = Piece {
            header: cut.header.clone(),
            receipt: Some(receipt),
            ..Piece::of_text(Arc::clone(&name), start, text.to_vec())
        };
        if let Err(problem) = send(app, &outlet, piece, deadline).await {
            refused = Some(problem.with("bytes", start));
            break;
        }
        receipts.push(taken);
    }
    let mut ingested = Ingested {
        table,
        ..Ingested::default()
    };
    for taken in receipts {
        let lost = |_| Problem::internal("the records were lost", &"no receipt");
        ingested.add(taken.await.map_err(lost)?);
    }
    match refused {
        None => Ok(ingested),
        Some(problem) => Err(problem
            .with("accepted", ingested.accepted)
            .with("rejected", ingested.rejected)),
    }
}

fn check_table(app: &App, table: &str) -> Result<(), Problem> {
    let program = app.live.program();
    let script = &program.script;
    if script.table(table).is_some() {
        return Ok(());
    }
    let names = script.tables.iter().map(|table| table.name.as_str());
    let near = near(table, names);
    Err(Problem::unknown("unknown_table", "table", table, near))
}

/// Finds CSV of something else: a header without any of the table's columns, whose records would all
/// be rows of nulls.
fn check_header(app: &App, table: &str, cut: &Cut) -> Result<(), Problem> {
    let Some(header) = cut.header.as_ref().filter(|header| !header.is_empty()) else {
        return Ok(());
    };
    let program = app.live.program();
    let Some((_, found)) = program.script.table(table) else {
        return Ok(());
    };
    let paths = found.columns.iter().flat_map(|column| &column.paths);
    let known: Vec<&String> = paths
        .filter(|path| path.len() == 1)
        .flatten()
        .chain(found.columns.iter().map(|column| &column.name))
        .collect();
    if header.iter().any(|name| known.contains(&name)) {
        return Ok(());
    }
    let names = found.columns.iter().map(|column| column.name.as_str());
    let message = format!(
        "the first line names none of the columns of table \"{table}\": {}",
        names.collect::<Vec<_>>().join(", ")
    );
    Err(Problem::bad("bad_header", message))
}

/// What a client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum Wait {
    /// Every view has the events.
    Published,
    /// The engine has the events.
    Taken,
}

fn wait(pairs: &[(String, String)]) -> Result<Wait, Problem> {
    let mut wait = Wait::Published;
    for (name, value) in pairs {
        wait = match (name.as_str(), value.as_str()) {
            ("wait", "taken") => Wait::Taken,
            ("wait", "published") => Wait::Published,
            ("wait", _) => {
                let message = "wait is `taken` or `published`";
                return Err(Problem::bad("bad_wait", message));
            }
            _ => {
                let message = format!("there is no parameter \"{}\"", shortened(name));
                return Err(Problem::bad("unknown_parameter", message));
            }
        };
    }
    Ok(wait)
}

fn outlet(app: &App, table: &str, format: &Format) -> Result<Outlet, Problem> {
    let kind = match format {
        Format::Csv(_) => " as CSV",
        _ => "",
    };
    let name = format!("POST /ingest/{table}{kind}");
    app.live
        .outlet(&name, table, format)
        .map_err(|error| match error {
            EngineError::Inputs(_) => {
                let message = format!("table \"{table}\" cannot be read from this format: {error}");
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                Problem::new(status, "unsupported_media_type", message)
            }
            error => Problem::internal("the table takes no events", &error),
        })
}

fn receipt() -> (Receipt, oneshot::Receiver<Taken>) {
    let (tell, taken) = oneshot::channel();
    // Whoever asked may have gone.
    let receipt = Receipt::new(move |taken| drop(tell.send(taken)));
    (receipt, taken)
}

async fn send(
    app: &App,
    outlet: &Outlet,
    mut piece: Piece,
    deadline: Instant,
) -> Result<(), Problem> {
    loop {
        if app.is_closing() {
            return Err(stopping());
        }
        piece = match outlet.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(SendError::Closed(_)) => return Err(stopping()),
            Err(SendError::Full(piece)) => *piece,
        };
        if Instant::now() >= deadline {
            let message = "the engine has more to do than it can; the queue stays full";
            return Err(Problem::busy("busy", message, 1));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn stopping() -> Problem {
    Problem::busy("stopping", "the engine stops and takes no more events", 5)
}

/// The media type that a request names, in lower case and without parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let named = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media = named.split(';').next().unwrap_or_default().trim();
    Some(media.to_ascii_lowercase())
}

fn records(headers: &HeaderMap) -> Result<Records, Problem> {
    let Some(media) = media_type(headers) else {
        return Ok(Records::Any);
    };
    match media.as_str() {
        "application/json" | "text/json" => Ok(Records::Json),
        "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonl"
        | "application/json-lines"
        | "application/x-jsonlines" => Ok(Records::JsonLines),
        "text/csv" | "application/csv" => Ok(Records::Csv(b',')),
        "text/tab-separated-values" => Ok(Records::Csv(b'\t')),
        // What curl and others say unless told otherwise.
        "" | "application/x-www-form-urlencoded" | "application/octet-stream" | "text/plain" => {
            Ok(Records::Any)
        }
        _ => {
            let media = shortened(&media);
            let message = format!(
                "\"{media}\" is no type of events; send application/json, application/x-ndjson or text/csv"
            );
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            Err(Problem::new(status, "unsupported_media_type", message))
        }
    }
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum Packing {
    /// Not at all.
    #[schema(rename = "identity")]
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

fn packing(headers: &HeaderMap) -> Result<Packing, Problem> {
    let Some(named) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(Packing::None);
    };
    match named.to_str().unwrap_or_default().trim() {
        "identity" => Ok(Packing::None),
        "gzip" | "x-gzip" => Ok(Packing::Gzip),
        "zstd" => Ok(Packing::Zstd),
        other => {
            let message = format!(
                "Content-Encoding \"{}\" is not known; use gzip or zstd",
                shortened(other)
            );
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            Err(Problem::new(status, "unsupported_encoding", message))
        }
    }
}

fn unpack(packed: Vec<u8>, packing: Packing, most: usize) -> Result<Vec<u8>, Problem> {
    let broken = |_| {
        Problem::bad(
            "bad_encoding",
            "the body is not packed as Content-Encoding says",
        )
    };
    // One byte more than is taken tells that there is more.
    let limit = most as u64 + 1;
    let mut text = Vec::new();
    match packing {
        Packing::None => return Ok(packed),
        Packing::Gzip => {
            let mut unpacking = MultiGzDecoder::new(packed.as_slice()).take(limit);
            unpacking.read_to_end(&mut text).map_err(broken)?;
        }
        Packing::Zstd => {
            let unpacking = zstd::Decoder::new(packed.as_slice()).map_err(broken)?;
            unpacking
                .take(limit)
                .read_to_end(&mut text)
                .map_err(broken)?;
        }
    }
    match text.len() > most {
        true => Err(too_long(most)),
        false => Ok(text),
    }
}

/// Reads a body.
///
/// # Errors
/// If it is longer than `most` bytes, breaks off, or pauses for too long.
pub(super) async fn body(body: Body, most: usize, pause: Duration) -> Result<Vec<u8>, Problem> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    loop {
        let next = tokio::time::timeout(pause, stream.next()).await;
        let next = next.map_err(|_| {
            let message = "the body did not come in time";
            Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message)
        })?;
        let Some(chunk) = next else { return Ok(bytes) };
        let chunk = chunk.map_err(|_| Problem::bad("bad_body", "the body broke off"))?;
        if bytes.len() + chunk.len() > most {
            return Err(too_long(most));
        }
        bytes.extend_from_slice(&chunk);
    }
}

fn too_long(most: usize) -> Problem {
    let message = format!("the body is longer than {most} bytes; send it in parts");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_long", message).with("most_bytes", most)
}
