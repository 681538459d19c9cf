//! Whoever waits for the next epoch.

use super::live_feed::LiveFeed;

/// While there is one, epochs close as soon as if they held records.
pub(super) struct Wanted<'a>(&'a LiveFeed);

impl<'a> Wanted<'a> {
    pub(super) fn new(feed: &'a LiveFeed) -> Wanted<'a> {
        feed.want(1);
        Wanted(feed)
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.want(-1);
    }
}
