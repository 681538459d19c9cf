//! Sends lines at a steady rate, a millisecond's worth at a time, with probes among them.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::server::Server;
use crate::traffic::Traffic;

/// How often lines are sent.
const STEP: Duration = Duration::from_millis(1);
/// How many probes are sent in a second.
const PROBES: f64 = 97.0;

/// The open connections, and the lines that go over them.
pub struct Load {
    behavior: TcpStream,
    orders: TcpStream,
    /// What is sent.
    pub traffic: Traffic,
}

/// What was sent.
pub struct Sent {
    /// Lines in a second.
    pub rate: f64,
    /// Each probe with the moment just before it was written.
    pub probes: Vec<(u64, Instant)>,
}

impl Load {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn connect(server: &Server, with_ids: bool) -> Result<Load> {
        let connect = |address| -> Result<TcpStream> {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        Ok(Load {
            behavior: connect(server.behavior)?,
            orders: connect(server.orders)?,
            traffic: Traffic::new(with_ids),
        })
    }

    /// Sends for a time, so many lines a second; waits where the receiver does.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn send(&mut self, rate: f64, time: Duration) -> Result<Sent> {
        let start = Instant::now();
        let before = self.traffic.made.lines;
        let mut probes = Vec::new();
        // Not all probes at the same phase of a step.
        let mut next_probe = 0.0;
        while start.elapsed() < time {
            let passed = start.elapsed().as_secs_f64();
            // A sender that was held up does not make up for all of it at once.
            let due = (rate * passed) as u64;
            let missing = due.saturating_sub(self.traffic.made.lines - before);
            for _ in 0..missing.min((rate / 20.0).max(1.0) as u64) {
                self.traffic.next();
            }
            let probe = (passed * PROBES >= next_probe).then(|| {
                next_probe = (passed * PROBES).floor() + 1.0;
                self.traffic.probe()
            });
            self.flush(|| probes.extend(probe.map(|probe| (probe, Instant::now()))))?;
            thread::sleep(STEP);
        }
        let rate = (self.traffic.made.lines - before) as f64 / start.elapsed().as_secs_f64();
        Ok(Sent { rate, probes })
    }

    /// Sends what has been made; `before_orders` is called before orders are written.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn flush(&mut self, before_orders: impl FnOnce()) -> Result<()> {
        self.behavior.write_all(&self.traffic.behavior)?;
        self.traffic.behavior.clear();
        before_orders();
        self.orders.write_all(&self.traffic.orders_text)?;
        self.traffic.orders_text.clear();
        Ok(())
    }
}
