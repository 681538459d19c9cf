//! Events as they arrive become the rows of a table.
//!
//! [`Arrival`]s flow in, deltas flow out. Rows of an append-only table pass through. Rows of a
//! table with a primary key replace the row that holds their key, and repeated events of a table
//! with dedup are dropped; both are decided on the worker that owns the key, an epoch at a time, by
//! the order in which the records stand in the inputs. Which record wins is therefore the same on
//! any number of workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;

use super::epoch::{Timed, per_epoch};
use super::map::batch;
use super::{Outcome, Outcomes, RenderError};
use crate::delta::{Delta, Diff, Time};
use crate::row::{ByteStore, KeyTable, RowCodec, Rows, key_hash, owner};
use crate::script::Table;

/// Rows of a table as they were read.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The rows, with the columns of the plan's input.
    pub batch: RecordBatch,
    /// Diffs, for rows that a program adds and takes back; `None` stands for +1 each.
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

/// The key of a record whose id is null somewhere: it repeats no other. No id is encoded like this.
const NO_ID: &[u8] = &[];

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

/// Renders an append-only input.
pub(super) fn append<'scope>(arrivals: Stream<'scope, Time, Vec<Arrival>>) -> Outcomes<'scope> {
    arrivals.unary::<CapacityContainerBuilder<Vec<Outcome>>, _, _, _>(
        Pipeline,
        "Input",
        |_capability, _info| {
            |input, output| {
                input.for_each(|capability, arrivals| {
                    let deltas = arrivals.drain(..).map(|arrival| {
                        Ok(Delta {
                            batch: arrival.batch,
                            diffs: arrival.diffs,
                            time: arrival.time,
                        })
                    });
                    output.session(&capability).give_iterator(deltas);
                });
            }
        },
    )
}

/// Arrivals on their way to the worker that owns their keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    to: usize,
    time: Time,
    block: u64,
    positions: Vec<u64>,
    keys: Rows,
    rows: Rows,
    /// Which records delete; empty if none does.
    deleted: Vec<bool>,
    /// The event time of each record, if ids are forgotten; otherwise empty.
    event_times: Vec<i64>,
    /// The newest event time of the whole arrival, sent to every worker.
    newest: i64,
}

impl Timed for Claims {
    fn time(&self) -> Time {
        self.time
    }
}

