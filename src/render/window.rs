//! Window functions: every row with what functions make of the rows around it.
//!
//! An arrangement of rows by partition, sorted in the functions' order, flows in; rows with the
//! functions' answers appended flow out. When a partition changes, DataFusion evaluates the
//! functions over its rows as they were and as they are, and only rows that differ go on: nothing
//! is kept but the arrangement, and a change costs as much as its partition is big. Where the ranks
//! that are wanted are bounded, no row beyond the bound is looked at.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;

use super::arrange::Arrangement;
use super::changes::{Group, GroupLogic};
use super::columns::{Columns, column};
use super::flow::Flow;
use super::frame::Function;
use super::map::{self, batch};
use super::{Builder, Outcome, RenderError, arrange, changes, reject};
use crate::delta::{Delta, Diff, Time};
use crate::plan::{NodeId, Op, RankLimit, SortKey, Step, WindowCall};
use crate::row::{RowCodec, Rows, key_bytes};

/// Where a column of a row comes from.
#[derive(Debug, Clone, Copy)]
enum From {
    /// A column of the arrangement's key.
    Key(usize),
    /// A column of its value.
    Value(usize),
}

/// What is computed of each partition, and how its rows are read.
struct Windows {
    /// The functions, over the columns of `input`.
    functions: Vec<Function>,
    /// How far into a partition ranks are wanted.
    limit: Option<RankLimit>,
    /// The columns that are arranged.
    input: SchemaRef,
    /// Where each of these comes from; those that flow out come first.
    columns: Vec<From>,
    /// The columns that flow out: some of the input's, then the functions' answers.
    schema: SchemaRef,
    /// How many of the value's columns rows are ordered by before all others.
    order: usize,
    /// The codec of the order's columns, in their directions.
    order_codec: RowCodec,
    /// The codec of the arrangement's keys.
    key_codec: RowCodec,
    /// The codec of its values.
    value_codec: RowCodec,
    /// The codec of the functions' answers.
    answer_codec: RowCodec,
    /// Whom rejects are told of.
    views: Vec<String>,
}

/// Renders a node of window functions.
///
/// # Errors
///
/// If DataFusion cannot run a function, or rows of these types cannot be kept.
pub(super) fn render<'scope>(
    builder: &mut Builder<'scope, '_>,
    id: NodeId,
) -> std::result::Result<Flow<'scope>, RenderError> {
    let node = &builder.plan.nodes[id.0];
    let Op::Window {
        input,
        partition,
        order,
        functions,
        limit,
    } = &node.op
    else {
        unreachable!("only a node of window functions is rendered as one");
    };
    let source = builder.plan.nodes[input.0].schema.clone();
    let width = source.fields().len();
    let places = Places::of(source, partition, order, functions)?;
    let mut rows = builder.flow(*input);
    if let Some(step) = &places.step {
        rows = builder.rows(map::map(rows, vec![step.clone()], node.views.clone()));
    }
    let arrangement = places.arrangement();
    let schema = places.schema.clone();
    let arranged = arrange::arrange(rows, &schema, &arrangement, builder.peers)?;
    let sorted = places.order(order);
    let answers = &node.schema.fields()[width..];
    let functions = functions.iter().zip(&places.calls).zip(answers);
    let functions = functions.map(|((call, places), answer)| {
        let call = places.call(call, &schema);
        Function::new(&call, &sorted, &schema, answer.data_type())
    });
    let types = places.order.iter().zip(order);
    let types = types.map(|(at, key)| (schema.field(*at).data_type().clone(), key.options));
    let windows = Windows {
        functions: functions.collect::<Result<Vec<_>>>()?,
        limit: *limit,
        columns: places.sources(&arrangement),
        schema: node.schema.clone(),
        order: order.len(),
        order_codec: RowCodec::with_order(types)?,
        key_codec: arrangement.key_codec(&schema)?,
        value_codec: arrangement.value_codec(&schema)?,
        answer_codec: RowCodec::new(answers.iter().map(|field| field.data_type()))?,
        views: node.views.clone(),
        input: schema.clone(),
    };
    let logic = Answers {
        windows,
        changed: BTreeMap::new(),
    };
    Ok(builder.rows(changes::on_change(arranged, "Window", logic)))
}

