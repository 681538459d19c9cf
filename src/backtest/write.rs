//! The script with its variants, written out as SQL and read again: whatever is wrong with it is found
//! as in any other.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, ObjectNamePart, Query, TableAlias, TableFactor, VisitMut, VisitorMut,
};

use super::{Backtest, BacktestError, Label, Vary};
use crate::decode::sql_type;
use crate::plan;
use crate::script::{self, Script, Sources, View, near, quoted};

/// The view that counts what there is.
pub(super) const ALL: &str = "backtest";

/// The file that the variants are written to, as messages name it.
const FILE: &str = "<backtest>";

/// The view that counts what a variant blocks.
pub(super) fn count_view(variant: usize) -> String {
    format!("{ALL}~{variant}")
}

/// A relation as a variant sees it.
fn varied(relation: &str, variant: usize) -> String {
    format!("{relation}~{variant}")
}

/// Writes a script in which each variant has views of its own, and reads it. Its materialized views
/// are those that count.
///
/// # Errors
/// If a name is none, the view does not depend on what varies, or the variants cannot be planned.
pub fn write(base: &Script, backtest: &Backtest) -> Result<Script, BacktestError> {
    let variants = backtest.variants()?;
    let schemas = schemas(base, backtest)?;
    let chain = chain(base, backtest)?;
    let mut text = String::new();
    for (at, values) in variants.iter().enumerate() {
        let mut renamed: BTreeSet<&str> = BTreeSet::new();
        for (relation, schema) in &schemas.varied {
            let vary = backtest.vary.iter().zip(values);
            let of_relation: Vec<(&Vary, &str)> = vary
                .filter(|(vary, _)| vary.relation == *relation)
                .filter_map(|(vary, value)| Some((vary, value.as_deref()?)))
                .collect();
            let columns = schema.fields().iter().map(|field| {
                let kind = sql_type(field.data_type());
                column(field.name(), &kind, &of_relation)
            });
            text.push_str(&format!(
                "CREATE VIEW {} AS SELECT {} FROM {};\n",
                quoted(&varied(relation, at)),
                columns.collect::<Vec<_>>().join(", "),
                quoted(relation),
            ));
            renamed.insert(relation);
        }
        for view in &chain {
            text.push_str(&copy(view, at, &renamed)?);
            renamed.insert(&view.name);
        }
        text.push_str(&blocked(backtest, at));
    }
    text.push_str(&all(backtest));
    let mut sources = Sources::clone(&base.sources);
    sources.insert(PathBuf::from(FILE), text);
    let mut script = script::parse(sources)?;
    for view in &mut script.views {
        view.materialized = view.name.starts_with(ALL) && view.materialized;
    }
    Ok(script)
}

/// The columns of the relations that a backtest names.
struct Schemas {
    varied: BTreeMap<String, SchemaRef>,
}

/// Finds the relations and columns that are named.
fn schemas(base: &Script, backtest: &Backtest) -> Result<Schemas, BacktestError> {
    let mut script = base.clone();
    for view in &mut script.views {
        view.materialized = true;
    }
    let plan = plan::plan(Arc::new(script))?;
    let schema = |name: &str| -> Result<SchemaRef, BacktestError> {
        if let Some((_, table)) = base.table(name) {
            return Ok(table.schema());
        }
        let mut outputs = plan.outputs.iter();
        if let Some(output) = outputs.find(|output| output.view.name == name) {
            return Ok(output.schema.clone());
        }
        let tables = base.tables.iter().map(|table| table.name.as_str());
        let names = tables.chain(base.views.iter().map(|view| view.name.as_str()));
        Err(BacktestError::NoRelation {
            name: name.to_owned(),
            near: near(name, names.collect::<Vec<_>>()),
        })
    };
    let check = |relation: &str, column: &str| -> Result<SchemaRef, BacktestError> {
        let schema = schema(relation)?;
        if schema.index_of(column).is_ok() {
            return Ok(schema);
        }
        let names = schema.fields().iter().map(|field| field.name().as_str());
        Err(BacktestError::NoColumn {
            relation: relation.to_owned(),
            column: column.to_owned(),
            near: near(column, names.collect::<Vec<_>>()),
        })
    };
    let mut varied = BTreeMap::new();
    for vary in &backtest.vary {
        if let Some((column, _)) = &vary.only {
            check(&vary.relation, column)?;
        }
        let schema = check(&vary.relation, &vary.column)?;
        varied.insert(vary.relation.clone(), schema);
    }
    check(&backtest.view, &backtest.key)?;
    check(&backtest.of, &backtest.key)?;
    if let Some(Label {
        relation, column, ..
    }) = &backtest.label
    {
        check(relation, &backtest.key)?;
        check(relation, column)?;
    }
    Ok(Schemas { varied })
}

