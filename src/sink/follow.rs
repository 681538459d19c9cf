//! A sink's thread: it waits for epochs and lets each view's target hand out what is new.
//!
//! The thread takes the latest snapshot whenever it is free, however many epochs have gone by, and
//! each view goes at its own pace: one that fails or waits its turn does not hold up the others,
//! except for as long as an attempt takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::status::SinkStatus;
use super::target::{Fault, Target};
use super::wait::{Stop, pause, sleep, wait};
use crate::catalog::{Catalog, Cursor, Snapshot};

/// What a sink's thread works with.
pub(super) struct Follow {
    /// What the sink is called.
    pub(super) name: String,
    pub(super) catalog: Arc<Catalog>,
    pub(super) followers: Vec<Follower>,
    pub(super) every: Duration,
    pub(super) status: Arc<SinkStatus>,
    pub(super) stop: Arc<Stop>,
}

/// What was not handed out when time was over.
pub(super) struct Undelivered {
    pub(super) latest: u64,
    pub(super) reason: String,
}

impl Follow {
    /// Goes on until it is asked to stop, and then until everything is handed out or the time is
    /// over.
    pub(super) fn run(mut self) -> Result<(), Undelivered> {
        let mut published = self.catalog.subscribe();
        while self.stop.by().is_none() {
            published.mark_unchanged();
            let snapshot = self.catalog.latest();
            for follower in &mut self.followers {
                follower.look(&self.name, &snapshot, self.every, &self.status);
            }
            self.tell();
            let now = Instant::now();
            let wake = |follower: &Follower| follower.wakes_at(&snapshot, now);
            let until = self.followers.iter().filter_map(wake).min();
            // An epoch is of no use while all have to wait.
            match self.followers.iter().all(|follower| follower.waits(now)) {
                true => pause(&self.stop, until),
                false => wait(&mut published, &self.stop, until),
            }
        }
        let latest = self.catalog.latest();
        self.finish(&latest)
    }

    /// Hands out what is left up to a snapshot.
    fn finish(&mut self, latest: &Snapshot) -> Result<(), Undelivered> {
        let by = self.stop.by().unwrap_or_else(Instant::now);
        for follower in &mut self.followers {
            follower.not_before = None;
        }
        loop {
            for follower in &mut self.followers {
                follower.finish(&self.name, latest, &self.status);
            }
            self.tell();
            let left = self.followers.iter().find(|f| f.state != State::Over);
            let Some(left) = left else {
                return Ok(());
            };
            if left.state == State::Dead || Instant::now() >= by {
                return Err(Undelivered {
                    latest: latest.epoch(),
                    reason: self.status.last_fault().unwrap_or_else(out_of_time),
                });
            }
            let now = Instant::now();
            let left = self.followers.iter().filter(|f| f.state == State::Follows);
            let next = left.map(|f| f.not_before.unwrap_or(now)).min();
            sleep(next.map(|next| next.min(by)));
        }
    }

    /// Tells the status how far all views are.
    fn tell(&self) {
        let seen = self.followers.iter().map(Follower::seen_upto).min();
        self.status.is_at(seen.unwrap_or(0));
        if self.followers.iter().all(|f| f.failing.is_none()) {
            self.status.works();
        }
    }
}

fn out_of_time() -> String {
    "there was no time for the rest".to_owned()
}

/// One view on its way to its target.
pub(super) struct Follower {
    cursor: Cursor,
    target: Box<dyn Target>,
    backoff: Backoff,
    /// When to hand out again at the earliest.
    not_before: Option<Instant>,
    /// Why the last attempt failed.
    failing: Option<String>,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Follows,
    /// Everything has been handed out and settled.
    Over,
    /// There is no use in going on.
    Dead,
}

impl Follower {
    pub(super) fn new(cursor: Cursor, target: Box<dyn Target>) -> Follower {
        Follower {
            cursor,
            target,
            backoff: Backoff::new(),
            not_before: None,
            failing: None,
            state: State::Follows,
        }
    }

    fn seen_upto(&self) -> u64 {
        self.target.seen_upto(&self.cursor)
    }

    /// Whether it has to wait for a time whatever is published.
    fn waits(&self, now: Instant) -> bool {
        self.state != State::Follows || self.not_before.is_some_and(|at| at > now)
    }

    /// When it wants to be looked at though nothing is published.
    fn wakes_at(&self, snapshot: &Snapshot, now: Instant) -> Option<Instant> {
        if self.state != State::Follows {
            return None;
        }
        if self.waits(now) {
            return self.not_before;
        }
        let is_behind = self.is_behind(snapshot).then_some(now);
        is_behind.into_iter().chain(self.target.settles_at()).min()
    }

    fn is_behind(&self, snapshot: &Snapshot) -> bool {
        // Before the first epoch there is nothing, not even the total of nothing.
        snapshot.epoch() > 0 && self.target.is_behind(&self.cursor, snapshot)
    }

    /// Does what is due.
    fn look(&mut self, sink: &str, upto: &Snapshot, every: Duration, status: &SinkStatus) {
        if self.waits(Instant::now()) {
            return;
        }
        let was_behind = self.is_behind(upto);
        let outcome = self.hand_out(upto);
        let is_well = outcome.is_ok();
        self.note(sink, outcome, status);
        if is_well && was_behind {
            self.not_before = Some(Instant::now() + every);
        }
    }

    fn hand_out(&mut self, upto: &Snapshot) -> Result<(), Fault> {
        let due = self.target.settles_at();
        if due.is_some_and(|due| due <= Instant::now()) {
            self.target.settle(&mut self.cursor)?;
        }
        if self.is_behind(upto) {
            return self.target.deliver(&mut self.cursor, upto);
        }
        self.cursor.advance(upto);
        Ok(())
    }

    /// Hands out the rest, if it is time to try.
    fn finish(&mut self, sink: &str, latest: &Snapshot, status: &SinkStatus) {
        if self.waits(Instant::now()) {
            return;
        }
        let mut outcome = self.hand_out(latest);
        if outcome.is_ok() && !self.is_behind(latest) {
            outcome = self.target.settle(&mut self.cursor);
            if outcome.is_ok() && !self.is_behind(latest) {
                self.state = State::Over;
            }
        }
        self.note(sink, outcome, status);
    }

    fn note(&mut self, sink: &str, outcome: Result<(), Fault>, status: &SinkStatus) {
        let fault = match outcome {
            Ok(()) => {
                self.backoff.reset();
                self.not_before = None;
                if self.failing.take().is_some() {
                    tracing::info!(sink, "a sink works again");
                }
                return;
            }
            Err(fault) => fault,
        };
        let pause = self.backoff.pause();
        let pause = fault.not_within.map_or(pause, |least| pause.max(least));
        let next = Instant::now() + pause;
        self.not_before = Some(fault.at_latest.map_or(next, |latest| next.min(latest)));
        status.failed(&fault.reason);
        if fault.is_final {
            self.state = State::Dead;
            tracing::error!(sink, reason = %fault.reason, "a sink has ended");
        } else {
            status.retried();
            // A fault that lasts is told once.
            if self.failing.as_ref() != Some(&fault.reason) {
                tracing::warn!(sink, reason = %fault.reason, "a sink is tried again");
            }
        }
        self.failing = Some(fault.reason);
    }
}
