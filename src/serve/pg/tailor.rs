//! What tools ask of PostgreSQL's tables, cut to what there is here.
//!
//! A parsed query flows in and is changed in place: parts that DataFusion cannot plan, and that ask
//! for what these tables never hold (sequences, defaults, indexes), become NULL. Only queries that
//! were written for PostgreSQL's own tables come here.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArguments, LimitClause, SelectItem, SetExpr, Statement, TableFactor, Value,
    visit_expressions_mut,
};

/// Tables without rows of ours, of which tools ask a value by a sub-query.
const BARE_TABLES: [&str; 3] = ["pg_sequence", "pg_attrdef", "pg_collation"];

/// Columns that hold vectors, which are text here: of indexes and constraints, which there are not.
const VECTORS: [&str; 4] = ["indkey", "indclass", "indoption", "conkey"];

/// Texts that stand for what DataFusion cannot plan, and what stands for them.
const TEXTS: [(&str, &str); 3] = [
    // Options of storage, of which there are none.
    (
        "pg_catalog.array_to_string(c.reloptions || array(select 'toast.' || x from \
         pg_catalog.unnest(tc.reloptions) x), ', ')",
        "''",
    ),
    // Functions are shown by their names, and compared by them.
    ("'pg_catalog.array_in'::regproc", "'array_in'"),
    ("'array_in'::regproc", "'array_in'"),
];

/// The text of a query without what cannot be told by its parts.
pub(super) fn without_texts(sql: &str) -> String {
    let cut = |sql: String, (from, to): (&str, &str)| sql.replace(from, to);
    TEXTS.into_iter().fold(sql.to_owned(), cut)
}

/// Changes a query so that it can be planned.
pub(super) fn tailor(statement: &mut Statement) {
    let mut asks_for_indexes = false;
    let _: ControlFlow<()> = visit_expressions_mut(statement, |expr| {
        if let Some(other) = instead_of(expr, &mut asks_for_indexes) {
            *expr = other;
        }
        ControlFlow::Continue(())
    });
    if let (Statement::Query(query), true) = (statement, asks_for_indexes) {
        query.limit_clause = Some(LimitClause::LimitOffset {
            limit: Some(zero()),
            offset: None,
            limit_by: Vec::new(),
        });
    }
}

fn instead_of(expr: &mut Expr, asks_for_indexes: &mut bool) -> Option<Expr> {
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
            let of_collation = match select.projection.as_slice() {
                [SelectItem::UnnamedExpr(expr)] => expr.to_string().ends_with("typcollation"),
                _ => false,
            };
            if of_collation {
                return Some(null());
            }
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
                    let of_index = VECTORS.contains(&column);
                    *asks_for_indexes |= of_index;
                    of_index.then(zero)
                }
                _ => None,
            }
        }
        Expr::CompoundIdentifier(parts) => {
            let column = parts.last().map(|part| part.value.as_str());
            (column == Some("reloptions")).then(null)
        }
        // DataFusion knows one character for this. Without it the pattern finds less.
        Expr::Like { escape_char, .. } | Expr::ILike { escape_char, .. } => {
            *escape_char = None;
            None
        }
        _ => None,
    }
}

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

fn zero() -> Expr {
    Expr::Value(Value::Number("0".to_owned(), false).into())
}
