//! Predicates that compare rows with `now()`: from when and until when each row stands.
//!
//! A conjunct such as `at > now() - INTERVAL '5 minutes'` flows in; a [`Bound`] flows out, in which
//! the clock stands alone on one side. Lengths of time that are added to the clock or taken from it
//! move to the other side; what else is computed of the clock alone must never go back as the clock
//! goes on, so that each row comes once and goes once.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, DataFusionError, ScalarValue};
use datafusion::logical_expr::expr::Between;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use datafusion::physical_expr::PhysicalExpr;

use super::clock::{self, INSTEAD, NOW};
use super::graph::{Facts, Graph, Rel};
use super::lower::unalias;
use super::refuse::Trouble;
use super::{Bound, Comparison, Input, NodeId, Op, Relation, Shift};

type Result<T> = std::result::Result<T, Trouble>;

/// Functions of the clock and constants whose value never goes back while the clock goes on.
const STEADY: [&str; 2] = ["date_trunc", "date_bin"];

/// A predicate's conjuncts that ask for the clock, and the rest.
pub(super) fn split(predicate: &Expr) -> Result<(Vec<Expr>, Option<Expr>)> {
    let mut timed = Vec::new();
    let mut plain = Vec::new();
    for conjunct in split_conjunction_owned(predicate.clone()) {
        if clock::is_asked(&conjunct)? {
            timed.push(conjunct);
        } else {
            plain.push(conjunct);
        }
    }
    Ok((timed, conjunction(plain)))
}

/// Keeps the rows that meet all of some conjuncts that ask for the clock.
pub(super) fn keep(graph: &mut Graph, conjuncts: &[Expr], input: Rel) -> Result<Rel> {
    let mut bounds = Vec::new();
    for conjunct in conjuncts {
        for comparison in comparisons(conjunct)? {
            bounds.push(bound(graph, &comparison, &input)?);
        }
    }
    let clock = clock_node(graph)?;
    let node = graph.add(Op::Temporal {
        input: input.node,
        clock,
        bounds,
    })?;
    Ok(Rel { node, ..input })
}

/// The node that has the clock; its input is made if no view reads it by name.
fn clock_node(graph: &mut Graph) -> std::result::Result<NodeId, DataFusionError> {
    let is_clock = |input: &Input| input.relation == Relation::Clock;
    let input = match graph.inputs.iter().position(is_clock) {
        Some(input) => input,
        None => {
            graph.inputs.push(Input {
                relation: Relation::Clock,
                columns: vec![0],
                schema: clock::schema(),
            });
            graph.facts.push(Facts {
                append_only: false,
                key: Vec::new(),
            });
            graph.inputs.len() - 1
        }
    };
    graph.add(Op::Input(input))
}

/// Whether rows that stand by some bounds stand for ever.
pub(super) fn only_come(bounds: &[Bound]) -> bool {
    let mut bounds = bounds.iter().map(|bound| bound.comparison);
    bounds.all(|bound| matches!(bound, Comparison::After | Comparison::From))
}

/// A conjunct as comparisons that must all hold.
fn comparisons(conjunct: &Expr) -> Result<Vec<BinaryExpr>> {
    match unalias(conjunct) {
        Expr::BinaryExpr(comparison) => Ok(vec![comparison.clone()]),
        Expr::Between(Between {
            expr,
            negated: false,
            low,
            high,
        }) => Ok(vec![
            BinaryExpr::new(expr.clone(), Operator::GtEq, low.clone()),
            BinaryExpr::new(expr.clone(), Operator::LtEq, high.clone()),
        ]),
        _ => Err(unsolvable()),
    }
}

fn unsolvable() -> Trouble {
    Trouble::refused(clock::MISPLACED, INSTEAD)
}

