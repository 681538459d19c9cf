//! Events as they arrive become the rows of a table.
//!
//! [`Arrival`]s flow in, deltas flow out. Rows of an append-only table pass through. Rows of a
//! table with a primary key replace the row that holds their key, and repeated events of a table
//! with dedup are dropped; both are decided on the worker that owns the key, an epoch at a time, by
//! the order in which the records stand in the inputs. Which record wins is therefore the same on
//! any number of workers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;

use super::claims::{Claims, NO_ID, Seen, Upserts};
use super::epoch::per_epoch;
use super::map::batch;
use super::meter::{Held, Tally};
use super::{Outcomes, RenderError};
use crate::delta::{Delta, Diff, Time};
use crate::row::{RowCodec, Rows, hash, key_hash, owner};
use crate::script::Table;

/// Rows of a table as they were read.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The rows, with the columns of the plan's input.
    pub batch: RecordBatch,
    /// Diffs, for rows that a program adds and takes back; `None` stands for +1 each. For a table
    /// with a primary key, a row with a negative diff takes back whatever row has its key.
    pub diffs: Option<Arc<[Diff]>>,
    /// The number of the block that they were read from.
    pub block: u64,
    /// Where in the block's file each record begins, ascending.
    pub positions: Arc<[u64]>,
    /// When.
    pub time: Time,
}

/// How the rows of a table are told apart, as positions in the input's columns.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    key: Vec<usize>,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    /// The last record for a key stands, unless it is one that deletes.
    Upsert { deleted: Option<usize> },
    /// The first record for an id stands.
    Dedup {
        event_time: Option<usize>,
        horizon_ns: Option<i64>,
    },
}

const NANOS_PER_MILLI: i64 = 1_000_000;

impl Identity {
    /// The identity rule of a table whose input holds only some columns; `None` without one.
    pub(super) fn of(table: &Table, columns: &[usize]) -> Option<Identity> {
        let position = |column: &usize| {
            columns
                .iter()
                .position(|c| c == column)
                .expect("identity columns are always read")
        };
        if !table.primary_key.is_empty() {
            let deleted = table.options.deleted.as_ref().map(position);
            let key = table.primary_key.iter().map(position).collect();
            return Some(Identity {
                key,
                rule: Rule::Upsert { deleted },
            });
        }
        let dedup = table.options.dedup.as_ref()?;
        let horizon_ns = dedup.horizon_ms.map(|ms| {
            i64::try_from(ms)
                .unwrap_or(i64::MAX)
                .saturating_mul(NANOS_PER_MILLI)
        });
        let event_time = table.options.event_time.as_ref().map(position);
        let key = dedup.columns.iter().map(position).collect();
        Some(Identity {
            key,
            rule: Rule::Dedup {
                event_time,
                horizon_ns,
            },
        })
    }
}

/// Renders an append-only input; `arrived` counts its rows.
pub(super) fn append<'scope>(
    arrivals: Stream<'scope, Time, Vec<Arrival>>,
    arrived: Option<Tally>,
) -> Outcomes<'scope> {
    Outcomes::of(move |exit| {
        arrivals.unary::<CapacityContainerBuilder<Vec<Delta>>, _, _, _>(
            Pipeline,
            "Input",
            move |_capability, _info| {
                let (mut outcomes, mut rows) = (Vec::new(), Vec::new());
                move |input, output| {
                    input.for_each(|capability, arrivals| {
                        for arrival in arrivals.drain(..) {
                            count(arrived.as_ref(), &arrival);
                            outcomes.push(Ok(Delta {
                                batch: arrival.batch,
                                diffs: arrival.diffs,
                                time: arrival.time,
                            }));
                        }
                        exit.pass(&mut outcomes, &mut rows);
                        output.session(&capability).give_container(&mut rows);
                        rows.clear();
                    });
                }
            },
        )
    })
}

fn count(arrived: Option<&Tally>, arrival: &Arrival) {
    if let Some(arrived) = arrived {
        arrived.add(arrival.batch.num_rows());
    }
}

/// Renders an input with an identity rule.
pub(super) fn identified<'scope>(
    arrivals: Stream<'scope, Time, Vec<Arrival>>,
    identity: Identity,
    schema: SchemaRef,
    peers: usize,
    (arrived, mut held): (Option<Tally>, Held),
) -> Result<Outcomes<'scope>, RenderError> {
    let key_types: Vec<DataType> = identity
        .key
        .iter()
        .map(|column| schema.field(*column).data_type().clone())
        .collect();
    let key_codec = RowCodec::new(&key_types)?;
    let row_codec = Arc::new(RowCodec::for_fields(schema.fields())?);
    let claims = {
        let identity = identity.clone();
        let row_codec = Arc::clone(&row_codec);
        arrivals.unary::<CapacityContainerBuilder<Vec<Claims>>, _, _, _>(
            Pipeline,
            "Claim",
            move |_capability, _info| {
                move |input, output| {
                    input.for_each(|capability, arrivals| {
                        let mut session = output.session(&capability);
                        for arrival in arrivals.drain(..) {
                            count(arrived.as_ref(), &arrival);
                            session.give_iterator(
                                claim(&arrival, &identity, &key_codec, &row_codec, peers)
                                    .into_iter(),
                            );
                        }
                    });
                }
            },
        )
    };
    let exchange = Exchange::new(|claims: &Claims| claims.to as u64);
    let outcomes = match identity.rule {
        Rule::Upsert { .. } => {
            let mut state = Upserts::default();
            per_epoch(
                claims,
                exchange,
                "Upsert",
                false,
                move |time, claims, outcomes| {
                    let (rows, diffs) = state.apply(&claims);
                    held.tell(state.len());
                    outcomes.extend(delta(&row_codec, &schema, &rows, diffs, time).map(Ok));
                },
            )
        }
        Rule::Dedup { horizon_ns, .. } => {
            let mut state = Seen::new(horizon_ns);
            per_epoch(
                claims,
                exchange,
                "Dedup",
                false,
                move |time, claims, outcomes| {
                    let (rows, diffs) = state.apply(&claims);
                    held.tell(state.len());
                    outcomes.extend(delta(&row_codec, &schema, &rows, diffs, time).map(Ok));
                },
            )
        }
    };
    Ok(outcomes)
}

