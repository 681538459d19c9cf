//! What flows between operators: rows as columns, each with a diff, all at one time.
//!
//! A [`Delta`] is an Arrow batch and, unless every row is added once, a diff for each row. Streams
//! carry `Vec<Delta>`; operators that need rows side by side with a key encode them with
//! [`crate::row`]. A delta stays on its worker: what crosses workers are rows.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{filter, filter_record_batch, take, take_record_batch};
use arrow::error::ArrowError;

/// The engine's time: an epoch. Later epochs are greater.
pub type Time = u64;

/// By how much a row's multiplicity changes.
pub type Diff = i64;

/// Changes to a collection, all at one time.
#[derive(Debug, Clone)]
pub struct Delta {
    /// The rows.
    pub batch: RecordBatch,
    /// The diff of each row; `None` stands for +1 each.
    pub diffs: Option<Arc<[Diff]>>,
    /// When.
    pub time: Time,
}

impl Delta {
    /// Rows that are added once each.
    pub fn insert(batch: RecordBatch, time: Time) -> Self {
        Delta {
            batch,
            diffs: None,
            time,
        }
    }

    /// Rows with a diff each.
    pub fn new(batch: RecordBatch, diffs: Vec<Diff>, time: Time) -> Self {
        debug_assert_eq!(batch.num_rows(), diffs.len(), "each row has a diff");
        let all_ones = diffs.iter().all(|diff| *diff == 1);
        Delta {
            batch,
            diffs: (!all_ones).then(|| diffs.into()),
            time,
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The diff of a row.
    #[inline]
    pub fn diff(&self, row: usize) -> Diff {
        self.diffs.as_ref().map_or(1, |diffs| diffs[row])
    }

    /// All diffs, in row order.
    pub fn diffs_vec(&self) -> Vec<Diff> {
        match &self.diffs {
            Some(diffs) => diffs.to_vec(),
            None => vec![1; self.len()],
        }
    }

    /// The same diffs over other columns of the same rows.
    pub fn with_batch(&self, batch: RecordBatch) -> Self {
        Delta {
            batch,
            diffs: self.diffs.clone(),
            time: self.time,
        }
    }

    /// The rows for which a predicate is true.
    ///
    /// # Errors
    ///
    /// If the predicate is not as long as the delta.
    pub fn filter(&self, predicate: &BooleanArray) -> Result<Self, ArrowError> {
        if predicate.true_count() == self.len() {
            return Ok(self.clone());
        }
        let batch = filter_record_batch(&self.batch, predicate)?;
        let diffs = match &self.diffs {
            Some(diffs) => Some(values(&filter(
                &Int64Array::from(diffs.to_vec()),
                predicate,
            )?)),
            None => None,
        };
        Ok(Delta {
            batch,
            diffs,
            time: self.time,
        })
    }

    /// Chosen rows, in the order in which they are named.
    ///
    /// # Errors
    ///
    /// If there is no such row.
    pub fn take(&self, rows: &[u32]) -> Result<Self, ArrowError> {
        let indices = arrow::array::UInt32Array::from(rows.to_vec());
        let batch = take_record_batch(&self.batch, &indices)?;
        let diffs = match &self.diffs {
            Some(diffs) => Some(values(&take(
                &Int64Array::from(diffs.to_vec()),
                &indices,
                None,
            )?)),
            None => None,
        };
        Ok(Delta {
            batch,
            diffs,
            time: self.time,
        })
    }

    /// The rows taken back instead of added, and the other way round.
    pub fn negate(mut self) -> Self {
        let diffs = (0..self.len()).map(|row| -self.diff(row)).collect();
        self.diffs = Some(diffs);
        self
    }
}

fn values(diffs: &dyn Array) -> Arc<[Diff]> {
    let diffs = diffs
        .as_any()
        .downcast_ref::<Int64Array>()
        .expect("diffs are 64-bit integers");
    diffs.values().to_vec().into()
}
