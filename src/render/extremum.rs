//! The least or the greatest value of each group.
//!
//! Rows of (keys, value) flow in, one row a group with its best value flows out. Where rows may be
//! taken back, all values are arranged in order, and the answer is the first of each group. Where
//! rows are only ever added, nothing but the best value so far is kept: each worker finds the best
//! of its share of an epoch, and the worker that owns the group the best of all.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, SchemaRef};
use serde::{Deserialize, Serialize};
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;

use super::arrange::{Arrangement, Order, arrange};
use super::epoch::{Messages, Timed, per_epoch, waiting};
use super::flow::Flow;
use super::map::batch;
use super::topk::{First, From, first};
use super::{Outcomes, RenderError};
use crate::delta::{Delta, Diff, Time};
use crate::row::{ByteStore, KeyTable, RowCodec, Rows, key_bytes, key_hash, owner};

/// An extremum before rows come.
pub(super) struct Extremum {
    /// The columns of the rows that come: the keys, then the value.
    pub(super) input: SchemaRef,
    /// The columns of the answer.
    pub(super) schema: SchemaRef,
    /// Whether the greatest value is wanted.
    pub(super) greatest: bool,
    /// Whether no row is ever taken back.
    pub(super) only_added: bool,
}

impl Extremum {
    /// Renders the extremum of a stream of rows without nulls in the value.
    pub(super) fn render<'scope>(
        self,
        rows: Flow<'scope>,
        peers: usize,
    ) -> Result<Outcomes<'scope>, RenderError> {
        if self.only_added {
            self.best(rows, peers)
        } else {
            self.first(rows, peers)
        }
    }

    fn keys(&self) -> usize {
        self.input.fields().len() - 1
    }

    fn first<'scope>(
        self,
        rows: Flow<'scope>,
        peers: usize,
    ) -> Result<Outcomes<'scope>, RenderError> {
        let keys = self.keys();
        let order = Order {
            descending: self.greatest,
            nulls_last: false,
        };
        let arrangement = Arrangement {
            key: (0..keys).collect(),
            value: vec![(keys, order)],
            null_keys: true,
        };
        let arranged = arrange(rows, &self.input, &arrangement, peers)?;
        let columns = (0..keys).map(From::Key).chain([From::Value(0)]).collect();
        let logic = First {
            skip: 0,
            limit: 1,
            columns,
            key_codec: arrangement.key_codec(&self.input)?,
            value_codec: arrangement.value_codec(&self.input)?,
            schema: self.schema,
        };
        Ok(first(arranged, logic))
    }

    fn best<'scope>(
        self,
        rows: Flow<'scope>,
        peers: usize,
    ) -> Result<Outcomes<'scope>, RenderError> {
        let found = find(rows, self.codecs()?, self.keys(), peers);
        let codecs = self.codecs()?;
        let mut all = Bests::default();
        let exchange = Exchange::new(|found: &Found| found.to as u64);
        Ok(per_epoch(
            found,
            exchange,
            "Extremum",
            false,
            move |time, found, outcomes| {
                let changed = all.merge(&found);
                if !changed.diffs.is_empty() {
                    outcomes.push(Ok(changed.delta(&codecs, &self.schema, time)));
                }
            },
        ))
    }

    fn codecs(&self) -> Result<Codecs, RenderError> {
        let types: Vec<DataType> = self
            .input
            .fields()
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let (keys, value) = types.split_at(self.keys());
        let options = SortOptions {
            descending: self.greatest,
            nulls_first: true,
        };
        let value = value.iter().map(|value| (value.clone(), options));
        Ok(Codecs {
            keys: RowCodec::new(keys)?,
            value: RowCodec::with_order(value)?,
        })
    }
}

/// How keys and values are encoded: the best value is the least.
struct Codecs {
    keys: RowCodec,
    value: RowCodec,
}

/// What one worker found to be best in an epoch, on its way to the worker that owns the groups.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Found {
    to: usize,
    time: Time,
    keys: Rows,
    values: Rows,
}

impl Timed for Found {
    fn time(&self) -> Time {
        self.time
    }
}

