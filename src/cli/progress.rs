//! How far a run is, on a terminal.
//!
//! The run's counters flow in; a bar with percent, rate and time left flows out on standard error,
//! as long as that is a terminal. In a pipe nothing is written.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};
use indicatif::{ProgressBar, ProgressStyle};

use super::count;
use crate::engine::Progress;

/// How often the bar is drawn.
const REDRAW: Duration = Duration::from_millis(100);

const BAR: &str = "{bar:32} {percent:>3}%  {decimal_bytes} of {decimal_total_bytes}, \
                   {msg}, {eta} left";
const SPINNER: &str = "{spinner} {decimal_bytes}, {msg}, {elapsed}";

/// Does the work while showing its progress. Without `total`, in bytes, how much is left is not
/// known.
pub fn show_while<T>(
    progress: &Arc<Progress>,
    total: Option<u64>,
    quiet: bool,
    work: impl FnOnce() -> T,
) -> T {
    let bar = if quiet {
        ProgressBar::hidden()
    } else {
        bar(total)
    };
    if bar.is_hidden() {
        return work();
    }
    let (done, wait) = bounded::<()>(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let start = Instant::now();
            while wait.recv_timeout(REDRAW) == Err(RecvTimeoutError::Timeout) {
                draw(&bar, progress, start.elapsed());
            }
            bar.finish_and_clear();
        });
        let outcome = work();
        drop(done);
        outcome
    })
}

fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), BAR),
        None => (ProgressBar::no_length(), SPINNER),
    };
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    bar.with_style(style)
}

fn draw(bar: &ProgressBar, progress: &Progress, elapsed: Duration) {
    let rows = progress.rows.load(Ordering::Relaxed);
    let rejects = progress.rejects.load(Ordering::Relaxed);
    let mut message = format!("{} events/s", count(per_second(rows, elapsed)));
    if rejects > 0 {
        message.push_str(&format!(", {} rejects", count(rejects)));
    }
    bar.set_message(message);
    bar.set_position(progress.bytes.load(Ordering::Relaxed));
}

/// A rate, rounded.
pub fn per_second(number: u64, elapsed: Duration) -> u64 {
    (number as f64 / elapsed.as_secs_f64().max(1e-9)).round() as u64
}
