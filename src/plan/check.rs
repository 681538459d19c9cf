//! What a view's text shows not to be kept up to date yet, each with its place.
//!
//! The parsed query flows in; faults flow out. What only the planned query shows is refused while
//! it is lowered; the text is looked at first because it still knows where everything stands.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::common::Span;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{LogicalPlan, Volatility};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, SelectItem, SetExpr, Spanned, TableFactor, Visit, Visitor, visit_expressions,
};

use super::clock;
use super::refuse::fault;
use crate::script::{Fault, View};

/// Everything in a view's text that is not kept up to date yet.
pub(super) fn check(state: &SessionState, view: &View) -> Vec<Fault> {
    let mut checker = Checker {
        state,
        view,
        faults: Vec::new(),
    };
    let _: ControlFlow<()> = view.query.visit(&mut checker);
    checker.faults
}

struct Checker<'a> {
    state: &'a SessionState,
    view: &'a View,
    faults: Vec<Fault>,
}

impl Checker<'_> {
    fn refuse(&mut self, place: &impl Spanned, message: String, help: &str) {
        let span = Span::try_from_sqlparser_span(place.span());
        self.faults
            .push(fault(self.view, span, message, Some(help.to_owned())));
    }

    fn check_function(&mut self, function: &Function) {
        let name = function.name.to_string().to_lowercase();
        if function.over.is_some() {
            return;
        }
        let Some(known) = self.state.scalar_functions().get(&name) else {
            return;
        };
        let is_clock = clock::NAMES.contains(&name.as_str());
        if is_clock || known.signature().volatility == Volatility::Immutable {
            return;
        }
        let is_stable = known.signature().volatility == Volatility::Stable;
        let (message, help) = if is_stable {
            let message = format!("{name}() is not kept up to date");
            (message, clock::INSTEAD)
        } else {
            let message = format!("{name}() differs each time that it is asked");
            (message, "let the events carry the value")
        };
        self.refuse(&function.name, message, help);
    }
}

impl Visitor for Checker<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::UNNEST { array_exprs, .. } = factor {
            for list in array_exprs.iter().filter(|list| names_column(list)) {
                let message = "UNNEST of a column in FROM is not kept up to date yet".to_owned();
                let help = "write LATERAL (SELECT unnest(column) AS element) instead";
                self.refuse(list, message, help);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            self.check_function(function);
        }
        ControlFlow::Continue(())
    }
}

fn names_column(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |part| match part {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Refuses columns of a view whose values have no type of their own, as `->` gives them.
pub(super) fn check_types(view: &View, query: &LogicalPlan) -> Result<(), Vec<Fault>> {
    let fields = query.schema().fields().iter().enumerate();
    let untyped = fields.filter(|(_, field)| has_no_type(field.data_type()));
    let faults: Vec<Fault> = untyped
        .map(|(at, field)| {
            let message = format!(
                "column `{}` has no type: it is a piece of JSON",
                field.name()
            );
            let help = "cast it, or ask by ->>".to_owned();
            fault(view, place_of_column(view, at), message, Some(help))
        })
        .collect();
    match faults.is_empty() {
        true => Ok(()),
        false => Err(faults),
    }
}

fn has_no_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(..) => true,
        DataType::List(field) | DataType::LargeList(field) => has_no_type(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_no_type(field.data_type())),
        _ => false,
    }
}

/// Where a view's text has a column of its answer, if the text has them one by one.
fn place_of_column(view: &View, at: usize) -> Option<Span> {
    let SetExpr::Select(select) = view.query.body.as_ref() else {
        return None;
    };
    let mut items = select.projection.iter().take(at + 1);
    let is_one = |item: &SelectItem| {
        matches!(
            item,
            SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
        )
    };
    match items.clone().all(is_one) {
        true => match items.nth(at)? {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                // A call does not know where it ends.
                Span::try_from_sqlparser_span(match expr {
                    Expr::Function(call) => call.name.span(),
                    other => other.span(),
                })
            }
            _ => None,
        },
        false => None,
    }
}
