//! A view followed from epoch to epoch on behalf of one client.
//!
//! Nothing is kept for a client but the last epoch that it was told of. Whenever it is ready for
//! more, it is told the net changes since then, however many epochs those are; if the catalog has
//! forgotten them, or the view itself is shorter, it gets a fresh snapshot. So a slow client costs
//! no memory and is never out of step.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use tokio::sync::watch;

use super::app::App;
use super::problem::Problem;
use super::question::Question;
use super::views::{self, push_epoch};
use crate::catalog::{Catalog, Snapshot};
use crate::present::json::{self, Rows};

/// How many rows a snapshot has unless the client says otherwise.
const SNAPSHOT_ROWS: usize = 10_000;
/// How often a client is told something, changes or not.
const PROGRESS: Duration = Duration::from_secs(1);
/// The least time between two events, unless the client says otherwise: it is told of each epoch.
const EVERY: Duration = Duration::ZERO;

/// What a client is told.
pub(super) struct Event {
    /// What it is.
    pub(super) kind: Kind,
    /// The epoch after it.
    pub(super) epoch: u64,
    /// The members of an object, in JSON, without the braces around them.
    pub(super) members: Vec<u8>,
}

/// What an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The view's rows.
    Snapshot,
    /// The net changes since the event before.
    Changes,
    /// Nothing has changed.
    Progress,
}

impl Kind {
    /// The event's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Snapshot => "snapshot",
            Kind::Changes => "changes",
            Kind::Progress => "progress",
        }
    }
}

/// A client that follows a view.
pub(super) struct Follower {
    app: Arc<App>,
    view: String,
    question: Question,
    /// The last epoch that it was told of.
    since: Option<u64>,
    told_at: Instant,
    published: watch::Receiver<u64>,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl Follower {
    /// A client that has seen a view's rows at `since`, if at any epoch.
    ///
    /// # Errors
    /// If there is no such view, or too many clients follow already.
    pub(super) fn new(
        app: Arc<App>,
        view: String,
        pairs: &[(String, String)],
        since: Option<u64>,
    ) -> Result<Follower, Problem> {
        let catalog = app.live.catalog();
        let latest = catalog.latest();
        let schema = &views::view(&app, &latest, &view)?.output().schema;
        let question = Question::parse(schema, pairs)?;
        if app.is_closing() {
            return Err(Problem::busy("stopping", "the server stops", 5));
        }
        let permit = Arc::clone(&app.followers).try_acquire_owned();
        let permit = permit.map_err(|_| {
            let most = app.config().limits.followers;
            let message = format!("{most} clients follow changes already, which is the limit");
            Problem::busy("too_many_followers", message, 5)
        })?;
        let published = catalog.subscribe();
        Ok(Follower {
            app,
            view,
            question,
            // An epoch that is yet to come was another engine's.
            since: since.filter(|since| *since <= latest.epoch()),
            told_at: Instant::now(),
            published,
            _permit: permit,
        })
    }

    /// The next thing to tell, once there is one; `None` when the server stops.
    ///
    /// # Errors
    /// If rows cannot be compared.
    pub(super) async fn next(&mut self) -> Option<Result<Event, ArrowError>> {
        if self.app.is_closing() {
            return None;
        }
        let event = loop {
            let Some(since) = self.since else {
                break self.snapshot(&self.latest());
            };
            if !self.wait_beyond(since).await {
                return None;
            }
            if let Some(event) = self.after(since).transpose() {
                break event;
            }
        };
        if let Ok(event) = &event {
            self.since = Some(event.epoch);
            self.told_at = Instant::now();
        }
        Some(event)
    }

    /// Waits until the client may be told something, and there is an epoch it does not know, or it
    /// has not been told anything for a while. False when the server stops.
    async fn wait_beyond(&mut self, since: u64) -> bool {
        let every = self.question.every.unwrap_or(EVERY).min(PROGRESS);
        let app = Arc::clone(&self.app);
        let wait = async {
            // A timer is no finer than a millisecond, even one that is over.
            if self.told_at.elapsed() < every {
                tokio::time::sleep_until((self.told_at + every).into()).await;
            }
            let silent_until = self.told_at + PROGRESS;
            let newer = self.published.wait_for(|epoch| *epoch > since);
            // Without a newer epoch the client is told that this is so.
            let _ = tokio::time::timeout_at(silent_until.into(), newer).await;
        };
        tokio::select! {
            () = wait => true,
            () = app.closed() => false,
        }
    }

    fn latest(&self) -> Arc<Snapshot> {
        self.app.live.catalog().latest()
    }

    /// What happened after an epoch; `None` if nothing did and the client knows as much.
    fn after(&mut self, since: u64) -> Result<Option<Event>, ArrowError> {
        let latest = self.latest();
        let catalog: &Catalog = self.app.live.catalog();
        let view = latest
            .view(&self.view)
            .expect("every snapshot has the same views");
        if view.changed_at().is_none_or(|changed| changed <= since) {
            return Ok(self.progress(&latest));
        }
        let Some((rows, diffs)) = catalog.changes(view.place(), since, &latest) else {
            return self.snapshot(&latest).map(Some);
        };
        if rows.num_rows() > view.total().max(64) {
            return self.snapshot(&latest).map(Some);
        }
        let (rows, diffs) = self.chosen(rows, diffs)?;
        if diffs.is_empty() {
            return Ok(self.progress(&latest));
        }
        let members = changes(&latest, &rows, &diffs);
        Ok(Some(Event {
            kind: Kind::Changes,
            epoch: latest.epoch(),
            members,
        }))
    }

    /// The changes of rows that the client asks for.
    fn chosen(
        &self,
        rows: RecordBatch,
        diffs: Vec<i64>,
    ) -> Result<(RecordBatch, Vec<i64>), ArrowError> {
        let Some(mask) = self.question.mask(&rows)? else {
            return Ok((self.question.project(rows)?, diffs));
        };
        let rows = filter_record_batch(&rows, &mask)?;
        let diffs = arrow::compute::filter(&Int64Array::from(diffs), &mask)?;
        let diffs = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&diffs);
        let diffs = diffs.values().to_vec();
        Ok((self.question.project(rows)?, diffs))
    }

