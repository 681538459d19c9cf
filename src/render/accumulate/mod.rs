//! Aggregates whose state can be added to and taken back from exactly: `count`, `sum`, `avg`,
//! `stddev`, `var`, `covar`, `corr`, `regr_*`, `bool_and`, `bool_or`.
//!
//! Batches flow in with a group and a multiplicity for each row; states that add up flow between
//! workers and into checkpoints; arrays of answers come out. A [`Layout`] says which components a
//! Reduce's aggregates need between them; [`Accumulators`] hold the components of many groups, a
//! column each, so that an update is a tight loop and no row allocates.
//!
//! A component is an element of a commutative group: integers modulo a power of two that no true
//! sum reaches, or an [`ExactSum`] of doubles. So the state is a function of the rows as a multiset:
//! no order, partition over workers, or retraction shows in an answer, and rows that were all taken
//! back leave zero. That is what differential dataflow asks of a diff.
//!
//! Invariants: component 0 counts the rows, also those that a filter leaves out; every column has
//! one entry a group.

mod big;
mod encode;
mod evaluate;
mod exact;
mod layout;
mod question;
mod statistics;
mod update;
mod wide;

use arrow::datatypes::DataType;
use datafusion::error::DataFusionError;

pub use exact::ExactSum;
pub use layout::Layout;

use wide::Wide;

/// Why aggregates cannot be accumulated.
#[derive(Debug, thiserror::Error)]
pub enum AccumulateError {
    /// The aggregate is of another class, see [`Layout::is_accumulable`].
    #[error("aggregate \"{0}\" cannot be accumulated")]
    NotAccumulable(String),
    /// The aggregate's result cannot be of the type that was asked for.
    #[error("aggregate \"{name}\" cannot yield {data_type}")]
    WrongResult {
        /// The aggregate.
        name: String,
        /// The type.
        data_type: DataType,
    },
    /// An argument's type could not be told.
    #[error("could not type an argument of aggregate \"{name}\"")]
    Argument {
        /// The aggregate.
        name: String,
        /// Why not.
        #[source]
        source: Box<DataFusionError>,
    },
    /// A batch's columns do not have the length of its groups.
    #[error("a batch of {rows} rows came with {found} values")]
    WrongLength {
        /// How many groups came with the batch.
        rows: usize,
        /// How many values.
        found: usize,
    },
    /// An argument was evaluated to another type than its expression's.
    #[error("an argument of type {expected} came as {found}")]
    WrongType {
        /// The expression's type.
        expected: DataType,
        /// The array's type.
        found: DataType,
    },
    /// An argument that is never null was null.
    #[error("an argument that is declared NOT NULL came with nulls")]
    UnexpectedNull,
    /// A filter was not evaluated.
    #[error("an aggregate's filter was not evaluated")]
    MissingFilter,
    /// The bytes were written by another version.
    #[error("accumulators are written in version {0}, which this program does not read")]
    OtherVersion(u8),
    /// The bytes were written for other aggregates.
    #[error("accumulators were written for other aggregates")]
    OtherLayout,
    /// The bytes are damaged.
    #[error("accumulators are damaged: {0} cannot be right")]
    Malformed(&'static str),
}

/// The components of many groups. A group is a position; which key it belongs to is known to the
/// caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accumulators {
    groups: usize,
    columns: Vec<Column>,
}

/// One component of every group.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Column {
    /// Multiplicities, modulo 2^64.
    Count(Vec<i64>),
    /// Sums of integers of at most 64 bits, modulo 2^128.
    Integer(Vec<i128>),
    /// Sums of decimals of at most 128 bits.
    Decimal(Vec<Wide>),
    /// Sums of doubles and of products of doubles.
    Float(Vec<ExactSum>),
}

/// Evaluates an expression with the vector inside any [`Column`].
macro_rules! for_column {
    ($column:expr, $values:ident => $body:expr) => {
        match $column {
            Column::Count($values) => $body,
            Column::Integer($values) => $body,
            Column::Decimal($values) => $body,
            Column::Float($values) => $body,
        }
    };
}

impl Accumulators {
    fn new(columns: Vec<Column>) -> Accumulators {
        Accumulators { groups: 0, columns }
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.groups
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.groups == 0
    }

    /// Appends groups of no rows, or drops the last groups, until there are `groups`.
    pub fn resize(&mut self, groups: usize) {
        for column in &mut self.columns {
            for_column!(column, values => values.resize(groups, Default::default()));
        }
        self.groups = groups;
    }

