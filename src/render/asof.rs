//! As-of joins: for each row of the left side the row of the right side that held at its time.
//!
//! Two arrangements by the same key flow in, the left one in the direction of time in which a right
//! row goes on to hold, the right one in the direction in which the row is looked for. Pairs flow
//! out. A left row that changes looks its partner up in one seek. A right row that changes is
//! compared with the left rows from its time on, until one is reached that it does not matter to:
//! a change costs the rows of the stretch of time that it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use differential_dataflow::trace::cursor::{Cursor, cursor_list};
use differential_dataflow::trace::{BatchCursor, Navigable, TraceReader};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::progress::Antichain;

use super::arrange::{ArrangedRows, Arrangement, Order, RowTrace};
use super::columns::Columns;
use super::flow::Flow;
use super::map::batch;
use super::{Builder, Deltas, RenderError, arrange, map};
use crate::delta::{Delta, Diff, Time};
use crate::plan::{NodeId, Op, SortKey};
use crate::row::{RowBatch, RowCodec, Rows};

/// The first byte of an encoded value that is not null.
const PRESENT: u8 = 1;

/// How pairs are made of encoded rows.
struct Pairing {
    /// The codec of the left side's values: the time, then the columns.
    left: RowCodec,
    /// The codec of the right side's values.
    right: RowCodec,
    /// Where the left side's columns lie among its values.
    left_columns: Vec<usize>,
    /// Where the right side's columns lie among its values.
    right_columns: Vec<usize>,
    /// The columns of both sides.
    schema: SchemaRef,
    /// How many bytes an encoded time takes.
    time_bytes: usize,
    /// Whether a right row must hold before the left row's time rather than at it.
    strict: bool,
    /// Whether left rows without a partner are kept.
    outer: bool,
}

/// How many bytes a time of a type takes, encoded; `None` if that varies.
fn time_bytes(kind: &DataType) -> Option<usize> {
    kind.primitive_width().map(|width| width + 1)
}

/// Renders an as-of join of two arrangements.
fn join<'scope>(
    left: ArrangedRows<'scope>,
    right: ArrangedRows<'scope>,
    pairing: Pairing,
) -> Deltas<'scope> {
    let mut traces = [Side::new(left.trace), Side::new(right.trace)];
    left.stream
        .binary_frontier::<_, CapacityContainerBuilder<Vec<Delta>>, _, _, _, _>(
            right.stream,
            Pipeline,
            Pipeline,
            "AsOf",
            move |_capability, _info| {
                let mut pending: BTreeMap<Time, (Capability<Time>, Changed)> = BTreeMap::new();
                let mut deltas = Vec::new();
                move |(left, left_frontier), (right, right_frontier), output| {
                    left.for_each(|capability, spans| {
                        for span in spans.drain(..) {
                            traces[0].upper.clone_from(span.upper());
                            if let Some(batch) = span.inner {
                                note(&batch, 0, &mut pending, |time| capability.delayed(time, 0));
                            }
                        }
                    });
                    right.for_each(|capability, spans| {
                        for span in spans.drain(..) {
                            traces[1].upper.clone_from(span.upper());
                            if let Some(batch) = span.inner {
                                note(&batch, 1, &mut pending, |time| capability.delayed(time, 0));
                            }
                        }
                    });
                    for side in &mut traces {
                        side.trace.advance_upper(&mut side.upper);
                    }
                    let is_open = |time: &Time| {
                        left_frontier.less_equal(time) || right_frontier.less_equal(time)
                    };
                    let first_open = pending.keys().find(|time| is_open(time)).copied();
                    let rest = match first_open {
                        Some(time) => pending.split_off(&time),
                        None => BTreeMap::new(),
                    };
                    let due = std::mem::replace(&mut pending, rest);
                    if !due.is_empty() {
                        let mut views = [traces[0].view(), traces[1].view()];
                        for (time, (capability, changed)) in due {
                            pairing.pass(time, changed, &mut views, &mut deltas);
                            if !deltas.is_empty() {
                                output.session(&capability).give_container(&mut deltas);
                                deltas.clear();
                            }
                        }
                    }
                    let uppers = traces.iter().flat_map(|side| side.upper.iter());
                    let next = uppers.chain(pending.keys()).min().copied();
                    traces.iter_mut().for_each(|side| side.compact(next));
                }
            },
        )
}

