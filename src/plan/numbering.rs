//! Numbered rows: `row_number() OVER (...)` as [`Op::TopK`].
//!
//! A filter right above the numbers that bounds them from above becomes the limit, so that only the
//! first rows of a group are kept.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::logical_plan::Window;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, conjunction_opt, split_conjunction};

use super::check::ROW_NUMBER;
use super::graph::{Graph, Rel, column_of};
use super::lower::{Lowering, refuse_subqueries, unalias};
use super::refuse::Trouble;
use super::{NodeId, Op};

/// Filters numbered rows by a predicate that bounds the numbers, so that only the rows up to the
/// bound are kept; nothing if the node does not number rows or the predicate does not bound them.
pub(super) fn filter(
    graph: &mut Graph,
    node: NodeId,
    predicate: &Arc<dyn PhysicalExpr>,
) -> Result<Option<NodeId>, DataFusionError> {
    let Op::TopK {
        limit: None,
        number: true,
        ..
    } = graph.nodes[node.0].op
    else {
        return Ok(None);
    };
    let number = graph.width(node) - 1;
    let conjuncts = split_conjunction(predicate);
    let bounds = conjuncts
        .iter()
        .filter_map(|conjunct| bound(conjunct, number));
    let Some(highest) = bounds
        .map(|bound| bound.limit)
        .min()
        .filter(|limit| *limit > 0)
    else {
        return Ok(None);
    };
    let mut limited = graph.nodes[node.0].op.clone();
    if let Op::TopK { limit, .. } = &mut limited {
        *limit = Some(highest);
    }
    let limited = graph.add(limited)?;
    let is_open = |conjunct: &&&Arc<dyn PhysicalExpr>| {
        !bound(conjunct, number).is_some_and(|bound| bound.is_all)
    };
    let open: Vec<_> = conjuncts
        .iter()
        .filter(is_open)
        .map(|open| Arc::clone(open))
        .collect();
    match conjunction_opt(open) {
        Some(open) => graph.filter(limited, open).map(Some),
        None => Ok(Some(limited)),
    }
}

/// Rows with their numbers within their groups.
pub(super) fn lower(lowering: &mut Lowering<'_>, window: &Window) -> Result<Rel, Trouble> {
    let input = lowering.lower(&window.input)?;
    let input = lowering.graph.narrow(input)?;
    let mut node = input.node;
    let mut columns = input.columns.clone();
    for expr in &window.window_expr {
        let function = row_number(expr)?;
        let params = &function.params;
        if params.order_by.is_empty() {
            return Err(Trouble::refused(
                "row_number() without ORDER BY numbers rows at will",
                "add ORDER BY within OVER (...)",
            ));
        }
        let keys = params.order_by.iter().map(|key| &key.expr);
        for expr in keys.chain(&params.partition_by) {
            refuse_subqueries(expr)?;
        }
        columns.push(lowering.graph.width(node));
        node = lowering.graph.add(Op::TopK {
            input: node,
            partition: lowering.graph.bind_all(&params.partition_by, &input)?,
            order: lowering.graph.bind_order(&params.order_by, &input)?,
            skip: 0,
            limit: None,
            number: true,
        })?;
    }
    Ok(Rel {
        node,
        schema: Arc::clone(&window.schema),
        columns,
        order: Vec::new(),
    })
}

fn row_number(expr: &Expr) -> Result<&WindowFunction, Trouble> {
    match unalias(expr) {
        Expr::WindowFunction(function) if function.fun.name() == ROW_NUMBER => Ok(function),
        Expr::WindowFunction(function) => Err(Trouble::refused(
            format!(
                "window function {}() is not kept up to date yet",
                function.fun.name()
            ),
            "use row_number(), or an aggregate in a sub-query that is joined",
        )),
        other => Err(Trouble::refused(
            format!("\"{other}\" is not a window function that is kept up to date"),
            "use row_number()",
        )),
    }
}

/// What a predicate says of the highest number.
struct Bound {
    limit: usize,
    /// Whether the predicate is true of every number up to the limit.
    is_all: bool,
}

fn bound(predicate: &Arc<dyn PhysicalExpr>, number: usize) -> Option<Bound> {
    let comparison = predicate.downcast_ref::<BinaryExpr>()?;
    let (left, right) = (uncast(comparison.left()), uncast(comparison.right()));
    let (op, literal) = match (column_of(left), column_of(right)) {
        (Some(column), None) if column == number => (*comparison.op(), right),
        (None, Some(column)) if column == number => (comparison.op().swap()?, left),
        _ => return None,
    };
    let value = literal.downcast_ref::<Literal>()?.value();
    if !value.data_type().is_integer() {
        return None;
    }
    let ScalarValue::Int64(Some(value)) = value.cast_to(&DataType::Int64).ok()? else {
        return None;
    };
    let (limit, is_all) = match op {
        Operator::LtEq => (value, true),
        Operator::Lt => (value.saturating_sub(1), true),
        Operator::Eq => (value, value == 1),
        _ => return None,
    };
    Some(Bound {
        limit: usize::try_from(limit).unwrap_or(0),
        is_all,
    })
}

fn uncast(expr: &Arc<dyn PhysicalExpr>) -> &Arc<dyn PhysicalExpr> {
    expr.downcast_ref::<CastExpr>()
        .map_or(expr, |cast| uncast(cast.expr()))
}
