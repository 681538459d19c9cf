//! What clients ask to learn which tables there are: `pg_catalog` and `information_schema`.
//!
//! `datafusion-pg-catalog` makes the system tables out of a DataFusion catalog; here that catalog is
//! made of the engine's tables and views as they are at the moment. It also rewrites the queries of
//! well-known clients into such as DataFusion can plan.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Int32Type};
use datafusion::catalog::information_schema::InformationSchemaProvider;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider, TableProvider,
};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{MemTable, ViewTable};
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::expr_fn::SimpleScalarUDF;
use datafusion::logical_expr::{
    ColumnarValue, LogicalPlanBuilder, ScalarFunctionImplementation, ScalarUDF, Signature,
    TypeSignature, Volatility,
};
use datafusion::prelude::SessionContext;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::setup_pg_catalog;
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use futures::future::BoxFuture;

use super::startup::SERVER_VERSION;
use super::tailor::{tailor, without_texts};
use crate::script::SYSTEM_SCHEMA;
use crate::session::{Kind, RelationInfo, Sessions};

/// The one database.
pub(super) const DATABASE: &str = "tillrace";

const PUBLIC: &str = "public";
const PG_CATALOG: &str = "pg_catalog";
const INFORMATION_SCHEMA: &str = "information_schema";

/// What tells a query that was written for PostgreSQL's own tables and functions.
const MARKS: [&str; 10] = [
    "pg_",
    "information_schema",
    "::reg",
    "current_schema",
    "current_database",
    "current_catalog",
    "current_user",
    "session_user",
    "version()",
    "array_upper",
];

/// The query as DataFusion can plan it, if it was written for PostgreSQL's own tables.
pub(super) fn rewritten(sql: &str) -> Option<String> {
    static PARSER: LazyLock<PostgresCompatibilityParser> =
        LazyLock::new(PostgresCompatibilityParser::new);
    let lower = sql.to_ascii_lowercase();
    if !MARKS.iter().any(|mark| lower.contains(mark)) {
        return None;
    }
    // What it cannot read is for the session to refuse.
    let mut statements = PARSER.parse(&without_texts(sql)).ok()?;
    match statements.as_mut_slice() {
        [statement] => {
            tailor(statement);
            Some(statement.to_string())
        }
        _ => None,
    }
}

/// What is told of a relation.
type Teller = fn(RelationInfo) -> Option<String>;

/// What the system tables tell of.
#[derive(Clone, Default)]
pub(in crate::serve) struct Relations {
    sessions: Arc<OnceLock<Weak<Sessions>>>,
    /// The relations' names by the numbers that `pg_class` gave them last.
    numbered: Arc<Mutex<HashMap<i32, String>>>,
}

impl Relations {
    /// From now on they are those that these sessions see.
    pub(in crate::serve) fn are_of(&self, sessions: &Arc<Sessions>) {
        // They are told once.
        let _ = self.sessions.set(Arc::downgrade(sessions));
    }

    fn all(&self) -> Vec<RelationInfo> {
        let sessions = self.sessions.get().and_then(Weak::upgrade);
        sessions.map_or_else(Vec::new, |sessions| sessions.relations())
    }

    fn numbered(&self) -> std::sync::MutexGuard<'_, HashMap<i32, String>> {
        self.numbered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be told of each of some relations, by their numbers.
    fn told(&self, numbers: &ArrayRef, tell: Teller) -> ArrayRef {
        let names = self.numbered();
        let all: HashMap<String, RelationInfo> = self
            .all()
            .into_iter()
            .map(|relation| (place(&relation.name).1.to_owned(), relation))
            .collect();
        let numbers = numbers.as_primitive_opt::<Int32Type>();
        let numbers = numbers.into_iter().flatten();
        let told = numbers.map(|number| {
            let relation = all.get(names.get(&number?)?)?;
            tell(relation.clone())
        });
        Arc::new(told.collect::<StringArray>())
    }
}

