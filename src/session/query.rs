//! DataFusion over one snapshot: queries that read tables and views and nothing else.
//!
//! SQL text and a [`Snapshot`] flow in, rows flow out. A query knows only the relations that it
//! names; it has no way to files or the network, and one pool bounds the memory of all queries
//! together. A query that needs more fails; it never spills to disk.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider, TableProvider,
};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ParamValues, ScalarValue, TableReference};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{MemTable, ViewTable};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::{SQLOptions, SessionContext, SessionState};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;

use super::error::{Code, SessionError, character};
use super::outcome::Described;
use super::write::folded;
use crate::catalog::Snapshot;
use crate::engine::Program;
use crate::model;
use crate::plan::{batch_context, query_plan, register_functions};
use crate::script::{SYSTEM_SCHEMA, Script};

/// The schema in which tables and views lie.
pub(super) const PUBLIC: &str = "public";

/// Plans and runs queries.
pub(super) struct Queries {
    base: SessionState,
    /// Schemas that are there beside tables and views, such as `pg_catalog`.
    extra: HashMap<String, Arc<dyn SchemaProvider>>,
}

/// What a statement may see: relations at one epoch.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) program: &'a Program,
}

/// A table that a statement changes.
pub(super) struct Target {
    /// Its name.
    pub(super) name: String,
    /// Whether its rows are read as well.
    pub(super) rows_wanted: bool,
}

