//! Thresholds tried on history: one replay, many variants of the same rules side by side.
//!
//! A script, what is to be varied in it and what counts as blocked flow in; a script flows out in which
//! the views that depend on a varied value stand once for each variant, and beside them views that
//! count. Everything else stands once: inputs are read and decoded once, and nodes that no variant
//! changes are shared, because equal nodes are made once. [`outcomes`] reads the counts off the
//! snapshot of a replay.

mod vary;
mod write;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

use crate::catalog::Snapshot;
use crate::script::Faults;

pub use vary::{Label, Vary};
pub use write::write;

/// How many variants there are at most.
pub const MOST_VARIANTS: usize = 256;

/// Why there is nothing to try.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// What is to be varied is not written as it should be.
    #[error("\"{0}\" varies nothing; write table.column=1,2,3 or table[column=value].column=1,2,3")]
    NotVaried(String),
    /// A label is not written as it should be.
    #[error("\"{0}\" is no label; write table.column or table.column=value")]
    NotLabel(String),
    /// There is no such table or view.
    #[error("there is no table or view \"{name}\"{}", hint(.near))]
    NoRelation {
        /// What was named.
        name: String,
        /// One of a like name.
        near: Option<String>,
    },
    /// There is no such column.
    #[error("\"{relation}\" has no column \"{column}\"{}", hint(.near))]
    NoColumn {
        /// The table or view.
        relation: String,
        /// What was named.
        column: String,
        /// One of a like name.
        near: Option<String>,
    },
    /// The view does not depend on what is varied.
    #[error("view \"{view}\" does not depend on \"{relation}\", so varying that changes nothing")]
    Independent {
        /// The view.
        view: String,
        /// What is varied.
        relation: String,
    },
    /// A name within a query hides what is varied.
    #[error(
        "view \"{view}\" has a WITH of the name \"{name}\", which is also that of something that \
         varies; rename it there"
    )]
    Hidden {
        /// The view.
        view: String,
        /// The name.
        name: String,
    },
    /// There are too many variants.
    #[error("these are {0} variants; at most {MOST_VARIANTS} run side by side")]
    TooMany(usize),
    /// The variants cannot be planned.
    #[error(transparent)]
    Faults(#[from] Faults),
}

fn hint(near: &Option<String>) -> String {
    near.as_ref()
        .map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"))
}

/// What is to be tried.
#[derive(Debug, Clone)]
pub struct Backtest {
    /// What varies; of several, every combination is a variant.
    pub vary: Vec<Vary>,
    /// The view whose rows are blocked.
    pub view: String,
    /// The column of that view that names what is blocked.
    pub key: String,
    /// The table or view of all that could be blocked, with a column of the same name.
    pub of: String,
    /// What tells whether it was right, keyed by a column of the same name.
    pub label: Option<Label>,
}

impl Backtest {
    /// The values of each variant, in the order of what varies; the script as it is comes first and
    /// has none.
    ///
    /// # Errors
    /// If there are too many.
    pub fn variants(&self) -> Result<Vec<Vec<Option<String>>>, BacktestError> {
        let mut combinations: Vec<Vec<Option<String>>> = vec![Vec::new()];
        let count = self.vary.iter().map(|vary| vary.values.len()).product();
        if count > MOST_VARIANTS {
            return Err(BacktestError::TooMany(count));
        }
        for vary in &self.vary {
            let longer = |short: &Vec<Option<String>>| {
                let values = vary.values.iter().map(|value| Some(value.clone()));
                let combine = values.map(|value| [short.as_slice(), &[value]].concat());
                combine.collect::<Vec<_>>()
            };
            combinations = combinations.iter().flat_map(longer).collect();
        }
        let as_it_is = vec![None; self.vary.len()];
        Ok(std::iter::once(as_it_is).chain(combinations).collect())
    }
}

/// What came of a variant.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The values of the variant; none for the script as it is.
    pub values: Vec<Option<String>>,
    /// How many are blocked.
    pub blocked: i64,
    /// Out of how many.
    pub total: i64,
    /// Of those that are blocked and of all, where there are labels.
    pub labelled: Option<Labelled>,
}

/// How right a variant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labelled {
    /// How many of those that are blocked have a label.
    pub known: i64,
    /// How many of them are rightly blocked.
    pub hits: i64,
    /// How many should be blocked, of all.
    pub wanted: i64,
}

impl Outcome {
    /// The share of what is blocked; none of nothing.
    pub fn share(&self) -> Option<f64> {
        ratio(self.blocked, self.total)
    }

    /// The share of what is rightly blocked among what is blocked and has a label.
    pub fn precision(&self) -> Option<f64> {
        let labelled = self.labelled?;
        ratio(labelled.hits, labelled.known)
    }

    /// The share of what is blocked among what should be.
    pub fn recall(&self) -> Option<f64> {
        let labelled = self.labelled?;
        ratio(labelled.hits, labelled.wanted)
    }
}

fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole != 0).then(|| part as f64 / whole as f64)
}

/// Reads the outcome of each variant off a replay of the script that [`write()`] wrote.
pub fn outcomes(snapshot: &Snapshot, variants: &[Vec<Option<String>>]) -> Vec<Outcome> {
    let all = snapshot.rows(write::ALL);
    let count = |rows: &Option<RecordBatch>, name: &str| {
        let column = rows.as_ref().and_then(|rows| rows.column_by_name(name));
        let values = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
        let known = values.filter(|values| !values.is_empty());
        known.map(|values| values.value(0))
    };
    let outcome = |(at, values): (usize, &Vec<Option<String>>)| {
        let rows = snapshot.rows(&write::count_view(at));
        let labelled = count(&rows, "hits").map(|hits| Labelled {
            known: count(&rows, "known").unwrap_or(0),
            hits,
            wanted: count(&all, "wanted").unwrap_or(0),
        });
        Outcome {
            values: values.clone(),
            blocked: count(&rows, "blocked").unwrap_or(0),
            total: count(&all, "total").unwrap_or(0),
            labelled,
        }
    };
    variants.iter().enumerate().map(outcome).collect()
}
