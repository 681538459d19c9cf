//! A whole script to one plan.
//!
//! The script is gone through twice. First every view is planned, optimised and lowered on trial,
//! which finds all faults and which columns are needed of each table; then the materialized views
//! are lowered over just these columns.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, ResolvedTableReference, TableReference};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::graph::{Facts, Graph, Rel, column_of};
use super::lower::{Lowering, Source};
use super::refuse::{Trouble, fault};
use super::{Input, NodeId, Op, Output, Plan, Relation, check, session, tidy};
use crate::script::{Fault, Faults, Origin, Script, Table, View};

/// The views that are always there.
pub(super) const SYSTEM_VIEWS: [&str; 2] = ["tillrace.rejects", "tillrace.inputs"];

/// The query of `tillrace.inputs` over the counts of blocks.
const INPUTS: &str = "SELECT input, \"table\", sum(rows) AS rows, sum(bytes) AS bytes, \
    sum(rejects) AS rejects, max(newest_event_time) AS newest_event_time \
    FROM tillrace.blocks GROUP BY input, \"table\"";

/// The query of `tillrace.rejects` over the relation itself.
const REJECTS: &str = "SELECT * FROM tillrace.rejects";

/// Plans a script: its materialized views, and the system's own views, as one graph.
///
/// # Errors
/// All faults of all views: what DataFusion cannot plan and what cannot be kept up to date, each
/// with its place. A view that reads a faulty view is not reported as well.
pub fn plan(script: Arc<Script>) -> Result<Plan, Faults> {
    let planned = Program::read(&script).map_err(|faults| Faults {
        faults,
        sources: Arc::clone(&script.sources),
    })?;
    planned.lower(&script).map_err(|error| Faults {
        faults: vec![unplaced(&error)],
        sources: Arc::clone(&script.sources),
    })
}

/// A fault of the planner itself rather than of a view.
fn unplaced(error: &DataFusionError) -> Fault {
    let origin = Origin {
        file: PathBuf::from("<text>"),
        line: 1,
        column: 1,
    };
    Fault {
        origin,
        length: 1,
        message: error.strip_backtrace(),
        help: None,
    }
}

/// The views, each with its optimised query; the system's own come first.
struct Program {
    context: SessionContext,
    views: Vec<(View, LogicalPlan)>,
}

impl Program {
    fn read(script: &Script) -> Result<Program, Vec<Fault>> {
        let unplaced = |error: DataFusionError| vec![unplaced(&error)];
        let context = session::planning_context(script).map_err(unplaced)?;
        let mut program = Program {
            context,
            views: Vec::new(),
        };
        for (name, sql) in SYSTEM_VIEWS.into_iter().zip([REJECTS, INPUTS]) {
            let view = system_view(name, sql).map_err(unplaced)?;
            let query = program.query(&view).map_err(unplaced)?;
            if name != "tillrace.rejects" {
                let schema = bare(query.schema().as_arrow());
                session::declare(&program.context, reference(&view), schema).map_err(unplaced)?;
            }
            program.views.push((view, query));
        }
        program.read_views(script)?;
        Ok(program)
    }

