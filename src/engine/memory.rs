//! How much memory the process uses, and whether that is too much.

use std::fs;
use std::time::{Duration, Instant};

/// How often the memory is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How often a run that has been paused for long says so.
const REMIND: Duration = Duration::from_secs(60);
/// Records are taken again below this part of the limit, in percent.
const RESUME_PERCENT: u64 = 95;

/// The memory that the process has now, in bytes; known on Linux only.
pub fn resident_bytes() -> Option<u64> {
    status_kibibytes("VmRSS:").map(|kibibytes| kibibytes * 1024)
}

/// The most memory that the process has had, in bytes; known on Linux only.
pub fn peak_bytes() -> Option<u64> {
    status_kibibytes("VmHWM:").map(|kibibytes| kibibytes * 1024)
}

fn status_kibibytes(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Says when to take no more records, and when to go on.
pub(super) struct MemoryWatch {
    limit: u64,
    looked: Instant,
    /// Since when nothing is taken.
    paused: Option<Instant>,
    reminded: Instant,
}

impl MemoryWatch {
    /// A watch over a limit in bytes.
    pub(super) fn new(limit: u64) -> Self {
        let now = Instant::now();
        MemoryWatch {
            limit,
            looked: now,
            paused: None,
            reminded: now,
        }
    }

    /// Whether to pause from now on, if that is a change.
    pub(super) fn look(&mut self) -> Option<bool> {
        if self.looked.elapsed() < LOOK {
            return None;
        }
        self.looked = Instant::now();
        let used = resident_bytes()?;
        let resume = self.limit / 100 * RESUME_PERCENT;
        match self.paused {
            None if used > self.limit => {
                self.paused = Some(Instant::now());
                self.reminded = Instant::now();
                tracing::warn!(used, limit = self.limit, "memory limit met: senders wait");
                Some(true)
            }
            Some(_) if used < resume => {
                self.paused = None;
                tracing::info!(used, limit = self.limit, "records are taken again");
                Some(false)
            }
            Some(since) if self.reminded.elapsed() >= REMIND => {
                self.reminded = Instant::now();
                let seconds = since.elapsed().as_secs();
                tracing::error!(
                    used,
                    limit = self.limit,
                    seconds,
                    "the views need more memory than the limit; `tillrace check` says what each keeps"
                );
                None
            }
            _ => None,
        }
    }
}
