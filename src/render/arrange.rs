//! Deltas become arrangements: rows by key, shared by all that read the same collection by the
//! same key.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, SchemaRef};
use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::operators::arrange::arrangement::{Arranged, arrange_core};
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;

use super::RenderError;
use super::epoch::{Messages, waiting};
use super::flow::Flow;
use crate::delta::{Delta, Time};
use crate::row::{Gather, RowBatcher, RowCodec, RowSpine, Rows, Updates, key_hash, owner};

/// An arrangement's trace, as readers hold it.
pub(super) type RowTrace = TraceAgent<RowSpine>;
/// An arrangement within a dataflow.
pub(super) type ArrangedRows<'scope> = Arranged<'scope, RowTrace>;

/// What an arrangement holds: which columns are its key, and its values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Arrangement {
    /// The columns of the key.
    pub(super) key: Vec<usize>,
    /// The columns of the value, in the order in which values are sorted.
    pub(super) value: Vec<(usize, Order)>,
    /// Whether rows with a null in the key are kept.
    pub(super) null_keys: bool,
}

/// The order of a value's column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Order {
    /// Whether greater values come first.
    pub(super) descending: bool,
    /// Whether nulls come last.
    pub(super) nulls_last: bool,
}

impl From<SortOptions> for Order {
    fn from(options: SortOptions) -> Self {
        Order {
            descending: options.descending,
            nulls_last: !options.nulls_first,
        }
    }
}

impl From<Order> for SortOptions {
    fn from(order: Order) -> Self {
        SortOptions {
            descending: order.descending,
            nulls_first: !order.nulls_last,
        }
    }
}

impl Arrangement {
    /// Whole rows by some of their columns.
    pub(super) fn of_rows(key: Vec<usize>, width: usize, null_keys: bool) -> Self {
        let value = (0..width)
            .map(|column| (column, Order::default()))
            .collect();
        Arrangement {
            key,
            value,
            null_keys,
        }
    }

    /// The codec of its keys.
    pub(super) fn key_codec(&self, schema: &SchemaRef) -> Result<RowCodec, RenderError> {
        let types: Vec<DataType> = self
            .key
            .iter()
            .map(|column| schema.field(*column).data_type().clone())
            .collect();
        Ok(RowCodec::new(&types)?)
    }

    /// The codec of its values.
    pub(super) fn value_codec(&self, schema: &SchemaRef) -> Result<RowCodec, RenderError> {
        Ok(RowCodec::with_order(self.value.iter().map(
            |(column, order)| {
                (
                    schema.field(*column).data_type().clone(),
                    SortOptions::from(*order),
                )
            },
        ))?)
    }
}

/// Renders an arrangement of a stream whose rows have `schema`.
pub(super) fn arrange<'scope>(
    rows: impl Into<Flow<'scope>>,
    schema: &SchemaRef,
    arrangement: &Arrangement,
    peers: usize,
) -> Result<ArrangedRows<'scope>, RenderError> {
    let key_codec = arrangement.key_codec(schema)?;
    let value_codec = arrangement.value_codec(schema)?;
    let encoder = Encoder {
        arrangement: arrangement.clone(),
        key_codec,
        value_codec,
        peers,
    };
    let updates = encode(rows.into(), encoder);
    let exchange = Exchange::new(|updates: &Updates| updates.to as u64);
    Ok(arrange_core::<_, _, RowBatcher, RowSpine>(
        updates,
        exchange,
        "Arrange",
        |_, _| RowBatcher::default(),
    ))
}

/// Makes updates of deltas.
struct Encoder {
    arrangement: Arrangement,
    key_codec: RowCodec,
    value_codec: RowCodec,
    peers: usize,
}

/// The updates of one time that are still added up; none any more if that is not worth its while.
struct Gathering {
    capability: Capability<Time>,
    parts: Option<Vec<Gather>>,
}