/// Lets sessions read the system tables, which tell of the relations that are returned.
///
/// # Errors
/// If DataFusion does not take them.
pub(in crate::serve) fn add_to(sessions: &mut Sessions) -> Result<Relations, DataFusionError> {
    let relations = Relations::default();
    let database = Arc::new(Database {
        relations: relations.clone(),
        added: Mutex::default(),
    });
    let list: Arc<dyn CatalogProviderList> = Arc::new(MemoryCatalogProviderList::new());
    list.register_catalog(DATABASE.to_owned(), Arc::clone(&database) as _);
    let base = sessions.base_mut();
    let state = SessionStateBuilder::new_from_existing(base.clone())
        .with_catalog_list(Arc::clone(&list))
        .build();
    let context = SessionContext::new_with_state(state);
    setup_pg_catalog(&context, DATABASE, EmptyContextProvider).map_err(|error| *error)?;
    register_functions(&context, &relations);
    *base = context.state();
    let system = database.schema(PG_CATALOG).ok_or_else(|| {
        DataFusionError::Internal("the schema pg_catalog was not registered".to_owned())
    })?;
    let system = Arc::new(SystemTables {
        inner: system,
        relations: relations.clone(),
    });
    sessions.add_schema(PG_CATALOG, Arc::clone(&system) as _);
    let information = Arc::new(InformationSchemaProvider::new(list));
    sessions.add_schema(INFORMATION_SCHEMA, information);
    Ok(relations)
}

/// The engine's tables and views as a catalog.
struct Database {
    relations: Relations,
    added: Mutex<HashMap<String, Arc<dyn SchemaProvider>>>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Database {
    fn added(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<dyn SchemaProvider>>> {
        self.added.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CatalogProvider for Database {
    fn schema_names(&self) -> Vec<String> {
        let own = [PUBLIC, SYSTEM_SCHEMA].map(str::to_owned);
        own.into_iter()
            .chain(self.added().keys().cloned())
            .collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if name != PUBLIC && name != SYSTEM_SCHEMA {
            return self.added().get(name).map(Arc::clone);
        }
        let schema = MemorySchemaProvider::new();
        for relation in self.relations.all() {
            let (of, table) = place(&relation.name);
            if of == name {
                // Names of relations are different.
                let _ = schema.register_table(table.to_owned(), shown(&relation));
            }
        }
        Some(Arc::new(schema))
    }

    fn register_schema(
        &self,
        name: &str,
        schema: Arc<dyn SchemaProvider>,
    ) -> Result<Option<Arc<dyn SchemaProvider>>, DataFusionError> {
        Ok(self.added().insert(name.to_owned(), schema))
    }
}

/// A relation's schema and its name in it.
fn place(name: &str) -> (&str, &str) {
    match name.split_once('.') {
        Some((schema, table)) if schema == SYSTEM_SCHEMA => (schema, table),
        _ => (PUBLIC, name),
    }
}

/// A relation as the system tables tell of it: its columns, and whether it is a view.
fn shown(relation: &RelationInfo) -> Arc<dyn TableProvider> {
    let table = Arc::new(EmptyTable::new(Arc::clone(&relation.schema)));
    if relation.kind == Kind::Table {
        return table;
    }
    let source = datafusion::datasource::provider_as_source(Arc::clone(&table) as _);
    let plan = LogicalPlanBuilder::scan("t", source, None).and_then(LogicalPlanBuilder::build);
    match plan {
        Ok(plan) => Arc::new(ViewTable::new(plan, relation.sql.clone())),
        Err(_) => table,
    }
}

/// The system tables; those that the library leaves wrong or empty are put right.
struct SystemTables {
    inner: Arc<dyn SchemaProvider>,
    relations: Relations,
}

impl fmt::Debug for SystemTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemTables").finish_non_exhaustive()
    }
}

type Found = Result<Option<Arc<dyn TableProvider>>, DataFusionError>;

impl SchemaProvider for SystemTables {
    fn table_names(&self) -> Vec<String> {
        self.inner.table_names()
    }

    fn table<'life0, 'life1, 'async_trait>(
        &'life0 self,
        name: &'life1 str,
    ) -> BoxFuture<'async_trait, Found>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let Some(table) = self.inner.table(name).await? else {
                return Ok(None);
            };
            match name {
                "pg_class" => self.with_kinds(table).await.map(Some),
                _ => Ok(Some(table)),
            }
        })
    }

    fn table_exist(&self, name: &str) -> bool {
        self.inner.table_exist(name)
    }
}

