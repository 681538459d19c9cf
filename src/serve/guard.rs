//! What every request passes: who asks, for how long, and how it is counted.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use super::app::App;
use super::problem::Problem;

/// What a path lets its caller do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    /// Nothing that is anybody's business.
    Open,
    Read,
    Write,
}

fn right(path: &str) -> Right {
    match path {
        "/" | "/healthz" | "/readyz" | "/openapi.json" => Right::Open,
        _ if path.starts_with("/assets/") => Right::Open,
        _ if path.starts_with("/ingest/") => Right::Write,
        _ => Right::Read,
    }
}

/// Lets requests through whose sender may ask.
pub(super) async fn admit(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    check_origin(&app, &request)?;
    check_token(&app, &request)?;
    Ok(next.run(request).await)
}

fn check_token(app: &App, request: &Request) -> Result<(), Problem> {
    let path = request.uri().path();
    let right = right(path);
    let config = app.config();
    if config.tokens.is_empty() || right == Right::Open {
        return Ok(());
    }
    let Some(secret) = secret(request) else {
        let message = "a token is needed: Authorization: Bearer TOKEN";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "no_token", message));
    };
    // All are compared, so that time does not tell which one was nearly right.
    let mut known = None;
    for token in &config.tokens {
        if token.is(&secret) {
            known = Some(token);
        }
    }
    match (known, right) {
        (None, _) => Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "unknown_token",
            "the token is not known",
        )),
        (Some(token), Right::Read) if token.read => Ok(()),
        (Some(token), Right::Write) if token.write => Ok(()),
        (Some(_), _) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "no_right",
            "the token does not give the right to do this",
        )),
    }
}

/// Whether whoever sent these heads may change something: it has been let through already.
pub(super) fn may_write(app: &App, headers: &HeaderMap) -> bool {
    let config = app.config();
    if config.tokens.is_empty() {
        return true;
    }
    let value = headers.get(header::AUTHORIZATION);
    let value = value.and_then(|value| value.to_str().ok());
    let secret = value.and_then(|value| value.split_once(' '));
    let mut may = false;
    for token in &config.tokens {
        let is = secret.is_some_and(|(_, secret)| token.is(secret.trim()));
        may |= is && token.write;
    }
    may
}

/// The token in the head; for changes, which browsers ask for without heads of one's own choice,
/// also in the query string.
fn secret(request: &Request) -> Option<String> {
    let header = request.headers().get(header::AUTHORIZATION);
    if let Some(value) = header.and_then(|value| value.to_str().ok()) {
        let (scheme, token) = value.split_once(' ')?;
        return scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| token.trim().to_owned());
    }
    if !request.uri().path().ends_with("/changes") {
        return None;
    }
    let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(request.uri()).ok()?;
    let mut pairs = query.0.into_iter();
    pairs
        .find(|(name, _)| name == "token")
        .map(|(_, token)| token)
}

/// Keeps pages of other origins out: browsers let them send requests to this server in the name of
/// whoever looks at them, and a name that somebody else controls may resolve to a loopback address.
fn check_origin(app: &App, request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let host = host(request);
    let refuse = |message: &str| {
        let status = StatusCode::FORBIDDEN;
        Err(Problem::new(status, "foreign_origin", message))
    };
    let config = app.config();
    let is_local = config.listen.iter().all(|at| at.ip().is_loopback());
    if is_local && config.tokens.is_empty() && !host.as_ref().is_none_or(is_own_name) {
        return refuse("without tokens this server answers to localhost only");
    }
    let acts = request.method() == Method::POST || headers.contains_key(header::UPGRADE);
    let Some(origin) = headers.get(header::ORIGIN).filter(|_| acts) else {
        return Ok(());
    };
    let text = origin.to_str().unwrap_or_default();
    let from = text.split_once("://").map(|(_, authority)| authority);
    let same = host.is_some_and(|host| from.is_some_and(|from| from == host.as_str()));
    match same || app.allows_origin(origin) {
        true => Ok(()),
        false => refuse("pages of this origin may not do this"),
    }
}

fn host(request: &Request) -> Option<Authority> {
    let named = request.headers().get(header::HOST)?;
    Authority::try_from(named.as_bytes()).ok()
}

/// Whether this is a name that nobody else can give to this machine.
fn is_own_name(host: &Authority) -> bool {
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    let is_address = name.parse::<IpAddr>().is_ok();
    is_address || name.eq_ignore_ascii_case("localhost") || name.ends_with(".localhost")
}

/// Gives up on answers that do not begin in time.
pub(super) async fn time_limit(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    match tokio::time::timeout(app.config().limits.request, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = "the answer took too long";
            Problem::busy("too_slow", message, 5).into_response()
        }
    }
}

/// Tells browsers to take answers for what they are and nothing else.
pub(super) async fn harden(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    let mut response = next.run(request).await;
    let headers: &mut HeaderMap = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Counts requests and the time until their answers begin. A query string is not logged: it may
/// hold a token.
pub(super) async fn observe(
    State(app): State<Arc<App>>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let route = matched.as_ref().map_or("other", MatchedPath::as_str);
    let span = tracing::debug_span!(
        "request",
        method = %request.method(),
        path = request.uri().path()
    );
    let start = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status();
    let took = start.elapsed();
    app.traffic.count(route, status.as_u16(), took);
    span.in_scope(|| {
        tracing::debug!(
            status = status.as_u16(),
            took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "answered"
        );
        // What watches the start of a run asks until it is ready.
        if status.is_server_error() && route != "/readyz" {
            tracing::warn!(status = status.as_u16(), route, "a request failed");
        }
    });
    response
}
