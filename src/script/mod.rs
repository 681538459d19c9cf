//! What is computed: SQL text checked into tables and views.
//!
//! SQL files flow in; a [`Script`] flows out, in which every statement is known to be one that the
//! engine can run, names are resolved to their definitions, and tables and views stand in an order
//! in which each one follows what it reads. A script that has any fault yields all of its faults,
//! each with its place, and no `Script`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

mod fault;

pub use fault::{Fault, Faults, Sources};

/// A checked program: its tables, and its views in an order in which each follows what it reads.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// The tables, in the order in which they were written.
    pub tables: Vec<Table>,
    /// The views, each after every view that it reads.
    pub views: Vec<View>,
    /// The texts that it was read from, for messages.
    pub sources: Arc<Sources>,
}

/// Where in a script something was said. Lines and columns count from one, in characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The file as the user named it; `<text>` for a script that did not come from a file.
    pub file: PathBuf,
    /// The line of the first character.
    pub line: u64,
    /// The column of the first character.
    pub column: u64,
}

/// A table: the shape of the events of one kind, and how rows with equal identity are treated.
#[derive(Debug, Clone)]
pub struct Table {
    /// The name, as scripts and `--input` spell it.
    pub name: String,
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// Positions of the primary key's columns; empty for an append-only table. The later row for a
    /// key replaces the earlier.
    pub primary_key: Vec<usize>,
    /// How rows are timed and repeated rows recognised.
    pub options: TableOptions,
    /// The text of `COMMENT ON TABLE`.
    pub comment: Option<String>,
    /// Where the table was created.
    pub origin: Origin,
}

/// One column of a table.
#[derive(Debug, Clone)]
pub struct Column {
    /// The name that SQL uses.
    pub name: String,
    /// The Arrow type of its values.
    pub data_type: DataType,
    /// Whether a row may lack it.
    pub nullable: bool,
    /// Where a record holds it: alternatives, the first that is present and not null wins. Each is
    /// a path of field names from the top of the record; a CSV column or Parquet column is a path
    /// of one. By default the one path that is the column's name.
    pub paths: Vec<Vec<String>>,
    /// The text of `COMMENT ON COLUMN`.
    pub comment: Option<String>,
}

/// The `WITH (...)` options of a table.
#[derive(Debug, Clone, Default)]
pub struct TableOptions {
    /// The column that holds when the event happened, of type TIMESTAMP or DATE. A record without
    /// it takes the time at which it was read.
    pub event_time: Option<usize>,
    /// Recognises repeated events.
    pub dedup: Option<Dedup>,
    /// A BOOLEAN column that is true on a record which deletes the row of its primary key.
    pub deleted: Option<usize>,
    /// The unit of a number found where a TIMESTAMP is expected.
    pub time_unit: TimeUnit,
}

/// Keeps the first record for an id and drops the later ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dedup {
    /// Positions of the columns that identify an event.
    pub columns: Vec<usize>,
    /// How far behind the newest event time an id is still remembered, in milliseconds; without
    /// it, for ever.
    pub horizon_ms: Option<u64>,
}

/// The unit in which a number states a time since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeUnit {
    /// Seconds, with a fraction.
    Seconds,
    /// Milliseconds.
    #[default]
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

/// A named query.
#[derive(Debug, Clone)]
pub struct View {
    /// The name.
    pub name: String,
    /// Whether its answer is kept; a plain view is only a name for its query.
    pub materialized: bool,
    /// The query's text, as written.
    pub sql: String,
    /// The parsed query.
    pub query: Box<datafusion::sql::sqlparser::ast::Query>,
    /// Names that replace those of the query's columns; empty if not given.
    pub column_names: Vec<String>,
    /// The `WITH (...)` options, checked to be known ones: `chart`, `x`, `y`, ...
    pub options: BTreeMap<String, String>,
    /// The text of `COMMENT ON VIEW`.
    pub comment: Option<String>,
    /// The texts of `COMMENT ON COLUMN`, by column.
    pub column_comments: BTreeMap<String, String>,
    /// Where the view was created.
    pub origin: Origin,
    /// Where the query begins; positions within the query are relative to the file all the same.
    pub query_origin: Origin,
}

impl Table {
    /// The Arrow schema of all its columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(
            self.columns.iter().map(Column::field).collect::<Vec<_>>(),
        ))
    }

    /// Whether rows are only ever added.
    pub fn is_append_only(&self) -> bool {
        self.primary_key.is_empty()
    }
}

impl Column {
    /// The Arrow field.
    pub fn field(&self) -> Field {
        Field::new(&self.name, self.data_type.clone(), self.nullable)
    }
}
