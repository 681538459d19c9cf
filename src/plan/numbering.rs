//! Filters over numbered rows, as limits.
//!
//! `row_number() OVER (...)` is [`Op::TopK`]. A filter right above it that bounds the numbers from
//! above becomes the limit, so that only the first rows of a group are kept.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, conjunction_opt, split_conjunction};

use super::graph::{Graph, column_of};
use super::{NodeId, Op, SortKey};

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
    let Some(highest) = lowest_bound(predicate, number) else {
        return Ok(None);
    };
    let conjuncts = split_conjunction(predicate);
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

impl Graph {
    /// An order without what [`Op::TopK`] goes on with by itself: all columns that the order does
    /// not hold, ascending, nulls first.
    pub fn without_implied(&self, mut order: Vec<SortKey>, node: NodeId) -> Vec<SortKey> {
        let is_column = |key: &SortKey, at: usize| {
            column_of(&key.expr) == Some(at) && key.options == SortOptions::default()
        };
        for length in 0..order.len() {
            let (kept, rest) = order.split_at(length);
            let mut implied = (0..self.width(node))
                .filter(|at| kept.iter().all(|key| column_of(&key.expr) != Some(*at)));
            let is_implied = rest
                .iter()
                .all(|key| implied.next().is_some_and(|at| is_column(key, at)));
            if is_implied {
                order.truncate(length);
                break;
            }
        }
        order
    }
}

/// The greatest number that a predicate lets through, if there is one and it is not nought.
pub(super) fn lowest_bound(predicate: &Arc<dyn PhysicalExpr>, number: usize) -> Option<usize> {
    let conjuncts = split_conjunction(predicate).into_iter();
    let bounds = conjuncts.filter_map(|conjunct| bound(conjunct, number));
    let lowest = bounds.map(|bound| bound.limit).min();
    lowest.filter(|limit| *limit > 0)
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
