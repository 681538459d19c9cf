//! DataFusion over one snapshot: ad hoc queries that read views and nothing else.
//!
//! SQL text and a [`Snapshot`] flow in, one batch flows out. A session knows only the views that
//! the query names; it has no way to files or the network, and one pool bounds the memory of all
//! queries together. A query that needs more fails; it never spills to disk.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider,
};
use datafusion::common::{DataFusionError, TableReference};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::{SQLOptions, SessionContext, SessionState};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;
use tokio::sync::Semaphore;

use super::config::Limits;
use super::question::MOST_ROWS;
use crate::catalog::Snapshot;
use crate::plan::batch_context;
use crate::script::SYSTEM_SCHEMA;

/// What all ad hoc queries share.
pub(super) struct Sessions {
    base: SessionState,
    /// Held by queries that run.
    pub(super) turns: Semaphore,
}

/// Why a query has no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// It does more than to read.
    NoQuery,
    /// It names what is no view.
    UnknownView(String),
    /// Its answer is longer than answers are.
    TooManyRows,
    /// DataFusion says why.
    Failed(DataFusionError),
}

impl From<DataFusionError> for Unanswered {
    fn from(error: DataFusionError) -> Self {
        Unanswered::Failed(error)
    }
}

impl Sessions {
    /// Prepares what all queries share.
    ///
    /// # Errors
    /// If DataFusion has no session.
    pub(super) fn new(limits: &Limits) -> Result<Sessions, DataFusionError> {
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let pool = GreedyMemoryPool::new(limits.query_bytes);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_disk_manager_builder(disk)
            .build_arc()?;
        let base = batch_context()?.state();
        let config = base.config().clone().with_target_partitions(1);
        let base = SessionStateBuilder::new_from_existing(base)
            .with_runtime_env(runtime)
            .with_config(config)
            .build();
        let turns = Semaphore::new(limits.queries.max(1));
        Ok(Sessions { base, turns })
    }

    /// The answer of a query over one snapshot.
    ///
    /// # Errors
    /// If it is no query, names what is no view, or fails.
    pub(super) async fn answer(
        &self,
        sql: &str,
        snapshot: &Snapshot,
    ) -> Result<RecordBatch, Unanswered> {
        let dialect = self.base.config().options().sql_parser.dialect;
        let statement = self.base.sql_to_statement(sql, &dialect)?;
        match &statement {
            Statement::Statement(inner) if matches!(**inner, ast::Statement::Query(_)) => {}
            _ => return Err(Unanswered::NoQuery),
        }
        let state = self.over(snapshot, &self.base.resolve_table_references(&statement)?)?;
        let plan = state.statement_to_plan(statement).await?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)
            .map_err(|_| Unanswered::NoQuery)?;
        let context = SessionContext::new_with_state(state);
        let frame = context.execute_logical_plan(plan).await?;
        let mut stream = frame.execute_stream().await?;
        let schema = stream.schema();
        let mut batches = Vec::new();
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            rows += batch.num_rows();
            if rows > MOST_ROWS {
                return Err(Unanswered::TooManyRows);
            }
            batches.push(batch);
        }
        let whole = concat_batches(&schema, &batches).map_err(DataFusionError::from)?;
        Ok(whole)
    }

    /// A session that knows some views at one epoch.
    fn over(
        &self,
        snapshot: &Snapshot,
        named: &[TableReference],
    ) -> Result<SessionState, Unanswered> {
        let own = Arc::new(MemorySchemaProvider::new());
        let system = Arc::new(MemorySchemaProvider::new());
        for reference in named {
            let name = match reference.schema() {
                Some(schema) if schema == SYSTEM_SCHEMA => {
                    format!("{schema}.{}", reference.table())
                }
                _ => reference.table().to_owned(),
            };
            let Some(view) = snapshot.view(&name) else {
                if self.base.table_functions().contains_key(&name) {
                    continue;
                }
                return Err(Unanswered::UnknownView(name));
            };
            let rows = nullable(&view.rows()).map_err(DataFusionError::from)?;
            let table = Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?);
            let schema = match reference.schema() {
                Some(SYSTEM_SCHEMA) => &system,
                _ => &own,
            };
            if !schema.table_exist(reference.table()) {
                schema.register_table(reference.table().to_owned(), table)?;
            }
        }
        let catalogs = self.base.config().options().catalog.clone();
        let catalog = Arc::new(MemoryCatalogProvider::new());
        catalog.register_schema(&catalogs.default_schema, own)?;
        catalog.register_schema(SYSTEM_SCHEMA, system)?;
        let list = Arc::new(MemoryCatalogProviderList::new());
        datafusion::catalog::CatalogProviderList::register_catalog(
            list.as_ref(),
            catalogs.default_catalog,
            catalog,
        );
        Ok(SessionStateBuilder::new_from_existing(self.base.clone())
            .with_catalog_list(list)
            .build())
    }
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
