//! How SQL is read: one DataFusion session configuration for planning and for batch answers.
//!
//! A [`Script`] flows in; sessions flow out in which its tables and views have names. The planner's
//! session knows only schemas; the batch session is given rows by its caller and answers the same
//! SQL all at once, which is what a maintained answer must equal.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::common::{DataFusionError, TableReference, plan_datafusion_err, plan_err};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{MemTable, ViewTable};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::{SessionContext, SessionState};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use futures::executor::block_on;

use super::clock::{self, Known};
use super::lateral::{self, Spelling};
use super::purpose::{Purpose, table_reference};
use super::{functions, limit, rules};
use crate::model;
use crate::script::{Script, View};

/// The schema in which the system's own relations live.
pub(super) const SYSTEM: &str = "tillrace";

/// A batch session with the settings of the planner. The caller registers each table of the script
/// under its name, with [`define_views`] the views, and may then ask for any of them.
///
/// # Errors
/// If the schema `tillrace` of the system's relations cannot be made.
pub fn batch_context() -> Result<SessionContext, DataFusionError> {
    let state = SessionStateBuilder::new_with_default_features()
        .with_config(config())
        .with_analyzer_rules(rules::batch_analyzer())
        .with_optimizer_rules(rules::batch_optimizer())
        .build();
    let mut context = SessionContext::new_with_state(state);
    functions::register(&context)?;
    datafusion_functions_json::register_all(&mut context)?;
    let catalog = context
        .catalog("datafusion")
        .ok_or_else(|| plan_datafusion_err!("a session has no default catalog"))?;
    catalog.register_schema(SYSTEM, Arc::new(MemorySchemaProvider::new()))?;
    Ok(context)
}

/// Lets `now()` be a time in a session made by [`batch_context`], in nanoseconds since the Unix epoch,
/// and `tillrace.clock` hold it; null and no row without one.
///
/// # Errors
/// If the relation cannot be made.
pub fn set_clock(context: &SessionContext, now: Option<i64>) -> Result<(), DataFusionError> {
    clock::register(context, Known::Time(now));
    let name = TableReference::partial(SYSTEM, clock::CLOCK);
    let rows = vec![vec![clock::clock_at(now)]];
    let table = MemTable::try_new(clock::schema(), rows)?;
    context.register_table(name, Arc::new(table)).map(|_| ())
}

/// Registers the views of a script in a session that knows its tables, each by its query: also
/// materialized ones, so that an answer is computed from the tables alone.
///
/// # Errors
/// If a query cannot be planned, for instance since it reads a table that is not registered.
pub fn define_views(context: &SessionContext, script: &Script) -> Result<(), DataFusionError> {
    for view in &script.views {
        let plan = query_plan(&context.state(), view)?;
        let name = TableReference::bare(view.name.as_str());
        context.register_table(name, Arc::new(ViewTable::new(plan, Some(view.sql.clone()))))?;
    }
    Ok(())
}

/// A view's query as DataFusion reads it, with the view's own names for its columns.
///
/// # Errors
/// If the query cannot be planned, for instance since it reads what is not registered.
pub fn query_plan(state: &SessionState, view: &View) -> Result<LogicalPlan, DataFusionError> {
    let query = Box::new(ast::Statement::Query(view.query.clone()));
    let plan = block_on(state.statement_to_plan(Statement::Statement(query)))?;
    let plan = lateral::spell_out(plan, Spelling::Kept)?;
    rename(limit::pin_orders(plan)?, &view.column_names)
}

/// A query as a batch session can answer it: without what only a plan that is kept up to date needs.
///
/// # Errors
/// If a part cannot be written in another way.
pub fn for_batch(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    limit::pin_orders(lateral::spell_out(plan, Spelling::Batch)?)
}

/// Gives the first columns of a plan other names.
fn rename(plan: LogicalPlan, names: &[String]) -> Result<LogicalPlan, DataFusionError> {
    if names.is_empty() {
        return Ok(plan);
    }
    let columns = plan.schema().columns();
    if names.len() > columns.len() {
        return plan_err!(
            "the view names {} columns, its query has {}",
            names.len(),
            columns.len()
        );
    }
    let renamed = columns.into_iter().enumerate().map(|(position, column)| {
        let column = Expr::Column(column);
        match names.get(position) {
            Some(name) => column.alias(name),
            None => column,
        }
    });
    LogicalPlanBuilder::from(plan)
        .project(renamed.collect::<Vec<_>>())?
        .build()
}

