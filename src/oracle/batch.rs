//! The answers as DataFusion computes them from scratch.
//!
//! What every table holds flows in; the rows of every view flow out. Views are computed in the
//! order in which they read each other, each from the rows of the ones before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::optimizer::OptimizerRule;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;

use super::needed::ByDefinition;
use super::window;
use crate::model;
use crate::script::{Script, View};

/// The rules of the batch engine's optimiser without which some queries cannot run at all, or only
/// as a loop over all pairs of rows.
const NEEDED_RULES: [&str; 9] = [
    "rewrite_set_comparison",
    "replace_distinct_aggregate",
    "decorrelate_predicate_subquery",
    "scalar_subquery_to_join",
    "decorrelate_lateral_join",
    "join_correlated",
    "join_correlated_beyond",
    "extract_equijoin_predicate",
    "eliminate_limit",
];

/// The batch answer for a view, or why there is none.
pub type Answer = Result<RecordBatch, String>;

/// Computes every view of a script from what its tables hold (in the order of the script's tables,
/// with all columns), by view.
///
/// # Errors
/// If the tables cannot be registered. A view whose query fails has an [`Answer`] that says so, and
/// so has every view that reads it.
pub fn answers(
    script: &Script,
    tables: &[RecordBatch],
) -> Result<BTreeMap<String, Answer>, DataFusionError> {
    answers_at(script, tables, None)
}

/// The same where `now()` is a time in nanoseconds since the Unix epoch; null without one.
///
/// # Errors
/// As [`answers`].
pub fn answers_at(
    script: &Script,
    tables: &[RecordBatch],
    now: Option<i64>,
) -> Result<BTreeMap<String, Answer>, DataFusionError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(compute(script, tables, now))
}

/// A batch session that rewrites queries no more than it must. The planner rewrites them with the
/// same optimiser, so a mistake of its would be made on both sides.
fn context(script: &Script) -> Result<SessionContext, DataFusionError> {
    let base = crate::plan::batch_context()?;
    base.register_udf(model::function(&script.models));
    crate::plan::register_functions(&base, script)?;
    let rules = base.state().optimizers().to_vec().into_iter();
    let rules = rules
        .filter(|rule| NEEDED_RULES.contains(&rule.name()))
        .chain([Arc::new(ByDefinition) as _])
        .collect();
    let state = SessionStateBuilder::new_from_existing(base.state())
        .with_optimizer_rules(rules)
        .build();
    Ok(SessionContext::new_with_state(state))
}

/// The same session with a rule more: rows that a window's ORDER BY leaves equal are ordered by the
/// columns that the query uses, so the others have to go first. All rows are in one partition, so
/// that the order in which they are sorted stays.
fn narrowing(state: SessionState) -> SessionState {
    let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = state.optimizers().to_vec();
    rules.push(Arc::new(OptimizeProjections::new()));
    let config = state.config().clone().with_target_partitions(1);
    SessionStateBuilder::new_from_existing(state)
        .with_optimizer_rules(rules)
        .with_config(config)
        .build()
}

async fn compute(
    script: &Script,
    tables: &[RecordBatch],
    now: Option<i64>,
) -> Result<BTreeMap<String, Answer>, DataFusionError> {
    let context = context(script)?;
    crate::plan::set_clock(&context, now)?;
    for (table, rows) in script.tables.iter().zip(tables) {
        register(&context, &table.name, table.schema(), rows.clone())?;
    }
    let mut answers = BTreeMap::new();
    for view in &script.views {
        let answer = match query(&context, view).await {
            Ok(rows) => {
                register(&context, &view.name, rows.schema(), rows.clone())?;
                Ok(rows)
            }
            Err(error) => Err(error.strip_backtrace()),
        };
        answers.insert(view.name.clone(), answer);
    }
    Ok(answers)
}

fn register(
    context: &SessionContext,
    name: &str,
    schema: SchemaRef,
    rows: RecordBatch,
) -> Result<(), DataFusionError> {
    let table = MemTable::try_new(schema, vec![vec![rows]])?;
    context.register_table(TableReference::bare(name), Arc::new(table))?;
    Ok(())
}

async fn query(context: &SessionContext, view: &View) -> Result<RecordBatch, DataFusionError> {
    let statement = Statement::Statement(Box::new(ast::Statement::Query(view.query.clone())));
    let plan = context.state().statement_to_plan(statement).await?;
    let mut plan = crate::plan::for_batch(plan)?;
    if window::has_window(&plan)? {
        let state = narrowing(context.state());
        plan = window::computed(&state, state.optimize(&plan)?).await?;
    }
    let frame = context.execute_logical_plan(plan).await?;
    let tasks = Arc::new(frame.task_ctx());
    // Only the physical plan tells the types: types are made to agree after the query is planned.
    let plan = frame.create_physical_plan().await?;
    let schema = named(&plan.schema(), &view.column_names);
    let renamed = collect(plan, tasks)
        .await?
        .into_iter()
        .map(|batch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec()))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&schema, &renamed)?)
}

/// The schema with the view's own column names; any column may hold nulls, whatever the query's
/// type says, because what it says is not always so.
fn named(schema: &Schema, names: &[String]) -> SchemaRef {
    let name = |index: usize, field: &Field| names.get(index).unwrap_or(field.name()).clone();
    let fields = schema.fields().iter().enumerate();
    let fields = fields
        .map(|(index, field)| Field::new(name(index, field), field.data_type().clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
