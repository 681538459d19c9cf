//! How expressions read in messages and in `explain`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::{
    WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr_common::physical_expr::fmt_sql;

use super::{Aggregate, Bound, Comparison, SortKey, WindowCall};

/// An expression as SQL.
pub(super) fn expression(expr: &Arc<dyn PhysicalExpr>) -> String {
    let spelled = Arc::clone(expr).transform(|part| {
        let literal = part
            .downcast_ref::<Literal>()
            .and_then(|part| literal(part.value()));
        let Some(literal) = literal else {
            return Ok(Transformed::no(part));
        };
        // A column is written as it is named, so it stands for any text.
        let spelled = Column::new(&literal, 0);
        Ok(Transformed::yes(Arc::new(spelled) as Arc<dyn PhysicalExpr>))
    });
    match spelled.data() {
        Ok(spelled) => fmt_sql(spelled.as_ref()).to_string(),
        Err(_) => fmt_sql(expr.as_ref()).to_string(),
    }
}

/// A literal as SQL where DataFusion would write it otherwise.
fn literal(value: &ScalarValue) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let word = match value.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "",
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL ",
        DataType::Timestamp(..) => "TIMESTAMP ",
        DataType::Date32 => "DATE ",
        _ => return None,
    };
    let text = array_value_to_string(&value.to_array().ok()?, 0).ok()?;
    Some(format!("{word}'{}'", text.replace('\'', "''")))
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

/// A window function as SQL, without its partition and order.
pub(super) fn window_call(call: &WindowCall, is_ordered: bool) -> String {
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let mut text = format!(
        "{}({distinct}{})",
        call.function.name(),
        expressions(&call.args)
    );
    if call.ignore_nulls {
        text.push_str(" IGNORE NULLS");
    }
    if let Some(filter) = &call.filter {
        text.push_str(&format!(" FILTER (WHERE {})", expression(filter)));
    }
    if has_frame(call) && !is_usual(&call.frame, is_ordered) {
        text.push_str(&format!(" {}", call.frame));
    }
    text
}

/// Whether a frame is the one that a function has which names none.
fn is_usual(frame: &WindowFrame, is_ordered: bool) -> bool {
    let is_end = match is_ordered {
        true => {
            frame.units == WindowFrameUnits::Range
                && frame.end_bound == WindowFrameBound::CurrentRow
        }
        false => frame.end_bound.is_unbounded(),
    };
    frame.start_bound.is_unbounded() && is_end
}

/// Whether the frame makes a difference to a function.
fn has_frame(call: &WindowCall) -> bool {
    match &call.function {
        WindowFunctionDefinition::AggregateUDF(_) => true,
        WindowFunctionDefinition::WindowUDF(function) => {
            matches!(function.name(), "first_value" | "last_value" | "nth_value")
        }
    }
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

/// A condition on the clock.
pub(super) fn bound(bound: &Bound) -> String {
    let mut text = match &bound.clock {
        None => "now()".to_owned(),
        Some(function) => expression(function).replace("now", "now()"),
    };
    for shift in &bound.shifts {
        let sign = if shift.later { '+' } else { '-' };
        text.push_str(&format!(" {sign} {}", expression(&shift.length)));
    }
    let comparison = match bound.comparison {
        Comparison::After => ">",
        Comparison::From => ">=",
        Comparison::Before => "<",
        Comparison::UpTo => "<=",
        Comparison::During => "=",
    };
    format!("{text} {comparison} {}", expression(&bound.instant))
}
