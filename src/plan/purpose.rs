//! What a plan is for: a whole program, or a part that is added to one which runs.

use std::collections::BTreeMap;

use arrow::compute::SortOptions;
use datafusion::common::{DataFusionError, TableReference};

use super::building::{Building, Needed, resolve};
use super::lower::Source;
use super::session::SYSTEM;
use super::{Op, Output, Plan};
use crate::script::{Origin, Script, Table, View};

/// What a plan is for.
#[derive(Debug, Clone, Default)]
pub struct Purpose {
    /// The tables whose rows are held, so that they can be read and changed one by one: positions
    /// in [`Script::tables`].
    pub held: Vec<usize>,
    /// The tables that are in truth what another plan keeps, by position.
    pub kept: BTreeMap<usize, Kept>,
    /// Whether the plan is a part of a program: it has no views of the system's own.
    pub is_part: bool,
}

/// What is known of rows that another plan keeps.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// Whether rows are only ever added.
    pub append_only: bool,
}

impl Plan {
    /// The outputs that are views, and not tables whose rows are held.
    pub fn views(&self) -> impl Iterator<Item = &Output> {
        self.outputs.iter().filter(|output| output.table.is_none())
    }
}

impl Purpose {
    /// For an engine that answers sessions: tables with a primary key are held unless they say
    /// otherwise, and others if they say so.
    pub fn of_sessions(script: &Script) -> Purpose {
        let tables = script.tables.iter().enumerate();
        let held = tables.filter(|(_, table)| {
            let has_key = !table.primary_key.is_empty();
            table.options.held.unwrap_or(has_key)
        });
        Purpose {
            held: held.map(|(position, _)| position).collect(),
            ..Purpose::default()
        }
    }

    /// Whether rows of a table are only ever added.
    pub(super) fn is_append_only(&self, position: usize, table: &Table) -> bool {
        match self.kept.get(&position) {
            Some(kept) => kept.append_only,
            // What is held can be deleted.
            None => table.is_append_only() && !self.held.contains(&position),
        }
    }

    /// Asks for all columns of the tables that are held.
    pub(super) fn need(&self, script: &Script, needed: &mut Needed) {
        for position in &self.held {
            let table = &script.tables[*position];
            let name = resolve(table_reference(&table.name));
            let columns = needed.entry(name).or_default();
            columns.extend(0..table.columns.len());
        }
    }

    /// The outputs of the tables that are held.
    ///
    /// # Errors
    /// If a node has no schema.
    pub(super) fn outputs(
        &self,
        script: &Script,
        building: &mut Building,
    ) -> Result<Vec<Output>, DataFusionError> {
        let mut outputs = Vec::with_capacity(self.held.len());
        for position in &self.held {
            let table = &script.tables[*position];
            let name = resolve(table_reference(&table.name));
            let Some(Source::Input(input)) = building.sources.get(&name) else {
                continue;
            };
            let node = building.graph.add(Op::Input(*input))?;
            let key = table.primary_key.iter();
            outputs.push(Output {
                view: rows_of(table),
                node,
                schema: table.schema(),
                order: key
                    .map(|column| (*column, SortOptions::default()))
                    .collect(),
                table: Some(*position),
            });
        }
        Ok(outputs)
    }
}

/// The name under which a table is known while planning; what another plan keeps may be a view of
/// the system's own.
pub(super) fn table_reference(name: &str) -> TableReference {
    match name.split_once('.') {
        Some((SYSTEM, name)) => TableReference::partial(SYSTEM, name.to_owned()),
        _ => TableReference::bare(name.to_owned()),
    }
}

/// All rows of a table, as if they were a view's.
fn rows_of(table: &Table) -> View {
    View {
        name: table.name.clone(),
        materialized: true,
        sql: String::new(),
        query: Box::new(empty_query()),
        column_names: Vec::new(),
        options: BTreeMap::new(),
        comment: table.comment.clone(),
        column_comments: BTreeMap::new(),
        origin: table.origin.clone(),
        query_origin: Origin::default(),
    }
}

/// A query that nobody looks at.
fn empty_query() -> datafusion::sql::sqlparser::ast::Query {
    use datafusion::sql::sqlparser::ast::{Query, SetExpr, Values};
    let values = SetExpr::Values(Values {
        explicit_row: false,
        value_keyword: false,
        rows: Vec::new(),
    });
    Query {
        with: None,
        body: Box::new(values),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}
