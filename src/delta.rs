//! What flows between operators: rows as columns, each with a diff, all at one time.
//!
//! A [`Delta`] is an Arrow batch and, unless every row is added once, a diff for each row. Streams
//! carry `Vec<Delta>`; operators that need rows side by side with a key encode them with
//! [`crate::row`].

use std::sync::Arc;

use arrow::array::RecordBatch;

/// The engine's time: milliseconds since the Unix epoch on the engine's clock; an epoch's start.
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