/// The rows of either side that change at a time, by key.
type Changed = BTreeMap<Vec<u8>, [Vec<Vec<u8>>; 2]>;

/// Notes the rows of a batch by their times.
fn note(
    batch: &Rc<RowBatch>,
    side: usize,
    pending: &mut BTreeMap<Time, (Capability<Time>, Changed)>,
    capability: impl Fn(&Time) -> Capability<Time>,
) {
    let (mut cursor, storage) = cursor_list(vec![Rc::clone(batch)]);
    while let Some(key) = cursor.get_key(&storage) {
        while let Some(value) = cursor.get_val(&storage) {
            let mut times: Vec<Time> = Vec::new();
            cursor.map_times(&storage, |time, _| times.push(*time));
            for time in times {
                let entry = pending.entry(time);
                let held = || (capability(&time), Changed::new());
                let (_, changed) = entry.or_insert_with(held);
                let sides = changed.entry(key.to_vec()).or_default();
                sides[side].push(value.to_vec());
            }
            cursor.step_val(&storage);
        }
        cursor.step_key(&storage);
    }
}

/// One side's rows, as far as they are known.
struct Side {
    trace: RowTrace,
    upper: Antichain<Time>,
}

impl Side {
    fn new(trace: RowTrace) -> Side {
        Side {
            trace,
            upper: Antichain::from_elem(Time::MIN),
        }
    }

    fn view(&mut self) -> View {
        let all = self.trace.batches_through(self.upper.borrow());
        let all = all.expect("an operator holds its trace open up to what it has read");
        let cursors = all.into_iter().map(|batch| (batch.cursor(), batch));
        View {
            cursors: cursors.collect(),
            at_key: Vec::new(),
        }
    }

    /// Lets times grow together that nobody asks for any more.
    fn compact(&mut self, next: Option<Time>) {
        let since: Antichain<Time> = next
            .map(|time| time.saturating_sub(1))
            .into_iter()
            .collect();
        self.trace.set_logical_compaction(since.borrow());
        self.trace.set_physical_compaction(self.upper.borrow());
    }
}

/// One side's rows, to be looked through: a cursor a batch, and which of them are at the key.
///
/// Differential's own list of cursors moves all of them to a value, also those that are at no key or
/// at another one.
struct View {
    cursors: Vec<(BatchCursor<RowTrace>, Rc<RowBatch>)>,
    at_key: Vec<usize>,
}

impl View {
    /// Goes to a key; whether it is there. Keys are asked for in ascending order.
    fn seek_key(&mut self, key: &[u8]) -> bool {
        self.at_key.clear();
        for (at, (cursor, storage)) in self.cursors.iter_mut().enumerate() {
            cursor.seek_key(storage, key);
            if cursor.get_key(storage) == Some(key) {
                self.at_key.push(at);
            }
        }
        !self.at_key.is_empty()
    }

    /// Goes to the first row of the key that is not before a value.
    fn seek_row(&mut self, value: &[u8]) {
        for at in &self.at_key {
            let (cursor, storage) = &mut self.cursors[*at];
            cursor.rewind_vals(storage);
            cursor.seek_val(storage, value);
        }
    }

    /// The row at hand, with its multiplicities before a time and at it; goes on to the next.
    fn next(&mut self, at: Time) -> Option<(Vec<u8>, Diff, Diff)> {
        loop {
            let rows = self.at_key.iter().filter_map(|each| {
                let (cursor, storage) = &self.cursors[*each];
                cursor.get_val(storage)
            });
            let row = rows.min()?.to_vec();
            let (mut before, mut now) = (0, 0);
            for each in &self.at_key {
                let (cursor, storage) = &mut self.cursors[*each];
                if cursor.get_val(storage) == Some(row.as_slice()) {
                    cursor.map_times(storage, |time, diff| {
                        now += if *time <= at { *diff } else { 0 };
                        before += if *time < at { *diff } else { 0 };
                    });
                    cursor.step_val(storage);
                }
            }
            if before != 0 || now != 0 {
                return Some((row, before, now));
            }
        }
    }
}

/// Rows of both sides that come and go together.
#[derive(Default)]
struct Pairs {
    left: Rows,
    right: Rows,
    diffs: Vec<Diff>,
}

