//! `INSERT`, `UPDATE`, `DELETE`, `TRUNCATE`: what they change, row by row.
//!
//! A statement and a snapshot flow in; exact changes of one table flow out to the engine, all in one
//! epoch. One statement at a time changes a table, and each one that reads the table sees all that
//! was written to it before. A row of a table with a primary key is replaced by a later one with
//! its key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{DmlStatement, Expr, LogicalPlan, LogicalPlanBuilder, WriteOp};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use tokio::sync::{Mutex as TurnMutex, OwnedMutexGuard, watch};

use super::error::{Code, SessionError};
use super::outcome::Outcome;
use super::query::{Target, View};
use super::words::Words;
use super::{Session, Sessions};
use crate::engine::{Live, Program};
use crate::script::Table;

/// In which epoch a write is: 0 until a worker has taken it.
type InEpoch = watch::Receiver<u64>;

/// The last write of each table. Whoever holds one changes the table.
#[derive(Default)]
pub(super) struct Writers(Mutex<HashMap<String, Arc<TurnMutex<LastWrite>>>>);

/// The last write of a table, if there was one.
#[derive(Default)]
pub(super) struct LastWrite(Option<InEpoch>);

/// A table while it is being changed.
pub(super) struct Writer {
    live: Arc<Live>,
    table: Table,
    last: OwnedMutexGuard<LastWrite>,
}

impl Writers {
    fn of(&self, table: &str) -> Arc<TurnMutex<LastWrite>> {
        let mut writers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(writers.entry(table.to_owned()).or_default())
    }

    /// Waits until all that was written to any table is visible.
    ///
    /// # Errors
    /// If the engine stops.
    pub(super) async fn flush(&self, live: &Live) -> Result<(), SessionError> {
        let all: Vec<_> = {
            let writers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            writers.values().cloned().collect()
        };
        for writer in all {
            let last = writer.lock().await.0.clone();
            wait_visible(live, last).await?;
        }
        Ok(())
    }
}

/// Waits until a write is visible.
pub(super) async fn wait_visible(live: &Live, write: Option<InEpoch>) -> Result<(), SessionError> {
    let stops = |_| SessionError::new(Code::Stopping, "the engine stops");
    let Some(mut write) = write else {
        return Ok(());
    };
    let _soon = live.want_epochs();
    let epoch = *write.wait_for(|epoch| *epoch > 0).await.map_err(stops)?;
    let mut published = live.catalog().subscribe();
    let seen = published.wait_for(|published| *published >= epoch).await;
    seen.map(|_| ()).map_err(stops)
}

impl Writer {
    /// Waits until all that was written to the table before is visible.
    async fn settle(&self) -> Result<(), SessionError> {
        wait_visible(&self.live, self.last.0.clone()).await
    }

    /// Adds rows; they have all columns of the table.
    pub(super) fn insert(&mut self, rows: &RecordBatch) -> Result<Option<InEpoch>, SessionError> {
        check_nulls(&self.table, rows)?;
        self.write(rows, None)
    }

    /// Takes rows back.
    fn delete(&mut self, rows: &RecordBatch) -> Result<Option<InEpoch>, SessionError> {
        self.write(rows, Some(vec![-1; rows.num_rows()]))
    }

    /// Exchanges rows for others.
    fn update(
        &mut self,
        old: &RecordBatch,
        new: &RecordBatch,
    ) -> Result<Option<InEpoch>, SessionError> {
        check_nulls(&self.table, new)?;
        let both = concat_batches(&old.schema(), [old, new]).map_err(internal)?;
        let mut diffs = vec![-1; old.num_rows()];
        diffs.resize(both.num_rows(), 1);
        self.write(&both, Some(diffs))
    }

    fn write(
        &mut self,
        rows: &RecordBatch,
        diffs: Option<Vec<i64>>,
    ) -> Result<Option<InEpoch>, SessionError> {
        let (sender, receiver) = watch::channel(0);
        if rows.num_rows() == 0 {
            return Ok(self.last.0.clone());
        }
        let told = move |epoch| {
            sender.send_replace(epoch);
        };
        self.live
            .write(&self.table.name, rows, diffs, told)
            .map_err(|error| SessionError::new(Code::Stopping, error.to_string()))?;
        self.last.0 = Some(receiver);
        Ok(self.last.0.clone())
    }
}

impl Sessions {
    /// Waits for the turn to change a table.
    ///
    /// # Errors
    /// If there is no such table, or it is a view.
    pub(super) async fn writer(
        &self,
        program: &Program,
        name: &str,
    ) -> Result<Writer, SessionError> {
        let table = table(program, name)?.clone();
        let last = self.writers.of(name).lock_owned().await;
        let live = Arc::clone(&self.live);
        Ok(Writer { live, table, last })
    }
}

