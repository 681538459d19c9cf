//! The sinks that run, for whoever shows how they do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{RunningSink, SinkStatus};

/// A sink's name and how it does.
type Shown = (String, Arc<SinkStatus>);

/// Which sinks run and how each does. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<Vec<Shown>>>);

impl Board {
    /// Shows these sinks from now on, and no others.
    pub fn show<'a>(&self, sinks: impl IntoIterator<Item = &'a RunningSink>) {
        let sinks = sinks.into_iter();
        *self.sinks() = sinks
            .map(|sink| (sink.name().to_owned(), Arc::clone(sink.status())))
            .collect();
    }

    /// The sinks by name: views and where they go, without options.
    pub fn all(&self) -> Vec<(String, Arc<SinkStatus>)> {
        self.sinks().clone()
    }

    fn sinks(&self) -> MutexGuard<'_, Vec<Shown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