impl Pairing {
    /// What changes at a time.
    fn pass(&self, time: Time, changed: Changed, views: &mut [View; 2], deltas: &mut Vec<Delta>) {
        let (mut pairs, mut alone) = (Pairs::default(), Pairs::default());
        for (key, [lefts, rights]) in changed {
            let [left, right] = views;
            let is_left = left.seek_key(&key);
            let is_right = right.seek_key(&key);
            if !is_left {
                continue;
            }
            let mut affected: BTreeSet<Vec<u8>> = lefts.into_iter().collect();
            self.walk(&rights, time, left, right, &mut affected);
            for row in affected {
                left.seek_row(&row);
                let Some((found, before, now)) = left.next(time) else {
                    continue;
                };
                if found != row {
                    continue;
                }
                let (was, is) = match is_right {
                    true => self.partners(&row, time, right),
                    false => (None, None),
                };
                for (partner, diff) in changes((was, -before), (is, now)) {
                    let to = if partner.is_some() {
                        &mut pairs
                    } else {
                        &mut alone
                    };
                    to.left.push(&row);
                    partner.iter().for_each(|partner| to.right.push(partner));
                    to.diffs.push(diff);
                }
            }
        }
        deltas.extend(self.delta(pairs, true, time));
        if self.outer {
            deltas.extend(self.delta(alone, false, time));
        }
    }

    /// Adds the left rows to which some right rows matter that have changed.
    fn walk(
        &self,
        rights: &[Vec<u8>],
        time: Time,
        left: &mut View,
        right: &mut View,
        affected: &mut BTreeSet<Vec<u8>>,
    ) {
        let known = rights.iter().filter(|row| row.first() == Some(&PRESENT));
        let starts: BTreeSet<Vec<u8>> = known.map(|row| self.turned(row)).collect();
        // The row at which the walk before has come to an end; a change before it has been met.
        let mut end: Option<Vec<u8>> = None;
        for from in &starts {
            let is_met = |end: &Vec<u8>| from <= end && !(self.strict && end.starts_with(from));
            if end.as_ref().is_some_and(is_met) {
                continue;
            }
            left.seek_row(from);
            loop {
                let Some((row, ..)) = left.next(time) else {
                    return;
                };
                if self.strict && row.starts_with(from) {
                    continue;
                }
                let (was, is) = self.partners(&row, time, right);
                if was == is {
                    end = Some(row);
                    break;
                }
                affected.insert(row);
            }
        }
    }

    /// The time of an encoded value, as the other side encodes it.
    fn turned(&self, value: &[u8]) -> Vec<u8> {
        let mut time = value[..self.time_bytes].to_vec();
        time[1..].iter_mut().for_each(|byte| *byte = !*byte);
        time
    }

    /// The right rows that held for a left row before a time and at it.
    fn partners(
        &self,
        row: &[u8],
        time: Time,
        right: &mut View,
    ) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        if row.first() != Some(&PRESENT) {
            return (None, None);
        }
        let from = self.turned(row);
        right.seek_row(&from);
        let (mut was, mut is) = (None, None);
        while was.is_none() || is.is_none() {
            let Some((found, before, now)) = right.next(time) else {
                break;
            };
            if found.first() != Some(&PRESENT) {
                break;
            }
            if self.strict && found.starts_with(&from) {
                continue;
            }
            if was.is_none() && before > 0 {
                was = Some(found.clone());
            }
            if is.is_none() && now > 0 {
                is = Some(found);
            }
        }
        (was, is)
    }

    fn delta(&self, pairs: Pairs, matched: bool, time: Time) -> Option<Delta> {
        if pairs.diffs.is_empty() {
            return None;
        }
        let rows = pairs.diffs.len();
        let left = self.left.decode(pairs.left.iter());
        let left = left.expect("rows of the codec's making");
        let right: Vec<ArrayRef> = if matched {
            let right = self.right.decode(pairs.right.iter());
            let right = right.expect("rows of the codec's making");
            let columns = self.right_columns.iter();
            columns.map(|column| Arc::clone(&right[*column])).collect()
        } else {
            let fields = self.schema.fields()[self.left_columns.len()..].iter();
            fields
                .map(|field| new_null_array(field.data_type(), rows))
                .collect()
        };
        let left = self
            .left_columns
            .iter()
            .map(|column| Arc::clone(&left[*column]));
        let columns = left.chain(right).collect();
        let rows = batch(&self.schema, columns, rows).expect("the columns of both sides");
        Some(Delta::new(rows, pairs.diffs, time))
    }
}