/// Where the expressions of a node lie among the columns that are arranged: first the input's
/// columns, then what has to be computed.
struct Places {
    step: Option<Step>,
    schema: SchemaRef,
    partition: Vec<usize>,
    /// The order's columns, each with its direction.
    order: Vec<usize>,
    directions: Vec<arrange::Order>,
    calls: Vec<CallPlaces>,
}

/// Where a function's arguments and filter lie.
struct CallPlaces {
    /// Nothing for a constant: what a function takes as a constant it takes from nothing else.
    args: Vec<Option<usize>>,
    filter: Option<usize>,
}

impl Places {
    fn of(
        source: SchemaRef,
        partition: &[Arc<dyn PhysicalExpr>],
        order: &[SortKey],
        functions: &[WindowCall],
    ) -> std::result::Result<Self, RenderError> {
        let mut columns = Columns::all_of(source);
        let mut add_all = |exprs: &mut dyn Iterator<Item = &Arc<dyn PhysicalExpr>>| {
            let places = exprs.map(|expr| columns.add(expr));
            places.collect::<std::result::Result<Vec<usize>, _>>()
        };
        let partition = add_all(&mut partition.iter())?;
        let directions = order.iter().map(|key| key.options.into()).collect();
        let order = add_all(&mut order.iter().map(|key| &key.expr))?;
        let mut calls = Vec::with_capacity(functions.len());
        for call in functions {
            let mut args = Vec::with_capacity(call.args.len());
            for arg in &call.args {
                let is_constant = arg.downcast_ref::<Literal>().is_some();
                args.push(match is_constant {
                    true => None,
                    false => add_all(&mut std::iter::once(arg))?.pop(),
                });
            }
            let filter = add_all(&mut call.filter.iter())?.pop();
            calls.push(CallPlaces { args, filter });
        }
        let (step, schema) = columns.finish();
        Ok(Places {
            step,
            schema,
            partition,
            order,
            directions,
            calls,
        })
    }

    fn arrangement(&self) -> Arrangement {
        let directions = self.directions.iter().copied();
        let mut value: Vec<_> = self.order.iter().copied().zip(directions).collect();
        // What neither the key nor the order holds comes after it, and makes the order total.
        for column in 0..self.schema.fields().len() {
            if !self.partition.contains(&column) && !self.order.contains(&column) {
                value.push((column, arrange::Order::default()));
            }
        }
        Arrangement {
            key: self.partition.clone(),
            value,
            null_keys: true,
        }
    }

    fn order(&self, order: &[SortKey]) -> Vec<SortKey> {
        let keys = self.order.iter().zip(order);
        let keys = keys.map(|(at, key)| SortKey {
            expr: column(&self.schema, *at),
            options: key.options,
        });
        keys.collect()
    }

    /// Where in the arrangement each column lies.
    fn sources(&self, arrangement: &Arrangement) -> Vec<From> {
        let source = |column: usize| {
            let key = arrangement.key.iter().position(|key| *key == column);
            let value = || {
                let mut values = arrangement.value.iter();
                values.position(|(value, _)| *value == column)
            };
            key.map(From::Key).or_else(|| value().map(From::Value))
        };
        let columns = 0..self.schema.fields().len();
        columns.filter_map(source).collect()
    }
}

impl CallPlaces {
    fn call(&self, call: &WindowCall, schema: &SchemaRef) -> WindowCall {
        let args = self.args.iter().zip(&call.args).map(|(at, arg)| match at {
            Some(at) => column(schema, *at),
            None => Arc::clone(arg),
        });
        WindowCall {
            args: args.collect(),
            filter: self.filter.map(|at| column(schema, at)),
            ..call.clone()
        }
    }
}

struct Answers {
    windows: Windows,
    changed: BTreeMap<Time, Changed>,
}

/// Rows that come or go, each with its answers.
#[derive(Default)]
struct Changed {
    keys: Rows,
    values: Rows,
    answers: Rows,
    diffs: Vec<Diff>,
    failed: Vec<(String, String, Diff)>,
}

/// The rows of a partition, as far as they are looked at, and how often each was and is there.
#[derive(Default)]
struct Partition {
    rows: Rows,
    before: Vec<usize>,
    now: Vec<usize>,
}

/// How many rows are read before ranks are looked at; twice as many each time.
const FIRST_ROWS: usize = 64;

