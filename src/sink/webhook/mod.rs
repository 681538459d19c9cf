//! A view's changes posted to an HTTP server, in order.
//!
//! A body that has been sent once stays as it is, with its `Idempotency-Key`, until the server has
//! taken it or it has gone to the dead letters: after a timeout nobody knows whether it arrived. What
//! happens to the view in the meantime is in the next body, as net changes.

mod body;
mod dead;
mod post;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use super::error::SinkError;
use super::rows::ChangeRows;
use super::spec::{BodyFormat, DeadLetters, WebhookSpec};
use super::status::SinkStatus;
use super::target::{Fault, Target};
use super::wait::Stop;
use crate::catalog::{Cursor, Snapshot};
use crate::plan::Output;
use body::Part;
use dead::{DeadLetter, DeadLetterFile};
use post::{Answer, Post};

/// The least time that a request is given when the sink stops.
const LEAST_TIMEOUT: Duration = Duration::from_millis(10);

/// A view's changes to an HTTP server.
struct Webhook {
    view: String,
    rows: ChangeRows,
    rows_at_once: usize,
    format: BodyFormat,
    post: Post,
    timeout: Duration,
    dead: Option<(DeadLetterFile, Duration)>,
    pending: Option<Pending>,
    status: Arc<SinkStatus>,
    stop: Arc<Stop>,
}

/// Changes that have to get through before any later ones.
struct Pending {
    changes: (RecordBatch, Vec<i64>),
    from: u64,
    /// Where the view is when they have.
    after: Cursor,
    /// How many rows of them have got through.
    sent: usize,
    tried: Option<Tried>,
}

/// What became of a body so far.
#[derive(Clone, Copy)]
struct Tried {
    first: Instant,
    times: u64,
}

/// Makes the target of a view.
///
/// # Errors
///
/// If the file of dead letters cannot be opened, or the view has columns of reserved names.
pub(super) fn open(
    sink: &str,
    spec: &WebhookSpec,
    output: &Output,
    status: &Arc<SinkStatus>,
    stop: &Arc<Stop>,
) -> Result<Box<dyn Target>, SinkError> {
    let open = |letters: &DeadLetters| {
        let file = DeadLetterFile::open(&letters.file).map_err(|source| SinkError::Open {
            sink: sink.to_owned(),
            path: letters.file.clone(),
            source,
        })?;
        Ok((file, letters.after))
    };
    Ok(Box::new(Webhook {
        view: output.view.name.clone(),
        rows: ChangeRows::new(output, true)?,
        rows_at_once: spec.rows.max(1),
        format: spec.body,
        post: Post::new(spec),
        timeout: spec.timeout,
        dead: spec.dead_letters.as_ref().map(open).transpose()?,
        pending: None,
        status: Arc::clone(status),
        stop: Arc::clone(stop),
    }))
}

impl Target for Webhook {
    fn is_behind(&self, cursor: &Cursor, upto: &Snapshot) -> bool {
        self.pending.is_some() || cursor.is_behind(upto)
    }

    fn deliver(&mut self, cursor: &mut Cursor, upto: &Snapshot) -> Result<(), Fault> {
        let mut pending = match self.pending.take() {
            Some(pending) => pending,
            None => {
                let changes = cursor.changes(upto);
                let mut after = cursor.clone();
                after.advance(upto);
                Pending {
                    changes,
                    from: cursor.epoch(),
                    after,
                    sent: 0,
                    tried: None,
                }
            }
        };
        while pending.sent < pending.changes.1.len() {
            match self.send_part(&mut pending) {
                Ok(rows) => {
                    pending.sent += rows;
                    pending.tried = None;
                }
                Err(fault) => {
                    self.pending = Some(pending);
                    return Err(fault);
                }
            }
        }
        *cursor = pending.after;
        Ok(())
    }
}

impl Webhook {
    /// Sends the next part; of how many rows, if it is done with.
    fn send_part(&self, pending: &mut Pending) -> Result<usize, Fault> {
        let (batch, diffs) = &pending.changes;
        let part = Part {
            view: &self.view,
            from: pending.from,
            upto: pending.after.epoch(),
            number: pending.sent / self.rows_at_once + 1,
            parts: diffs.len().div_ceil(self.rows_at_once),
        };
        let rows = self.rows_at_once.min(diffs.len() - pending.sent);
        let some = (
            batch.slice(pending.sent, rows),
            diffs[pending.sent..pending.sent + rows].to_vec(),
        );
        let body = match self.format {
            BodyFormat::Json => Ok(part.json(&some)),
            BodyFormat::Ndjson => part.ndjson(&some, &self.rows),
        };
        let body = body.map_err(|error| Fault::new(error.to_string()))?;
        let now = Instant::now();
        let timeout = self.time_left(now)?;
        let tried = pending.tried.get_or_insert(Tried {
            first: now,
            times: 0,
        });
        tried.times += 1;
        let answer = self.post.send(&part, self.format, &body, timeout);
        match answer {
            Answer::Taken => self.status.delivered(rows as u64, body.len() as u64),
            Answer::Refused(reason) => self.refused(&part, &body, &reason, *tried)?,
            Answer::Later { reason, wait } => self.later(&part, &body, reason, wait, *tried)?,
        }
        Ok(rows)
    }

    /// The server will not have a body: it goes to the dead letters. Where there are none it is
    /// sent again all the same, until somebody has seen to the server.
    fn refused(
        &self,
        part: &Part<'_>,
        body: &[u8],
        reason: &str,
        tried: Tried,
    ) -> Result<(), Fault> {
        let Some((dead, _)) = &self.dead else {
            return Err(Fault::new(reason));
        };
        dead.write(&DeadLetter::new(
            part,
            self.format,
            body,
            reason,
            tried.times,
        ))?;
        self.status.gave_up(reason);
        tracing::error!(view = self.view, reason, "changes went to the dead letters");
        Ok(())
    }

    /// A body did not get through this time: it is sent again, unless it would be for too long.
    fn later(
        &self,
        part: &Part<'_>,
        body: &[u8],
        reason: String,
        wait: Option<Duration>,
        tried: Tried,
    ) -> Result<(), Fault> {
        let end = self.dead.as_ref().map(|(_, after)| tried.first + *after);
        let next = Instant::now() + wait.unwrap_or_default();
        if end.is_some_and(|end| next >= end) {
            return self.refused(part, body, &reason, tried);
        }
        Err(Fault {
            not_within: wait,
            at_latest: end,
            ..Fault::new(reason)
        })
    }

    /// How long a request may take.
    fn time_left(&self, now: Instant) -> Result<Duration, Fault> {
        let Some(by) = self.stop.by() else {
            return Ok(self.timeout);
        };
        let left = by.saturating_duration_since(now);
        match left < LEAST_TIMEOUT {
            true => Err(Fault::new("there was no time for the rest")),
            false => Ok(left.min(self.timeout)),
        }
    }
}
