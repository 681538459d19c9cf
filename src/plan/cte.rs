//! WITH queries as views of their own.
//!
//! A view flows in; it flows out behind a plain view for each query of its outermost `WITH`, under
//! a name that no script can write. What is true of views is then true of them: one that is read
//! twice is computed once.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, Query, TableAlias, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};

use crate::script::View;

/// The view, after the queries of its `WITH`; just the view if these cannot be taken apart.
pub(super) fn lift(view: &View) -> Vec<View> {
    let Some(with) = &view.query.with else {
        return vec![view.clone()];
    };
    if with.recursive || defines_twice(view) {
        return vec![view.clone()];
    }
    let mut body = view.clone();
    let mut lifted = Vec::new();
    let mut renamed = Renamed::default();
    for cte in with.cte_tables.iter() {
        let name = folded(&cte.alias.name);
        let mut query = cte.query.clone();
        let _: ControlFlow<()> = VisitMut::visit(&mut query, &mut renamed);
        let hidden = format!("{}.{name}", view.name);
        lifted.push(View {
            name: hidden.clone(),
            materialized: false,
            query,
            column_names: cte
                .alias
                .columns
                .iter()
                .map(|column| folded(&column.name))
                .collect(),
            ..view.clone()
        });
        renamed.0.insert(name, hidden);
    }
    body.query.with = None;
    let _: ControlFlow<()> = VisitMut::visit(&mut body.query, &mut renamed);
    lifted.push(body);
    lifted
}

/// Whether one name stands for two queries somewhere in the view.
fn defines_twice(view: &View) -> bool {
    #[derive(Default)]
    struct Names(HashMap<String, usize>);
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
                *self.0.entry(folded(&cte.alias.name)).or_default() += 1;
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names::default();
    let _: ControlFlow<()> = Visit::visit(&view.query, &mut names);
    names.0.values().any(|times| *times > 1)
}

/// The hidden name of each query that was lifted.
#[derive(Default)]
struct Renamed(HashMap<String, String>);

impl VisitorMut for Renamed {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, alias, .. } = factor else {
            return ControlFlow::Continue(());
        };
        let [part] = name.0.as_slice() else {
            return ControlFlow::Continue(());
        };
        let Some(ident) = part.as_ident().cloned() else {
            return ControlFlow::Continue(());
        };
        if let Some(hidden) = self.0.get(&folded(&ident)) {
            *name = ObjectName::from(vec![Ident::with_quote_and_span('"', ident.span, hidden)]);
            if alias.is_none() {
                *alias = Some(TableAlias {
                    explicit: true,
                    name: ident,
                    columns: Vec::new(),
                    at: None,
                });
            }
        }
        ControlFlow::Continue(())
    }
}

/// A name as it is compared: in lower case unless it is quoted.
fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}
