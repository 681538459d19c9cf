//! Sub-queries that stand for one value: refused if they may have several.
//!
//! DataFusion finds out when it runs such a query; an answer that is kept cannot wait for that.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ResolvedTableReference, Span};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast::{self, Spanned, visit_expressions};

use super::building::resolve;
use super::graph::Graph;
use super::lower::Source;
use super::refuse::Trouble;
use crate::script::View;

/// Refuses a query in which a sub-query stands for a value but may yield several rows.
pub(super) fn check(
    view: &View,
    query: &LogicalPlan,
    graph: &Graph,
    sources: &HashMap<ResolvedTableReference, Source>,
) -> Result<(), Trouble> {
    let mut found: Option<Option<Span>> = None;
    query.apply_with_subqueries(|part| {
        part.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarSubquery(subquery) = expr
                    && subquery.outer_ref_columns.is_empty()
                    && !has_one_row(&subquery.subquery, graph, sources)
                {
                    found = Some(subquery.spans.first());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    match found {
        None => Ok(()),
        Some(span) => Err(Trouble::refused(
            "this sub-query stands for one value but may yield several",
            "use an aggregate such as max(...), or ORDER BY ... LIMIT 1",
        )
        .at(span.or_else(|| only_place(view)))),
    }
}

/// Where the view has its only such sub-query, if it has just one; the plan forgets the place.
fn only_place(view: &View) -> Option<Span> {
    let mut places = Vec::new();
    let _: ControlFlow<()> = visit_expressions(&view.query, |expr| {
        if let ast::Expr::Subquery(query) = expr {
            places.push(query.span());
        }
        ControlFlow::Continue(())
    });
    match places.as_slice() {
        [place] => Span::try_from_sqlparser_span(*place),
        _ => None,
    }
}

/// Whether a plan never has more than one row.
fn has_one_row(
    plan: &LogicalPlan,
    graph: &Graph,
    sources: &HashMap<ResolvedTableReference, Source>,
) -> bool {
    if plan.max_rows().is_some_and(|rows| rows <= 1) {
        return true;
    }
    match plan {
        LogicalPlan::TableScan(scan) => match sources.get(&resolve(scan.table_name.clone())) {
            Some(Source::View { node, .. }) => graph.has_one_row(*node),
            _ => false,
        },
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::SubqueryAlias(_) => plan
            .inputs()
            .iter()
            .all(|input| has_one_row(input, graph, sources)),
        _ => false,
    }
}
