//! What every kind of sink does with a view, and how it fails.

use std::time::{Duration, Instant};

use crate::catalog::{Cursor, Snapshot};

/// Where one view goes.
///
/// The cursor says how far it has got. Whoever hands changes out moves it on when it is sure of
/// them, and back to where it was sure if it finds that it was wrong; what lies after the cursor is
/// handed out the next time, as net changes. So nothing is ever lost, and nothing waits in a queue.
pub(super) trait Target: Send {
    /// Whether there is something to hand out.
    fn is_behind(&self, cursor: &Cursor, upto: &Snapshot) -> bool {
        cursor.is_behind(upto)
    }

    /// Hands out what changed from the cursor to a snapshot. It may stop short of it.
    ///
    /// # Errors
    ///
    /// If it could not be handed out; it will be asked again.
    fn deliver(&mut self, cursor: &mut Cursor, upto: &Snapshot) -> Result<(), Fault>;

    /// When it wants to be settled, though nothing has changed.
    fn settles_at(&self) -> Option<Instant> {
        None
    }

    /// Makes what has been handed out whole and safe. Called when it is due, and at the end.
    ///
    /// # Errors
    ///
    /// If it could not be made so; it will be asked again.
    fn settle(&mut self, _cursor: &mut Cursor) -> Result<(), Fault> {
        Ok(())
    }

    /// The epoch up to which others can see everything.
    fn seen_upto(&self, cursor: &Cursor) -> u64 {
        cursor.epoch()
    }
}

/// Why something could not be handed out for now.
#[derive(Debug)]
pub(super) struct Fault {
    /// What happened, for people.
    pub(super) reason: String,
    /// When to try again at the earliest, if it is not up to the sink.
    pub(super) not_within: Option<Duration>,
    /// When to try again at the latest.
    pub(super) at_latest: Option<Instant>,
    /// Whether there is no use in trying again.
    pub(super) is_final: bool,
}

impl Fault {
    pub(super) fn new(reason: impl Into<String>) -> Fault {
        Fault {
            reason: reason.into(),
            not_within: None,
            at_latest: None,
            is_final: false,
        }
    }
}
