//! Pauses between attempts to connect.

use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use super::Outlet;

/// The first pause, unless the server wants another.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a pause is broken off if the queue is closed.
const LOOK: Duration = Duration::from_millis(50);

/// Pauses that double with each failed attempt, each shortened at random by up to half, so that
/// the clients of a server that comes up again do not all come at once.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            first: FIRST_PAUSE,
            next: FIRST_PAUSE,
        }
    }
}

impl Backoff {
    /// The server wants this to be the first pause.
    pub(super) fn begin_with(&mut self, pause: Duration) {
        self.first = pause.min(LONGEST_PAUSE);
        self.next = self.first;
    }

    /// The connection works.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }

    /// Sleeps, unless or until the queue is closed.
    pub(super) fn pause(&mut self, outlet: &Outlet) {
        let longest = self.next;
        self.next = (2 * longest).clamp(Duration::from_millis(10), LONGEST_PAUSE);
        // The seeds of hash maps are the randomness at hand; nothing hangs on its quality.
        let part = RandomState::new().hash_one(0_u64) % 1024;
        let pause = longest / 2 + (longest / 2).mul_f64(part as f64 / 1024.0);
        let end = Instant::now() + pause;
        while !outlet.is_closed() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(LOOK));
        }
    }
}
