//! Window functions computed from scratch, over rows in an order without ties.
//!
//! The batch engine leaves the order of rows open that ORDER BY leaves equal, and with it what
//! `lag`, `row_number` or a frame of ROWS make of them. The maintained answers order such rows by
//! all of their columns. So a query flows in, each of its windows is computed by itself over rows
//! sorted that way, and the query flows out with the answers in the windows' places.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{SortOptions, concat_batches};
use arrow::datatypes::{Field, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, TableReference, internal_datafusion_err};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::logical_plan::Window;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;

type Result<T> = std::result::Result<T, DataFusionError>;

/// The name of computed rows within a plan.
const ROWS: &str = "__rows";

/// Whether a query has window functions.
pub(super) fn has_window(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|part| {
        found |= matches!(part, LogicalPlan::Window(_));
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(found)
}

/// The query with the rows of its windows in their places. Its sub-queries must have become joins.
pub(super) async fn computed(state: &SessionState, mut plan: LogicalPlan) -> Result<LogicalPlan> {
    while let Some(window) = innermost(&plan)? {
        let rows = compute(state, &window).await?;
        let rows = as_relation(&window.schema, rows)?;
        let replaced = plan.transform_down_with_subqueries(|part| match &part {
            LogicalPlan::Window(other) if *other == window => Ok(Transformed::yes(rows.clone())),
            _ => Ok(Transformed::no(part)),
        });
        plan = replaced.data()?;
    }
    Ok(plan)
}

/// A window below which there is no other.
fn innermost(plan: &LogicalPlan) -> Result<Option<Window>> {
    let mut found = None;
    plan.apply_with_subqueries(|part| {
        if let LogicalPlan::Window(window) = part
            && !has_window(&window.input)?
        {
            found = Some(window.clone());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

async fn compute(state: &SessionState, window: &Window) -> Result<RecordBatch> {
    // A window without an order of its own takes the rows as they come.
    let columns = window.input.schema().columns().into_iter();
    let columns = columns.map(|column| Expr::Column(column).sort(true, true));
    let input = LogicalPlanBuilder::from(LogicalPlan::clone(&window.input))
        .sort(columns)?
        .build()?;
    let input = state.create_physical_plan(&input).await?;
    let rows = as_relation(window.input.schema(), run(state, input).await?)?;
    let plan = Window::try_new(window.window_expr.clone(), Arc::new(rows))?;
    let plan = state
        .create_physical_plan(&LogicalPlan::Window(plan))
        .await?;
    let ordered = plan.transform_up(|part| match part.downcast_ref::<SortExec>() {
        Some(sort) => Ok(Transformed::yes(by_all_columns(sort)?)),
        None => Ok(Transformed::no(part)),
    });
    run(state, ordered.data()?).await
}

/// The same sort, by all columns after its own.
fn by_all_columns(sort: &SortExec) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = sort.input().schema();
    let columns = schema.fields().iter().enumerate().map(|(at, field)| {
        let column = Arc::new(Column::new(field.name(), at));
        PhysicalSortExpr::new(column, SortOptions::default())
    });
    let order = sort.expr().iter().cloned().chain(columns);
    let order = LexOrdering::new(order)
        .ok_or_else(|| internal_datafusion_err!("a sort is by something"))?;
    Ok(Arc::new(SortExec::new(order, Arc::clone(sort.input()))))
}

async fn run(state: &SessionState, plan: Arc<dyn ExecutionPlan>) -> Result<RecordBatch> {
    let schema = plan.schema();
    let tasks = SessionContext::new_with_state(state.clone()).task_ctx();
    let batches = collect(plan, tasks).await?;
    // Names may be equal here; what columns are called is said by the plan above.
    let fields = schema.fields().iter().enumerate();
    let fields = fields.map(|(at, field)| Field::new(name(at), field.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let batches = batches
        .into_iter()
        .map(|batch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec()))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(concat_batches(&schema, &batches)?)
}

fn name(position: usize) -> String {
    format!("c{position}")
}

/// Rows as a relation with the columns of a schema.
fn as_relation(schema: &DFSchema, rows: RecordBatch) -> Result<LogicalPlan> {
    let table = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
    let source = provider_as_source(Arc::new(table));
    let columns = schema.iter().enumerate().map(|(at, (qualifier, field))| {
        let column = Expr::Column(datafusion::common::Column::new(Some(ROWS), name(at)));
        column.alias_qualified(qualifier.cloned(), field.name())
    });
    LogicalPlanBuilder::scan(TableReference::bare(ROWS), source, None)?
        .project(columns)?
        .build()
}
