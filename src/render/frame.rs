//! One window function over the rows of one partition.
//!
//! A partition's rows in order flow in, an answer for each flows out. DataFusion evaluates all but
//! aggregates that cannot forget a row as their frame moves on: these are computed anew for each
//! frame.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{SortOptions, cast, filter};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::window_state::WindowFrameContext;
use datafusion::logical_expr::{WindowFrame, WindowFunctionDefinition};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::window::WindowExpr;

use super::map::evaluate;
use crate::plan::{SortKey, WindowCall};

/// A function ready to be evaluated.
pub(super) struct Function {
    how: How,
    data_type: DataType,
}

enum How {
    /// As DataFusion does it.
    Whole(Arc<dyn WindowExpr>),
    /// Frame by frame.
    Each(Box<Each>),
}

/// An aggregate that is computed anew for each frame.
struct Each {
    aggregate: AggregateFunctionExpr,
    args: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    order: Vec<Arc<dyn PhysicalExpr>>,
    options: Vec<SortOptions>,
    frame: Arc<WindowFrame>,
}

impl Function {
    /// A function over rows of the schema `input`, which come in an order; answers are of
    /// `data_type`.
    ///
    /// # Errors
    ///
    /// If DataFusion cannot run it over such columns.
    pub(super) fn new(
        call: &WindowCall,
        order: &[SortKey],
        input: &SchemaRef,
        data_type: &DataType,
    ) -> Result<Self> {
        let how = match Each::of(call, order, input)? {
            Some(each) => How::Each(Box::new(each)),
            None => How::Whole(call.expr(order, input)?),
        };
        Ok(Function {
            how,
            data_type: data_type.clone(),
        })
    }

    /// The answers for the rows of a partition, one a row.
    ///
    /// # Errors
    ///
    /// If the function fails on some row.
    pub(super) fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef> {
        let answers = match &self.how {
            How::Whole(expr) => expr.evaluate(rows)?,
            How::Each(each) => each.evaluate(rows)?,
        };
        Ok(cast(&answers, &self.data_type)?)
    }
}

impl Each {
    /// The aggregate, if its frame moves on from rows that it cannot forget.
    fn of(call: &WindowCall, order: &[SortKey], input: &SchemaRef) -> Result<Option<Self>> {
        let WindowFunctionDefinition::AggregateUDF(function) = &call.function else {
            return Ok(None);
        };
        if call.frame.is_ever_expanding() {
            return Ok(None);
        }
        let aggregate = AggregateExprBuilder::new(Arc::clone(function), call.args.clone())
            .schema(Arc::clone(input))
            .alias(call.name.clone())
            .with_ignore_nulls(call.ignore_nulls)
            .with_distinct(call.distinct)
            .build()?;
        if aggregate.create_sliding_accumulator().is_ok() {
            return Ok(None);
        }
        Ok(Some(Each {
            aggregate,
            args: call.args.clone(),
            filter: call.filter.clone(),
            order: order.iter().map(|key| Arc::clone(&key.expr)).collect(),
            options: order.iter().map(|key| key.options).collect(),
            frame: Arc::new(call.frame.clone()),
        }))
    }

    fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef> {
        let args = evaluate(&self.args, rows)?;
        let order = evaluate(&self.order, rows)?;
        let mask = match &self.filter {
            Some(predicate) => Some(predicate.evaluate(rows)?.into_array(rows.num_rows())?),
            None => None,
        };
        let mut frames = WindowFrameContext::new(Arc::clone(&self.frame), self.options.clone());
        let mut last: Range<usize> = 0..0;
        let mut answers = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            last = frames.calculate_range(&order, &last, rows.num_rows(), row)?;
            let length = last.end.saturating_sub(last.start);
            let mut seen: Vec<ArrayRef> = args
                .iter()
                .map(|arg| arg.slice(last.start, length))
                .collect();
            if let Some(mask) = &mask {
                let mask = mask.slice(last.start, length);
                for arg in &mut seen {
                    *arg = filter(arg, mask.as_boolean())?;
                }
            }
            answers.push(self.answer(&seen)?);
        }
        ScalarValue::iter_to_array(answers)
    }

    fn answer(&self, args: &[ArrayRef]) -> Result<ScalarValue> {
        let mut accumulator = self.aggregate.create_accumulator()?;
        if args.first().is_some_and(|arg| !arg.is_empty()) {
            accumulator.update_batch(args)?;
        }
        accumulator.evaluate()
    }
}