/// Renders an input with an identity rule.
pub(super) fn identified<'scope>(
    arrivals: Stream<'scope, Time, Vec<Arrival>>,
    identity: Identity,
    schema: SchemaRef,
    peers: usize,
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
            let mut state = Upserts {
                keys: KeyTable::default(),
                rows: ByteStore::default(),
            };
            per_epoch(
                claims,
                exchange,
                "Upsert",
                false,
                move |time, claims, outcomes| {
                    let (rows, diffs) = state.apply(&claims);
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
            newest,
        })
        .collect();
    let dedup = matches!(identity.rule, Rule::Dedup { .. });
    for row in 0..count {
        let has_no_id = dedup && columns.iter().any(|column| column.is_null(row));
        let key = if has_no_id { NO_ID } else { keys.get(row) };
        // Records without an id are spread by all of what they say.
        let spread = if has_no_id { rows.get(row) } else { key };
        let claims = &mut claims[owner(key_hash(spread), peers)];
        claims.positions.push(arrival.positions[row]);
        claims.keys.push(key);
        claims.rows.push(rows.get(row));
        if let Some(deleted) = deleted {
            claims
                .deleted
                .push(deleted.is_valid(row) && deleted.value(row));
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

/// A record among an epoch's claims.
#[derive(Clone, Copy)]
struct Record {
    order: (u64, u64),
    chunk: usize,
    row: usize,
}

/// All records of an epoch, by their order in the inputs.
fn in_order(claims: &[Claims]) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for (chunk, claims) in claims.iter().enumerate() {
        records.extend(
            claims
                .positions
                .iter()
                .enumerate()
                .map(|(row, position)| Record {
                    order: (claims.block, *position),
                    chunk,
                    row,
                }),
        );
    }
    records.sort_by_key(|record| record.order);
    records
}

/// The row that stands for each key.
struct Upserts {
    keys: KeyTable,
    rows: ByteStore,
}

impl Upserts {
    /// Applies an epoch: the rows that change, and by how much.
    fn apply(&mut self, claims: &[Claims]) -> (Rows, Vec<Diff>) {
        // Only the last record for a key matters.
        let mut last: HashMap<usize, Record> = HashMap::new();
        for record in in_order(claims) {
            let (slot, _) = self.keys.intern(claims[record.chunk].keys.get(record.row));
            last.insert(slot, record);
        }
        let mut changed: Vec<(usize, Record)> = last.into_iter().collect();
        changed.sort_unstable_by_key(|(_, record)| record.order);
        let (mut rows, mut diffs) = (Rows::default(), Vec::new());
        for (slot, record) in changed {
            let claims = &claims[record.chunk];
            let deletes = claims.deleted.get(record.row).copied().unwrap_or(false);
            let new = if deletes {
                &[][..]
            } else {
                claims.rows.get(record.row)
            };
            let old = self.rows.get(slot);
            if old != new {
                if !old.is_empty() {
                    rows.push(old);
                    diffs.push(-1);
                }
                if !new.is_empty() {
                    rows.push(new);
                    diffs.push(1);
                }
                self.rows.set(slot, new);
            }
            if new.is_empty() {
                self.keys.remove(slot);
            }
        }
        (rows, diffs)
    }
}

/// The ids that have been seen.
struct Seen {
    keys: KeyTable,
    horizon_ns: Option<i64>,
    /// The newest event time before the epoch at hand.
    newest: i64,
    /// By slot: when the id was seen, in event time.
    seen_at: Vec<i64>,
    /// Slots by when they were seen, in steps of a fraction of the horizon.
    by_age: BTreeMap<i64, Vec<usize>>,
}

/// Ids are forgotten in this many steps a horizon.
const STEPS_PER_HORIZON: i64 = 64;

impl Seen {
    fn new(horizon_ns: Option<i64>) -> Self {
        Seen {
            keys: KeyTable::default(),
            horizon_ns,
            newest: i64::MIN,
            seen_at: Vec::new(),
            by_age: BTreeMap::new(),
        }
    }

    /// Applies an epoch: the rows that are new, each added once.
    fn apply(&mut self, claims: &[Claims]) -> (Rows, Vec<Diff>) {
        let mut rows = Rows::default();
        for record in in_order(claims) {
            let claims = &claims[record.chunk];
            let key = claims.keys.get(record.row);
            if key == NO_ID {
                rows.push(claims.rows.get(record.row));
                continue;
            }
            let (slot, is_new) = self.keys.intern(key);
            let seen_at = claims
                .event_times
                .get(record.row)
                .copied()
                .unwrap_or(i64::MIN);
            if is_new || self.is_forgotten(slot) {
                rows.push(claims.rows.get(record.row));
                self.remember(slot, seen_at);
            }
        }
        let newest = claims
            .iter()
            .map(|claims| claims.newest)
            .max()
            .unwrap_or(i64::MIN);
        self.newest = self.newest.max(newest);
        self.forget();
        let diffs = vec![1; rows.len()];
        (rows, diffs)
    }

    fn is_forgotten(&self, slot: usize) -> bool {
        self.horizon_ns
            .is_some_and(|horizon| self.seen_at[slot] < self.newest.saturating_sub(horizon))
    }

    fn remember(&mut self, slot: usize, seen_at: i64) {
        let Some(horizon) = self.horizon_ns else {
            return;
        };
        if slot >= self.seen_at.len() {
            self.seen_at.resize(slot + 1, i64::MIN);
        }
        self.seen_at[slot] = seen_at;
        self.by_age
            .entry(step(seen_at, horizon))
            .or_default()
            .push(slot);
    }

    /// Frees the ids whose whole step lies behind the horizon.
    fn forget(&mut self) {
        let Some(horizon) = self.horizon_ns else {
            return;
        };
        let oldest = step(self.newest.saturating_sub(horizon), horizon);
        let kept = self.by_age.split_off(&oldest);
        for slot in std::mem::replace(&mut self.by_age, kept)
            .into_values()
            .flatten()
        {
            // A slot may stand in several steps if its id came again after it was forgotten.
            let in_use = !self.keys.key(slot).is_empty();
            if in_use && step(self.seen_at[slot], horizon) < oldest {
                self.keys.remove(slot);
            }
        }
    }
}

fn step(event_time: i64, horizon: i64) -> i64 {
    event_time.div_euclid((horizon / STEPS_PER_HORIZON).max(1))
}

/// The rows of an input, however it is told apart.
pub(super) fn render<'scope>(
    arrivals: Stream<'scope, Time, Vec<Arrival>>,
    identity: Option<Identity>,
    schema: SchemaRef,
    peers: usize,
) -> Result<Outcomes<'scope>, RenderError> {
    match identity {
        None => Ok(append(arrivals)),
        Some(identity) => identified(arrivals, identity, schema, peers),
    }
}