impl Queries {
    /// Prepares what all queries share; together they may take so many bytes of memory, and they may
    /// ask the models of the script and call the functions of its program.
    ///
    /// # Errors
    /// If DataFusion has no session, or a function's name is taken.
    pub(super) fn new(bytes: usize, script: &Script) -> Result<Queries, DataFusionError> {
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(bytes)))
            .with_disk_manager_builder(disk)
            .build_arc()?;
        let base = batch_context()?;
        base.register_udf(model::function(&script.models));
        register_functions(&base, script)?;
        let base = base.state();
        let config = base.config().clone().with_target_partitions(1);
        let base = SessionStateBuilder::new_from_existing(base)
            .with_runtime_env(runtime)
            .with_config(config)
            .build();
        let extra = HashMap::new();
        Ok(Queries { base, extra })
    }

    /// Lets queries read another schema.
    pub(super) fn add_schema(&mut self, name: &str, schema: Arc<dyn SchemaProvider>) {
        self.extra.insert(name.to_owned(), schema);
    }

    /// Lets the caller add functions.
    pub(super) fn base_mut(&mut self) -> &mut SessionState {
        &mut self.base
    }

    /// A statement's parsed form.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn parse(&self, sql: &str) -> Result<Statement, SessionError> {
        let dialect = self.base.config().options().sql_parser.dialect;
        let parsed = self.base.sql_to_statement(sql, &dialect);
        parsed.map_err(|error| SessionError::of_datafusion(&error, sql))
    }

    /// Plans a statement over what it names, with the session that can run it.
    ///
    /// # Errors
    /// If it names what is not there, or does not fit together.
    pub(super) async fn plan(
        &self,
        sql: &str,
        statement: Statement,
        view: View<'_>,
        target: Option<&Target>,
    ) -> Result<(LogicalPlan, SessionState), SessionError> {
        let of = |error| SessionError::of_datafusion(&error, sql);
        let named = self.base.resolve_table_references(&statement).map_err(of)?;
        let state = self
            .over(view, named, target)
            .map_err(|trouble| match trouble {
                Missing::Relation(name) => {
                    let error = missing(&name, view);
                    match place_of(&name, &statement, sql) {
                        Some(position) => error.at(position),
                        None => error,
                    }
                }
                Missing::Failed(error) => of(error),
            })?;
        let plan = state.statement_to_plan(statement).await.map_err(of)?;
        Ok((plan, state))
    }

    /// Runs a query; what it names is at the epoch at which it was planned.
    ///
    /// # Errors
    /// If it does more than to read, parameters are missing, or it fails.
    pub(super) async fn run(
        &self,
        sql: &str,
        plan: LogicalPlan,
        state: SessionState,
        parameters: &[ScalarValue],
    ) -> Result<datafusion::execution::SendableRecordBatchStream, SessionError> {
        let of = |error| SessionError::of_datafusion(&error, sql);
        let plan = bind(plan, parameters).map_err(of)?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)
            .map_err(|_| SessionError::new(Code::Unsupported, "only a query can be asked here"))?;
        let context = SessionContext::new_with_state(state);
        let frame = context.execute_logical_plan(plan).await.map_err(of)?;
        frame.execute_stream().await.map_err(of)
    }

    /// A session that knows some relations at one epoch.
    fn over(
        &self,
        view: View<'_>,
        named: Vec<TableReference>,
        target: Option<&Target>,
    ) -> Result<SessionState, Missing> {
        let own = Arc::new(MemorySchemaProvider::new());
        let system = Arc::new(MemorySchemaProvider::new());
        let catalogs = self.base.config().options().catalog.clone();
        let catalog = Arc::new(MemoryCatalogProvider::new());
        catalog.register_schema(&catalogs.default_schema, own.clone())?;
        catalog.register_schema(SYSTEM_SCHEMA, system.clone())?;
        for (name, schema) in &self.extra {
            catalog.register_schema(name, Arc::clone(schema))?;
        }
        let list = Arc::new(MemoryCatalogProviderList::new());
        datafusion::catalog::CatalogProviderList::register_catalog(
            list.as_ref(),
            catalogs.default_catalog,
            catalog,
        );
        let state = SessionStateBuilder::new_from_existing(self.base.clone())
            .with_catalog_list(list)
            .build();
        let plain = self.plain_views(&view.program.script, &named);
        for reference in named
            .iter()
            .chain(plain.iter().flat_map(|(_, reads)| reads))
        {
            if plain
                .iter()
                .any(|(of, _)| view.program.script.views[*of].name == reference.table())
            {
                continue;
            }
            if let Some((name, table)) = self.relation(view, reference, target)? {
                let schema = match name.strip_prefix(SYSTEM_SCHEMA) {
                    Some(rest) if rest.starts_with('.') => &system,
                    _ => &own,
                };
                if !schema.table_exist(reference.table()) {
                    schema.register_table(reference.table().to_owned(), table)?;
                }
            }
        }
        // A view comes after those that it reads.
        for (of, _) in &plain {
            let written = &view.program.script.views[*of];
            let plan = query_plan(&state, written)?;
            let table = Arc::new(ViewTable::new(plan, Some(written.sql.clone())));
            own.register_table(written.name.clone(), table)?;
        }
        Ok(state)
    }

    /// The views that are only names for queries, among those named and those that they read, in
    /// the order of the script; with what each reads.
    fn plain_views(
        &self,
        script: &Script,
        named: &[TableReference],
    ) -> Vec<(usize, Vec<TableReference>)> {
        let mut wanted: Vec<String> = named.iter().filter_map(own_name).collect();
        let mut found = Vec::new();
        // Readers come after what they read: from the last to the first, each is wanted or not.
        for (at, written) in script.views.iter().enumerate().rev() {
            if written.materialized || !wanted.contains(&written.name) {
                continue;
            }
            let query = Box::new(ast::Statement::Query(written.query.clone()));
            let reads = self
                .base
                .resolve_table_references(&Statement::Statement(query))
                .unwrap_or_default();
            wanted.extend(reads.iter().filter_map(own_name));
            found.push((at, reads));
        }
        found.reverse();
        found
    }

    /// A relation with its rows; `None` for what is found elsewhere.
    fn relation(
        &self,
        view: View<'_>,
        reference: &TableReference,
        target: Option<&Target>,
    ) -> Result<Option<Relation>, Missing> {
        let name = match reference.schema() {
            Some(schema) if self.extra.contains_key(schema) => return Ok(None),
            Some(schema) if schema != PUBLIC => format!("{schema}.{}", reference.table()),
            _ => reference.table().to_owned(),
        };
        let written = target.filter(|target| target.name == name && !target.rows_wanted);
        let written = written.and_then(|_| view.program.script.table(&name));
        if let Some((_, table)) = written {
            let schema = super::write::nullable(&table.schema());
            return Ok(Some((name, Arc::new(EmptyTable::new(schema)))));
        }
        let Some(found) = view.snapshot.view(&name) else {
            let elsewhere = self.base.table_functions().contains_key(&name)
                || self.extra.values().any(|schema| schema.table_exist(&name));
            return match elsewhere {
                true => Ok(None),
                false => Err(Missing::Relation(name)),
            };
        };
        let rows = nullable(&found.rows()).map_err(DataFusionError::from)?;
        let table = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
        Ok(Some((name, Arc::new(table))))
    }
}

