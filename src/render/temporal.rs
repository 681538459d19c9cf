//! Rows that come and go with the clock: held until their time has come, and until it is over.
//!
//! A node's deltas and the clock's ticks flow in; rows flow out at the epoch in which the clock
//! reaches the instant from which they stand, and are taken back at the one in which it reaches the
//! instant at which they do not stand any more. What is to come is kept here and nowhere else: no
//! update of a later epoch ever flows on. A row that is taken back from the input meets its other
//! half in the same place, since its instants follow from the row alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampNanosecondArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{
    DataType, DurationNanosecondType, Field, Int64Type, IntervalMonthDayNanoType, IntervalUnit,
    Schema, SchemaRef, TimeUnit,
};
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::physical_expr::PhysicalExpr;
use hashbrown::HashMap;

use super::epoch::{EpochLogic, by_epoch};
use super::flow::Flow;
use super::map::{batch, refusals};
use super::meter::Held;
use super::{Outcome, Outcomes, RenderError, clock};
use crate::delta::{Delta, Diff, Time};
use crate::plan::{Bound, Comparison, Shift};
use crate::row::{RowCodec, Rows};

/// An instant that never comes.
const NEVER: i64 = i64::MAX;
/// An instant that lies before all others; the clock shows it until it is first set.
const UNSET: i64 = i64::MIN;
/// The first instant that the clock can show.
const FIRST: i64 = UNSET + 1;

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// The clock's values among which the instant is looked for at which a function of the clock
/// reaches another value: the years 1700 to 2250.
const CLOCK_RANGE: (i64, i64) = (-8_520_336_000_000_000_000, 8_835_955_200_000_000_000);

/// Renders the rows of a flow that stand when the clock, the second flow, shows what it does.
pub(super) fn stand<'scope>(
    flows: [Flow<'scope>; 2],
    bounds: Vec<Bound>,
    schema: SchemaRef,
    views: Vec<String>,
    held: Held,
) -> Result<Outcomes<'scope>, RenderError> {
    let standing = Standing {
        bounds: Bounds { bounds, views },
        codec: RowCodec::for_fields(schema.fields())?,
        schema,
        now: UNSET,
        to_come: Agenda::default(),
        to_go: Agenda::default(),
        held,
        arrived: BTreeMap::new(),
    };
    let scope = flows[CLOCK].scope();
    Ok(by_epoch(scope, flows.into(), "Temporal", false, standing))
}

/// Which flow is what the clock shows; the other one has the node's rows.
const CLOCK: usize = 1;

/// What arrived at one time.
#[derive(Default)]
struct Epoch {
    deltas: Vec<Delta>,
    now: Option<i64>,
}

/// The rows that are still to come or to go.
struct Standing {
    bounds: Bounds,
    codec: RowCodec,
    schema: SchemaRef,
    now: i64,
    to_come: Agenda,
    to_go: Agenda,
    held: Held,
    arrived: BTreeMap<Time, Epoch>,
}

impl EpochLogic for Standing {
    fn add(&mut self, flow: usize, delta: Delta) {
        let epoch = self.arrived.entry(delta.time).or_default();
        if flow == CLOCK {
            epoch.now = epoch.now.max(clock::latest(&delta.batch));
        } else {
            epoch.deltas.push(delta);
        }
    }

    fn complete(&mut self, time: Time, outcomes: &mut Vec<Outcome>) {
        let epoch = self.arrived.remove(&time).unwrap_or_default();
        let before = self.now;
        self.now = epoch.now.map_or(before, |now| now.max(before));
        for delta in epoch.deltas {
            for (delta, spans) in self.bounds.spans(&delta, outcomes) {
                self.take(&delta, &spans, outcomes);
            }
        }
        if self.now > before {
            let mut moved = Moved::default();
            for (row, until, diff) in self.to_come.due(self.now) {
                if until > self.now {
                    moved.push(&row, diff);
                    self.to_go.add(until, NEVER, &row, diff);
                }
            }
            for (row, _, diff) in self.to_go.due(self.now) {
                moved.push(&row, -diff);
            }
            outcomes.extend(moved.delta(&self.codec, &self.schema, time).map(Ok));
        }
        self.held.tell(self.to_come.len() + self.to_go.len());
    }
}

