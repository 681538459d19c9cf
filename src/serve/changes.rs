//! `/views/{name}/changes`: a view followed by server-sent events or over a WebSocket.
//!
//! Both say the same: a snapshot first, then net changes, and at least every second that all is as
//! it was. The next event is made only when the client has taken the one before.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::stream;

use super::app::App;
use super::follow::{Event, Follower};
use super::openapi::Failure;
use super::problem::Problem;
use super::views::{Pairs, path, query};

/// What a client may send over a WebSocket, in bytes: it has nothing to say.
const MOST_FROM_CLIENT: usize = 4096;
/// How long a WebSocket client may take for one event.
const TAKES: Duration = Duration::from_secs(30);

/// Follows a view: `snapshot`, then `changes` and `progress` events, each with its epoch as id.
///
/// The conditions on columns are those of `/views/{name}`. `Last-Event-ID` resumes after an epoch. A
/// request to upgrade gets the same objects as WebSocket text, with a member `type`.
#[utoipa::path(
    get, path = "/views/{name}/changes", tag = "views",
    params(
        ("name" = String, Path, description = "The view"),
        ("limit" = Option<u32>, Query, maximum = 100000, description = "How many rows a snapshot has at most; 10000 if not given"),
        ("q" = Option<String>, Query, description = "Text that some value of a row contains, whatever the case"),
        ("columns" = Option<String>, Query, description = "The columns to show"),
        ("every_ms" = Option<u64>, Query, description = "The least time between two events; each epoch that changes the rows is told if not given, at most 1000"),
        ("token" = Option<String>, Query, description = "The token, where a client cannot send a head"),
        ("Last-Event-ID" = Option<String>, Header, description = "Resume after this epoch"),
    ),
    responses(
        (status = 101, description = "The same over a WebSocket"),
        (status = 200, description = "Events without end", content_type = "text/event-stream", body = String),
        (status = 400, description = "A parameter is none", body = Failure),
        (status = 404, description = "There is no such view", body = Failure),
        (status = 503, description = "Too many follow, or the server stops", body = Failure),
        (status = "default", description = "Why not", body = Failure),
    ),
)]
pub(super) async fn changes(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    pairs: Pairs,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let name = path(name)?;
    let pairs = query(pairs)?;
    let since = headers.get("last-event-id");
    let since = since.and_then(|since| since.to_str().ok()?.trim().parse().ok());
    let follower = Follower::new(app, name, &pairs, since)?;
    match upgrade {
        Ok(upgrade) => Ok(upgrade
            .max_message_size(MOST_FROM_CLIENT)
            .max_frame_size(MOST_FROM_CLIENT)
            .on_upgrade(move |socket| talk(socket, follower))),
        Err(_) if headers.contains_key(header::UPGRADE) => Err(Problem::bad(
            "bad_upgrade",
            "this is no WebSocket handshake",
        )),
        Err(_) => Ok(server_sent(follower)),
    }
}

fn server_sent(follower: Follower) -> Response {
    let events = stream::unfold(follower, |mut follower| async move {
        match follower.next().await? {
            Ok(event) => Some((Ok::<_, Infallible>(frame(event)), follower)),
            Err(error) => {
                tracing::error!(%error, "changes could not be told");
                None
            }
        }
    });
    let mut response = Body::from_stream(events).into_response();
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Tells nginx to pass events on as they come.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// An event in the form of <https://html.spec.whatwg.org/multipage/server-sent-events.html>. JSON
/// has no line breaks of its own, so the data is one line.
fn frame(event: Event) -> Bytes {
    let Event {
        kind,
        epoch,
        members,
    } = event;
    let mut frame = Vec::with_capacity(members.len() + 64);
    let head = format!("event: {}\nid: {epoch}\ndata: {{", kind.name());
    frame.extend_from_slice(head.as_bytes());
    frame.extend_from_slice(&members);
    frame.extend_from_slice(b"}\n\n");
    frame.into()
}

async fn talk(mut socket: WebSocket, mut follower: Follower) {
    loop {
        let event = tokio::select! {
            event = follower.next() => event,
            heard = socket.recv() => match heard {
                // Pings are answered by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                _ => break,
            },
        };
        let Some(Ok(event)) = event else { break };
        let Ok(text) = Utf8Bytes::try_from(message(event)) else {
            break;
        };
        let sent = tokio::time::timeout(TAKES, socket.send(Message::Text(text))).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
    let goodbye = CloseFrame {
        code: close_code::AWAY,
        reason: "".into(),
    };
    // Whether the client hears it does not matter any more.
    let _ = tokio::time::timeout(TAKES, socket.send(Message::Close(Some(goodbye)))).await;
}

fn message(event: Event) -> Bytes {
    let mut text = format!("{{\"type\":\"{}\",", event.kind.name()).into_bytes();
    text.extend_from_slice(&event.members);
    text.push(b'}');
    text.into()
}
