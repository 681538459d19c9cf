//! Groups: GROUP BY and its aggregates as [`Op::Reduce`].

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment};
use datafusion::logical_expr::logical_plan::Aggregate as LogicalAggregate;

use super::graph::Rel;
use super::lower::{Lowering, refuse_subqueries, unalias};
use super::refuse::Trouble;
use super::{Aggregate, Op, grouping, text};

/// One row a group. Without keys and without aggregates it is the one row that there always is.
pub(super) fn lower(
    lowering: &mut Lowering<'_>,
    plan: &LogicalAggregate,
    input: Rel,
) -> Result<Rel, Trouble> {
    for expr in plan.group_expr.iter().chain(&plan.aggr_expr) {
        refuse_subqueries(expr)?;
    }
    let mut aggregates = Vec::with_capacity(plan.aggr_expr.len());
    for expr in &plan.aggr_expr {
        aggregates.push(bind(lowering, expr, &input)?);
    }
    if let [Expr::GroupingSet(sets)] = plan.group_expr.as_slice() {
        return grouping::lower(lowering, plan, sets, &input, &aggregates);
    }
    let keys = lowering.graph.bind_all(&plan.group_expr, &input)?;
    if keys.is_empty() && aggregates.is_empty() {
        return lowering.one_row(Arc::clone(&plan.schema));
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