impl Standing {
    /// Takes a delta: rows that stand flow on, what is still to happen to rows is noted.
    fn take(&mut self, delta: &Delta, spans: &[Span], outcomes: &mut Vec<Outcome>) {
        let is_kept = |span: &Span| span.from < span.until && self.now < span.until;
        let has_more = |span: &Span| is_kept(span) && (self.now < span.from || span.until < NEVER);
        let stands = |span: &Span| span.from <= self.now && self.now < span.until;
        if spans.iter().any(has_more) {
            let rows = self.codec.encode(delta.batch.columns(), delta.len());
            let rows = rows.expect("the batch fits its schema");
            for (row, span) in spans.iter().enumerate() {
                let is_to_come = self.now < span.from && span.from < NEVER;
                if is_kept(span) && is_to_come {
                    self.to_come
                        .add(span.from, span.until, rows.get(row), delta.diff(row));
                } else if stands(span) && span.until < NEVER {
                    self.to_go
                        .add(span.until, NEVER, rows.get(row), delta.diff(row));
                }
            }
        }
        let mask: BooleanArray = spans.iter().map(|span| Some(stands(span))).collect();
        let standing = delta.filter(&mask).expect("a span a row");
        if !standing.is_empty() {
            outcomes.push(Ok(standing));
        }
    }
}

/// Rows that come or go.
#[derive(Default)]
struct Moved {
    rows: Rows,
    diffs: Vec<Diff>,
}

impl Moved {
    fn push(&mut self, row: &[u8], diff: Diff) {
        self.rows.push(row);
        self.diffs.push(diff);
    }

    fn delta(self, codec: &RowCodec, schema: &SchemaRef, time: Time) -> Option<Delta> {
        if self.diffs.is_empty() {
            return None;
        }
        let columns = codec.decode(self.rows.iter());
        let columns = columns.expect("rows are of the codec's making");
        let rows = batch(schema, columns, self.rows.len()).expect("rows are of the schema's types");
        Some(Delta::new(rows, self.diffs, time))
    }
}

/// How many bits of an instant in nanoseconds a [`Page`] leaves out: it spans 67 milliseconds.
const PAGE_BITS: u32 = 26;

/// Rows by the instant at which something happens to them.
#[derive(Default)]
struct Agenda {
    pages: BTreeMap<i64, Page>,
    entries: usize,
}

/// The rows of a stretch of time.
#[derive(Default)]
struct Page {
    rows: Rows,
    entries: Vec<Entry>,
    /// How many entries there were when equal ones were last added up.
    settled: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    at: i64,
    until: i64,
    diff: Diff,
}

impl Agenda {
    fn len(&self) -> usize {
        self.entries
    }

    /// Notes that something happens to a row at an instant; `until` goes with it.
    fn add(&mut self, at: i64, until: i64, row: &[u8], diff: Diff) {
        let page = self.pages.entry(at >> PAGE_BITS).or_default();
        page.rows.push(row);
        page.entries.push(Entry { at, until, diff });
        self.entries += 1;
        if page.entries.len() > 2 * page.settled + 64 {
            self.entries -= page.settle();
            if page.entries.is_empty() {
                self.pages.remove(&(at >> PAGE_BITS));
            }
        }
    }

    /// Takes out what happens up to an instant: row, `until`, diff.
    fn due(&mut self, now: i64) -> Vec<(Box<[u8]>, i64, Diff)> {
        let mut due = Vec::new();
        while let Some(entry) = self.pages.first_entry() {
            if *entry.key() > now >> PAGE_BITS {
                break;
            }
            let (number, page) = entry.remove_entry();
            self.entries -= page.entries.len();
            let mut rest = Page::default();
            for (at, entry) in page.entries.iter().enumerate() {
                let row = page.rows.get(at);
                if entry.at <= now {
                    due.push((row.into(), entry.until, entry.diff));
                } else {
                    rest.rows.push(row);
                    rest.entries.push(*entry);
                }
            }
            if !rest.entries.is_empty() {
                rest.settled = rest.entries.len();
                self.entries += rest.entries.len();
                self.pages.insert(number, rest);
                break;
            }
        }
        due
    }
}

