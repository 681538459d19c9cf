//! What a query reads, without planning it.
//!
//! A parsed query flows in; the relations that it names and, as far as they can be told, the names
//! of its columns flow out. A name that a WITH clause introduces is no relation where it is in
//! scope: after its own query, and within it if the clause is recursive. Clauses that the parser
//! takes but the planner passes over are found too, for an answer without them would be wrong.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr, Spanned, TableFactor,
    Visit, Visitor,
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

/// A clause that would be passed over.
#[derive(Debug, Clone)]
pub(super) struct Ignored {
    pub(super) span: Span,
    pub(super) clause: &'static str,
    /// What to write instead.
    pub(super) help: &'static str,
}

/// What a query's text says about what it reads, in the order in which it is written.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) references: Vec<Reference>,
    pub(super) ignored: Vec<Ignored>,
}

/// Walks through a query and everything inside it.
pub(super) fn inspect(query: &Query) -> Findings {
    let mut walk = Walk::default();
    match query.visit(&mut walk) {
        ControlFlow::Continue(()) => walk.findings,
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
    findings: Findings,
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
        self.findings
            .references
            .push(Reference { parts, span, file });
    }

    fn ignore(&mut self, given: bool, span: Span, clause: &'static str, help: &'static str) {
        if given {
            self.findings.ignored.push(Ignored { span, clause, help });
        }
    }

    fn check_query(&mut self, query: &Query) {
        let span = query.body.span();
        self.ignore(
            !query.locks.is_empty(),
            span,
            "FOR UPDATE and FOR SHARE",
            "leave it out: a reader always sees one state of all views",
        );
        let shown_elsewhere =
            "leave it out: how answers are written is an option of the command line";
        self.ignore(
            query.for_clause.is_some(),
            span,
            "FOR XML and FOR JSON",
            shown_elsewhere,
        );
        self.ignore(
            query.format_clause.is_some(),
            span,
            "FORMAT",
            shown_elsewhere,
        );
        let settings = "leave it out: settings are options of the command line";
        self.ignore(query.settings.is_some(), span, "SETTINGS", settings);
    }

    fn check_select(&mut self, select: &Select) {
        let word = select.select_token.0.span;
        let prewhere = select.prewhere.as_ref().map(Spanned::span);
        self.ignore(
            prewhere.is_some(),
            prewhere.unwrap_or(word),
            "PREWHERE",
            "write WHERE",
        );
        self.ignore(
            !select.connect_by.is_empty(),
            word,
            "CONNECT BY",
            "write WITH RECURSIVE",
        );
        let own = "leave it out: the engine decides how rows are spread";
        self.ignore(!select.distribute_by.is_empty(), word, "DISTRIBUTE BY", own);
        let shape = "write a list of columns";
        self.ignore(select.value_table_mode.is_some(), word, "SELECT AS", shape);
        self.ignore(
            select.select_modifiers.is_some(),
            word,
            "a SELECT modifier",
            "leave it out",
        );
    }

    fn check_table(&mut self, factor: &TableFactor) {
        let TableFactor::Table {
            name,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
            ..
        } = factor
        else {
            return;
        };
        let span = name.span();
        let sampled = "leave it out, or write a WHERE that keeps some of the rows";
        self.ignore(sample.is_some(), span, "TABLESAMPLE", sampled);
        let past = "leave it out: a view reads what is there now; the option as-of of the command \
                    line stops the engine's clock at a time";
        self.ignore(version.is_some(), span, "FOR SYSTEM_TIME", past);
        let numbered = "write ROW_NUMBER() OVER (ORDER BY ...)";
        self.ignore(*with_ordinality, span, "WITH ORDINALITY", numbered);
        self.ignore(
            json_path.is_some(),
            span,
            "a path into a table",
            "write it in the SELECT list",
        );
        self.ignore(!partitions.is_empty(), span, "PARTITION", "write a WHERE");
        let hinted = !with_hints.is_empty() || !index_hints.is_empty();
        self.ignore(
            hinted,
            span,
            "a hint",
            "leave it out: what joins need is found by itself",
        );
    }
}

impl Visitor for Walk {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        self.check_query(query);
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

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        self.check_select(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        self.check_table(factor);
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
