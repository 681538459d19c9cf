//! Pauses between attempts.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The first pause.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Pauses that double with each failed attempt, each shortened at random by up to half, so that
/// those who wait for the same server do not all come back at once.
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Backoff {
        Backoff { next: FIRST_PAUSE }
    }

    /// The next pause.
    pub(super) fn pause(&mut self) -> Duration {
        let longest = self.next;
        self.next = (2 * longest).min(LONGEST_PAUSE);
        // The seeds of hash maps are the randomness at hand; nothing hangs on its quality.
        let part = RandomState::new().hash_one(0_u64) % 1024;
        longest / 2 + (longest / 2).mul_f64(part as f64 / 1024.0)
    }

    /// An attempt has succeeded.
    pub(super) fn reset(&mut self) {
        self.next = FIRST_PAUSE;
    }
}
