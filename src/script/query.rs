//! What a query reads, without planning it.
//!
//! A parsed query flows in; the relations that it names and, as far as they can be told, the names
//! of its columns flow out. A name that a WITH clause introduces is no relation where it is in
//! scope: after its own query, and within it if the clause is recursive.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, ObjectNamePart, Query, SelectItem, SetExpr, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::reader::Name;

/// A relation that a query names.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    /// The parts of the name, schema first.
    pub(super) parts: Vec<Name>,
    pub(super) span: Span,
    /// Whether it stands in single quotes, as some systems name files.
    pub(super) file: bool,
}

/// The relations that a query names, in the order in which they are written.
pub(super) fn references(query: &Query) -> Vec<Reference> {
    let mut walk = Walk::default();
    match query.visit(&mut walk) {
        ControlFlow::Continue(()) => walk.found,
        ControlFlow::Break(never) => match never {},
    }
}

/// The names that one query's WITH clause introduces, each with the query that it stands for.
struct Scope {
    names: Vec<(String, *const Query)>,
    /// How many of the names can be read from.
    visible: usize,
}

#[derive(Default)]
struct Walk {
    /// The queries around the current place, outermost first.
    scopes: Vec<Scope>,
    found: Vec<Reference>,
}

impl Walk {
    fn is_in_scope(&self, name: &str) -> bool {
        let mut visible = self
            .scopes
            .iter()
            .flat_map(|scope| &scope.names[..scope.visible]);
        visible.any(|(other, _)| other == name)
    }

    fn note(&mut self, name: &ObjectName) {
        let idents = name.0.iter().filter_map(ObjectNamePart::as_ident);
        let file = idents.clone().any(|ident| ident.quote_style == Some('\''));
        let parts = idents.map(Name::new).collect::<Vec<_>>();
        let span = Span::union_iter(parts.iter().map(|part| part.span));
        if let [only] = parts.as_slice()
            && self.is_in_scope(&only.text)
        {
            return;
        }
        self.found.push(Reference { parts, span, file });
    }
}

impl Visitor for Walk {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        let with = query.with.as_ref();
        let tables = with
            .map(|with| with.cte_tables.as_slice())
            .unwrap_or_default();
        let names = tables
            .iter()
            .map(|table| {
                (
                    Name::new(&table.alias.name).text,
                    std::ptr::from_ref(&*table.query),
                )
            })
            .collect::<Vec<_>>();
        let recursive = with.is_some_and(|with| with.recursive) && !names.is_empty();
        self.scopes.push(Scope {
            names,
            visible: usize::from(recursive),
        });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        self.scopes.pop();
        if let Some(around) = self.scopes.last_mut()
            && let Some(at) = around
                .names
                .iter()
                .position(|(_, cte)| std::ptr::eq(*cte, query))
        {
            // A recursive clause has shown this name already; now it shows the one after it.
            let ahead = usize::from(around.visible > at);
            around.visible = (at + 1 + ahead).min(around.names.len());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        if let TableFactor::Table {
            name, args: None, ..
        } = factor
        {
            self.note(name);
        }
        ControlFlow::Continue(())
    }
}

/// The names of a query's columns, if they can be told from its text alone: not if it has a
/// wildcard, or an expression without a name of its own.
pub(super) fn column_names(query: &Query) -> Option<Vec<String>> {
    if !query.pipe_operators.is_empty() {
        return None;
    }
    let mut body = query.body.as_ref();
    let select = loop {
        match body {
            SetExpr::Select(select) => break select,
            SetExpr::Query(inner) => return column_names(inner),
            SetExpr::SetOperation { left, .. } => body = left.as_ref(),
            _ => return None,
        }
    };
    let names = select.projection.iter().map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(Name::new(alias).text),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(Name::new(ident).text),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(idents)) => {
            idents.last().map(|ident| Name::new(ident).text)
        }
        _ => None,
    });
    names.collect()
}
