//! `EXCEPT ALL` and `INTERSECT ALL`: how often a row occurs counts.
//!
//! A plan as it was written flows in, in which these are anti and semi joins that only ask whether
//! there is an equal row. Out flows one in which equal rows of each side are numbered, and a row
//! looks for its equal of the same number: so the n-th occurrence meets the n-th, or none. Planner
//! and batch sessions both read queries so.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, JoinType, NullEquality, Result, plan_datafusion_err};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::logical_plan::{Distinct, Join};
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::analyzer::AnalyzerRule;

/// The names of the numbers of both sides.
const NUMBERS: [&str; 2] = ["__occurrence_left", "__occurrence_right"];

/// The rule that numbers equal rows. It comes before all others: it knows such a join by what
/// DataFusion's reader of SQL makes of it.
#[derive(Debug)]
pub(super) struct CountOccurrences;

impl AnalyzerRule for CountOccurrences {
    fn name(&self) -> &str {
        "count_occurrences"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let counted = plan.transform_up_with_subqueries(|part| match &part {
            LogicalPlan::Join(join) if counts(join) => number(join).map(Transformed::yes),
            _ => Ok(Transformed::no(part)),
        });
        counted.data()
    }
}

/// Whether a join is one of these. No other semi or anti join that is written down takes nulls for
/// equal, but those of `EXCEPT` and `INTERSECT`, whose left rows are distinct; with distinct rows on
/// the left the join says what is meant in either case.
fn counts(join: &Join) -> bool {
    let is_numbered = |(left, _): &(Expr, Expr)| match left {
        Expr::Column(column) => column.name == NUMBERS[0],
        _ => false,
    };
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && !matches!(join.left.as_ref(), LogicalPlan::Distinct(Distinct::All(_)))
        && !join.on.iter().any(is_numbered)
}

/// The join by the columns and the number.
fn number(join: &Join) -> Result<LogicalPlan> {
    let column = |expr: &Expr| {
        let column = expr.try_as_col().cloned();
        column.ok_or_else(|| plan_datafusion_err!("rows are compared by {expr}, no column"))
    };
    let (mut left_keys, mut right_keys) = (Vec::new(), Vec::new());
    for (left, right) in &join.on {
        left_keys.push(column(left)?);
        right_keys.push(column(right)?);
    }
    let left = numbered(&join.left, &left_keys, NUMBERS[0])?;
    let right = numbered(&join.right, &right_keys, NUMBERS[1])?;
    left_keys.push(Column::new_unqualified(NUMBERS[0]));
    right_keys.push(Column::new_unqualified(NUMBERS[1]));
    let columns = join.schema.columns().into_iter().map(Expr::Column);
    LogicalPlanBuilder::from(left)
        .join_detailed(
            right,
            join.join_type,
            (left_keys, right_keys),
            None,
            NullEquality::NullEqualsNull,
        )?
        .project(columns.collect::<Vec<_>>())?
        .build()
}

/// A plan's rows with a number among those that are equal.
fn numbered(plan: &Arc<LogicalPlan>, keys: &[Column], name: &str) -> Result<LogicalPlan> {
    let keys = keys.iter().cloned().map(Expr::Column).collect();
    let number = row_number().partition_by(keys).build()?.alias(name);
    LogicalPlanBuilder::from(LogicalPlan::clone(plan))
        .window(vec![number])?
        .build()
}
