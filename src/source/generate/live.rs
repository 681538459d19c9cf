//! Live sessions: a show every few hours, which some visitors watch and buy in.

use super::schedule::Task;
use super::shop::Shop;
use super::{GenerateError, Table};

const MINUTE_MS: u32 = 60_000;
/// From the start of a session to its end, and from there to the next, on average.
const SESSION_MS: u32 = 45 * MINUTE_MS;
const BETWEEN_MS: u32 = 150 * MINUTE_MS;
/// Visits out of ten thousand that come for the session while one is on.
const WATCHING: u32 = 3000;

/// The session that is on, if any, and how many there have been.
#[derive(Debug, Default)]
pub(super) struct Live {
    sessions: u64,
    is_on: bool,
}

impl Shop<'_> {
    /// Plans the first session.
    pub(super) fn plan_live(&mut self) {
        let at_ms = self.now_ms + self.around_ms(BETWEEN_MS / 4);
        self.schedule.plan(at_ms, Task::Live);
    }

    pub(super) fn begin_or_end_live(&mut self) -> Result<(), GenerateError> {
        self.live.is_on = !self.live.is_on;
        let next_ms = match self.live.is_on {
            true => self.around_ms(SESSION_MS),
            false => self.around_ms(BETWEEN_MS),
        };
        self.schedule.plan(self.now_ms + next_ms, Task::Live);
        if !self.live.is_on {
            return Ok(());
        }
        self.live.sessions += 1;
        let number = self.live.sessions;
        self.line
            .begin()
            .id("live_session_id", "live", number)
            .text("series", "house show");
        self.line
            .id("title", "House show no. ", number)
            .time("started_at", self.now_ms);
        self.emit(Table::LiveSessions)
    }

    /// The number of the session that a new visitor comes for; zero for none.
    pub(super) fn live_of_visit(&mut self) -> u64 {
        match self.live.is_on && self.random.chance(WATCHING) {
            true => self.live.sessions,
            false => 0,
        }
    }
}