    /// Tells that nothing has changed, if the client has not been told anything for a while.
    fn progress(&mut self, latest: &Snapshot) -> Option<Event> {
        // What did not change need not be looked at again.
        self.since = Some(latest.epoch());
        (self.told_at.elapsed() >= PROGRESS).then(|| {
            let mut members = Vec::new();
            push_epoch(&mut members, latest);
            Event {
                kind: Kind::Progress,
                epoch: latest.epoch(),
                members: without_comma(members),
            }
        })
    }

    fn snapshot(&self, latest: &Snapshot) -> Result<Event, ArrowError> {
        let view = latest
            .view(&self.view)
            .expect("every snapshot has the same views");
        let limit = self.question.limit.unwrap_or(SNAPSHOT_ROWS);
        let catalog = self.app.live.catalog();
        let indexed = self.question.by_index(&view);
        let found = self.question.answer(catalog, &view, limit, indexed)?;
        let mut members = Vec::with_capacity(128 + found.rows.num_rows() * 64);
        members.extend_from_slice(b"\"view\":");
        json::push(&mut members, &self.view);
        push_epoch(&mut members, latest);
        members.extend_from_slice(b",\"total\":");
        json::push(&mut members, &found.total);
        members.extend_from_slice(b",\"rows\":");
        Rows::new(&found.rows).push_all(&mut members);
        Ok(Event {
            kind: Kind::Snapshot,
            epoch: latest.epoch(),
            members,
        })
    }
}

fn changes(latest: &Snapshot, rows: &RecordBatch, diffs: &[i64]) -> Vec<u8> {
    let mut members = Vec::with_capacity(64 + diffs.len() * 80);
    push_epoch(&mut members, latest);
    members.extend_from_slice(b",\"changes\":[");
    let rows = Rows::new(rows);
    for (row, diff) in diffs.iter().enumerate() {
        if row > 0 {
            members.push(b',');
        }
        members.extend_from_slice(b"{\"diff\":");
        json::push(&mut members, diff);
        members.extend_from_slice(b",\"row\":");
        rows.push(&mut members, row);
        members.push(b'}');
    }
    members.push(b']');
    without_comma(members)
}

fn without_comma(mut members: Vec<u8>) -> Vec<u8> {
    members.remove(0);
    members
}
