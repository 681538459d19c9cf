//! Signals: the first that asks to stop is passed on, the second ends the process at once.

use std::process;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::cli::{Error, interrupt};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Finish and end.
    Stop,
    /// Read the wiring again.
    Reload,
}

/// Signals as they come.
pub struct Signals(Receiver<Signal>);

/// More than that many signals at once say nothing new.
const WAITING: usize = 4;

impl Signals {
    /// Listens from now on. To be called once.
    ///
    /// # Errors
    /// If no handler can be installed.
    pub fn listen() -> Result<Signals, Error> {
        let (sender, receiver) = bounded(WAITING);
        listen(sender)?;
        Ok(Signals(receiver))
    }

    /// The next signal, if one comes within the time.
    pub fn wait(&self, time: Duration) -> Option<Signal> {
        self.0.recv_timeout(time).ok()
    }
}

#[cfg(unix)]
fn listen(sender: Sender<Signal>) -> Result<(), Error> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(Error::Signals)?;
    let run = move || {
        let mut stopping = false;
        for signal in signals.forever() {
            if signal == SIGHUP {
                let _is_full = sender.try_send(Signal::Reload);
            } else if std::mem::replace(&mut stopping, true) {
                process::exit(i32::from(interrupt::STATUS));
            } else {
                let _is_full = sender.try_send(Signal::Stop);
            }
        }
    };
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(run).map(drop).map_err(Error::Signals)
}

#[cfg(not(unix))]
fn listen(sender: Sender<Signal>) -> Result<(), Error> {
    use std::sync::atomic::{AtomicBool, Ordering};
    let stopping = AtomicBool::new(false);
    Ok(ctrlc::set_handler(move || {
        if stopping.swap(true, Ordering::SeqCst) {
            process::exit(i32::from(interrupt::STATUS));
        }
        let _is_full = sender.try_send(Signal::Stop);
    })?)
}
