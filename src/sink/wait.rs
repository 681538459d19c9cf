//! Waiting for an epoch, a time or the end, whichever comes first, without a runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits until there is a new epoch, a time has come, or the sink is asked to stop; perhaps not so
/// long.
pub(super) fn wait(published: &mut watch::Receiver<u64>, stop: &Stop, until: Option<Instant>) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut changed = pin!(published.changed());
    if changed
        .as_mut()
        .poll(&mut Context::from_waker(&waker))
        .is_pending()
    {
        pause(stop, until);
    }
}

/// Waits until a time has come or the sink is asked to stop; perhaps not so long.
pub(super) fn pause(stop: &Stop, until: Option<Instant>) {
    // Asked while the thread was at work, the wake-up may have gone to something that it waited for
    // meanwhile, such as a look-up of a host.
    if stop.by().is_some() {
        return;
    }

    sleep(until);
}

/// Waits until a time has come or somebody unparks this thread; perhaps not so long.
pub(super) fn sleep(until: Option<Instant>) {
    match until {
        None => thread::park(),
        Some(until) => thread::park_timeout(until.saturating_duration_since(Instant::now())),
    }
}

/// Whether a sink shall stop, and by when.
#[derive(Default)]
pub(super) struct Stop {
    by: OnceLock<Instant>,
}

impl Stop {
    /// Asks to stop within some time. The first to ask says when.
    pub(super) fn ask(&self, within: Duration) {
        // It has been asked already.
        let _ = self.by.set(Instant::now() + within);
    }

    /// By when to stop, if it has been asked.
    pub(super) fn by(&self) -> Option<Instant> {
        self.by.get().copied()
    }
}