/// The planner's session: every table by its schema alone.
pub(super) fn planning_context(
    script: &Script,
    purpose: &Purpose,
) -> Result<SessionContext, DataFusionError> {
    let mut config = config();
    config
        .options_mut()
        .optimizer
        .enable_physical_uncorrelated_scalar_subquery = false;
    let state = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_analyzer_rules(rules::analyzer())
        .with_optimizer_rules(rules::optimizer())
        .build();
    let mut context = SessionContext::new_with_state(state);
    functions::register(&context)?;
    datafusion_functions_json::register_all(&mut context)?;
    clock::register(&context, Known::Name);
    context.register_udf(model::function(&script.models));
    register_functions(&context, script)?;
    let catalog = context
        .catalog("datafusion")
        .ok_or_else(|| plan_datafusion_err!("a session has no default catalog"))?;
    let system = Arc::new(MemorySchemaProvider::new());
    let clock = (clock::CLOCK, clock::schema());
    let relations = match purpose.is_part {
        true => vec![clock],
        false => vec![
            ("rejects", rejects_schema()),
            ("blocks", blocks_schema()),
            clock,
        ],
    };
    for (name, schema) in relations {
        system.register_table(name.to_owned(), Arc::new(EmptyTable::new(schema)))?;
    }
    catalog.register_schema(SYSTEM, system)?;
    for table in &script.tables {
        declare(&context, table_reference(&table.name), table.schema())?;
    }
    Ok(context)
}

/// Makes the functions of a program known to a session.
///
/// # Errors
/// If a name is taken.
pub fn register_functions(
    context: &SessionContext,
    script: &Script,
) -> Result<(), DataFusionError> {
    let state = context.state();
    let is_taken = |name: &str| {
        state.scalar_functions().contains_key(name)
            || state.aggregate_functions().contains_key(name)
            || state.window_functions().contains_key(name)
    };
    let functions = &script.functions;
    let scalars = functions.scalars.iter().map(|function| function.name());
    let aggregates = functions.aggregates.iter().map(|function| function.name());
    let windows = functions.windows.iter().map(|function| function.name());
    if let Some(name) = scalars
        .chain(aggregates)
        .chain(windows)
        .find(|name| is_taken(name))
    {
        return plan_err!("there is a function {name}() already: give the program's another name");
    }
    for function in &functions.scalars {
        context.register_udf(function.as_ref().clone());
    }
    for function in &functions.aggregates {
        context.register_udaf(function.as_ref().clone());
    }
    for function in &functions.windows {
        context.register_udwf(function.as_ref().clone());
    }
    Ok(())
}

/// Makes a relation known by its schema alone.
pub(super) fn declare(
    context: &SessionContext,
    name: TableReference,
    schema: SchemaRef,
) -> Result<(), DataFusionError> {
    context
        .register_table(name, Arc::new(EmptyTable::new(schema)))
        .map(|_| ())
}

/// Makes a plain view known by its query, which takes the place of its name.
pub(super) fn inline(
    context: &SessionContext,
    view: &View,
    plan: LogicalPlan,
) -> Result<(), DataFusionError> {
    let name = TableReference::bare(view.name.as_str());
    context
        .register_table(name, Arc::new(ViewTable::new(plan, None)))
        .map(|_| ())
}

/// The rows of `tillrace.rejects`.
pub fn rejects_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("input", DataType::Utf8, true),
        Field::new("table", DataType::Utf8, true),
        Field::new("file", DataType::Utf8, true),
        Field::new("position", DataType::Int64, true),
        Field::new("reason", DataType::Utf8, true),
        Field::new("record", DataType::Utf8, true),
        Field::new(
            "time",
            DataType::Timestamp(TimeUnit::Nanosecond, None),
            true,
        ),
    ]))
}

/// The counts of one block, which `tillrace.inputs` adds up.
pub fn blocks_schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    Arc::new(Schema::new(vec![
        Field::new("input", DataType::Utf8, true),
        Field::new("table", DataType::Utf8, true),
        Field::new("rows", DataType::Int64, true),
        Field::new("bytes", DataType::Int64, true),
        Field::new("rejects", DataType::Int64, true),
        Field::new("newest_event_time", time, true),
    ]))
}

/// The settings on which the meaning of SQL depends.
fn config() -> SessionConfig {
    let mut config = SessionConfig::new();
    let options = config.options_mut();
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.enable_ident_normalization = true;
    options.sql_parser.collect_spans = true;
    // Without a zone, times are UTC and carry no zone in their type, as TIMESTAMP does.
    options.execution.time_zone = None;
    config
}