impl SystemTables {
    /// `pg_class` with `m` as the kind of materialized views, which DataFusion has no word for.
    async fn with_kinds(
        &self,
        table: Arc<dyn TableProvider>,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        let schema = table.schema();
        let batches = SessionContext::new().read_table(table)?.collect().await?;
        let rows = concat_batches(&schema, &batches)?;
        let relations = self.relations.all();
        let kept = relations
            .iter()
            .filter(|relation| relation.kind == Kind::MaterializedView);
        let kept: Vec<&str> = kept.map(|relation| place(&relation.name).1).collect();
        let (name, kind) = (schema.index_of("relname")?, schema.index_of("relkind")?);
        let names = rows.column(name).as_string::<i32>();
        let numbers = rows.column(schema.index_of("oid")?);
        if let Some(numbers) = numbers.as_primitive_opt::<Int32Type>() {
            let numbered = numbers.iter().zip(names);
            let numbered = numbered.filter_map(|(number, name)| Some((number?, name?.to_owned())));
            *self.relations.numbered() = numbered.collect();
        }
        let kinds = rows.column(kind).as_string::<i32>().iter().zip(names);
        let kinds = kinds.map(|(kind, name)| match (kind, name) {
            (Some("v"), Some(name)) if kept.contains(&name) => Some("m"),
            (kind, _) => kind,
        });
        let mut columns = rows.columns().to_vec();
        columns[kind] = Arc::new(StringArray::from_iter(kinds));
        let rows = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![rows]])?))
    }
}

/// Functions that clients of PostgreSQL call and the library does not have.
fn register_functions(context: &SessionContext, relations: &Relations) {
    let version = format!(
        "PostgreSQL {SERVER_VERSION} (Tillrace {})",
        env!("CARGO_PKG_VERSION")
    );
    let text = |value: &str| ScalarValue::Utf8(Some(value.to_owned()));
    let no_text = ScalarValue::Utf8(None);
    for (name, value) in [
        ("version", text(&version)),
        ("col_description", no_text.clone()),
        ("shobj_description", no_text.clone()),
        ("pg_get_indexdef", no_text.clone()),
        ("pg_get_function_result", no_text.clone()),
        ("pg_get_function_arguments", no_text.clone()),
        ("pg_get_serial_sequence", no_text),
        ("to_regtype", ScalarValue::Int32(None)),
        ("to_regclass", ScalarValue::Int32(None)),
        ("pg_table_size", ScalarValue::Int64(Some(0))),
        ("pg_indexes_size", ScalarValue::Int64(Some(0))),
        ("pg_size_pretty", text("0 bytes")),
        // None of PostgreSQL's own are here.
        ("pg_function_is_visible", ScalarValue::Boolean(Some(false))),
        ("pg_type_is_visible", ScalarValue::Boolean(Some(true))),
        ("pg_is_in_recovery", ScalarValue::Boolean(Some(false))),
    ] {
        let returned = value.data_type();
        let answer = move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(value.clone()));
        register(context, name, returned, Arc::new(answer));
    }
    let tellers: [(&str, Teller); 2] = [
        ("pg_get_viewdef", |relation| relation.sql),
        ("obj_description", |relation| relation.comment),
    ];
    for (name, tell) in tellers {
        let relations = relations.clone();
        let answer = move |arguments: &[ColumnarValue]| {
            let Some(numbers) = arguments.first() else {
                return Ok(ColumnarValue::Scalar(ScalarValue::Utf8(None)));
            };
            let rows = match numbers {
                ColumnarValue::Array(numbers) => numbers.len(),
                ColumnarValue::Scalar(_) => 1,
            };
            let numbers = numbers.to_array(rows)?;
            Ok(ColumnarValue::Array(relations.told(&numbers, tell)))
        };
        register(context, name, DataType::Utf8, Arc::new(answer));
    }
}

/// Makes a function of any arguments known.
fn register(
    context: &SessionContext,
    name: &str,
    returned: DataType,
    function: ScalarFunctionImplementation,
) {
    let any = TypeSignature::OneOf(vec![TypeSignature::Nullary, TypeSignature::VariadicAny]);
    let signature = Signature::new(any, Volatility::Stable);
    let function = SimpleScalarUDF::new_with_signature(name, signature, returned, function);
    context.register_udf(ScalarUDF::from(function));
}
