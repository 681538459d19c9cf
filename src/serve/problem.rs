//! What a client is told when its request cannot be answered.
//!
//! Always `{"error":{"code","message",...}}`: a code for programs, a sentence for people. No answer
//! names a file of the server or repeats a secret.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// Why a request is not answered.
#[derive(Debug)]
pub(super) struct Problem(Box<Told>);

#[derive(Debug)]
struct Told {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// What else a program may want to know.
    more: Map<String, Value>,
    retry_after_s: Option<u32>,
}

impl Problem {
    /// A problem; the message is a sentence without full stop.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Problem(Box::new(Told {
            status,
            code,
            message: message.into(),
            more: Map::new(),
            retry_after_s: None,
        }))
    }

    /// The request itself is wrong.
    pub(super) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// There is no such thing.
    pub(super) fn unknown(
        code: &'static str,
        kind: &str,
        name: &str,
        near: Option<String>,
    ) -> Self {
        let hint = near.map_or(String::new(), |near| format!("; did you mean \"{near}\"?"));
        let message = format!("there is no {kind} \"{}\"{hint}", shortened(name));
        Problem::new(StatusCode::NOT_FOUND, code, message)
    }

    /// The server is at fault; what happened is in its log.
    pub(super) fn internal(what: &str, cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "{what}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", what)
    }

    /// The server has too much to do, or stops.
    pub(super) fn busy(code: &'static str, message: impl Into<String>, retry_after_s: u32) -> Self {
        let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
        problem.0.retry_after_s = Some(retry_after_s);
        problem
    }

    /// Adds something for programs.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.more.insert(name.to_owned(), value.into());
        self
    }

    /// Answers with another status.
    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }
}

/// A name that a client sent, short enough to be sent back.
pub(super) fn shortened(name: &str) -> String {
    const MOST_CHARS: usize = 100;
    let mut short: String = name.chars().take(MOST_CHARS).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    short
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let told = *self.0;
        let mut error = json!({"code": told.code, "message": told.message});
        if let Value::Object(error) = &mut error {
            error.extend(told.more);
        }
        let body = json!({ "error": error }).to_string();
        let json = HeaderValue::from_static("application/json");
        let mut response = (told.status, [(header::CONTENT_TYPE, json)], body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = told.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if told.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
