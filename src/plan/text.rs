//! How expressions read in messages and in `explain`.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr_common::physical_expr::fmt_sql;

use super::{Aggregate, SortKey};

/// An expression as SQL.
pub(super) fn expression(expr: &Arc<dyn PhysicalExpr>) -> String {
    let quoted = Arc::clone(expr).transform(|part| {
        let text = part
            .downcast_ref::<Literal>()
            .and_then(|literal| match literal.value() {
                ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) => text.as_deref(),
                _ => None,
            });
        let Some(text) = text else {
            return Ok(Transformed::no(part));
        };
        // DataFusion writes texts without quotes; a column is written as it is named.
        let quoted = Column::new(&format!("'{}'", text.replace('\'', "''")), 0);
        Ok(Transformed::yes(Arc::new(quoted) as Arc<dyn PhysicalExpr>))
    });
    match quoted.data() {
        Ok(quoted) => fmt_sql(quoted.as_ref()).to_string(),
        Err(_) => fmt_sql(expr.as_ref()).to_string(),
    }
}

/// Several expressions, separated by commas.
pub(super) fn expressions(exprs: &[Arc<dyn PhysicalExpr>]) -> String {
    exprs.iter().map(expression).collect::<Vec<_>>().join(", ")
}

/// An order as `ORDER BY` has it.
pub(super) fn order(keys: &[SortKey]) -> String {
    let key = |key: &SortKey| {
        let direction = if key.options.descending { " DESC" } else { "" };
        let nulls = match (key.options.descending, key.options.nulls_first) {
            (false, true) => " NULLS FIRST",
            (true, false) => " NULLS LAST",
            _ => "",
        };
        format!("{}{direction}{nulls}", expression(&key.expr))
    };
    keys.iter().map(key).collect::<Vec<_>>().join(", ")
}

/// An aggregate as SQL.
pub(super) fn aggregate(aggregate: &Aggregate) -> String {
    let distinct = if aggregate.distinct { "DISTINCT " } else { "" };
    let mut text = format!(
        "{}({distinct}{}",
        aggregate.function.name(),
        expressions(&aggregate.args)
    );
    if !aggregate.order.is_empty() {
        text.push_str(&format!(" ORDER BY {}", order(&aggregate.order)));
    }
    text.push(')');
    if aggregate.ignore_nulls {
        text.push_str(" IGNORE NULLS");
    }
    if let Some(filter) = &aggregate.filter {
        text.push_str(&format!(" FILTER (WHERE {})", expression(filter)));
    }
    text
}
