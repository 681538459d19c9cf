//! Where a sub-query refers to the queries around it.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError};
use datafusion::logical_expr::{Expr, LogicalPlan};

type Result<T> = std::result::Result<T, DataFusionError>;

/// Which sub-queries are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those that refer to the relation at hand.
    Any,
    /// Those that refer to a query further out, or from below a join: what DataFusion's own rules
    /// would take apart wrongly.
    Beyond,
}

/// Whether a reference lies below a join or a DISTINCT.
pub(super) fn lies_below_join(plan: &LogicalPlan) -> Result<bool> {
    let mut is_found = false;
    plan.apply(|part| {
        if matches!(part, LogicalPlan::Join(_) | LogicalPlan::Distinct(_)) {
            for input in part.inputs() {
                each_reference(input, &mut |_| is_found = true)?;
            }
        }
        Ok(match is_found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(is_found)
}

/// Shows each reference to an outer column in a plan, however far inside.
pub(super) fn each_reference(plan: &LogicalPlan, show: &mut dyn FnMut(&Column)) -> Result<()> {
    plan.apply_with_subqueries(|part| {
        part.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::OuterReferenceColumn(_, column) = expr {
                    show(column);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}