/// A relation's name and rows.
type Relation = (String, Arc<dyn TableProvider>);

/// The name of what lies among tables and views.
fn own_name(reference: &TableReference) -> Option<String> {
    let is_own = reference.schema().is_none_or(|schema| schema == PUBLIC);
    is_own.then(|| reference.table().to_owned())
}

/// Why there is no session over some relations.
enum Missing {
    Relation(String),
    Failed(DataFusionError),
}

impl From<DataFusionError> for Missing {
    fn from(error: DataFusionError) -> Self {
        Missing::Failed(error)
    }
}

/// Puts values in the place of a plan's parameters.
pub(super) fn bind(
    plan: LogicalPlan,
    parameters: &[ScalarValue],
) -> Result<LogicalPlan, DataFusionError> {
    match parameters {
        [] => Ok(plan),
        values => plan.with_param_values(ParamValues::from(values.to_vec())),
    }
}

/// What a plan asks for and answers.
pub(super) fn describe(plan: &LogicalPlan, sql: &str) -> Result<Described, SessionError> {
    let types = plan.get_parameter_types();
    let types = types.map_err(|error| SessionError::of_datafusion(&error, sql))?;
    let numbers = types.keys().filter_map(|name| name.strip_prefix('$'));
    let most = numbers.filter_map(|n| n.parse::<usize>().ok()).max();
    let cast = cast_types(plan).map_err(|error| SessionError::of_datafusion(&error, sql))?;
    let parameter = |number: usize| {
        let name = format!("${number}");
        let known = types.get(&name).cloned().flatten();
        let known = known.or_else(|| cast.get(&name).cloned());
        known.unwrap_or(DataType::Utf8)
    };
    let parameters = (1..=most.unwrap_or(0)).map(parameter).collect();
    let schema = match plan {
        LogicalPlan::Dml(_) | LogicalPlan::Ddl(_) | LogicalPlan::Statement(_) => None,
        query => Some(Arc::new(query.schema().as_arrow().clone())),
    };
    Ok(Described { parameters, schema })
}

/// The types that parameters are cast to: a value is given as that, where nothing else tells.
fn cast_types(plan: &LogicalPlan) -> Result<HashMap<String, DataType>, DataFusionError> {
    let mut types = HashMap::new();
    plan.apply_with_subqueries(|part| {
        part.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Cast(cast) = expr
                    && let Expr::Placeholder(parameter) = cast.expr.as_ref()
                {
                    let data_type = cast.field.data_type().clone();
                    types.entry(parameter.id.clone()).or_insert(data_type);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(types)
}

/// Why a name cannot be read.
fn missing(name: &str, view: View<'_>) -> SessionError {
    match view.program.script.table(name) {
        Some(_) => SessionError::not_held(name),
        None => {
            let error = SessionError::no_relation(name);
            match crate::script::near(name, view.program.names().collect::<Vec<_>>()) {
                Some(near) => error.hint(format!("did you mean \"{near}\"?")),
                None => error,
            }
        }
    }
}

/// Where a statement first names a relation: the number of a character, from one.
fn place_of(name: &str, statement: &Statement, sql: &str) -> Option<usize> {
    let inner = match statement {
        Statement::Statement(inner) => inner.as_ref(),
        _ => return None,
    };
    let mut start = None;
    let _: ControlFlow<()> = ast::visit_relations(inner, |relation| {
        if folded(relation) != name {
            return ControlFlow::Continue(());
        }
        let first = relation.0.first().and_then(|part| part.as_ident());
        start = first.map(|first| first.span.start);
        ControlFlow::Break(())
    });
    let start = start?;
    character(sql, start.line, start.column)
}

/// Rows as the optimiser may take them: it trusts a column that is said to hold no null, and a
/// view's declared types come from planning, not from rows.
fn nullable(rows: &RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
    let schema = rows.schema();
    let fields = schema.fields().iter();
    let fields: Fields = fields.map(relaxed).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    RecordBatch::try_new(schema, rows.columns().to_vec())
}

fn relaxed(field: &FieldRef) -> FieldRef {
    let data_type: DataType = field.data_type().clone();
    Arc::new(Field::new(field.name(), data_type, true))
}
