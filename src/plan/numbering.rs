//! Numbered rows: `row_number() OVER (...)` as [`Op::TopK`].
//!
//! A filter right above the numbers that bounds them from above becomes the limit, so that only the
//! first rows of a group are kept.

use std::sync::Arc;

use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::logical_plan::{Filter, Window};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

use super::Op;
use super::check::ROW_NUMBER;
use super::graph::Rel;
use super::lower::{Lowering, refuse_subqueries, unalias};
use super::refuse::Trouble;

/// A filter over numbered rows, if it is one that bounds the numbers.
pub(super) fn limit_above(
    lowering: &mut Lowering<'_>,
    filter: &Filter,
) -> Result<Option<Rel>, Trouble> {
    let LogicalPlan::Window(window) = filter.input.as_ref() else {
        return Ok(None);
    };
    let [_] = window.window_expr.as_slice() else {
        return Ok(None);
    };
    let (qualifier, field) = window
        .schema
        .qualified_field(window.schema.fields().len() - 1);
    let number = Column::new(qualifier.cloned(), field.name());
    let conjuncts = split_conjunction(&filter.predicate);
    let bounds = conjuncts
        .iter()
        .filter_map(|conjunct| bound(conjunct, &number));
    let Some(limit) = bounds
        .map(|bound| bound.limit)
        .min()
        .filter(|limit| *limit > 0)
    else {
        return Ok(None);
    };
    let rel = lower(lowering, window, Some(limit))?;
    let is_open = |conjunct: &&&Expr| !bound(conjunct, &number).is_some_and(|bound| bound.is_all);
    let open = conjuncts
        .iter()
        .filter(is_open)
        .map(|conjunct| (*conjunct).clone());
    match conjunction(open) {
        Some(open) => lowering.keep(&open, rel).map(Some),
        None => Ok(Some(rel)),
    }
}

/// Rows with their numbers, of each group only the first ones if there is a limit.
pub(super) fn lower(
    lowering: &mut Lowering<'_>,
    window: &Window,
    limit: Option<usize>,
) -> Result<Rel, Trouble> {
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
            limit,
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

fn bound(predicate: &Expr, number: &Column) -> Option<Bound> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = predicate else {
        return None;
    };
    let (op, literal) = match (uncast(left), uncast(right)) {
        (Expr::Column(column), literal) if column == number => (*op, literal),
        (literal, Expr::Column(column)) if column == number => (op.swap()?, literal),
        _ => return None,
    };
    let Expr::Literal(value, _) = literal else {
        return None;
    };
    let ScalarValue::Int64(Some(value)) = value.cast_to(&arrow::datatypes::DataType::Int64).ok()?
    else {
        return None;
    };
    if !matches!(literal, Expr::Literal(original, _) if original.data_type().is_integer()) {
        return None;
    }
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

fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) => uncast(&cast.expr),
        other => other,
    }
}