impl GroupLogic for Answers {
    fn change(&mut self, key: &[u8], group: &mut Group<'_>, time: Time) {
        let partition = self.windows.read(group);
        let columns = self.windows.decode(key, &partition.rows);
        let before = self.windows.answers(&columns, &partition.before);
        let now = self.windows.answers(&columns, &partition.now);
        let changed = self.changed.entry(time).or_default();
        for (answers, diff) in [(&before, -1), (&now, 1)] {
            if let Err(reason) = answers {
                changed.failed.push((reason.clone(), String::new(), diff));
            }
        }
        let nothing = Rows::default();
        let (before, now) = (before.as_ref(), now.as_ref());
        let before = Side::of(before.unwrap_or(&nothing), &partition.before);
        let now = Side::of(now.unwrap_or(&nothing), &partition.now);
        for row in 0..partition.rows.len() {
            let value = partition.rows.get(row);
            changed.exchange(key_bytes(key), value, before.at(row), now.at(row));
        }
    }

    fn finish(&mut self, outcomes: &mut Vec<Outcome>) {
        for (time, changed) in std::mem::take(&mut self.changed) {
            if !changed.failed.is_empty() {
                let failed = reject::of_rows(&self.windows.views, &changed.failed, time);
                outcomes.push(Err(failed));
            }
            if !changed.diffs.is_empty() {
                outcomes.push(Ok(self.windows.delta(changed, time)));
            }
        }
    }
}

/// A partition's answers at one time: each row's copies have answers one after the other.
struct Side<'a> {
    answers: &'a Rows,
    /// Where each row's answers begin, and after the last where they end.
    starts: Vec<usize>,
}

impl<'a> Side<'a> {
    /// No answers are those of a partition that has failed.
    fn of(answers: &'a Rows, copies: &[usize]) -> Side<'a> {
        let mut starts = Vec::with_capacity(copies.len() + 1);
        starts.push(0);
        let mut end = 0;
        for copies in copies {
            end += copies;
            starts.push(end.min(answers.len()));
        }
        Side { answers, starts }
    }

    fn at(&self, row: usize) -> Vec<&'a [u8]> {
        let range: Range<usize> = self.starts[row]..self.starts[row + 1];
        range.map(|at| self.answers.get(at)).collect()
    }
}

impl Changed {
    /// Takes back a row with the answers that it had and has no more, and adds it with those that
    /// it has now.
    fn exchange(&mut self, key: &[u8], row: &[u8], mut before: Vec<&[u8]>, mut now: Vec<&[u8]>) {
        if before == now {
            return;
        }
        before.sort_unstable();
        now.sort_unstable();
        let (mut old, mut new) = (before.into_iter().peekable(), now.into_iter().peekable());
        loop {
            let (answers, diff) = match (old.peek(), new.peek()) {
                (Some(a), Some(b)) if a == b => {
                    old.next();
                    new.next();
                    continue;
                }
                (Some(a), Some(b)) if a < b => (old.next(), -1),
                (_, Some(_)) => (new.next(), 1),
                (Some(_), None) => (old.next(), -1),
                (None, None) => return,
            };
            self.keys.push(key);
            self.values.push(row);
            self.answers.push(answers.unwrap_or_default());
            self.diffs.push(diff);
        }
    }
}

impl Windows {
    /// Reads a partition, no further than the limit reaches.
    fn read(&self, group: &mut Group<'_>) -> Partition {
        let mut partition = Partition::default();
        let mut enough = FIRST_ROWS;
        while let Some(row) = group.next() {
            let copies = |diff: Diff| usize::try_from(diff).unwrap_or(0);
            partition.before.push(copies(row.before));
            partition.now.push(copies(row.now));
            partition.rows.push(row.row);
            if let Some(limit) = self.limit
                && partition.rows.len() == enough
            {
                if self.is_beyond(limit, &partition) {
                    break;
                }
                enough *= 2;
            }
        }
        if let Some(limit) = self.limit {
            self.cut(limit, &mut partition);
        }
        partition
    }

    /// The rows' order columns, encoded: equal for rows of one rank.
    fn ranks(&self, rows: &Rows) -> Rows {
        let values = self.value_codec.decode(rows.iter());
        let values = values.expect("values of the codec's making");
        let order = self.order_codec.encode(&values[..self.order], rows.len());
        order.expect("the order's columns")
    }

