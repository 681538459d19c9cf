//! How far the engine has published, and whether all of its threads are alive.

use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::error::EngineError;
use crate::delta::Time;

/// How far the engine has published, for those who wait.
#[derive(Default)]
pub(super) struct Status {
    state: Mutex<Published>,
    changed: Condvar,
    /// Called for each epoch.
    told: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct Published {
    epoch: Time,
    epochs: u64,
    /// A worker, or the thread that publishes, is gone before its time.
    dead: bool,
    /// Nothing more is published.
    ended: bool,
}

impl Status {
    /// Notes that readers can see an epoch.
    pub(super) fn publish(&self, epoch: Time) {
        let mut state = self.state();
        state.epoch = epoch;
        state.epochs += 1;
        drop(state);
        self.changed.notify_all();
        if let Some(told) = self.told.get() {
            told();
        }
    }

    /// Says what is to be called for each epoch.
    pub(super) fn set_told(&self, told: Box<dyn Fn() + Send + Sync>) {
        let _is_set_once = self.told.set(told);
    }

    /// The last epoch that readers can see.
    pub(super) fn published(&self) -> Time {
        self.state().epoch
    }

    /// How many epochs have been published.
    pub(super) fn epochs(&self) -> u64 {
        self.state().epochs
    }

    /// Waits until an epoch is published.
    ///
    /// # Errors
    ///
    /// If a thread has died that it takes.
    pub(super) fn wait_for(&self, epoch: Time) -> Result<(), EngineError> {
        let mut state = self.state();
        while state.epoch < epoch {
            if state.dead {
                return Err(EngineError::Worker("it panicked".to_owned()));
            }
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Waits until something is published, but no longer than a time.
    pub(super) fn wait_for_next(&self, at_most: Duration) {
        let state = self.state();
        let _woken = self.changed.wait_timeout(state, at_most);
    }

    /// Notes that the last epoch is published.
    pub(super) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    /// Waits until the last epoch is published; the workers have ended.
    ///
    /// # Errors
    ///
    /// If the thread that publishes has died.
    pub(super) fn wait_for_end(&self) -> Result<(), EngineError> {
        let mut state = self.state();
        while !state.ended {
            if state.dead {
                return Err(EngineError::Worker("it panicked".to_owned()));
            }
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    pub(super) fn is_any_dead(&self) -> bool {
        self.state().dead
    }

    /// Watches over the thread that asks.
    pub(super) fn watch(&self) -> DeathWatch<'_> {
        DeathWatch {
            status: self,
            is_over: false,
        }
    }

    fn state(&self) -> MutexGuard<'_, Published> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that its thread is dead unless it has been told otherwise.
pub(super) struct DeathWatch<'a> {
    status: &'a Status,
    is_over: bool,
}

impl DeathWatch<'_> {
    /// The thread ends as it should.
    pub(super) fn end(mut self) {
        self.is_over = true;
    }
}

impl Drop for DeathWatch<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.status.state().dead = true;
            self.status.changed.notify_all();
        }
    }
}