/// A comparison with the clock alone on its left side.
fn bound(graph: &Graph, comparison: &BinaryExpr, input: &Rel) -> Result<Bound> {
    let (mut of_clock, mut of_row, mut op) = (
        comparison.left.as_ref().clone(),
        comparison.right.as_ref().clone(),
        comparison.op,
    );
    if clock::is_asked(&of_row)? {
        if clock::is_asked(&of_clock)? {
            return Err(Trouble::refused(
                "now() stands on both sides of this comparison",
                "write it on one side, as in `now() < at + ttl`",
            ));
        }
        std::mem::swap(&mut of_clock, &mut of_row);
        op = op.swap().ok_or_else(unsolvable)?;
    }
    let comparison = match op {
        Operator::Gt => Comparison::After,
        Operator::GtEq => Comparison::From,
        Operator::Lt => Comparison::Before,
        Operator::LtEq => Comparison::UpTo,
        Operator::Eq => Comparison::During,
        _ => return Err(unsolvable()),
    };
    if is_length(&of_clock.get_type(&input.schema)?) {
        return Err(Trouble::refused(
            "now() less a time is a length of time, which no row can be bounded by",
            "compare times: write `at < now() - INTERVAL '5 minutes'` for \
             `now() - at > INTERVAL '5 minutes'`",
        ));
    }
    let mut shifts = Vec::new();
    let of_clock = peel(graph, of_clock, input, &mut shifts)?;
    let kind = of_clock.get_type(&DFSchema::empty())?;
    let is_time = match &kind {
        DataType::Timestamp(..) => shifts.is_empty() || kind == clock::timestamp(),
        DataType::Date32 => shifts.is_empty(),
        _ => false,
    };
    if !is_time || of_row.get_type(&input.schema)? != kind {
        return Err(unsolvable());
    }
    Ok(Bound {
        clock: function_of_clock(graph, &of_clock)?,
        comparison,
        instant: graph.bind(&of_row, input)?,
        shifts,
    })
}

fn is_length(kind: &DataType) -> bool {
    matches!(kind, DataType::Interval(_) | DataType::Duration(_))
}

/// Moves lengths of time away from the clock, as long as they are of one length everywhere.
fn peel(graph: &Graph, expr: Expr, input: &Rel, shifts: &mut Vec<Shift>) -> Result<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = unalias(&expr) else {
        return Ok(expr);
    };
    let is_of_clock = (clock::is_asked(left)?, clock::is_asked(right)?);
    let (clock, length, later) = match (op, is_of_clock) {
        (Operator::Plus, (true, false)) => (left, right, true),
        (Operator::Plus, (false, true)) => (right, left, true),
        (Operator::Minus, (true, false)) => (left, right, false),
        _ => return Err(unsolvable()),
    };
    let kind = length.get_type(&input.schema)?;
    if !is_length(&kind) {
        return Err(unsolvable());
    }
    if has_months(length) {
        return Ok(expr);
    }
    shifts.push(Shift {
        length: graph.bind(length, input)?,
        later,
    });
    peel(graph, clock.as_ref().clone(), input, shifts)
}

/// Whether an expression is an interval of months, which are of many lengths.
fn has_months(length: &Expr) -> bool {
    match unalias(length) {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => interval.months != 0,
        Expr::Literal(ScalarValue::IntervalYearMonth(_), _) => true,
        _ => false,
    }
}

/// What is computed of the clock, over a row of one column that holds it; nothing for the clock as
/// it is.
fn function_of_clock(graph: &Graph, expr: &Expr) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    if clock::is_now(expr) {
        return Ok(None);
    }
    if !is_steady(expr)? {
        return Err(unsolvable());
    }
    let column = Expr::Column(Column::new_unqualified(NOW));
    let of_column = expr.clone().transform(|part| {
        Ok(if clock::is_now(&part) {
            Transformed::yes(column.clone())
        } else {
            Transformed::no(part)
        })
    });
    let schema = Arc::new(Schema::new(vec![Field::new(NOW, clock::timestamp(), true)]));
    let names = DFSchema::try_from(schema.as_ref().clone())?;
    let bound = graph.bind_to(&of_column.data()?, &names, &[0], &schema)?;
    Ok(Some(bound))
}

/// Whether an expression is computed of the clock and constants so that it never goes back.
fn is_steady(expr: &Expr) -> std::result::Result<bool, DataFusionError> {
    let is_constant = |expr: &Expr| matches!(unalias(expr), Expr::Literal(..));
    Ok(match unalias(expr) {
        expr if clock::is_now(expr) => true,
        Expr::Cast(cast) => {
            let to = cast.field.data_type();
            matches!(to, DataType::Timestamp(_, None) | DataType::Date32) && is_steady(&cast.expr)?
        }
        Expr::ScalarFunction(function) if STEADY.contains(&function.func.name()) => {
            let (timed, rest): (Vec<_>, Vec<_>) = function
                .args
                .iter()
                .partition(|argument| !is_constant(argument));
            match timed.as_slice() {
                [timed] => !rest.is_empty() && is_steady(timed)?,
                _ => false,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Plus | Operator::Minus if is_constant(right) => is_steady(left)?,
            Operator::Plus if is_constant(left) => is_steady(right)?,
            _ => false,
        },
        _ => false,
    })
}
