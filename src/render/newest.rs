//! The newest rejects of each input, so that a run of months keeps no more of them than it is told.
//!
//! Rejects flow in, and so they flow out; when an input has more than the limit, its oldest are taken
//! back. What is taken back of a row that is gone already is passed over. Each worker sees the rejects
//! that it made itself and keeps its share of the limit. State: the rows that stand.

use std::collections::{HashMap, VecDeque};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::error::ArrowError;
use timely::dataflow::channels::pact::Pipeline;

use super::epoch::per_epoch;
use super::{Deltas, Outcomes};
use crate::delta::{Delta, Diff, Time};
use crate::plan::rejects_schema;
use crate::row::RowCodec;

/// Renders the limit, which is this worker's share.
pub(super) fn newest<'scope>(
    rejects: Deltas<'scope>,
    most: usize,
) -> Result<Outcomes<'scope>, ArrowError> {
    let mut newest = Newest::new(most)?;
    Ok(per_epoch(
        rejects,
        Pipeline,
        "Newest",
        false,
        move |_time, deltas, outcomes| {
            for delta in deltas {
                outcomes.extend(newest.pass(&delta).map(Ok));
            }
        },
    ))
}

/// The newest rejects of each input on one worker.
pub(super) struct Newest {
    /// How many rows of an input stand at most.
    most: usize,
    codec: RowCodec,
    /// By input, none for rows that an expression failed on.
    inputs: HashMap<Option<String>, Standing>,
}

/// The rows of an input that stand, the oldest first.
#[derive(Default)]
struct Standing {
    rows: VecDeque<Box<[u8]>>,
    counts: HashMap<Box<[u8]>, usize>,
}

impl Standing {
    fn add(&mut self, row: &[u8]) {
        self.rows.push_back(row.into());
        *self.counts.entry(row.into()).or_default() += 1;
    }

    /// Whether the row stood.
    fn remove(&mut self, row: &[u8]) -> bool {
        let Some(count) = self.counts.get_mut(row) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(row);
        }
        // What is taken back has mostly come of late.
        let place = self.rows.iter().rposition(|other| **other == *row);
        place.is_some_and(|place| self.rows.remove(place).is_some())
    }

    fn oldest(&mut self) -> Option<Box<[u8]>> {
        let row = self.rows.pop_front()?;
        if let Some(count) = self.counts.get_mut(&row) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&row);
            }
        }
        Some(row)
    }
}

impl Newest {
    /// None yet.
    ///
    /// # Errors
    /// If rejects cannot be kept.
    pub(super) fn new(most: usize) -> Result<Newest, ArrowError> {
        Ok(Newest {
            most,
            codec: RowCodec::for_fields(rejects_schema().fields())?,
            inputs: HashMap::new(),
        })
    }

    /// What passes of some rejects, and what is taken back since it is too much by now.
    pub(super) fn pass(&mut self, delta: &Delta) -> impl Iterator<Item = Delta> + use<> {
        let passed = self.take(delta);
        let gone = self.forget(delta.time);
        passed.into_iter().chain(gone)
    }

    /// The rejects, but for the loss of rows that are gone already.
    fn take(&mut self, delta: &Delta) -> Option<Delta> {
        let inputs = delta.batch.column(0).as_string::<i32>();
        let rows = self
            .codec
            .encode(delta.batch.columns(), delta.len())
            .expect("rejects are of their schema");
        let mut diffs: Vec<Diff> = Vec::with_capacity(delta.len());
        for (at, row) in rows.iter().enumerate() {
            let input = inputs.is_valid(at).then(|| inputs.value(at).to_owned());
            let standing = self.inputs.entry(input).or_default();
            let diff = delta.diff(at);
            if diff >= 0 {
                (0..diff).for_each(|_| standing.add(row));
                diffs.push(diff);
                continue;
            }
            let gone = (diff..0).filter(|_| standing.remove(row)).count();
            diffs.push(-Diff::try_from(gone).unwrap_or(Diff::MAX));
        }
        let stay = diffs.iter().map(|diff| Some(*diff != 0)).collect();
        let passed = Delta::new(delta.batch.clone(), diffs, delta.time)
            .filter(&stay)
            .expect("a decision a row");
        (!passed.is_empty()).then_some(passed)
    }

    /// What is too much, taken back.
    fn forget(&mut self, time: Time) -> Option<Delta> {
        let mut gone: Vec<Box<[u8]>> = Vec::new();
        for standing in self.inputs.values_mut() {
            while standing.rows.len() > self.most {
                gone.extend(standing.oldest());
            }
        }
        if gone.is_empty() {
            return None;
        }
        let columns = self.codec.decode(gone.iter().map(|row| &**row));
        let batch = columns.and_then(|columns| RecordBatch::try_new(rejects_schema(), columns));
        let batch = batch.expect("rejects are of their schema");
        let diffs = vec![-1; gone.len()];
        Some(Delta::new(batch, diffs, time))
    }
}