/// Finds what is best in each epoch of one worker's share.
fn find<'scope>(
    rows: Flow<'scope>,
    codecs: Codecs,
    keys: usize,
    peers: usize,
) -> Messages<'scope, Found> {
    let mut pending: BTreeMap<Time, (Capability<Time>, Bests)> = BTreeMap::new();
    waiting(rows, "FindExtremum", move |inlets, is_open, output| {
        inlets.each(|capability, delta| {
            let time = delta.time;
            let (_, bests) = pending
                .entry(time)
                .or_insert_with(|| (capability.delayed(&time, 0), Bests::default()));
            bests.add(&delta, &codecs, keys);
        });
        while let Some(entry) = pending.first_entry() {
            if is_open(entry.key()) {
                break;
            }
            let (time, (capability, bests)) = entry.remove_entry();
            let mut session = output.session(&capability);
            session.give_iterator(bests.scatter(time, peers).into_iter());
        }
    })
}

/// The best value of each group.
#[derive(Default)]
struct Bests {
    groups: KeyTable,
    values: ByteStore,
}

impl Bests {
    fn add(&mut self, delta: &Delta, codecs: &Codecs, keys: usize) {
        let (keys, value) = delta.batch.columns().split_at(keys);
        let keys = codecs.keys.encode_keys(keys, delta.len());
        let keys = keys.expect("the batch fits its schema");
        let values = codecs.value.encode(value, delta.len());
        let values = values.expect("the batch fits its schema");
        for (key, value) in keys.iter().zip(values.iter()) {
            let (group, is_new) = self.groups.intern(key);
            if is_new || value < self.values.get(group) {
                self.values.set(group, value);
            }
        }
    }

    /// All of them, by the workers that own the groups.
    fn scatter(&self, time: Time, peers: usize) -> Vec<Found> {
        let mut parts: Vec<Found> = (0..peers)
            .map(|to| Found {
                to,
                time,
                keys: Rows::default(),
                values: Rows::default(),
            })
            .collect();
        for group in self.groups.iter() {
            let key = self.groups.key(group);
            let part = &mut parts[owner(key_hash(key), peers)];
            part.keys.push(key);
            part.values.push(self.values.get(group));
        }
        parts.retain(|part| !part.keys.is_empty());
        parts
    }

    /// Takes over what was found in an epoch: the answers that change.
    fn merge(&mut self, found: &[Found]) -> Changed {
        let mut changed = Changed::default();
        let mut touched: Vec<usize> = Vec::new();
        // Whether a group's answer before the epoch has been taken back, if it had one.
        let mut is_touched = vec![false; self.groups.slots()];
        for found in found {
            for (key, value) in found.keys.iter().zip(found.values.iter()) {
                let (group, is_new) = self.groups.intern(key);
                if !is_new && value >= self.values.get(group) {
                    continue;
                }
                if group >= is_touched.len() {
                    is_touched.resize(group + 1, false);
                }
                if !is_touched[group] {
                    is_touched[group] = true;
                    touched.push(group);
                    if !is_new {
                        changed.push(key, self.values.get(group), -1);
                    }
                }
                self.values.set(group, value);
            }
        }
        for group in touched {
            changed.push(self.groups.key(group), self.values.get(group), 1);
        }
        changed
    }
}

/// Answers that are taken back or added.
#[derive(Default)]
struct Changed {
    keys: Rows,
    values: Rows,
    diffs: Vec<Diff>,
}

impl Changed {
    fn push(&mut self, key: &[u8], value: &[u8], diff: Diff) {
        self.keys.push(key_bytes(key));
        self.values.push(value);
        self.diffs.push(diff);
    }

    fn delta(self, codecs: &Codecs, schema: &SchemaRef, time: Time) -> Delta {
        let keys = codecs.keys.decode(self.keys.iter());
        let mut columns: Vec<ArrayRef> = keys.expect("keys of the codec's making");
        let values = codecs.value.decode(self.values.iter());
        columns.extend(values.expect("values of the codec's making"));
        let rows = batch(schema, columns, self.diffs.len()).expect("the answer's columns");
        Delta::new(rows, self.diffs, time)
    }
}
