//! `SHOW` and `DESCRIBE`: which tables and views there are.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::error::{Code, SessionError};
use super::words::Words;
use crate::catalog::Snapshot;
use crate::decode::sql_type;
use crate::engine::Program;
use crate::script::{View, near};

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A table.
    Table,
    /// A view that is only a name for its query.
    View,
    /// A view whose answer is kept.
    MaterializedView,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Table => "table",
            Kind::View => "view",
            Kind::MaterializedView => "materialized view",
        }
    }
}

/// A table or view, as clients are told of it.
#[derive(Debug, Clone)]
pub struct RelationInfo {
    /// The name; that of a view of the engine's own begins with `tillrace.`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The columns; for a plain view none, as they are known only when it is read.
    pub schema: SchemaRef,
    /// The positions of a table's primary key.
    pub primary_key: Vec<usize>,
    /// What it is about.
    pub comment: Option<String>,
    /// A view's query.
    pub sql: Option<String>,
    /// Whether queries can read it.
    pub is_read: bool,
}

/// All relations of a program.
pub(super) fn relations(program: &Program, snapshot: &Snapshot) -> Vec<RelationInfo> {
    let schema_of = |name: &str| {
        let schema = program.entry(name).and_then(|entry| entry.schema.clone());
        schema.unwrap_or_else(|| Arc::new(Schema::empty()))
    };
    let tables = program.script.tables.iter().map(|table| RelationInfo {
        name: table.name.clone(),
        kind: Kind::Table,
        schema: table.schema(),
        primary_key: table.primary_key.clone(),
        comment: table.comment.clone(),
        sql: None,
        is_read: program
            .entry(&table.name)
            .is_some_and(|entry| entry.is_kept()),
    });
    let view = |view: &View| RelationInfo {
        name: view.name.clone(),
        kind: match view.materialized {
            true => Kind::MaterializedView,
            false => Kind::View,
        },
        schema: schema_of(&view.name),
        primary_key: Vec::new(),
        comment: view.comment.clone(),
        sql: Some(view.sql.clone()),
        is_read: true,
    };
    let system = snapshot.views().map(|output| &output.view);
    let system = system.filter(|view| program.script.view(&view.name).is_none());
    let views = program.script.views.iter().chain(system);
    tables.chain(views.map(view)).collect()
}

/// What comes after `SHOW`.
pub(super) fn show(
    words: &mut Words<'_>,
    relations: &[RelationInfo],
) -> Result<RecordBatch, SessionError> {
    let wanted: &[Kind] = if words.eat(&["TABLES"]) {
        &[Kind::Table]
    } else if words.eat(&["VIEWS"]) {
        &[Kind::View, Kind::MaterializedView]
    } else if words.eat(&["MATERIALIZED", "VIEWS"]) {
        &[Kind::MaterializedView]
    } else if words.eat(&["CREATE"]) {
        let _is_said =
            words.eat(&["TABLE"]) || words.eat(&["MATERIALIZED", "VIEW"]) || words.eat(&["VIEW"]);
        let name = words.name()?;
        words.end()?;
        return created(find(&name, relations)?);
    } else if words.eat(&["COLUMNS"]) {
        if !words.eat(&["FROM"]) && !words.eat(&["IN"]) {
            return Err(words.expected("FROM"));
        }
        let name = words.name()?;
        words.end()?;
        return columns(&name, relations);
    } else {
        return Err(words.expected("TABLES, VIEWS, MATERIALIZED VIEWS or COLUMNS FROM a table"));
    };
    words.end()?;
    let shown = relations.iter().filter(|r| wanted.contains(&r.kind));
    let shown: Vec<&RelationInfo> = shown.collect();
    let text = |of: fn(&RelationInfo) -> Option<&str>| -> ArrayRef {
        Arc::new(StringArray::from_iter(shown.iter().map(|r| of(r))))
    };
    batch(vec![
        ("name", text(|r| Some(r.name.as_str()))),
        ("kind", text(|r| Some(r.kind.name()))),
        ("comment", text(|r| r.comment.as_deref())),
    ])
}

/// The columns of a relation.
pub(super) fn columns(name: &str, relations: &[RelationInfo]) -> Result<RecordBatch, SessionError> {
    let found = find(name, relations)?;
    let fields = found.schema.fields();
    let names = fields.iter().map(|field| Some(field.name().as_str()));
    let types = fields.iter().map(|field| Some(sql_type(field.data_type())));
    let nullable = fields.iter().map(|field| Some(field.is_nullable()));
    let key = (0..fields.len()).map(|at| Some(found.primary_key.contains(&at)));
    batch(vec![
        ("column", Arc::new(StringArray::from_iter(names))),
        ("type", Arc::new(StringArray::from_iter(types))),
        ("nullable", Arc::new(BooleanArray::from_iter(nullable))),
        ("key", Arc::new(BooleanArray::from_iter(key))),
    ])
}

fn find<'a>(name: &str, relations: &'a [RelationInfo]) -> Result<&'a RelationInfo, SessionError> {
    let found = relations.iter().find(|relation| relation.name == name);
    found.ok_or_else(|| {
        let error = SessionError::no_relation(name);
        let names = relations.iter().map(|relation| relation.name.as_str());
        match near(name, names.collect::<Vec<_>>()) {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None => error,
        }
    })
}

/// The statement that creates a relation; of a table's options none is shown.
fn created(relation: &RelationInfo) -> Result<RecordBatch, SessionError> {
    let quoted = |name: &str| {
        let is_plain = name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        match is_plain {
            true => name.to_owned(),
            false => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    };
    let name = quoted(&relation.name);
    let statement = match &relation.sql {
        Some(sql) => {
            let kind = relation.kind.name().to_uppercase();
            format!("CREATE {kind} {name} AS {sql}")
        }
        None => {
            let fields = relation.schema.fields().iter();
            let mut columns: Vec<String> = fields
                .map(|field| {
                    let null = if field.is_nullable() { "" } else { " NOT NULL" };
                    let data_type = sql_type(field.data_type());
                    format!("{} {data_type}{null}", quoted(field.name()))
                })
                .collect();
            let key = relation.primary_key.iter();
            let key: Vec<String> = key
                .map(|at| quoted(relation.schema.field(*at).name()))
                .collect();
            if !key.is_empty() {
                columns.push(format!("PRIMARY KEY ({})", key.join(", ")));
            }
            format!("CREATE TABLE {name} ({})", columns.join(", "))
        }
    };
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    batch(vec![
        ("name", text(&relation.name)),
        ("create", text(&statement)),
    ])
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, SessionError> {
    let field = |(name, array): &(&str, ArrayRef)| {
        let data_type: DataType = array.data_type().clone();
        Field::new(*name, data_type, true)
    };
    let fields: Vec<Field> = columns.iter().map(field).collect();
    let columns = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|error| SessionError::new(Code::Internal, error.to_string()))
}
