//! Rows that a worker has met before are held back where once is enough.
//!
//! Deltas flow in and out, without the rows whose keys this worker let through already. It is put
//! before what only asks whether a row is there at all (DISTINCT, distinct aggregates), where rows
//! are never taken back: a row then crosses to the worker that owns it once, not once an epoch.
//!
//! A row is only held back if an equal one went through at its time or before, so answers are right
//! at every time. What is remembered is given up when it is much, or where rows hardly repeat;
//! then rows go through again, which does no harm.

use arrow::array::{ArrayRef, BooleanArray, BooleanBufferBuilder};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Result;
use hashbrown::HashSet;

use super::flow::Flow;
use super::keys::{KeyGroups, is_plain};
use super::{Outcomes, RenderError, map};
use crate::delta::{Delta, Time};

/// So many different rows are remembered.
const MOST_ROWS: usize = 1 << 19;
/// Rows that come less than so many times each, on average, are not worth remembering.
const WORTH_TIMES: usize = 2;
/// So many times as many rows as were looked at in vain go through unseen before the next trial;
/// with each trial in vain, so many times more.
const PATIENCE: usize = 4;
/// Of the last column, the values met with each of the first so many groups of the other columns
/// are marked in a bitmap; with the others, in a hash table. Bitmaps are a hundred times smaller if
/// groups are few, and waste memory if they are many.
const MARKED_GROUPS: usize = 64;

/// Renders the rows of a stream that are new to this worker, by some of their columns.
///
/// # Errors
///
/// If rows cannot be grouped by columns of these types.
pub(super) fn sieve<'scope>(
    rows: impl Into<Flow<'scope>>,
    schema: &SchemaRef,
    keys: Vec<usize>,
) -> std::result::Result<Outcomes<'scope>, RenderError> {
    let schema = map::project_schema(schema, &keys);
    let mut sieve = Sieve {
        met: Met::new(&schema)?,
        schema,
        keys,
        latest: Time::MIN,
        seen: 0,
        unseen: 0,
        pause: PATIENCE,
    };
    Ok(map::each(rows, "Sieve", move |delta, outcomes| {
        let delta = sieve.pass(delta);
        if !delta.is_empty() {
            outcomes.push(Ok(delta));
        }
    }))
}

struct Sieve {
    schema: SchemaRef,
    keys: Vec<usize>,
    met: Met,
    /// No row that is remembered went through later.
    latest: Time,
    /// How many rows were looked at for what is remembered.
    seen: usize,
    /// How many rows still go through without a look.
    unseen: usize,
    /// How many rows go through after the next trial in vain, as a multiple of those looked at.
    pause: usize,
}

impl Sieve {
    /// The rows that go through.
    fn pass(&mut self, delta: Delta) -> Delta {
        if self.unseen > 0 {
            self.unseen = self.unseen.saturating_sub(delta.len());
            return delta;
        }
        if delta.diffs.is_some() || delta.time < self.latest {
            return delta;
        }
        self.latest = delta.time;
        let keys: Vec<ArrayRef> = self
            .keys
            .iter()
            .map(|at| delta.batch.column(*at).clone())
            .collect();
        let new = self.met.meet(&keys).expect("keys are of the sieve's types");
        self.seen += delta.len();
        if self.met.count >= MOST_ROWS {
            self.start_again();
        }
        delta.filter(&new).expect("a mark for each row")
    }

    /// Forgets everything; after a trial in vain, for a while nothing is remembered either.
    fn start_again(&mut self) {
        if self.seen < WORTH_TIMES * self.met.count {
            self.unseen = self.seen.saturating_mul(self.pause);
            self.pause = self.pause.saturating_mul(PATIENCE);
        } else {
            self.pause = PATIENCE;
        }
        self.met = Met::new(&self.schema).expect("made once at the start");
        self.seen = 0;
    }
}

/// The different rows met so far.
struct Met {
    /// The groups of all columns but the last, if rows can be told apart column by column.
    groups: Option<KeyGroups>,
    /// The values of the last column, or whole rows.
    values: KeyGroups,
    /// By group: which values were met with it.
    marks: Vec<Vec<u64>>,
    /// Groups and values beyond those.
    pairs: HashSet<(usize, usize)>,
    count: usize,
    group_of_row: Vec<usize>,
    value_of_row: Vec<usize>,
}

impl Met {
    fn new(schema: &SchemaRef) -> Result<Met> {
        let fields = schema.fields();
        let part = |fields: &[_]| KeyGroups::new(Schema::new(fields.to_vec()).into());
        let by_column = fields.len() > 1 && fields.iter().all(|field| is_plain(field.data_type()));
        let (groups, values) = if by_column {
            let (last, others) = fields.split_last().expect("there are several");
            (Some(part(others)?), part(std::slice::from_ref(last))?)
        } else {
            (None, part(fields)?)
        };
        Ok(Met {
            groups,
            values,
            marks: vec![Vec::new(); MARKED_GROUPS],
            pairs: HashSet::new(),
            count: 0,
            group_of_row: Vec::new(),
            value_of_row: Vec::new(),
        })
    }

    /// Which rows are met for the first time; all are remembered.
    fn meet(&mut self, keys: &[ArrayRef]) -> Result<BooleanArray> {
        let last = match &mut self.groups {
            Some(groups) => {
                let (others, last) = keys.split_at(keys.len() - 1);
                groups.intern(others, &mut self.group_of_row)?;
                last
            }
            None => keys,
        };
        self.values.intern(last, &mut self.value_of_row)?;
        let mut new = BooleanBufferBuilder::new(self.value_of_row.len());
        if self.groups.is_none() {
            // Numbers are given out in the order in which rows are first met.
            for value in &self.value_of_row {
                let is_new = *value == self.count;
                self.count += usize::from(is_new);
                new.append(is_new);
            }
        } else {
            for row in 0..self.value_of_row.len() {
                new.append(self.mark(row));
            }
        }
        Ok(BooleanArray::new(new.finish(), None))
    }

    /// Marks the group and value of a row; whether they had not met before.
    #[inline]
    fn mark(&mut self, row: usize) -> bool {
        let (group, value) = (self.group_of_row[row], self.value_of_row[row]);
        let is_new = match self.marks.get_mut(group) {
            Some(marks) => {
                let (word, bit) = (value / 64, 1 << (value % 64));
                if word >= marks.len() {
                    marks.resize(word + 1, 0);
                }
                let is_new = marks[word] & bit == 0;
                marks[word] |= bit;
                is_new
            }
            None => self.pairs.insert((group, value)),
        };
        self.count += usize::from(is_new);
        is_new
    }
}