    /// Drops all groups, and keeps the memory for others.
    pub fn clear(&mut self) {
        self.resize(0);
    }

    /// The bytes held on the heap. Takes time linear in the groups for sums of doubles.
    pub fn heap_bytes(&self) -> usize {
        let columns = self.columns.iter().map(|column| match column {
            Column::Float(sums) => {
                let outside: usize = sums.iter().map(ExactSum::heap_bytes).sum();
                sums.capacity() * size_of::<ExactSum>() + outside
            }
            Column::Count(counts) => counts.capacity() * size_of::<i64>(),
            Column::Integer(sums) => sums.capacity() * size_of::<i128>(),
            Column::Decimal(sums) => sums.capacity() * size_of::<Wide>(),
        });
        columns.sum::<usize>() + self.columns.capacity() * size_of::<Column>()
    }

    /// How many rows a group has.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn rows(&self, group: usize) -> i64 {
        match &self.columns[layout::ROWS] {
            Column::Count(counts) => counts[group],
            _ => unreachable!("component 0 counts the rows"),
        }
    }

    /// Whether everything that was added to a group has been taken back.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn is_zero(&self, group: usize) -> bool {
        self.columns.iter().all(|column| match column {
            Column::Count(counts) => counts[group] == 0,
            Column::Integer(sums) => sums[group] == 0,
            Column::Decimal(sums) => sums[group] == Wide::default(),
            Column::Float(sums) => sums[group].is_zero(),
        })
    }

    /// Makes a group one of no rows.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn reset(&mut self, group: usize) {
        for column in &mut self.columns {
            for_column!(column, values => values[group] = Default::default());
        }
    }

    /// Adds group `from` of `other` to group `to` for each pair of `(from, to)`.
    ///
    /// # Panics
    /// If there is no such group, or `other` is of another layout.
    pub fn merge(
        &mut self,
        other: &Accumulators,
        pairs: impl Iterator<Item = (usize, usize)> + Clone,
    ) {
        for (mine, theirs) in self.columns.iter_mut().zip(&other.columns) {
            let pairs = pairs.clone();
            match (mine, theirs) {
                (Column::Count(to), Column::Count(from)) => {
                    pairs.for_each(|(f, t)| to[t] = to[t].wrapping_add(from[f]));
                }
                (Column::Integer(to), Column::Integer(from)) => {
                    pairs.for_each(|(f, t)| to[t] = to[t].wrapping_add(from[f]));
                }
                (Column::Decimal(to), Column::Decimal(from)) => {
                    pairs.for_each(|(f, t)| to[t].merge(&from[f]));
                }
                (Column::Float(to), Column::Float(from)) => {
                    pairs.for_each(|(f, t)| to[t].merge(&from[f]));
                }
                _ => panic!("merged accumulators are of one layout"),
            }
        }
    }

    /// Copies group `from` of `other` over group `to`.
    ///
    /// # Panics
    /// If there is no such group, or `other` is of another layout.
    pub fn copy_group(&mut self, other: &Accumulators, from: usize, to: usize) {
        for (mine, theirs) in self.columns.iter_mut().zip(&other.columns) {
            match (mine, theirs) {
                (Column::Count(to_), Column::Count(from_)) => to_[to] = from_[from],
                (Column::Integer(to_), Column::Integer(from_)) => to_[to] = from_[from],
                (Column::Decimal(to_), Column::Decimal(from_)) => to_[to] = from_[from],
                (Column::Float(to_), Column::Float(from_)) => to_[to].clone_from(&from_[from]),
                _ => panic!("copied accumulators are of one layout"),
            }
        }
    }

    /// Copies of the chosen groups, in the order of `groups`.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn take(&self, groups: &[usize]) -> Accumulators {
        let columns = self.columns.iter().map(|column| match column {
            Column::Count(counts) => Column::Count(groups.iter().map(|g| counts[*g]).collect()),
            Column::Integer(sums) => Column::Integer(groups.iter().map(|g| sums[*g]).collect()),
            Column::Decimal(sums) => Column::Decimal(groups.iter().map(|g| sums[*g]).collect()),
            Column::Float(sums) => Column::Float(groups.iter().map(|g| sums[*g].clone()).collect()),
        });
        Accumulators {
            groups: groups.len(),
            columns: columns.collect(),
        }
    }

    /// Drops a group; the last group moves to its place.
    ///
    /// # Panics
    /// If there is no such group.
    pub fn swap_remove(&mut self, group: usize) {
        for column in &mut self.columns {
            for_column!(column, values => {
                values.swap_remove(group);
            });
        }
        self.groups -= 1;
    }
}
