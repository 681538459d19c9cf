//! When epochs close in a live run.
//!
//! An epoch is named by the wall clock's milliseconds at which it opened, and later than the one
//! before whatever the wall clock does. It closes when it holds records, the tick has passed, and
//! the epoch before it is published: an engine that falls behind makes fewer and larger epochs,
//! which cost less for each record, and never more than two are on their way. Without records an
//! epoch closes every idle tick, so that readers see the engine's clock go on.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::live_feed::{Closing, LiveFeed};
use super::memory::MemoryWatch;
use super::status::Status;
use crate::delta::Time;

/// The clock looks after the memory at least as often.
const LONGEST: Duration = Duration::from_millis(100);

/// How long epochs are.
#[derive(Debug, Clone, Copy)]
pub struct Ticks {
    /// With records, at least.
    pub busy: Duration,
    /// While files are read to catch up, at least: fewer epochs are faster.
    pub catching_up: Duration,
    /// Without records.
    pub idle: Duration,
}

impl Default for Ticks {
    fn default() -> Self {
        Ticks {
            busy: Duration::from_millis(2),
            catching_up: Duration::from_millis(200),
            idle: Duration::from_secs(1),
        }
    }
}

/// What may change while a run goes on. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Knobs(Arc<Mutex<Setting>>);

/// How the clock runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// How long epochs are.
    pub(super) ticks: Ticks,
    /// The most memory that the process may use before it takes no more, in bytes.
    pub(super) memory_limit: Option<u64>,
}

impl Knobs {
    pub(super) fn new(setting: Setting) -> Knobs {
        Knobs(Arc::new(Mutex::new(setting)))
    }

    pub(super) fn get(&self) -> Setting {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, setting: Setting) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = setting;
    }
}

/// What says whether an epoch is due.
pub(super) struct Mood {
    /// Whether there are records for the open epoch.
    pub(super) holds_records: bool,
    /// Whether it takes no more.
    pub(super) full: bool,
    /// Whether files are still being read.
    pub(super) catching_up: bool,
}

/// When epochs are due, and who has to know.
pub(super) struct Pace {
    /// How long epochs are, as it is looked up each time.
    pub(super) knobs: Knobs,
    /// How far the engine has published.
    pub(super) status: Arc<Status>,
    /// Wakes workers that wait.
    pub(super) wake: Arc<dyn Fn() + Send + Sync>,
}

impl Pace {
    /// How often it is looked whether an epoch can close that is due, if nobody is woken for it.
    pub(super) const LOOK: Duration = Duration::from_millis(5);

    /// In how long an epoch is due that has been open since the one before was closed.
    pub(super) fn left(&self, mood: &Mood, since: Instant) -> Duration {
        let ticks = self.knobs.get().ticks;
        let tick = match (mood.holds_records, mood.catching_up) {
            _ if mood.full => Duration::ZERO,
            (true, true) => ticks.catching_up,
            (true, false) => ticks.busy,
            (false, _) => ticks.idle,
        };
        tick.saturating_sub(since.elapsed())
    }

    /// Whether readers can see an epoch.
    pub(super) fn is_published(&self, epoch: Time) -> bool {
        self.status.published() >= epoch
    }

    pub(super) fn wake_workers(&self) {
        (self.wake)();
    }
}

/// What closes epochs that workers do not close.
pub(super) struct Clock {
    /// Whose epochs.
    pub(super) feed: Arc<LiveFeed>,
    /// Whether all threads are alive.
    pub(super) status: Arc<Status>,
    /// How it runs, as it is looked up each time.
    pub(super) knobs: Knobs,
    /// Wakes workers that wait.
    pub(super) wake_workers: Arc<dyn Fn() + Send + Sync>,
}

impl Clock {
    /// Runs on a thread of its own until the feed has ended.
    ///
    /// # Errors
    ///
    /// If no thread starts.
    pub(super) fn start(self) -> std::io::Result<JoinHandle<()>> {
        let thread = thread::Builder::new().name("clock".to_owned());
        thread.spawn(move || self.run())
    }

    fn run(self) {
        let mut memory: Option<(u64, MemoryWatch)> = None;
        loop {
            let memory_limit = self.knobs.get().memory_limit;
            if memory.as_ref().map(|(limit, _)| *limit) != memory_limit {
                // Whether it is too much is found out by the next look.
                self.feed.pause(false);
                memory = memory_limit.map(|limit| (limit, MemoryWatch::new(limit)));
            }
            if let Some(paused) = memory.as_mut().and_then(|(_, watch)| watch.look()) {
                self.feed.pause(paused);
                (self.wake_workers)();
            }
            if self.feed.is_over() || self.status.is_any_dead() {
                return;
            }
            // It is woken when files are read and the first record comes, when the epoch is full,
            // and when the epoch before is published.
            if let Closing::Wait(wait) = self.feed.close_if_due() {
                thread::park_timeout(wait.min(LONGEST));
            }
        }
    }
}