impl Page {
    /// Adds up the diffs of equal rows and drops those that come to nothing; how many entries
    /// fewer there are.
    fn settle(&mut self) -> usize {
        let mut sums: HashMap<(i64, i64, &[u8]), Diff> = HashMap::new();
        for (at, entry) in self.entries.iter().enumerate() {
            let row = self.rows.get(at);
            *sums.entry((entry.at, entry.until, row)).or_default() += entry.diff;
        }
        let mut rows = Rows::default();
        let mut entries = Vec::new();
        for ((at, until, row), diff) in sums {
            if diff != 0 {
                rows.push(row);
                entries.push(Entry { at, until, diff });
            }
        }
        let fewer = self.entries.len() - entries.len();
        self.settled = entries.len();
        (self.rows, self.entries) = (rows, entries);
        fewer
    }
}

/// From when a row stands, and from when it does not any more; nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: i64,
    until: i64,
}

/// The conditions on the clock.
struct Bounds {
    bounds: Vec<Bound>,
    views: Vec<String>,
}

impl Bounds {
    /// The rows of a delta with their spans; rows on which an expression fails become rejects.
    fn spans(&self, delta: &Delta, outcomes: &mut Vec<Outcome>) -> Vec<(Delta, Vec<Span>)> {
        if let Ok(spans) = self.of_batch(&delta.batch) {
            return vec![(delta.clone(), spans)];
        }
        let mut taken = Vec::new();
        let mut failed = Vec::new();
        for row in 0..delta.len() {
            let single = delta.batch.slice(row, 1);
            match self.of_batch(&single) {
                Ok(spans) => {
                    taken.push((Delta::new(single, vec![delta.diff(row)], delta.time), spans));
                }
                Err(error) => failed.push((row, error)),
            }
        }
        outcomes.extend(refusals(&self.views, delta, failed));
        taken
    }

    fn of_batch(&self, batch: &RecordBatch) -> Result<Vec<Span>> {
        let always = Span {
            from: FIRST,
            until: NEVER,
        };
        let mut spans = vec![always; batch.num_rows()];
        for bound in &self.bounds {
            let edges = edges(bound, batch)?;
            for (span, (from, until)) in spans.iter_mut().zip(edges) {
                span.from = span.from.max(from);
                span.until = span.until.min(until);
            }
        }
        Ok(spans)
    }
}

/// Between which instants a bound holds, for each row; never if the row says nothing.
fn edges(bound: &Bound, batch: &RecordBatch) -> Result<Vec<(i64, i64)>> {
    let targets = targets(bound, batch)?;
    let next = |target: Option<i128>| target.map(|target| target + 1);
    // Values are whole, so `clock > x` is `clock >= x + 1`.
    let reached = match bound.comparison {
        Comparison::From | Comparison::Before | Comparison::During => reach(bound, &targets)?,
        Comparison::After | Comparison::UpTo => {
            let after: Vec<_> = targets.iter().map(|target| next(*target)).collect();
            reach(bound, &after)?
        }
    };
    let passed = match bound.comparison {
        Comparison::During => {
            let after: Vec<_> = targets.iter().map(|target| next(*target)).collect();
            reach(bound, &after)?
        }
        _ => Vec::new(),
    };
    let edge = |row: usize| match (targets[row], bound.comparison) {
        (None, _) => (NEVER, FIRST),
        (_, Comparison::From | Comparison::After) => (reached[row], NEVER),
        (_, Comparison::Before | Comparison::UpTo) => (FIRST, reached[row]),
        (_, Comparison::During) => (reached[row], passed[row]),
    };
    Ok((0..batch.num_rows()).map(edge).collect())
}

/// What the function of the clock is compared with, for each row: its instant less the shifts.
fn targets(bound: &Bound, batch: &RecordBatch) -> Result<Vec<Option<i128>>> {
    let rows = batch.num_rows();
    let instants = whole_numbers(&bound.instant.evaluate(batch)?.into_array(rows)?)?;
    let mut targets: Vec<Option<i128>> = instants
        .iter()
        .map(|instant| instant.map(i128::from))
        .collect();
    for shift in &bound.shifts {
        let lengths = lengths(shift, batch)?;
        for (target, length) in targets.iter_mut().zip(lengths) {
            *target = match (*target, length) {
                (Some(target), Some(length)) if shift.later => Some(target - length),
                (Some(target), Some(length)) => Some(target + length),
                _ => None,
            };
        }
    }
    Ok(targets)
}

