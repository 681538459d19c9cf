//! The graph as views are added to it, and what each name stands for in it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{ResolvedTableReference, TableReference};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::execution_props::ExecutionProps;

use super::graph::{Facts, Graph, Rel, column_of};
use super::lower::{Lowering, Source};
use super::purpose::{Purpose, table_reference};
use super::refuse::Trouble;
use super::{Input, Output, Relation, clock, session};
use crate::script::{Script, Table, View};

/// Per relation the columns that are read, as positions in its schema.
pub(super) type Needed = HashMap<ResolvedTableReference, BTreeSet<usize>>;

/// A graph that is being made, and what each name stands for in it.
pub(super) struct Building {
    pub graph: Graph,
    pub sources: HashMap<ResolvedTableReference, Source>,
}

impl Building {
    /// A graph with all columns of all relations as inputs, or only with those that are needed.
    pub fn new(
        script: &Script,
        purpose: &Purpose,
        props: ExecutionProps,
        needed: Option<&Needed>,
    ) -> Building {
        let mut building_inputs = Vec::new();
        let mut facts = Vec::new();
        let mut sources = HashMap::new();
        for (reference, relation, schema, table) in relations(script, purpose) {
            let name = resolve(reference);
            let mut columns: BTreeSet<usize> = match needed {
                None => (0..schema.fields().len()).collect(),
                Some(needed) => match needed.get(&name) {
                    Some(columns) => columns.clone(),
                    None => continue,
                },
            };
            columns.extend(table.into_iter().flat_map(identity));
            if columns.is_empty() {
                // Rows are counted by some column; one that is always there says most.
                let present = schema
                    .fields()
                    .iter()
                    .position(|field| !field.is_nullable());
                columns.insert(present.unwrap_or(0));
            }
            let columns: Vec<usize> = columns.into_iter().collect();
            let fields = columns.iter().map(|column| schema.field(*column).clone());
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            let primary_key = table
                .map(|table| table.primary_key.as_slice())
                .unwrap_or_default();
            let find = |key: &usize| columns.iter().position(|column| column == key);
            let append_only = match (relation, table) {
                (Relation::Table(at) | Relation::Kept(at), Some(table)) => {
                    purpose.is_append_only(at, table)
                }
                (relation, _) => relation != Relation::Clock,
            };
            facts.push(Facts {
                append_only,
                key: primary_key.iter().filter_map(find).collect(),
            });
            sources.insert(name, Source::Input(building_inputs.len()));
            building_inputs.push(Input {
                relation,
                columns,
                schema,
            });
        }
        Building {
            graph: Graph::new(building_inputs, facts, props),
            sources,
        }
    }

    /// Lowers a view, which is then known by its name: all of its columns, or those that the query
    /// still has, as ascending positions.
    pub fn build(
        &mut self,
        view: &View,
        query: &LogicalPlan,
        columns: Option<&BTreeSet<usize>>,
    ) -> Result<Output, Trouble> {
        let sources = &self.sources;
        let rel = Lowering {
            graph: &mut self.graph,
            sources,
            works: Vec::new(),
        }
        .lower(query)?;
        let Rel { node, order, .. } = self.graph.narrow(rel)?;
        let columns = match columns {
            Some(columns) => columns.iter().copied().collect(),
            None => (0..query.schema().fields().len()).collect(),
        };
        // The relation behind `tillrace.rejects` keeps its name; its view is the same.
        let name = resolve(reference(view));
        self.sources
            .entry(name)
            .or_insert(Source::View { node, columns });
        let order = order
            .iter()
            .filter_map(|key| Some((column_of(&key.expr)?, key.options)));
        let order: Vec<(usize, SortOptions)> = order.collect();
        let fields = query
            .schema()
            .fields()
            .iter()
            .zip(self.graph.schema(node).fields());
        let fields = fields.map(|(named, typed)| typed.as_ref().clone().with_name(named.name()));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Output {
            view: view.clone(),
            node,
            schema,
            order,
            table: None,
        })
    }
}

/// Every relation that rows come from: name, what it is, its schema, and the table if it is one.
fn relations<'a>(
    script: &'a Script,
    purpose: &'a Purpose,
) -> impl Iterator<Item = (TableReference, Relation, SchemaRef, Option<&'a Table>)> {
    let tables = script.tables.iter().enumerate().map(|(position, table)| {
        let name = table_reference(&table.name);
        let relation = match purpose.kept.contains_key(&position) {
            true => Relation::Kept(position),
            false => Relation::Table(position),
        };
        (name, relation, table.schema(), Some(table))
    });
    let system = [
        (
            "rejects",
            Relation::Rejects,
            session::rejects_schema as fn() -> SchemaRef,
        ),
        ("blocks", Relation::Blocks, session::blocks_schema),
        (clock::CLOCK, Relation::Clock, clock::schema),
    ];
    let system = system.into_iter();
    let system = system
        .filter(|(_, relation, _)| !purpose.is_part || *relation == Relation::Clock)
        .map(|(name, relation, schema)| {
            let name = TableReference::partial(session::SYSTEM, name);
            (name, relation, schema(), None)
        });
    tables.chain(system)
}

/// The columns without which a table's rows cannot be told apart, timed or deleted.
fn identity(table: &Table) -> Vec<usize> {
    let options = &table.options;
    let dedup = options
        .dedup
        .iter()
        .flat_map(|dedup| dedup.columns.iter().copied());
    let single = options.event_time.into_iter().chain(options.deleted);
    table
        .primary_key
        .iter()
        .copied()
        .chain(dedup)
        .chain(single)
        .collect()
}

/// A relation's name in full, by which relations are compared.
pub(super) fn resolve(name: TableReference) -> ResolvedTableReference {
    name.resolve("datafusion", "public")
}

/// The name under which a view is registered.
pub(super) fn reference(view: &View) -> TableReference {
    match view.name.split_once('.') {
        Some((session::SYSTEM, name)) => TableReference::partial(session::SYSTEM, name),
        _ => TableReference::bare(view.name.as_str()),
    }
}
