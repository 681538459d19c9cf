//! Deltas become arrangements: rows by key, shared by all that read the same collection by the
//! same key.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, SchemaRef};
use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::operators::arrange::arrangement::{Arranged, arrange_core};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;

use super::{Deltas, RenderError};
use crate::delta::Delta;
use crate::row::{RowBatcher, RowCodec, RowSpine, Rows, Updates, key_hash, owner};

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
    stream: Deltas<'scope>,
    schema: &SchemaRef,
    arrangement: &Arrangement,
    peers: usize,
) -> Result<ArrangedRows<'scope>, RenderError> {
    let key_codec = arrangement.key_codec(schema)?;
    let value_codec = arrangement.value_codec(schema)?;
    let arrangement = arrangement.clone();
    let updates = stream.unary::<CapacityContainerBuilder<Vec<Updates>>, _, _, _>(
        Pipeline,
        "Encode",
        move |_capability, _info| {
            move |input, output| {
                input.for_each(|capability, deltas| {
                    let mut session = output.session(&capability);
                    for delta in deltas.drain(..) {
                        session.give_iterator(
                            encode(&delta, &arrangement, &key_codec, &value_codec, peers)
                                .into_iter(),
                        );
                    }
                });
            }
        },
    );
    let exchange = Exchange::new(|updates: &Updates| updates.to as u64);
    Ok(arrange_core::<_, _, RowBatcher, RowSpine>(
        updates,
        exchange,
        "Arrange",
        |_, _| RowBatcher::default(),
    ))
}

fn encode(
    delta: &Delta,
    arrangement: &Arrangement,
    key_codec: &RowCodec,
    value_codec: &RowCodec,
    peers: usize,
) -> Vec<Updates> {
    let delta = if arrangement.null_keys {
        delta.clone()
    } else {
        without_null_keys(delta, arrangement)
    };
    let count = delta.len();
    let columns = |wanted: &mut dyn Iterator<Item = usize>| -> Vec<ArrayRef> {
        wanted
            .map(|column| delta.batch.column(column).clone())
            .collect()
    };
    let keys = columns(&mut arrangement.key.iter().copied());
    let values = columns(&mut arrangement.value.iter().map(|(column, _)| *column));
    let keys = key_codec
        .encode_keys(&keys, count)
        .expect("the batch fits its schema");
    let values = value_codec
        .encode(&values, count)
        .expect("the batch fits its schema");
    scatter(&delta, keys, values, peers)
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
