//! DISTINCT ON as numbered rows of which the first is kept.
//!
//! The optimiser takes DISTINCT ON for a relation with the columns of its input, and moves filters
//! to where they mean something else; it knows what may pass a window and what may not.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::common::tree_node::Transformed;
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::logical_plan::{Distinct, DistinctOn};
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::optimizer::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

type Result<T> = std::result::Result<T, DataFusionError>;

/// The rule that numbers the rows of DISTINCT ON.
#[derive(Debug)]
pub(super) struct NumberDistinctOn;

impl OptimizerRule for NumberDistinctOn {
    fn name(&self) -> &str {
        "number_distinct_on"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Distinct(Distinct::On(distinct)) => {
                Ok(Transformed::yes(numbered(distinct)?))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

fn numbered(distinct: DistinctOn) -> Result<LogicalPlan> {
    let order = distinct.sort_expr.clone().unwrap_or_default();
    let within = order
        .iter()
        .filter(|key| !distinct.on_expr.contains(&key.expr));
    let number = row_number()
        .partition_by(distinct.on_expr.clone())
        .order_by(within.cloned().collect())
        .build()?;
    let input = LogicalPlan::clone(&distinct.input);
    let rows = LogicalPlanBuilder::from(input).window([number])?.build()?;
    let columns = rows.schema().columns();
    let first = match columns.last() {
        Some(number) => Expr::Column(number.clone()).eq(lit(1_u64)),
        None => lit(true),
    };
    let named = distinct.select_expr.into_iter().zip(distinct.schema.iter());
    let answers = named
        .map(|(expr, (qualifier, field))| expr.alias_qualified(qualifier.cloned(), field.name()));
    let kept = LogicalPlanBuilder::new_from_arc(Arc::new(rows)).filter(first)?;
    let sorted = match order.is_empty() {
        true => kept,
        false => kept.sort(order)?,
    };
    sorted.project(answers.collect::<Vec<_>>())?.build()
}
