//! One request, and what its answer means.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ureq::Agent;
use ureq::http::{Response, StatusCode, header};

use super::body::Part;
use crate::sink::spec::{BodyFormat, Headers, Url, WebhookSpec};

/// How much of an answer is read; the rest costs the connection.
const ANSWER_BYTES: u64 = 64 * 1024;
/// How much of it is told.
const TOLD_CHARACTERS: usize = 200;
/// The longest that a server can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// What a request came to.
pub(super) enum Answer {
    /// The server has it.
    Taken,
    /// The server will not have it however often it is sent.
    Refused(String),
    /// It may work another time, after a while if the server says so.
    Later {
        reason: String,
        wait: Option<Duration>,
    },
}

/// Posts bodies to one address.
pub(super) struct Post {
    agent: Agent,
    url: Url,
    headers: Headers,
}

impl Post {
    pub(super) fn new(spec: &WebhookSpec) -> Post {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("tillrace/", env!("CARGO_PKG_VERSION")))
            .build();
        Post {
            agent: config.into(),
            url: spec.url.clone(),
            headers: spec.headers.clone(),
        }
    }

    /// Posts a body and waits for the answer.
    pub(super) fn send(
        &self,
        part: &Part<'_>,
        format: BodyFormat,
        body: &[u8],
        timeout: Duration,
    ) -> Answer {
        let content_type = match format {
            BodyFormat::Json => "application/json",
            BodyFormat::Ndjson => "application/x-ndjson",
        };
        let mut request = self
            .agent
            .post(&self.url.0)
            .config()
            .timeout_global(Some(timeout))
            .build();
        for (name, value) in &self.headers.0 {
            request = request.header(name, value);
        }
        request = request
            .header(header::CONTENT_TYPE, content_type)
            .header("Idempotency-Key", part.key());
        match request.send(body) {
            Ok(answer) => self.meaning(answer),
            Err(error) => Answer::Later {
                reason: format!("could not post to {}: {error}", self.url),
                wait: None,
            },
        }
    }

    fn meaning(&self, mut answer: Response<ureq::Body>) -> Answer {
        let status = answer.status();
        let wait = retry_after(&answer);
        // Read to the end, so that the connection can be used again.
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES);
        let text = text.read_to_string().unwrap_or_default();
        if status.is_success() {
            return Answer::Taken;
        }
        let told: String = text.trim().chars().take(TOLD_CHARACTERS).collect();
        let colon = if told.is_empty() { "" } else { ": " };
        let reason = format!("{} answered {status}{colon}{told}", self.url);
        let is_passing = status.is_server_error()
            || matches!(
                status,
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
            );
        match is_passing {
            true => Answer::Later { reason, wait },
            false => Answer::Refused(reason),
        }
    }
}

/// How long the server asks to wait: seconds or a date, by RFC 9110, section 10.2.3.
fn retry_after(answer: &Response<ureq::Body>) -> Option<Duration> {
    let text = answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    let wait = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = DateTime::parse_from_rfc2822(text.trim()).ok()?;
            let left = date.with_timezone(&Utc) - Utc::now();
            left.to_std().unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_WAIT))
}