/// A column of times as numbers of their unit.
fn whole_numbers(times: &ArrayRef) -> Result<Vec<Option<i64>>> {
    let times = match times.data_type() {
        DataType::Date32 => cast(&cast(times, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(times, &DataType::Int64)?,
    };
    Ok(times.as_primitive::<Int64Type>().iter().collect())
}

/// The lengths of time of a shift, in nanoseconds.
fn lengths(shift: &Shift, batch: &RecordBatch) -> Result<Vec<Option<i128>>> {
    let lengths = shift.length.evaluate(batch)?.into_array(batch.num_rows())?;
    if let DataType::Duration(_) = lengths.data_type() {
        let exact = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let kind = DataType::Duration(TimeUnit::Nanosecond);
        let lengths = cast_with_options(&lengths, &kind, &exact)?;
        let lengths = lengths.as_primitive::<DurationNanosecondType>().iter();
        return Ok(lengths.map(|length| length.map(i128::from)).collect());
    }
    let kind = DataType::Interval(IntervalUnit::MonthDayNano);
    let lengths = cast(&lengths, &kind)?;
    let lengths = lengths.as_primitive::<IntervalMonthDayNanoType>().iter();
    let length = |length: Option<arrow::datatypes::IntervalMonthDayNano>| {
        let Some(length) = length else {
            return Ok(None);
        };
        if length.months != 0 {
            return exec_err!("an interval of months is of no one length: give it in days");
        }
        let days = i128::from(length.days) * NANOS_PER_DAY;
        Ok(Some(days + i128::from(length.nanoseconds)))
    };
    lengths.map(length).collect()
}

/// The first instants at which a bound's function of the clock reaches some values.
fn reach(bound: &Bound, targets: &[Option<i128>]) -> Result<Vec<i64>> {
    let Some(function) = &bound.clock else {
        let instant = |target: &Option<i128>| {
            let target = target.unwrap_or(i128::from(NEVER));
            let clamped = target.clamp(i128::from(FIRST), i128::from(NEVER));
            i64::try_from(clamped).expect("clamped to 64 bits")
        };
        return Ok(targets.iter().map(instant).collect());
    };
    let mut values: Vec<i128> = targets.iter().flatten().copied().collect();
    values.sort_unstable();
    values.dedup();
    let instants = search(function, &values)?;
    let instant = |target: &Option<i128>| {
        let found = target.and_then(|target| values.binary_search(&target).ok());
        found.map_or(NEVER, |at| instants[at])
    };
    Ok(targets.iter().map(instant).collect())
}

/// For each value the first instant at which a function of the clock, which never goes back, is not
/// less than it: by halving, all values side by side.
fn search(function: &Arc<dyn PhysicalExpr>, values: &[i128]) -> Result<Vec<i64>> {
    let (first, last) = CLOCK_RANGE;
    // The instant lies after `low` and is `high` at most.
    let mut low = vec![first - 1; values.len()];
    let mut high = vec![last; values.len()];
    while low
        .iter()
        .zip(&high)
        .any(|(low, high)| high.abs_diff(*low) > 1)
    {
        let middle: Vec<i64> = low
            .iter()
            .zip(&high)
            .map(|(low, high)| low.saturating_add_unsigned(high.abs_diff(*low) / 2))
            .collect();
        let shown = shown(function, &middle)?;
        for (at, value) in values.iter().enumerate() {
            if high[at].abs_diff(low[at]) <= 1 {
                continue;
            }
            if shown[at].is_some_and(|shown| i128::from(shown) >= *value) {
                high[at] = middle[at];
            } else {
                low[at] = middle[at];
            }
        }
    }
    let never = |at: &i64| if *at == last { NEVER } else { *at };
    Ok(high.iter().map(never).collect())
}

/// A function of the clock at some of the clock's values.
fn shown(function: &Arc<dyn PhysicalExpr>, clock: &[i64]) -> Result<Vec<Option<i64>>> {
    let column = TimestampNanosecondArray::from(clock.to_vec());
    let field = Field::new("now", column.data_type().clone(), true);
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = RecordBatch::try_new(schema, vec![Arc::new(column)])
        .map_err(|error| DataFusionError::ArrowError(Box::new(error), None))?;
    whole_numbers(&function.evaluate(&batch)?.into_array(clock.len())?)
}
