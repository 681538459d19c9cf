//! How many requests were answered how, and how quickly.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// The upper bounds of the latency histogram, in microseconds.
pub(super) const BOUNDS_US: [u64; 14] = [
    100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000,
];

/// Requests by route and status. There are as many entries as routes and statuses, not as paths.
#[derive(Default)]
pub(super) struct Traffic {
    series: RwLock<BTreeMap<(String, u16), Arc<Series>>>,
}

/// Requests of one route that were answered with one status.
#[derive(Default)]
pub(super) struct Series {
    /// By bound, how many took no longer than it but longer than the bound before.
    buckets: [AtomicU64; BOUNDS_US.len()],
    count: AtomicU64,
    total_us: AtomicU64,
}

impl Traffic {
    /// Counts a request.
    pub(super) fn count(&self, route: &str, status: u16, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let series = self.series(route, status);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < took_us);
        if let Some(bucket) = series.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        series.count.fetch_add(1, Ordering::Relaxed);
        series.total_us.fetch_add(took_us, Ordering::Relaxed);
    }

    fn series(&self, route: &str, status: u16) -> Arc<Series> {
        let key = (route.to_owned(), status);
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.get(&key) {
            return Arc::clone(series);
        }
        drop(known);
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(series.entry(key).or_default())
    }

    /// What has been counted, by route and status.
    pub(super) fn all(&self) -> Vec<((String, u16), Arc<Series>)> {
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
        let entries = series.iter();
        entries
            .map(|(key, series)| (key.clone(), Arc::clone(series)))
            .collect()
    }
}

impl Series {
    /// How many requests there were.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How long they took together, in microseconds.
    pub(super) fn total_us(&self) -> u64 {
        self.total_us.load(Ordering::Relaxed)
    }

    /// By bound, how many took no longer.
    pub(super) fn at_most(&self) -> Vec<(u64, u64)> {
        let mut sum = 0;
        let bounds = BOUNDS_US.iter().zip(&self.buckets);
        let at_most = |(bound, bucket): (&u64, &AtomicU64)| {
            sum += bucket.load(Ordering::Relaxed);
            (*bound, sum)
        };
        bounds.map(at_most).collect()
    }
}