    /// Plans the script's views in their order, and collects what is wrong with them.
    fn read_views(&mut self, script: &Script) -> Result<(), Vec<Fault>> {
        let mut faults = Vec::new();
        let mut faulty = HashSet::new();
        let mut trial = Building::new(self, script, None);
        for (view, query) in &self.views {
            trial
                .build(view, query)
                .map_err(|trouble| trouble.faults(view))?;
        }
        for view in &script.views {
            let reads = reads(&self.context, view);
            if reads.iter().any(|name| faulty.contains(name)) {
                faulty.insert(resolve(reference(view)));
                continue;
            }
            match self.read_view(view, &mut trial) {
                Ok(query) if view.materialized => self.views.push((view.clone(), query)),
                Ok(_) => {}
                Err(found) => {
                    faulty.insert(resolve(reference(view)));
                    faults.extend(found);
                }
            }
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults)
        }
    }

    fn read_view(&self, view: &View, trial: &mut Building) -> Result<LogicalPlan, Vec<Fault>> {
        let faults = check::check(&self.context.state(), view);
        if !faults.is_empty() {
            return Err(faults);
        }
        let of_view = |error: DataFusionError| Trouble::from(error).faults(view);
        let written = session::logical(&self.context.state(), view).map_err(of_view)?;
        check_names(view, &written)?;
        let query = self.context.state().optimize(&written).map_err(of_view)?;
        trial
            .build(view, &query)
            .map_err(|trouble| trouble.faults(view))?;
        if view.materialized {
            let schema = bare(query.schema().as_arrow());
            session::declare(&self.context, reference(view), schema).map_err(of_view)?;
        } else {
            session::inline(&self.context, view, written).map_err(of_view)?;
        }
        Ok(query)
    }

    fn query(&self, view: &View) -> Result<LogicalPlan, DataFusionError> {
        let state = self.context.state();
        state.optimize(&session::logical(&state, view)?)
    }

    /// Lowers all views over the columns that they need.
    fn lower(&self, script: &Arc<Script>) -> Result<Plan, DataFusionError> {
        let needed = needed_columns(self.views.iter().map(|(_, query)| query))?;
        let mut building = Building::new(self, script, Some(&needed));
        let mut outputs = Vec::with_capacity(self.views.len());
        for (view, query) in &self.views {
            let output = building
                .build(view, query)
                .map_err(|trouble| match trouble {
                    Trouble::DataFusion(error) => *error,
                    Trouble::Refused(refusal) => DataFusionError::Plan(refusal.message),
                })?;
            outputs.push(output);
        }
        let system = outputs.drain(..SYSTEM_VIEWS.len()).collect::<Vec<_>>();
        outputs.extend(system);
        let Graph { inputs, nodes, .. } = building.graph;
        let plan = Plan {
            script: Arc::clone(script),
            inputs,
            nodes,
            outputs,
        };
        Ok(tidy::tidy(plan))
    }
}

/// A graph that is being made, and what each name stands for in it.
struct Building {
    graph: Graph,
    sources: HashMap<ResolvedTableReference, Source>,
}

impl Building {
    /// A graph with all columns of all relations as inputs, or only with those that are needed.
    fn new(
        program: &Program,
        script: &Script,
        needed: Option<&HashMap<ResolvedTableReference, BTreeSet<usize>>>,
    ) -> Building {
        let mut building_inputs = Vec::new();
        let mut facts = Vec::new();
        let mut sources = HashMap::new();
        for (reference, relation, schema, table) in relations(script) {
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
            facts.push(Facts {
                append_only: table.is_none_or(Table::is_append_only),
                key: primary_key.iter().filter_map(find).collect(),
            });
            sources.insert(name, Source::Input(building_inputs.len()));
            building_inputs.push(Input {
                relation,
                columns,
                schema,
            });
        }
        let props = program.context.state().execution_props().clone();
        Building {
            graph: Graph::new(building_inputs, facts, props),
            sources,
        }
    }

    /// Lowers a view; a materialized one is then known by its name.
    fn build(&mut self, view: &View, query: &LogicalPlan) -> Result<Output, Trouble> {
        let sources = &self.sources;
        let rel = Lowering {
            graph: &mut self.graph,
            sources,
        }
        .lower(query)?;
        let Rel { node, order, .. } = self.graph.narrow(rel)?;
        let name = resolve(reference(view));
        if view.materialized && !self.sources.contains_key(&name) {
            self.sources.insert(name, Source::View(node));
        }
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
        })
    }
}