impl Session {
    /// Executes a statement that changes rows.
    pub(super) async fn write(
        &mut self,
        sql: &str,
        parameters: &[ScalarValue],
    ) -> Result<Outcome, SessionError> {
        let statement = self.shared.queries.parse(sql)?;
        let program = self.shared.live.program();
        let Target { name, rows_wanted } = target_of(&statement)?;
        let mut writer = self.shared.writer(&program, &name).await?;
        if rows_wanted {
            writer.settle().await?;
        }
        self.settle().await?;
        let snapshot = self.latest();
        let view = View {
            snapshot: &snapshot,
            program: &program,
        };
        let target = Target { name, rows_wanted };
        let queries = &self.shared.queries;
        let planned = queries.plan(sql, statement, view, Some(&target)).await?;
        let (plan, state) = planned;
        let LogicalPlan::Dml(DmlStatement { op, input, .. }) = plan else {
            return Err(unsupported("this statement"));
        };
        let schema = writer.table.schema();
        let width = schema.fields().len();
        let input = match op {
            WriteOp::Update => old_and_new(&input, width, sql)?,
            _ => Arc::unwrap_or_clone(input),
        };
        let stream = queries.run(sql, input, state, parameters).await?;
        let found = super::outcome::all(stream, sql).await?;
        let count = found.num_rows();
        let (write, tag) = match op {
            WriteOp::Insert(InsertOp::Append) => {
                let rows = of_table(&found, 0, &schema, sql)?;
                (writer.insert(&rows)?, format!("INSERT 0 {count}"))
            }
            WriteOp::Delete => {
                let rows = of_table(&found, 0, &schema, sql)?;
                (writer.delete(&rows)?, format!("DELETE {count}"))
            }
            WriteOp::Update => {
                let old = of_table(&found, 0, &schema, sql)?;
                let new = of_table(&found, width, &schema, sql)?;
                (writer.update(&old, &new)?, format!("UPDATE {count}"))
            }
            _ => return Err(unsupported("this way to write")),
        };
        self.written.extend(write);
        Ok(Outcome::Tag(tag))
    }

    /// `TRUNCATE [TABLE] name, ...`.
    pub(super) async fn truncate(
        &mut self,
        words: &mut Words<'_>,
    ) -> Result<Outcome, SessionError> {
        use datafusion::sql::sqlparser::tokenizer::Token;
        let _is_said = words.eat(&["TABLE"]);
        let mut names = vec![words.name()?];
        while words.eat_token(&Token::Comma) {
            names.push(words.name()?);
        }
        words.end()?;
        let program = self.shared.live.program();
        for name in &names {
            check_held(&program, table(&program, name)?)?;
        }
        for name in &names {
            let mut writer = self.shared.writer(&program, name).await?;
            writer.settle().await?;
            let rows = self.latest().rows(name);
            let rows = rows.ok_or_else(|| SessionError::no_relation(name))?;
            self.written.extend(writer.delete(&rows)?);
        }
        Ok(Outcome::Tag("TRUNCATE TABLE".to_owned()))
    }

    /// Waits until what this session has written is visible.
    pub(super) async fn settle(&mut self) -> Result<(), SessionError> {
        for write in std::mem::take(&mut self.written) {
            wait_visible(&self.shared.live, Some(write)).await?;
        }
        Ok(())
    }
}

/// The table that a statement changes, and whether it reads the table's rows.
pub(super) fn target_of(statement: &Statement) -> Result<Target, SessionError> {
    let Statement::Statement(inner) = statement else {
        return Err(unsupported("this statement"));
    };
    let (relation, rows_wanted) = match inner.as_ref() {
        ast::Statement::Insert(insert) => {
            let ast::TableObject::TableName(name) = &insert.table else {
                return Err(unsupported("INSERT into a function"));
            };
            if insert.on.is_some() {
                let hint = "leave ON CONFLICT out: a row with the same PRIMARY KEY is replaced";
                return Err(unsupported("ON CONFLICT").hint(hint));
            }
            (name, reads_rows(insert.source.as_deref(), name))
        }
        ast::Statement::Delete(delete) => {
            if delete.using.is_some() {
                return Err(
                    unsupported("DELETE with USING").hint("write WHERE ... IN (SELECT ...)")
                );
            }
            let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) =
                &delete.from;
            (relation_of(from.first())?, true)
        }
        ast::Statement::Update(update) => {
            if update.from.is_some() {
                let hint = "write SET column = (SELECT ... WHERE ...)";
                return Err(unsupported("UPDATE with FROM").hint(hint));
            }
            (relation_of(Some(&update.table))?, true)
        }
        _ => return Err(unsupported("this statement")),
    };
    Ok(Target {
        name: folded(relation),
        rows_wanted,
    })
}

