//! `SHOW` and `DESCRIBE`: which tables and views there are.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::error::{Code, SessionError};
use super::words::Words;
use crate::catalog::Snapshot;
use crate::decode::sql_type;
use crate::script::{Script, near};

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

/// All relations of a script.
pub(super) fn relations(script: &Script, snapshot: &Snapshot) -> Vec<RelationInfo> {
    let tables = script.tables.iter().map(|table| RelationInfo {
        name: table.name.clone(),
        kind: Kind::Table,
        schema: table.schema(),
        primary_key: table.primary_key.clone(),
        comment: table.comment.clone(),
        sql: None,
        is_read: snapshot.view(&table.name).is_some(),
    });
    let plain = script.views.iter().filter(|view| !view.materialized);
    let plain = plain.map(|view| RelationInfo {
        name: view.name.clone(),
        kind: Kind::View,
        schema: Arc::new(Schema::empty()),
        primary_key: Vec::new(),
        comment: view.comment.clone(),
        sql: Some(view.sql.clone()),
        is_read: true,
    });
    let kept = snapshot.views().map(|output| RelationInfo {
        name: output.view.name.clone(),
        kind: Kind::MaterializedView,
        schema: Arc::clone(&output.schema),
        primary_key: Vec::new(),
        comment: output.view.comment.clone(),
        sql: Some(output.view.sql.clone()),
        is_read: true,
    });
    tables.chain(plain).chain(kept).collect()
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
    let Some(found) = relations.iter().find(|r| r.name == name) else {
        let error = SessionError::no_relation(name);
        let names = relations.iter().map(|r| r.name.as_str());
        return Err(match near(name, names.collect::<Vec<_>>()) {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None => error,
        });
    };
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
