//! One line on the terminal that says how a run goes.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::cli::{count, counted};
use crate::engine::{Report, RunState};

/// The line; nothing unless standard error is a terminal.
pub struct StatusLine {
    bar: ProgressBar,
    rows: u64,
    at: Instant,
}

impl StatusLine {
    pub fn new(quiet: bool) -> StatusLine {
        let bar = if quiet {
            ProgressBar::hidden()
        } else {
            ProgressBar::new_spinner()
        };
        StatusLine {
            bar,
            rows: 0,
            at: Instant::now(),
        }
    }

    /// Shows how it goes, with rates since the last time.
    pub fn show(&mut self, report: &Report) {
        let inputs = || report.inputs.iter().map(|input| &input.counts);
        let rows: u64 = inputs().map(|c| c.rows.load(Ordering::Relaxed)).sum();
        let rejects: u64 = inputs().map(|c| c.rejects.load(Ordering::Relaxed)).sum();
        let waiting: usize = report.inputs.iter().map(|input| input.waiting).sum();
        let elapsed = self.at.elapsed().max(Duration::from_millis(1));
        let rate = (rows - self.rows.min(rows)) as f64 / elapsed.as_secs_f64();
        (self.rows, self.at) = (rows, Instant::now());
        let state = match report.state {
            RunState::CatchingUp => "catching up",
            RunState::Live => "live",
            RunState::Stopping => "stopping",
        };
        self.bar.set_message(format!(
            "{state}: {}, {} events/s, {}, {waiting} waiting, {} ms behind",
            counted(rows, "event"),
            count(rate.round() as u64),
            counted(rejects, "reject"),
            report.frontier_age_ms,
        ));
        self.bar.tick();
    }

    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
