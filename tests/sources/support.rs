//! A source that runs, and what came out of it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tillrace::source::InputSpec;
use tillrace::source::live::{Inlet, LiveInput, LiveOptions, Piece, SourceStatus, open, queue};

/// Nothing that is waited for takes longer.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until something is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// What is said of opening an input.
pub fn try_open(text: &str, options: &LiveOptions) -> Result<LiveInput, String> {
    let spec = InputSpec::parse(text).map_err(|error| error.to_string())?;
    open(&spec, options).map_err(|error| match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })
}

/// Why an input cannot be opened.
pub fn refusal(text: &str) -> String {
    match try_open(text, &LiveOptions::default()) {
        Ok(_) => panic!("{text} is opened"),
        Err(error) => error,
    }
}

/// A source on its thread.
pub struct Running {
    pub inlet: Inlet,
    pub address: Option<SocketAddr>,
    woken: Receiver<()>,
    thread: JoinHandle<std::io::Result<()>>,
}

/// Starts the source of an input.
pub fn start(text: &str) -> Running {
    start_with(text, &LiveOptions::default())
}

pub fn start_with(text: &str, options: &LiveOptions) -> Running {
    start_opened(try_open(text, options).expect("the input is opened"))
}

pub fn start_opened(live: LiveInput) -> Running {
    let LiveInput { source, .. } = live;
    let address = source.address();
    let (sender, woken) = sync_channel(1);
    let (outlet, inlet) = queue(Arc::new(move || {
        let _is_awake = sender.try_send(());
    }));
    let thread = thread::spawn(move || source.run(&outlet));
    Running {
        inlet,
        address,
        woken,
        thread,
    }
}

impl Running {
    pub fn status(&self) -> &SourceStatus {
        self.inlet.status()
    }

    /// The next piece.
    pub fn next(&self) -> Piece {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(piece) = self.inlet.try_next().expect("the source runs") {
                return piece;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "no piece came; the last fault is {:?}",
                self.status().last_fault()
            );
            let _timeout = self.woken.recv_timeout(left.min(Duration::from_millis(50)));
        }
    }

    /// The next `count` records, line ends taken off.
    pub fn lines(&self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            lines.extend(lines_of(&self.next()));
        }
        assert_eq!(lines.len(), count, "{lines:?}");
        lines
    }

    /// Waits until a fault is noted that holds a text.
    pub fn wait_for_fault(&self, text: &str) {
        wait_until(&format!("a fault says {text:?}"), || {
            let fault = self.status().last_fault();
            fault.is_some_and(|fault| fault.contains(text))
        });
    }

    /// Waits until so many files or connections are open.
    pub fn wait_for_connections(&self, count: u64) {
        wait_until(&format!("there are {count} connections"), || {
            self.connections() == count
        });
    }

    pub fn connections(&self) -> u64 {
        let connections = &self.status().connections;
        connections.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Closes the queue; the source must end soon, with nothing left in the queue.
    pub fn stop(self) {
        assert_eq!(
            self.inlet.waiting(),
            0,
            "something came that was not asked for"
        );
        self.abandon();
    }

    /// Closes the queue, whatever waits in it.
    pub fn abandon(self) {
        let start = Instant::now();
        self.inlet.close();
        let ended = self.thread.join().expect("the source does not panic");
        ended.expect("the source ends well");
        // A quarter of a second is the promise; a busy machine may need more.
        let took = start.elapsed();
        assert!(took < Duration::from_secs(2), "it took {took:?} to end");
    }

    /// Waits until the source ends by itself.
    pub fn ends(self) {
        wait_until("the source ends", || self.thread.is_finished());
        let ended = self.thread.join().expect("the source does not panic");
        ended.expect("the source ends well");
    }
}

/// The records of a piece, line ends taken off.
pub fn lines_of(piece: &Piece) -> Vec<String> {
    let text = std::str::from_utf8(&piece.text).expect("the text is UTF-8");
    text.lines().map(str::to_owned).collect()
}

/// A location in a folder.
pub fn at(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}