fn relation_of(from: Option<&ast::TableWithJoins>) -> Result<&ast::ObjectName, SessionError> {
    match from {
        Some(ast::TableWithJoins {
            relation: ast::TableFactor::Table { name, .. },
            joins,
        }) if joins.is_empty() => Ok(name),
        _ => Err(unsupported("changing more than one table")),
    }
}

/// Whether the rows to be inserted are found by reading the table.
fn reads_rows(source: Option<&ast::Query>, table: &ast::ObjectName) -> bool {
    let Some(source) = source else { return false };
    let mut found = false;
    let _: std::ops::ControlFlow<()> = ast::visit_relations(source, |name| {
        found |= folded(name) == folded(table);
        std::ops::ControlFlow::Continue(())
    });
    found
}

/// A name as names are folded, without the schema that all tables are in.
pub(super) fn folded(name: &ast::ObjectName) -> String {
    let parts = name.0.iter().filter_map(|part| part.as_ident());
    let parts = parts.map(|part| match part.quote_style {
        Some(_) => part.value.clone(),
        None => part.value.to_ascii_lowercase(),
    });
    let mut parts: Vec<String> = parts.collect();
    if parts.len() > 1 && parts[0] == super::query::PUBLIC {
        parts.remove(0);
    }
    parts.join(".")
}

/// The table of a name.
fn table<'a>(program: &'a Program, name: &str) -> Result<&'a Table, SessionError> {
    match (program.script.table(name), program.entry(name)) {
        (Some((_, table)), _) => Ok(table),
        (None, Some(_)) => {
            let message = format!("\"{name}\" is a view: only tables can be changed");
            Err(SessionError::new(Code::WrongObject, message).naming(name))
        }
        (None, None) => Err(SessionError::no_relation(name)),
    }
}

/// Whether a table's rows can be found one by one.
fn check_held(program: &Program, table: &Table) -> Result<(), SessionError> {
    let entry = program.entry(&table.name);
    match entry.is_some_and(|entry| entry.is_kept()) {
        true => Ok(()),
        false => Err(SessionError::not_held(&table.name)),
    }
}

/// An UPDATE's rows as they are and as they will be, side by side.
fn old_and_new(
    planned: &LogicalPlan,
    width: usize,
    sql: &str,
) -> Result<LogicalPlan, SessionError> {
    let LogicalPlan::Projection(projection) = planned else {
        return Err(unsupported("this UPDATE"));
    };
    let input = &projection.input;
    let old = input.schema().columns().into_iter().take(width);
    let old = old.enumerate().map(|(at, column): (usize, Column)| {
        Expr::Column(column).alias(format!("tillrace.old.{at}"))
    });
    let new = projection.expr.iter().cloned();
    let both = LogicalPlanBuilder::from(input.as_ref().clone())
        .project(old.chain(new))
        .and_then(LogicalPlanBuilder::build);
    both.map_err(|error| SessionError::of_datafusion(&error, sql))
}

/// Some columns of what was found, as rows of a table. The value of a parameter may be of another
/// type than its column.
fn of_table(
    found: &RecordBatch,
    from: usize,
    schema: &SchemaRef,
    sql: &str,
) -> Result<RecordBatch, SessionError> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let columns = found.columns().iter().skip(from).zip(schema.fields());
    let columns = columns
        .map(|(column, field)| cast_with_options(column, field.data_type(), &options))
        .collect::<Result<_, _>>()
        .map_err(|error| SessionError::of_datafusion(&error.into(), sql))?;
    RecordBatch::try_new(nullable(schema), columns).map_err(internal)
}

/// A table's columns, without a word about nulls: which are looked for by [`check_nulls`].
pub(super) fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter();
    let fields = fields.map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Refuses rows without a value in a column that must have one.
fn check_nulls(table: &Table, rows: &RecordBatch) -> Result<(), SessionError> {
    for (position, (column, values)) in table.columns.iter().zip(rows.columns()).enumerate() {
        let must = !column.nullable || table.primary_key.contains(&position);
        if must && values.null_count() > 0 {
            let message = format!(
                "column \"{}\" of table \"{}\" must have a value",
                column.name, table.name
            );
            return Err(SessionError::new(Code::NotNull, message).naming(&table.name));
        }
    }
    Ok(())
}

fn unsupported(what: &str) -> SessionError {
    SessionError::new(Code::Unsupported, format!("{what} is not supported"))
}

fn internal(error: arrow::error::ArrowError) -> SessionError {
    SessionError::new(Code::Internal, error.to_string())
}