/// The views between what varies and the view that blocks, each after those that it reads.
fn chain<'a>(base: &'a Script, backtest: &Backtest) -> Result<Vec<&'a View>, BacktestError> {
    let reads: Vec<Vec<String>> = base.views.iter().map(View::reads).collect();
    let mut behind: BTreeSet<&str> = BTreeSet::new();
    behind.insert(&backtest.view);
    for (view, reads) in base.views.iter().zip(&reads).rev() {
        if behind.contains(view.name.as_str()) {
            behind.extend(reads.iter().map(String::as_str));
        }
    }
    if let Some(vary) = backtest
        .vary
        .iter()
        .find(|vary| !behind.contains(vary.relation.as_str()) || vary.relation == backtest.view)
    {
        return Err(BacktestError::Independent {
            view: backtest.view.clone(),
            relation: vary.relation.clone(),
        });
    }
    let mut depends: BTreeSet<&str> = BTreeSet::new();
    depends.extend(backtest.vary.iter().map(|vary| vary.relation.as_str()));
    let mut chain = Vec::new();
    for (view, reads) in base.views.iter().zip(&reads) {
        let name = view.name.as_str();
        let is_between = behind.contains(name)
            && !depends.contains(name)
            && reads.iter().any(|read| depends.contains(read.as_str()));
        if is_between {
            depends.insert(name);
            chain.push(view);
        }
    }
    Ok(chain)
}

/// A column of a varied relation: its own, or the variant's value where that is meant.
fn column(name: &str, kind: &str, vary: &[(&Vary, &str)]) -> String {
    let mut expression = quoted(name);
    for (vary, value) in vary.iter().filter(|(vary, _)| vary.column == name) {
        let value = format!("CAST({} AS {kind})", text(value));
        expression = match &vary.only {
            None => value,
            Some((column, only)) => format!(
                "CASE WHEN CAST({} AS VARCHAR) = {} THEN {value} ELSE {expression} END",
                quoted(column),
                text(only),
            ),
        };
    }
    format!("{expression} AS {}", quoted(name))
}

/// A view of a variant, over that variant's relations.
fn copy(view: &View, variant: usize, names: &BTreeSet<&str>) -> Result<String, BacktestError> {
    let mut query = view.query.clone();
    let mut rename = Rename { names, variant };
    if let ControlFlow::Break(name) = query.visit(&mut rename) {
        return Err(BacktestError::Hidden {
            view: view.name.clone(),
            name,
        });
    }
    let columns: Vec<String> = view.column_names.iter().map(|name| quoted(name)).collect();
    let columns = match columns.is_empty() {
        true => String::new(),
        false => format!(" ({})", columns.join(", ")),
    };
    let name = quoted(&varied(&view.name, variant));
    Ok(format!("CREATE VIEW {name}{columns} AS {query};\n"))
}

/// Lets a query read a variant's relations, under the names by which it knows them.
struct Rename<'a> {
    names: &'a BTreeSet<&'a str>,
    variant: usize,
}

impl VisitorMut for Rename<'_> {
    type Break = String;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<String> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        for cte in with {
            let name = folded(&cte.alias.name);
            if self.names.contains(name.as_str()) {
                return ControlFlow::Break(name);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<String> {
        let TableFactor::Table { name, alias, .. } = factor else {
            return ControlFlow::Continue(());
        };
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
            return ControlFlow::Continue(());
        };
        let known = folded(ident);
        if !self.names.contains(known.as_str()) {
            return ControlFlow::Continue(());
        }
        alias.get_or_insert_with(|| TableAlias {
            explicit: true,
            name: Ident::with_quote('"', known.clone()),
            columns: Vec::new(),
            at: None,
        });
        let other = varied(&known, self.variant);
        *name = ObjectName::from(vec![Ident::with_quote('"', other)]);
        ControlFlow::Continue(())
    }
}

/// A name as SQL understands it.
fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// The view that counts what a variant blocks.
fn blocked(backtest: &Backtest, variant: usize) -> String {
    let key = quoted(&backtest.key);
    let mut counts = vec![format!("count(DISTINCT b.{key}) AS blocked")];
    let mut join = String::new();
    if let Some(label) = &backtest.label {
        let yes = yes(label);
        counts.push(format!(
            "count(DISTINCT CASE WHEN {yes} IS NOT NULL THEN b.{key} END) AS known"
        ));
        counts.push(format!(
            "count(DISTINCT CASE WHEN {yes} THEN b.{key} END) AS hits"
        ));
        join = format!(
            " LEFT JOIN {} l ON l.{key} = b.{key}",
            quoted(&label.relation)
        );
    }
    format!(
        "CREATE MATERIALIZED VIEW {} AS SELECT {} FROM {} b{join};\n",
        quoted(&count_view(variant)),
        counts.join(", "),
        quoted(&varied(&backtest.view, variant)),
    )
}

/// The view that counts what there is.
fn all(backtest: &Backtest) -> String {
    let key = quoted(&backtest.key);
    let mut counts = vec![format!("count(DISTINCT t.{key}) AS total")];
    let mut join = String::new();
    if let Some(label) = &backtest.label {
        let yes = yes(label);
        counts.push(format!(
            "count(DISTINCT CASE WHEN {yes} THEN t.{key} END) AS wanted"
        ));
        join = format!(
            " LEFT JOIN {} l ON l.{key} = t.{key}",
            quoted(&label.relation)
        );
    }
    let of = quoted(&backtest.of);
    let counts = counts.join(", ");
    format!("CREATE MATERIALIZED VIEW {ALL} AS SELECT {counts} FROM {of} t{join};\n")
}

fn yes(label: &Label) -> String {
    let column = quoted(&label.column);
    match &label.value {
        None => format!("l.{column}"),
        Some(value) => format!("(CAST(l.{column} AS VARCHAR) = {})", text(value)),
    }
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}
