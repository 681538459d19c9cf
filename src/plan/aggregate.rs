//! Groups: GROUP BY and its aggregates as [`Op::Reduce`].

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment};
use datafusion::logical_expr::logical_plan::Aggregate as LogicalAggregate;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::graph::Rel;
use super::lower::{Lowering, refuse_subqueries, unalias};
use super::refuse::Trouble;
use super::{Aggregate, Op, text};

/// One row a group. Without keys and without aggregates it is the one row that there always is.
pub(super) fn lower(
    lowering: &mut Lowering<'_>,
    plan: &LogicalAggregate,
    input: Rel,
) -> Result<Rel, Trouble> {
    for expr in plan.group_expr.iter().chain(&plan.aggr_expr) {
        refuse_subqueries(expr)?;
    }
    if plan
        .group_expr
        .iter()
        .any(|expr| matches!(expr, Expr::GroupingSet(_)))
    {
        return Err(Trouble::refused(
            "grouping sets are not kept up to date yet",
            "write one SELECT for each grouping and join them with UNION ALL",
        ));
    }
    let graph = &mut *lowering.graph;
    let keys = graph.bind_all(&plan.group_expr, &input)?;
    let mut aggregates = Vec::with_capacity(plan.aggr_expr.len());
    for expr in &plan.aggr_expr {
        aggregates.push(bind(lowering, expr, &input)?);
    }
    if keys.is_empty() && aggregates.is_empty() {
        let one_row = datafusion::logical_expr::EmptyRelation {
            produce_one_row: true,
            schema: Arc::clone(&plan.schema),
        };
        return lowering.lower(&LogicalPlan::EmptyRelation(one_row));
    }
    let node = lowering.graph.add(Op::Reduce {
        input: input.node,
        keys,
        aggregates,
    })?;
    Ok(Rel::whole(node, Arc::clone(&plan.schema)))
}

fn bind(lowering: &Lowering<'_>, expr: &Expr, input: &Rel) -> Result<Aggregate, Trouble> {
    let Expr::AggregateFunction(AggregateFunction { func, params }) = unalias(expr) else {
        let message = format!("\"{expr}\" is not an aggregate");
        return Err(DataFusionError::Plan(message).into());
    };
    let graph = &lowering.graph;
    let filter = params
        .filter
        .as_deref()
        .map(|filter| graph.bind(filter, input))
        .transpose()?;
    let mut bound = Aggregate {
        function: Arc::clone(func),
        args: graph.bind_all(&params.args, input)?,
        distinct: params.distinct,
        filter,
        order: graph.bind_order(&params.order_by, input)?,
        ignore_nulls: params.null_treatment == Some(NullTreatment::IgnoreNulls),
        name: String::new(),
    };
    bound.name = text::aggregate(&bound);
    Ok(bound)
}
