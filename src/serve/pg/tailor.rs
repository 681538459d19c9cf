//! What tools ask of PostgreSQL's tables, cut to what there is here.
//!
//! A parsed query flows in and is changed in place: parts that DataFusion cannot plan, and that ask
//! for what these tables never hold (sequences, defaults, indexes), become NULL. Only queries that
//! were written for PostgreSQL's own tables come here.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, FunctionArguments, SetExpr, Statement, TableFactor, Value,
    visit_expressions_mut,
};

/// Tables without rows of ours, of which tools ask a value by a sub-query.
const BARE_TABLES: [&str; 2] = ["pg_sequence", "pg_attrdef"];

/// Columns that hold vectors, which are text here.
const VECTORS: [&str; 4] = ["indkey", "indclass", "indoption", "conkey"];

/// Changes a query so that it can be planned.
pub(super) fn tailor(statement: &mut Statement) {
    let _: ControlFlow<()> = visit_expressions_mut(statement, |expr| {
        if let Some(other) = instead_of(expr) {
            *expr = other;
        }
        ControlFlow::Continue(())
    });
}

fn instead_of(expr: &mut Expr) -> Option<Expr> {
    match expr {
        Expr::Subquery(query) => {
            let SetExpr::Select(select) = query.body.as_ref() else {
                return None;
            };
            let is_bare = |factor: &TableFactor| match factor {
                TableFactor::Table { name, .. } => {
                    let table = name.0.last().and_then(|part| part.as_ident());
                    table.is_some_and(|table| BARE_TABLES.contains(&table.value.as_str()))
                }
                _ => false,
            };
            let from = &select.from;
            let bare = !from.is_empty() && from.iter().all(|table| is_bare(&table.relation));
            bare.then(null)
        }
        Expr::Function(function) => {
            let name = function.name.0.last().and_then(|part| part.as_ident());
            let name = name.map(|name| name.value.to_ascii_lowercase())?;
            let argument = match &function.args {
                FunctionArguments::Subquery(_) => return (name == "array").then(null),
                FunctionArguments::List(list) => list.args.first(),
                FunctionArguments::None => None,
            };
            match name.as_str() {
                "json_build_object" => Some(null()),
                "unnest" | "generate_subscripts" => {
                    let argument = argument?.to_string();
                    let column = argument.rsplit('.').next().unwrap_or_default();
                    VECTORS.contains(&column).then(zero)
                }
                _ => None,
            }
        }
        // DataFusion knows one character for this. Without it the pattern finds less.
        Expr::Like { escape_char, .. } | Expr::ILike { escape_char, .. } => {
            *escape_char = None;
            None
        }
        // Functions are shown by their names, and compared by them.
        Expr::Cast {
            expr, data_type, ..
        } => name_of_function(expr, data_type),
        _ => None,
    }
}

/// `'pg_catalog.array_in'::regproc` as the name of the function.
fn name_of_function(text: &Expr, data_type: &DataType) -> Option<Expr> {
    let Expr::Value(value) = text else {
        return None;
    };
    let Value::SingleQuotedString(name) = &value.value else {
        return None;
    };
    if !data_type
        .to_string()
        .to_ascii_lowercase()
        .ends_with("regproc")
    {
        return None;
    }
    let name = name.rsplit('.').next().unwrap_or_default().to_owned();
    Some(Expr::Value(Value::SingleQuotedString(name).into()))
}

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

fn zero() -> Expr {
    Expr::Value(Value::Number("0".to_owned(), false).into())
}
