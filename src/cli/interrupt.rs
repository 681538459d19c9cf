//! Ctrl-C: the first asks the run to stop, the second ends the process at once.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::Error;
use crate::engine::Progress;

/// The exit status of an interrupted run, as shells have it for SIGINT: 128 + 2.
pub const STATUS: u8 = 130;

/// How long a run that was asked to stop may take. A worker that waits for standard input cannot
/// hear the question.
const GRACE: Duration = Duration::from_secs(2);

/// Whether a run has been interrupted.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for Ctrl-C (and for the signals that ask a process to end) from now on. To be called
    /// once.
    ///
    /// # Errors
    /// If no handler can be installed.
    pub fn listen(progress: Arc<Progress>) -> Result<Self, Error> {
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = interrupted.clone();
        ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::SeqCst) {
                process::exit(i32::from(STATUS));
            }
            progress.stop.store(true, Ordering::SeqCst);
            thread::spawn(|| {
                thread::sleep(GRACE);
                process::exit(i32::from(STATUS));
            });
        })?;
        Ok(Self(interrupted))
    }

    /// Whether Ctrl-C was pressed.
    pub fn happened(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
