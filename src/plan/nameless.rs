//! Ops without the names in them, by which equal ones are found.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

use super::graph::column_of;
use super::{Aggregate, Bound, Op, Shift, SortKey, Step, WindowCall};

type Result<T> = std::result::Result<T, DataFusionError>;

/// An op without its names, by which ops are compared.
pub(super) fn nameless(op: &Op) -> Result<Op> {
    let strip = |expr: &Arc<dyn PhysicalExpr>| strip(expr);
    let all = |exprs: &[Arc<dyn PhysicalExpr>]| exprs.iter().map(strip).collect::<Result<Vec<_>>>();
    let keys = |keys: &[SortKey]| {
        let key = |key: &SortKey| {
            Ok(SortKey {
                expr: strip(&key.expr)?,
                options: key.options,
            })
        };
        keys.iter().map(key).collect::<Result<Vec<_>>>()
    };
    Ok(match op {
        Op::Map { input, steps } => {
            let step = |step: &Step| {
                Ok(match step {
                    Step::Filter(predicate) => Step::Filter(strip(predicate)?),
                    Step::Project { exprs, schema } => {
                        let nameless = schema.fields().iter().map(|field| {
                            Field::new("", field.data_type().clone(), field.is_nullable())
                        });
                        let schema = Arc::new(Schema::new(nameless.collect::<Vec<_>>()));
                        Step::Project {
                            exprs: all(exprs)?,
                            schema,
                        }
                    }
                })
            };
            Op::Map {
                input: *input,
                steps: steps.iter().map(step).collect::<Result<_>>()?,
            }
        }
        Op::Reduce {
            input,
            keys: group,
            aggregates,
        } => {
            let aggregate = |aggregate: &Aggregate| {
                Ok(Aggregate {
                    function: Arc::clone(&aggregate.function),
                    args: all(&aggregate.args)?,
                    distinct: aggregate.distinct,
                    filter: aggregate.filter.as_ref().map(strip).transpose()?,
                    order: keys(&aggregate.order)?,
                    ignore_nulls: aggregate.ignore_nulls,
                    name: String::new(),
                })
            };
            let aggregates = aggregates.iter().map(aggregate).collect::<Result<_>>()?;
            Op::Reduce {
                input: *input,
                keys: all(group)?,
                aggregates,
            }
        }
        Op::Join {
            left,
            right,
            left_keys,
            right_keys,
            null_equal,
            residual,
        } => Op::Join {
            left: *left,
            right: *right,
            left_keys: all(left_keys)?,
            right_keys: all(right_keys)?,
            null_equal: *null_equal,
            residual: residual.as_ref().map(strip).transpose()?,
        },
        Op::TopK {
            input,
            partition,
            order,
            skip,
            limit,
            number,
        } => Op::TopK {
            input: *input,
            partition: all(partition)?,
            order: keys(order)?,
            skip: *skip,
            limit: *limit,
            number: *number,
        },
        Op::Window {
            input,
            partition,
            order,
            functions,
            limit,
        } => {
            let call = |call: &WindowCall| {
                Ok(WindowCall {
                    args: all(&call.args)?,
                    filter: call.filter.as_ref().map(strip).transpose()?,
                    name: String::new(),
                    ..call.clone()
                })
            };
            Op::Window {
                input: *input,
                partition: all(partition)?,
                order: keys(order)?,
                functions: functions.iter().map(call).collect::<Result<_>>()?,
                limit: *limit,
            }
        }
        Op::AsOf {
            left,
            right,
            left_keys,
            right_keys,
            time,
            order,
            strict,
            outer,
        } => Op::AsOf {
            left: *left,
            right: *right,
            left_keys: all(left_keys)?,
            right_keys: all(right_keys)?,
            time: strip(time)?,
            order: keys(order)?,
            strict: *strict,
            outer: *outer,
        },
        Op::Temporal {
            input,
            clock,
            bounds,
        } => {
            let shift = |shift: &Shift| {
                Ok(Shift {
                    length: strip(&shift.length)?,
                    later: shift.later,
                })
            };
            let bound = |bound: &Bound| {
                Ok(Bound {
                    clock: bound.clock.clone(),
                    comparison: bound.comparison,
                    instant: strip(&bound.instant)?,
                    shifts: bound.shifts.iter().map(shift).collect::<Result<_>>()?,
                })
            };
            Op::Temporal {
                input: *input,
                clock: *clock,
                bounds: bounds.iter().map(bound).collect::<Result<_>>()?,
            }
        }
        Op::Input(_)
        | Op::Work { .. }
        | Op::Recursive { .. }
        | Op::Constant(_)
        | Op::Unnest { .. }
        | Op::Union { .. }
        | Op::Negate { .. } => op.clone(),
    })
}

/// An expression whose columns have only positions.
fn strip(expr: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    let stripped = Arc::clone(expr).transform(|part| match column_of(&part) {
        Some(position) => {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("", position));
            Ok(Transformed::yes(column))
        }
        None => Ok(Transformed::no(part)),
    });
    stripped.data()
}
