//! Aggregates of several classes brought together: one row a group from one part a class.
//!
//! Each part's rows of (keys, some answers) flow in; rows of (keys, all answers) flow out. The
//! first part says which groups there are; a group that another part has no row for takes that
//! part's answer for nothing. All parts are keyed alike, so a group's parts meet on one worker.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use hashbrown::HashSet;
use timely::dataflow::Scope;

use super::epoch::{EpochLogic, by_epoch};
use super::flow::Flow;
use super::map::batch;
use super::{Outcome, Outcomes, RenderError};
use crate::delta::{Delta, Diff, Time};
use crate::row::{ByteStore, KeyTable, RowCodec, Rows, key_bytes};

/// One class's share of the answers.
pub(super) struct Part<'scope> {
    /// Rows of the keys and the part's answers.
    pub(super) rows: Flow<'scope>,
    /// Their schema.
    pub(super) schema: SchemaRef,
    /// The answers for a group that the part has no row for, encoded.
    pub(super) of_nothing: Vec<u8>,
}

/// Renders the collation of parts whose rows begin with `keys` key columns. `columns` says for
/// each answer of `schema` which part has it, and where among the part's answers.
pub(super) fn collate<'scope>(
    scope: Scope<'scope, Time>,
    parts: Vec<Part<'scope>>,
    keys: usize,
    columns: Vec<(usize, usize)>,
    schema: SchemaRef,
) -> Result<Outcomes<'scope>, RenderError> {
    let key_codec = RowCodec::new(
        schema.fields()[..keys]
            .iter()
            .map(|field| field.data_type()),
    )?;
    let mut flows = Vec::with_capacity(parts.len());
    let mut states = Vec::with_capacity(parts.len());
    let mut encoders = Vec::with_capacity(parts.len());
    for part in parts {
        let fields = part.schema.fields();
        let codec = || RowCodec::new(fields[keys..].iter().map(|field| field.data_type()));
        let key_codec = RowCodec::new(
            schema.fields()[..keys]
                .iter()
                .map(|field| field.data_type()),
        )?;
        encoders.push((key_codec, codec()?));
        states.push(PartState {
            codec: codec()?,
            of_nothing: part.of_nothing,
            answers: ByteStore::default(),
        });
        flows.push(part.rows);
    }
    let groups = Groups {
        pending: BTreeMap::new(),
        encoders,
        table: KeyTable::default(),
        key_codec,
        parts: states,
        columns,
        schema,
    };
    Ok(by_epoch(scope, flows, "Collate", false, groups))
}

/// A part's changes, encoded.
struct Share {
    part: usize,
    keys: Rows,
    answers: Rows,
    diffs: Vec<Diff>,
}

struct PartState {
    codec: RowCodec,
    of_nothing: Vec<u8>,
    /// By group: a mark that the part has a row, then the row's answers.
    answers: ByteStore,
}

/// Before the answers of a row that is there, so that a row without columns is not an unset slot.
const PRESENT: u8 = 1;

struct Groups {
    pending: BTreeMap<Time, Vec<Share>>,
    /// By part: the codecs of its keys and of its answers.
    encoders: Vec<(RowCodec, RowCodec)>,
    table: KeyTable,
    key_codec: RowCodec,
    parts: Vec<PartState>,
    columns: Vec<(usize, usize)>,
    schema: SchemaRef,
}

/// Rows by key and by part.
struct Changed {
    keys: Rows,
    answers: Vec<Rows>,
    diffs: Vec<Diff>,
}

impl EpochLogic for Groups {
    fn add(&mut self, part: usize, delta: Delta) {
        let (key_codec, codec) = &self.encoders[part];
        let keys = self.schema.fields().len() - self.columns.len();
        let (key_columns, answers) = delta.batch.columns().split_at(keys);
        let keys = key_codec.encode_keys(key_columns, delta.len());
        let answers = codec.encode(answers, delta.len());
        let share = Share {
            part,
            keys: keys.expect("the part's keys"),
            answers: answers.expect("the part's answers"),
            diffs: delta.diffs_vec(),
        };
        self.pending.entry(delta.time).or_default().push(share);
    }

    fn complete(&mut self, time: Time, outcomes: &mut Vec<Outcome>) {
        let shares = self.pending.remove(&time).unwrap_or_default();
        self.apply(time, &shares, outcomes);
    }
}

impl Groups {
    fn apply(&mut self, time: Time, shares: &[Share], outcomes: &mut Vec<Outcome>) {
        let mut touched: HashSet<usize> = HashSet::new();
        let mut slots: Vec<Vec<usize>> = Vec::with_capacity(shares.len());
        for share in shares {
            slots.push(
                share
                    .keys
                    .iter()
                    .map(|key| self.table.intern(key).0)
                    .collect(),
            );
        }
        touched.extend(slots.iter().flatten());
        let mut touched: Vec<usize> = touched.into_iter().collect();
        touched.sort_unstable();

        let answers = self.parts.iter().map(|_| Rows::default()).collect();
        let mut changed = Changed {
            keys: Rows::default(),
            answers,
            diffs: Vec::new(),
        };
        touched
            .iter()
            .for_each(|slot| self.collect(*slot, -1, &mut changed));
        self.store(shares, &slots);
        touched
            .iter()
            .for_each(|slot| self.collect(*slot, 1, &mut changed));
        if !changed.diffs.is_empty() {
            outcomes.push(Ok(self.delta(changed, time)));
        }
        for slot in touched {
            if self
                .parts
                .iter()
                .all(|part| part.answers.get(slot).is_empty())
            {
                self.table.remove(slot);
            }
        }
    }

    /// Takes over the parts' changes: what is taken back first, then what is added.
    fn store(&mut self, shares: &[Share], slots: &[Vec<usize>]) {
        let mut row = Vec::new();
        for added in [false, true] {
            for (share, slots) in shares.iter().zip(slots) {
                let answers = &mut self.parts[share.part].answers;
                for (at, slot) in slots.iter().enumerate() {
                    match (added, share.diffs[at] > 0) {
                        (true, true) => {
                            row.clear();
                            row.push(PRESENT);
                            row.extend_from_slice(share.answers.get(at));
                            answers.set(*slot, &row);
                        }
                        (false, false) => answers.clear(*slot),
                        _ => {}
                    }
                }
            }
        }
    }

    /// Adds a group's row as it stands to what has changed, if the group is there.
    fn collect(&self, slot: usize, diff: Diff, changed: &mut Changed) {
        if self.parts[0].answers.get(slot).is_empty() {
            return;
        }
        changed.keys.push(key_bytes(self.table.key(slot)));
        changed.diffs.push(diff);
        for (part, rows) in self.parts.iter().zip(&mut changed.answers) {
            rows.push(part.answers.get(slot).get(1..).unwrap_or(&part.of_nothing));
        }
    }

    fn delta(&self, changed: Changed, time: Time) -> Delta {
        let rows = changed.diffs.len();
        let mut columns = self
            .key_codec
            .decode(changed.keys.iter())
            .expect("encoded keys");
        let answers: Vec<_> = self
            .parts
            .iter()
            .zip(&changed.answers)
            .map(|(part, rows)| part.codec.decode(rows.iter()).expect("encoded answers"))
            .collect();
        columns.extend(
            self.columns
                .iter()
                .map(|(part, at)| answers[*part][*at].clone()),
        );
        let rows = batch(&self.schema, columns, rows).expect("the answer's columns");
        Delta::new(rows, changed.diffs, time)
    }
}