/// Sorts an arrival's records by the workers that own their keys.
fn claim(
    arrival: &Arrival,
    identity: &Identity,
    key_codec: &RowCodec,
    row_codec: &RowCodec,
    peers: usize,
) -> Vec<Claims> {
    let count = arrival.batch.num_rows();
    let columns: Vec<ArrayRef> = identity
        .key
        .iter()
        .map(|column| arrival.batch.column(*column).clone())
        .collect();
    let keys = key_codec
        .encode_keys(&columns, count)
        .expect("the batch fits its schema");
    let rows = row_codec
        .encode(arrival.batch.columns(), count)
        .expect("the batch fits its schema");
    let deleted = match identity.rule {
        Rule::Upsert {
            deleted: Some(column),
        } => Some(arrival.batch.column(column).as_boolean()),
        _ => None,
    };
    let event_times = match identity.rule {
        Rule::Dedup {
            event_time: Some(column),
            horizon_ns: Some(_),
        } => Some(nanoseconds(arrival.batch.column(column))),
        _ => None,
    };
    let newest = event_times
        .iter()
        .flatten()
        .copied()
        .max()
        .unwrap_or(i64::MIN);
    let mut claims: Vec<Claims> = (0..peers)
        .map(|to| Claims {
            to,
            time: arrival.time,
            block: arrival.block,
            positions: Vec::new(),
            keys: Rows::default(),
            rows: Rows::default(),
            deleted: Vec::new(),
            event_times: Vec::new(),
            diffs: Vec::new(),
            newest,
        })
        .collect();
    let dedup = matches!(identity.rule, Rule::Dedup { .. });
    for row in 0..count {
        let has_no_id = dedup && columns.iter().any(|column| column.is_null(row));
        let key = if has_no_id { NO_ID } else { keys.get(row) };
        // Records without an id are spread by all of what they say.
        let spread = if has_no_id {
            hash(rows.get(row))
        } else {
            key_hash(key)
        };
        let claims = &mut claims[owner(spread, peers)];
        claims.positions.push(arrival.positions[row]);
        claims.keys.push(key);
        claims.rows.push(rows.get(row));
        let is_said = deleted.is_some_and(|deleted| deleted.is_valid(row) && deleted.value(row));
        let is_taken_back = arrival.diffs.as_ref().is_some_and(|diffs| diffs[row] < 0);
        if deleted.is_some() || arrival.diffs.is_some() {
            claims.deleted.push(is_said || is_taken_back);
        }
        if let Some(diffs) = &arrival.diffs {
            claims.diffs.push(diffs[row]);
        }
        if let Some(event_times) = &event_times {
            claims.event_times.push(event_times[row]);
        }
    }
    // A worker without a record still has to learn of the newest event time.
    if event_times.is_none() {
        claims.retain(|claims| !claims.positions.is_empty());
    }
    claims
}

/// A DATE or TIMESTAMP column in nanoseconds since the Unix epoch; nulls are as old as can be.
fn nanoseconds(column: &ArrayRef) -> Vec<i64> {
    let timestamps = cast(column, &DataType::Timestamp(TimeUnit::Nanosecond, None))
        .and_then(|column| cast(&column, &DataType::Int64))
        .expect("an event time is a DATE or TIMESTAMP");
    let timestamps = timestamps.as_primitive::<Int64Type>();
    timestamps
        .iter()
        .map(|time| time.unwrap_or(i64::MIN))
        .collect()
}

/// A delta of encoded rows; `None` if there are none.
fn delta(
    codec: &RowCodec,
    schema: &SchemaRef,
    rows: &Rows,
    diffs: Vec<Diff>,
    time: Time,
) -> Option<Delta> {
    if rows.is_empty() {
        return None;
    }
    let columns = codec
        .decode(rows.iter())
        .expect("rows are of the codec's making");
    let rows = batch(schema, columns, rows.len()).expect("rows are of the schema's types");
    Some(Delta::new(rows, diffs, time))
}

/// The rows of an input, however it is told apart.
pub(super) fn render<'scope>(
    arrivals: Stream<'scope, Time, Vec<Arrival>>,
    identity: Option<Identity>,
    schema: SchemaRef,
    peers: usize,
    meters: (Option<Tally>, Held),
) -> Result<Outcomes<'scope>, RenderError> {
    match identity {
        None => Ok(append(arrivals, meters.0)),
        Some(identity) => identified(arrivals, identity, schema, peers, meters),
    }
}