/// Renders the updates of rows, equal ones added up as far as they are frequent.
fn encode<'scope>(rows: Flow<'scope>, encoder: Encoder) -> Messages<'scope, Updates> {
    let mut pending: BTreeMap<Time, Gathering> = BTreeMap::new();
    let mut due = Vec::new();
    waiting(rows, "Encode", move |inlets, is_open, output| {
        inlets.each(|capability, delta| {
            let time = delta.time;
            let gathering = pending.entry(time).or_insert_with(|| Gathering {
                capability: capability.delayed(&time, 0),
                parts: Some(encoder.new_parts()),
            });
            encoder.add(&delta, gathering, &mut due);
            let mut session = output.session(&gathering.capability);
            session.give_iterator(due.drain(..));
        });
        while let Some(entry) = pending.first_entry() {
            if is_open(entry.key()) {
                break;
            }
            let (time, gathering) = entry.remove_entry();
            take_all(gathering.parts, time, &mut due);
            let mut session = output.session(&gathering.capability);
            session.give_iterator(due.drain(..));
        }
    })
}

fn take_all(parts: Option<Vec<Gather>>, time: Time, due: &mut Vec<Updates>) {
    let parts = parts.into_iter().flatten().enumerate();
    due.extend(parts.filter_map(|(to, mut part)| part.take(to, time)));
}

impl Encoder {
    fn new_parts(&self) -> Vec<Gather> {
        (0..self.peers).map(|_| Gather::default()).collect()
    }

    /// Adds a delta's rows to what is gathered; what is to be sent at once is put into `due`.
    fn add(&self, delta: &Delta, gathering: &mut Gathering, due: &mut Vec<Updates>) {
        let delta = if self.arrangement.null_keys {
            delta.clone()
        } else {
            without_null_keys(delta, &self.arrangement)
        };
        let (keys, values) = self.rows(&delta);
        let Some(parts) = &mut gathering.parts else {
            due.extend(scatter(&delta, keys, values, self.peers));
            return;
        };
        for (row, (key, value)) in keys.iter().zip(values.iter()).enumerate() {
            parts[owner(key_hash(key), self.peers)].add(key, value, delta.diff(row));
        }
        if parts.iter().any(Gather::is_idle) {
            take_all(gathering.parts.take(), delta.time, due);
            return;
        }
        for (to, part) in parts.iter_mut().enumerate() {
            if part.is_full() {
                due.extend(part.take(to, delta.time));
            }
        }
    }

    fn rows(&self, delta: &Delta) -> (Rows, Rows) {
        let column = |column: usize| -> ArrayRef { delta.batch.column(column).clone() };
        let key = self.arrangement.key.iter().map(|at| column(*at));
        let value = self.arrangement.value.iter().map(|(at, _)| column(*at));
        let (key, value): (Vec<ArrayRef>, Vec<ArrayRef>) = (key.collect(), value.collect());
        let keys = self.key_codec.encode_keys(&key, delta.len());
        let values = self.value_codec.encode(&value, delta.len());
        (
            keys.expect("the batch fits its schema"),
            values.expect("the batch fits its schema"),
        )
    }
}

/// Sorts encoded rows by the workers that own their keys.
fn scatter(delta: &Delta, keys: Rows, values: Rows, peers: usize) -> Vec<Updates> {
    let time = delta.time;
    if peers == 1 {
        let diffs = delta.diffs.as_ref().map(|diffs| diffs.to_vec());
        return if keys.is_empty() {
            Vec::new()
        } else {
            vec![Updates {
                to: 0,
                time,
                keys,
                values,
                diffs,
            }]
        };
    }
    let mut parts: Vec<Updates> = (0..peers)
        .map(|to| Updates {
            to,
            time,
            keys: Rows::default(),
            values: Rows::default(),
            diffs: delta.diffs.as_ref().map(|_| Vec::new()),
        })
        .collect();
    for (row, (key, value)) in keys.iter().zip(values.iter()).enumerate() {
        let part = &mut parts[owner(key_hash(key), peers)];
        part.keys.push(key);
        part.values.push(value);
        if let Some(diffs) = &mut part.diffs {
            diffs.push(delta.diff(row));
        }
    }
    parts.retain(|part| !part.keys.is_empty());
    parts
}

fn without_null_keys(delta: &Delta, arrangement: &Arrangement) -> Delta {
    let nulls = arrangement
        .key
        .iter()
        .fold(None, |nulls: Option<NullBuffer>, column| {
            NullBuffer::union(
                nulls.as_ref(),
                delta.batch.column(*column).logical_nulls().as_ref(),
            )
        });
    match nulls {
        Some(nulls) if nulls.null_count() > 0 => {
            let keep = BooleanArray::new(nulls.into_inner(), None);
            delta
                .filter(&keep)
                .expect("the mask is as long as the delta")
        }
        _ => delta.clone(),
    }
}