/// Every relation that rows come from: name, what it is, its schema, and the table if it is one.
fn relations(
    script: &Script,
) -> impl Iterator<Item = (TableReference, Relation, SchemaRef, Option<&Table>)> {
    let system = |name: &str| TableReference::partial(session::SYSTEM, name);
    let tables = script.tables.iter().enumerate().map(|(position, table)| {
        let name = TableReference::bare(table.name.as_str());
        (name, Relation::Table(position), table.schema(), Some(table))
    });
    tables.chain([
        (
            system("rejects"),
            Relation::Rejects,
            session::rejects_schema(),
            None,
        ),
        (
            system("blocks"),
            Relation::Blocks,
            session::blocks_schema(),
            None,
        ),
    ])
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

/// Per relation the columns that some query reads.
fn needed_columns<'a>(
    queries: impl Iterator<Item = &'a LogicalPlan>,
) -> Result<HashMap<ResolvedTableReference, BTreeSet<usize>>, DataFusionError> {
    let mut needed: HashMap<_, BTreeSet<usize>> = HashMap::new();
    for query in queries {
        query.apply_with_subqueries(|part| {
            if let LogicalPlan::TableScan(scan) = part {
                let columns = needed.entry(resolve(scan.table_name.clone())).or_default();
                match &scan.projection {
                    Some(projection) => columns.extend(projection),
                    None => columns.extend(0..scan.source.schema().fields().len()),
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    Ok(needed)
}

/// The relations that a view's text names.
fn reads(context: &SessionContext, view: &View) -> Vec<ResolvedTableReference> {
    let query = Box::new(ast::Statement::Query(view.query.clone()));
    let names = context
        .state()
        .resolve_table_references(&Statement::Statement(query));
    names.unwrap_or_default().into_iter().map(resolve).collect()
}

/// A relation's name in full, by which relations are compared.
pub(super) fn resolve(name: TableReference) -> ResolvedTableReference {
    name.resolve("datafusion", "public")
}

/// The name under which a view is registered.
fn reference(view: &View) -> TableReference {
    match view.name.split_once('.') {
        Some((session::SYSTEM, name)) => TableReference::partial(session::SYSTEM, name),
        _ => TableReference::bare(view.name.as_str()),
    }
}

/// Refuses an answer in which two columns have one name.
fn check_names(view: &View, query: &LogicalPlan) -> Result<(), Vec<Fault>> {
    let mut seen = HashSet::new();
    for field in query.schema().fields() {
        if !seen.insert(field.name()) {
            let message = format!(
                "two columns of view \"{}\" are named \"{}\"",
                view.name,
                field.name()
            );
            let help = "give one of them another name with AS".to_owned();
            return Err(vec![fault(view, None, message, Some(help))]);
        }
    }
    Ok(())
}

/// A schema with nothing but names, types and nullability.
fn bare(schema: &Schema) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), field.data_type().clone(), field.is_nullable()));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A view of the system's own.
fn system_view(name: &str, sql: &str) -> Result<View, DataFusionError> {
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql)?;
    let Some(ast::Statement::Query(query)) = statements.into_iter().next() else {
        return Err(DataFusionError::Plan(format!("\"{sql}\" is not a query")));
    };
    Ok(View {
        name: name.to_owned(),
        materialized: true,
        sql: sql.to_owned(),
        query,
        column_names: Vec::new(),
        options: BTreeMap::new(),
        comment: None,
        column_comments: BTreeMap::new(),
        origin: Origin::default(),
        query_origin: Origin::default(),
    })
}

/// The nodes of a plan that a node reads.
pub(super) fn reads_of(op: &Op) -> Vec<NodeId> {
    match op {
        Op::Input(_) | Op::Constant(_) => Vec::new(),
        Op::Map { input, .. }
        | Op::Unnest { input, .. }
        | Op::Reduce { input, .. }
        | Op::TopK { input, .. }
        | Op::Negate { input } => vec![*input],
        Op::Join { left, right, .. } => vec![*left, *right],
        Op::Union { inputs } => inputs.clone(),
    }
}