/// A partner and by how much it changes, of what was and what is.
fn changes(
    (was, less): (Option<Vec<u8>>, Diff),
    (is, more): (Option<Vec<u8>>, Diff),
) -> impl Iterator<Item = (Option<Vec<u8>>, Diff)> {
    let all = if was == is {
        vec![(is, less + more)]
    } else {
        vec![(was, less), (is, more)]
    };
    all.into_iter().filter(|(_, diff)| *diff != 0)
}

impl<'scope> Builder<'scope, '_> {
    /// Renders a node that is an as-of join.
    pub(super) fn as_of(&mut self, id: NodeId) -> Result<Flow<'scope>, RenderError> {
        let node = &self.plan.nodes[id.0];
        let Op::AsOf {
            left,
            right,
            left_keys,
            right_keys,
            time,
            order,
            strict,
            outer,
        } = &node.op
        else {
            unreachable!("only as-of joins are rendered here");
        };
        let direction = order.first().expect("the time comes first").options;
        let width = self.plan.nodes[left.0].schema.fields().len();
        let kind = time.data_type(&self.plan.nodes[left.0].schema)?;
        // A right row goes on to hold in the other direction than it is looked for.
        let time = SortKey {
            expr: Arc::clone(time),
            options: SortOptions {
                descending: !direction.descending,
                nulls_first: true,
            },
        };
        let (left_rows, left_sorted) = self.by_time(*left, left_keys, &[time], *outer)?;
        let (right_rows, right_sorted) = self.by_time(*right, right_keys, order, false)?;
        let value_at = |sorted: &Sorted, column: usize| {
            let mut values = sorted.arrangement.value.iter();
            values
                .position(|(at, _)| *at == column)
                .expect("every column is among the values")
        };
        let right_width = self.plan.nodes[right.0].schema.fields().len();
        let pairing = Pairing {
            left: left_sorted.arrangement.value_codec(&left_sorted.schema)?,
            right: right_sorted.arrangement.value_codec(&right_sorted.schema)?,
            left_columns: (0..width).map(|at| value_at(&left_sorted, at)).collect(),
            right_columns: (0..right_width)
                .map(|at| value_at(&right_sorted, at))
                .collect(),
            schema: node.schema.clone(),
            time_bytes: time_bytes(&kind).expect("the plan asks for a time of one width"),
            strict: *strict,
            outer: *outer,
        };
        Ok(join(left_rows, right_rows, pairing).into())
    }

    /// A node's rows by a key, each group in an order and then by all other columns.
    fn by_time(
        &mut self,
        node: NodeId,
        keys: &[Arc<dyn PhysicalExpr>],
        order: &[SortKey],
        null_keys: bool,
    ) -> Result<(ArrangedRows<'scope>, Sorted), RenderError> {
        let source = &self.plan.nodes[node.0];
        let width = source.schema.fields().len();
        let mut columns = Columns::all_of(source.schema.clone());
        let key = keys.iter().map(|key| columns.add(key));
        let key: Vec<usize> = key.collect::<Result<_, _>>()?;
        let mut value: Vec<(usize, Order)> = Vec::new();
        for sort in order {
            value.push((columns.add(&sort.expr)?, sort.options.into()));
        }
        for column in 0..width {
            if value.iter().all(|(other, _)| *other != column) {
                value.push((column, Order::default()));
            }
        }
        let (step, schema) = columns.finish();
        let mut rows = self.flow(node);
        if let Some(step) = step {
            rows = self.rows(map::map(rows, vec![step], source.views.clone()));
        }
        let arrangement = Arrangement {
            key,
            value,
            null_keys,
        };
        let arranged = arrange::arrange(rows, &schema, &arrangement, self.peers)?;
        Ok((
            arranged,
            Sorted {
                arrangement,
                schema,
            },
        ))
    }
}

/// How a side is kept.
struct Sorted {
    arrangement: Arrangement,
    schema: SchemaRef,
}
