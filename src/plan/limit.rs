//! Which rows a LIMIT or a DISTINCT ON keeps where its ORDER BY leaves that open.
//!
//! A query flows in and flows out with every such order made total: rows that it leaves equal, or
//! all of them where there is none, are ordered by the columns of the query that the clause ends,
//! ascending, nulls first. Planner and batch sessions both read queries so; what is written down
//! before anything is rewritten cannot depend on how it is rewritten.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::logical_plan::{Distinct, DistinctOn, Limit, Sort};
use datafusion::logical_expr::{Expr, LogicalPlan, SortExpr};

type Result<T> = std::result::Result<T, DataFusionError>;

/// The same query with total orders below its limits.
pub(super) fn pin_orders(plan: LogicalPlan) -> Result<LogicalPlan> {
    let pinned = plan.transform_down_with_subqueries(|part| match part {
        LogicalPlan::Limit(limit) => pin_limit(limit),
        LogicalPlan::Distinct(Distinct::On(distinct)) => {
            let distinct = pin_distinct(distinct)?;
            Ok(Transformed::yes(LogicalPlan::Distinct(Distinct::On(
                distinct,
            ))))
        }
        other => Ok(Transformed::no(other)),
    });
    pinned.data()
}

fn pin_limit(limit: Limit) -> Result<Transformed<LogicalPlan>> {
    let is_one_row = limit.input.max_rows().is_some_and(|rows| rows <= 1);
    if is_one_row || refers_outward(&limit.input)? {
        return Ok(Transformed::no(LogicalPlan::Limit(limit)));
    }
    let input = match sorted_below(&limit.input) {
        Some(sorted) => sorted,
        None => LogicalPlan::Sort(Sort {
            expr: by_all_columns(&limit.input),
            input: Arc::clone(&limit.input),
            fetch: None,
        }),
    };
    let input = Arc::new(input);
    Ok(Transformed::yes(LogicalPlan::Limit(Limit {
        input,
        ..limit
    })))
}

/// The plan with the sort below it made total, if there is one right below projections.
fn sorted_below(plan: &LogicalPlan) -> Option<LogicalPlan> {
    match plan {
        LogicalPlan::Sort(sort) => {
            let mut sort = sort.clone();
            let more = by_all_columns(&sort.input);
            go_on(&mut sort.expr, more);
            Some(LogicalPlan::Sort(sort))
        }
        LogicalPlan::Projection(projection) => {
            let mut projection = projection.clone();
            projection.input = Arc::new(sorted_below(&projection.input)?);
            Some(LogicalPlan::Projection(projection))
        }
        _ => None,
    }
}

/// Adds to an order what it is not by already.
fn go_on(order: &mut Vec<SortExpr>, more: Vec<SortExpr>) {
    for key in more {
        if order.iter().all(|other| other.expr != key.expr) {
            order.push(key);
        }
    }
}

/// Orders the rows of a key by the columns that the answer is made of.
fn pin_distinct(distinct: DistinctOn) -> Result<DistinctOn> {
    let mut order = match &distinct.sort_expr {
        Some(order) => order.clone(),
        None => {
            let keys = distinct.on_expr.iter();
            keys.map(|key| key.clone().sort(true, true)).collect()
        }
    };
    let mut columns = Vec::new();
    for expr in &distinct.select_expr {
        expr.apply(|part| {
            if let Expr::Column(column) = part
                && !columns.contains(column)
            {
                columns.push(column.clone());
            }
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })?;
    }
    // In the order of the relation, as rows are compared everywhere.
    let all = distinct.input.schema().columns();
    let used = all.into_iter().filter(|column| columns.contains(column));
    let used = used.map(|column| Expr::Column(column).sort(true, true));
    go_on(&mut order, used.collect());
    Ok(DistinctOn {
        sort_expr: Some(order),
        ..distinct
    })
}

/// An order by all columns of a plan, ascending, nulls first.
pub(super) fn by_all_columns(plan: &LogicalPlan) -> Vec<SortExpr> {
    let columns = plan.schema().columns().into_iter();
    columns
        .map(|column| Expr::Column(column).sort(true, true))
        .collect()
}

/// Whether a part of a plan refers to the query around it.
fn refers_outward(plan: &LogicalPlan) -> Result<bool> {
    let found = plan.exists(|part| Ok(part.contains_outer_reference()))?;
    Ok(found)
}
