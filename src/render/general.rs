//! Aggregates that only a look at the whole group can answer: medians, arrays, strings, and any
//! aggregate that a program registers.
//!
//! An arrangement of the aggregates' columns by group flows in; rows of (keys, answers) flow out.
//! A change costs as much as its group is big: `explain` says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, filter, lexsort_to_indices, take, take_arrays};
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};

use super::changes::{Group, GroupLogic};
use super::map::{batch, evaluate};
use super::{Outcome, Outcomes, RenderError, arrange, changes, reject};
use crate::delta::{Delta, Diff, Time};
use crate::plan::Aggregate;
use crate::row::{ByteStore, KeyTable, RowCodec, Rows, key_bytes};

/// One aggregate over a group's rows.
struct Evaluator {
    function: Arc<AggregateFunctionExpr>,
    aggregate: Aggregate,
}

/// Aggregates over whole groups.
pub(super) struct General {
    evaluators: Vec<Evaluator>,
    /// The columns of the arrangement's values.
    values: SchemaRef,
    /// The keys' columns, then the answers'.
    schema: SchemaRef,
    key_codec: RowCodec,
    value_codec: RowCodec,
    answer_codec: RowCodec,
    views: Vec<String>,
}

impl General {
    /// Aggregates whose expressions refer to the columns of `values`.
    ///
    /// # Errors
    ///
    /// If an aggregate is not one that DataFusion can run over such columns.
    pub(super) fn new(
        aggregates: Vec<Aggregate>,
        values: SchemaRef,
        schema: SchemaRef,
        key_codec: RowCodec,
        value_codec: RowCodec,
        views: Vec<String>,
    ) -> std::result::Result<Self, RenderError> {
        let keys = schema.fields().len() - aggregates.len();
        let answer_codec = RowCodec::new(schema.fields()[keys..].iter().map(|f| f.data_type()))?;
        let evaluators = aggregates
            .into_iter()
            .map(|aggregate| {
                Ok(Evaluator {
                    function: function(&aggregate, &values)?,
                    aggregate,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(General {
            evaluators,
            values,
            schema,
            key_codec,
            value_codec,
            answer_codec,
            views,
        })
    }

    /// The answers for a group of no rows.
    pub(super) fn of_nothing(&self) -> Result<Vec<ScalarValue>> {
        let none = RecordBatch::new_empty(self.values.clone());
        self.evaluators
            .iter()
            .map(|evaluator| evaluator.answer(&none))
            .collect()
    }

    fn answer(&self, rows: &RecordBatch) -> Result<Vec<u8>> {
        let answers = self
            .evaluators
            .iter()
            .map(|evaluator| evaluator.answer(rows)?.to_array());
        let answers = answers.collect::<Result<Vec<ArrayRef>>>()?;
        let types = self.schema.fields()[self.schema.fields().len() - answers.len()..].iter();
        let answers: Vec<ArrayRef> = answers
            .iter()
            .zip(types)
            .map(|(answer, field)| arrow::compute::cast(answer, field.data_type()))
            .collect::<std::result::Result<_, _>>()?;
        Ok(self.answer_codec.encode(&answers, 1)?.get(0).to_vec())
    }
}

fn function(aggregate: &Aggregate, values: &SchemaRef) -> Result<Arc<AggregateFunctionExpr>> {
    let order = aggregate
        .order
        .iter()
        .map(|key| PhysicalSortExpr::new(key.expr.clone(), key.options));
    let builder = AggregateExprBuilder::new(aggregate.function.clone(), aggregate.args.clone())
        .schema(values.clone())
        .alias(aggregate.name.clone())
        .order_by(order.collect())
        .with_distinct(aggregate.distinct)
        .with_ignore_nulls(aggregate.ignore_nulls);
    Ok(Arc::new(builder.build()?))
}

impl Evaluator {
    fn answer(&self, rows: &RecordBatch) -> Result<ScalarValue> {
        let rows = self.filtered(rows)?;
        let mut columns = evaluate(&self.aggregate.args, &rows)?;
        let keys: Vec<Arc<dyn PhysicalExpr>> = self
            .aggregate
            .order
            .iter()
            .map(|key| key.expr.clone())
            .collect();
        let keys = evaluate(&keys, &rows)?;
        if !keys.is_empty() {
            let sort: Vec<SortColumn> = keys
                .iter()
                .zip(&self.aggregate.order)
                .map(|(values, key)| SortColumn {
                    values: values.clone(),
                    options: Some(key.options),
                })
                .collect();
            let order = lexsort_to_indices(&sort, None)?;
            // An ordered aggregate reads its order's columns after its arguments.
            columns.extend(keys);
            columns = take_arrays(&columns, &order, None)?;
        }
        let mut accumulator = self.function.create_accumulator()?;
        if rows.num_rows() > 0 {
            accumulator.update_batch(&columns)?;
        }
        accumulator.evaluate()
    }

    fn filtered(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let Some(predicate) = &self.aggregate.filter else {
            return Ok(rows.clone());
        };
        let mask = predicate.evaluate(rows)?.into_array(rows.num_rows())?;
        let columns = rows
            .columns()
            .iter()
            .map(|column| filter(column, mask.as_boolean()));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        batch(&rows.schema(), columns, mask.as_boolean().true_count())
    }
}

/// Renders aggregates over an arrangement of their columns.
pub(super) fn general(arranged: arrange::ArrangedRows<'_>, general: General) -> Outcomes<'_> {
    let logic = Answers {
        general,
        table: KeyTable::default(),
        answers: ByteStore::default(),
        failures: BTreeMap::new(),
        changed: BTreeMap::new(),
    };
    changes::on_change(arranged, "Aggregate", logic)
}

/// The answers given, by group.
struct Answers {
    general: General,
    table: KeyTable,
    answers: ByteStore,
    /// The groups that have no answer, and why.
    failures: BTreeMap<usize, String>,
    changed: BTreeMap<Time, Changed>,
}

#[derive(Default)]
struct Changed {
    keys: Rows,
    answers: Rows,
    diffs: Vec<Diff>,
    failed: Vec<(String, String, Diff)>,
}

impl GroupLogic for Answers {
    fn change(&mut self, key: &[u8], group: &mut Group<'_>, time: Time) {
        let mut rows = Rows::default();
        let mut copies: Vec<u32> = Vec::new();
        while let Some(row) = group.next() {
            if row.now > 0 {
                let number = u32::try_from(rows.len()).expect("a group has fewer than 2^32 rows");
                rows.push(row.row);
                copies.extend(std::iter::repeat_n(number, row.now.unsigned_abs() as usize));
            }
        }
        let answer = (!rows.is_empty()).then(|| self.evaluate(&rows, copies));
        self.replace(key, answer, time);
    }

    fn finish(&mut self, outcomes: &mut Vec<Outcome>) {
        for (time, changed) in std::mem::take(&mut self.changed) {
            if !changed.diffs.is_empty() {
                outcomes.push(Ok(self.delta(&changed, time)));
            }
            if !changed.failed.is_empty() {
                outcomes.push(Err(reject::of_rows(
                    &self.general.views,
                    &changed.failed,
                    time,
                )));
            }
        }
    }
}

impl Answers {
    fn evaluate(&self, rows: &Rows, copies: Vec<u32>) -> std::result::Result<Vec<u8>, String> {
        let count = copies.len();
        let copies = UInt32Array::from(copies);
        let columns = self
            .general
            .value_codec
            .decode(rows.iter())
            .expect("values of the codec's making");
        let columns = columns
            .iter()
            .map(|column| take(column, &copies, None).expect("indices of decoded rows"))
            .collect();
        let rows = batch(&self.general.values, columns, count).expect("the arrangement's values");
        self.general
            .answer(&rows)
            .map_err(|error| error.strip_backtrace())
    }

    /// Exchanges a group's answer for a new one; `None` when the group is gone.
    fn replace(
        &mut self,
        key: &[u8],
        answer: Option<std::result::Result<Vec<u8>, String>>,
        time: Time,
    ) {
        let changed = self.changed.entry(time).or_default();
        let (slot, _) = self.table.intern(key);
        let old = self.answers.get(slot);
        let new: &[u8] = match &answer {
            Some(Ok(answer)) => answer,
            _ => &[],
        };
        if old != new {
            for (row, diff) in [(old, -1), (new, 1)] {
                if !row.is_empty() {
                    changed.keys.push(key_bytes(key));
                    changed.answers.push(row);
                    changed.diffs.push(diff);
                }
            }
            self.answers.set(slot, new);
        }
        if let Some(reason) = self.failures.remove(&slot) {
            changed.failed.push((reason, String::new(), -1));
        }
        match answer {
            Some(Err(reason)) => {
                changed.failed.push((reason.clone(), String::new(), 1));
                self.failures.insert(slot, reason);
            }
            Some(Ok(_)) => {}
            None => self.table.remove(slot),
        }
    }

    fn delta(&self, changed: &Changed, time: Time) -> Delta {
        let General {
            key_codec,
            answer_codec,
            schema,
            ..
        } = &self.general;
        let mut columns = key_codec
            .decode(changed.keys.iter())
            .expect("keys of the codec's making");
        columns.extend(
            answer_codec
                .decode(changed.answers.iter())
                .expect("answers of its making"),
        );
        let rows = batch(schema, columns, changed.diffs.len()).expect("the answer's columns");
        Delta::new(rows, changed.diffs.clone(), time)
    }
}
