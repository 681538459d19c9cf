//! How a sink does, for whoever looks after it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How a sink does. All numbers are since it started.
#[derive(Debug, Default)]
pub struct SinkStatus {
    delivered_epoch: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    deliveries: AtomicU64,
    retries: AtomicU64,
    dead_letters: AtomicU64,
    is_failing: AtomicBool,
    last_fault: Mutex<Option<String>>,
}

impl SinkStatus {
    /// The epoch up to which everything has been handed out, of the view that is furthest behind.
    pub fn delivered_epoch(&self) -> u64 {
        self.delivered_epoch.load(Ordering::Relaxed)
    }

    /// Rows that have been handed out; in snapshots, each time that they were.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Bytes that have been handed out.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How often something has been handed out.
    pub fn deliveries(&self) -> u64 {
        self.deliveries.load(Ordering::Relaxed)
    }

    /// How often handing out has failed and is tried again.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Bodies that went to the file of dead letters.
    pub fn dead_letters(&self) -> u64 {
        self.dead_letters.load(Ordering::Relaxed)
    }

    /// Whether the last attempt has failed.
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// What went wrong last, though it may be over.
    pub fn last_fault(&self) -> Option<String> {
        self.fault().clone()
    }

    pub(super) fn delivered(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.deliveries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn is_at(&self, epoch: u64) {
        self.delivered_epoch.store(epoch, Ordering::Relaxed);
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn gave_up(&self, reason: &str) {
        self.dead_letters.fetch_add(1, Ordering::Relaxed);
        *self.fault() = Some(reason.to_owned());
    }

    pub(super) fn failed(&self, reason: &str) {
        self.is_failing.store(true, Ordering::Relaxed);
        *self.fault() = Some(reason.to_owned());
    }

    pub(super) fn works(&self) {
        self.is_failing.store(false, Ordering::Relaxed);
    }

    fn fault(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.last_fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