    /// Whether both of a partition's sides have a row beyond the limit.
    fn is_beyond(&self, limit: RankLimit, partition: &Partition) -> bool {
        let ranks = self.ranks(&partition.rows);
        [&partition.before, &partition.now]
            .iter()
            .all(|copies| within(limit, &ranks, copies) < ranks.len())
    }

    /// Leaves out the copies beyond the limit.
    fn cut(&self, limit: RankLimit, partition: &mut Partition) {
        let ranks = self.ranks(&partition.rows);
        for copies in [&mut partition.before, &mut partition.now] {
            let end = within(limit, &ranks, copies);
            copies[end..].fill(0);
        }
    }

    /// The columns of a partition's rows, without their copies.
    fn decode(&self, key: &[u8], rows: &Rows) -> Vec<ArrayRef> {
        let keys = std::iter::repeat_n(key_bytes(key), rows.len());
        let keys = self.key_codec.decode(keys);
        let keys = keys.expect("keys of the codec's making");
        let values = self.value_codec.decode(rows.iter());
        let values = values.expect("values of the codec's making");
        let columns = self.columns.iter().map(|from| match from {
            From::Key(at) => keys[*at].clone(),
            From::Value(at) => values[*at].clone(),
        });
        columns.collect()
    }

    /// The answers for rows of which some copies are there, encoded, copy by copy.
    fn answers(&self, columns: &[ArrayRef], copies: &[usize]) -> std::result::Result<Rows, String> {
        let mut rows: Vec<u32> = Vec::with_capacity(copies.len());
        for (row, copies) in copies.iter().enumerate() {
            let row = u32::try_from(row).expect("a partition has fewer than 2^32 rows");
            rows.extend(std::iter::repeat_n(row, *copies));
        }
        if rows.is_empty() {
            return Ok(Rows::default());
        }
        let count = rows.len();
        let rows = UInt32Array::from(rows);
        let columns = columns
            .iter()
            .map(|column| take(column, &rows, None).expect("indices of decoded rows"))
            .collect();
        let rows = batch(&self.input, columns, count).expect("the arrangement's columns");
        self.evaluate(&rows)
            .map_err(|error| error.strip_backtrace())
    }

    fn evaluate(&self, rows: &RecordBatch) -> Result<Rows> {
        let answers = self
            .functions
            .iter()
            .map(|function| function.evaluate(rows));
        let answers = answers.collect::<Result<Vec<ArrayRef>>>()?;
        Ok(self.answer_codec.encode(&answers, rows.num_rows())?)
    }

    fn delta(&self, changed: Changed, time: Time) -> Delta {
        let decode = |codec: &RowCodec, rows: &Rows| {
            let columns = codec.decode(rows.iter());
            columns.expect("rows of the codec's making")
        };
        let keys = decode(&self.key_codec, &changed.keys);
        let values = decode(&self.value_codec, &changed.values);
        let answers = decode(&self.answer_codec, &changed.answers);
        let rows = changed.diffs.len();
        let kept = self.schema.fields().len() - answers.len();
        let columns = self.columns[..kept].iter().map(|from| match from {
            From::Key(at) => keys[*at].clone(),
            From::Value(at) => values[*at].clone(),
        });
        let columns = columns.chain(answers.iter().cloned()).collect();
        let rows = batch(&self.schema, columns, rows).expect("the answer's columns");
        Delta::new(rows, changed.diffs, time)
    }
}

/// How many of some rows lie within the limit, given what ranks them and how often each is there.
fn within(limit: RankLimit, ranks: &Rows, copies: &[usize]) -> usize {
    let (mut seen, mut rank, mut dense) = (0, 0, 0);
    let mut last: Option<&[u8]> = None;
    for (at, copies) in copies.iter().enumerate().filter(|(_, copies)| **copies > 0) {
        let order = ranks.get(at);
        if last != Some(order) {
            last = Some(order);
            rank = seen + 1;
            dense += 1;
        }
        let is_within = match limit {
            RankLimit::Rank(highest) => rank <= highest,
            RankLimit::DenseRank(highest) => dense <= highest,
        };
        if !is_within {
            return at;
        }
        seen += copies;
    }
    ranks.len()
}
