//! What is computed: SQL text checked into tables and views.
//!
//! SQL files flow in; a [`Script`] flows out, in which every statement is known to be one that the
//! engine can run, names are resolved to their definitions, and tables and views stand in an order
//! in which each one follows what it reads. A script that has any fault yields all of its faults,
//! each with its place, and no `Script`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::tokenizer::{Location, Span};

mod fault;
mod functions;
mod literal;
mod load;
mod options;
mod order;
mod program;
mod query;
mod reader;
mod statement;
mod table;
mod table_options;
mod text;
mod types;

pub use fault::{Fault, Faults, Sources, near};
pub use functions::Functions;
pub use load::{LoadError, load};

use crate::model::Model;
use program::Program;
use reader::Reader;
use text::{SourceFile, Text};

/// The schema of the views that the engine keeps about itself.
pub const SYSTEM_SCHEMA: &str = "tillrace";

/// The views in [`SYSTEM_SCHEMA`].
pub const SYSTEM_VIEWS: [&str; 3] = ["rejects", "inputs", "clock"];

/// A checked program: its tables, and its views in an order in which each follows what it reads.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// The tables, in the order in which they were written.
    pub tables: Vec<Table>,
    /// The views, each after every view that it reads.
    pub views: Vec<View>,
    /// The models that `score` asks.
    pub models: Vec<Arc<Model>>,
    /// The functions of the program that runs it; none until the program puts them in.
    pub functions: Functions,
    /// The texts that it was read from, for messages.
    pub sources: Arc<Sources>,
}

/// Where in a script something was said. Lines and columns count from one, in characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
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
    /// Whether its rows are held, so that they can be read and changed one by one; as is best for
    /// the table if not said.
    pub held: Option<bool>,
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

/// Makes one program of the texts of some files: statements may refer to each other across files
/// and in any order.
///
/// # Errors
/// If anything is wrong with it; all faults are found, not only the first.
pub fn parse(sources: Sources) -> Result<Script, Faults> {
    parse_with(sources, BTreeSet::new())
}

fn parse_with(sources: Sources, known: BTreeSet<String>) -> Result<Script, Faults> {
    let sources = Arc::new(sources);
    let files = sources
        .iter()
        .map(|(path, text)| SourceFile::new(path, text))
        .collect::<Vec<_>>();
    let mut program = Program::knowing(known);
    for file in &files {
        read_file(file, &mut program);
    }
    let models = std::mem::take(&mut program.models);
    let (tables, views, faults) = program.finish();
    if faults.is_empty() {
        Ok(Script {
            tables,
            views,
            models,
            functions: Functions::default(),
            sources: Arc::clone(&sources),
        })
    } else {
        Err(Faults::new(faults, Arc::clone(&sources)))
    }
}

/// Makes tables and views of a text that may refer to others that there are already, by name.
///
/// # Errors
/// If anything is wrong with it, a name is taken among them.
pub fn parse_addition(sources: Sources, known: BTreeSet<String>) -> Result<Script, Faults> {
    parse_with(sources, known)
}

/// Adds a file's statements and faults to the program.
fn read_file<'a>(file: &'a SourceFile<'a>, program: &mut Program<'a>) {
    let (pieces, stopped) = file.pieces();
    for piece in &pieces {
        let mut reader = Reader::new(file, piece);
        let statement = statement::read(&mut reader);
        if !piece.closed && reader.faults.is_empty() {
            let help = "write `;` after it".to_string();
            reader.fault(
                reader.last_span(),
                "`;` is missing after this statement",
                Some(help),
            );
        }
        program.faults.append(&mut reader.faults);
        if let Some(statement) = statement {
            program.add(file, statement);
        }
    }
    if let Some(fault) = stopped {
        program.set_incomplete();
        program.faults.push(fault);
    }
}

impl Script {
    /// The table of that name, and its position in [`Script::tables`].
    pub fn table(&self, name: &str) -> Option<(usize, &Table)> {
        self.tables
            .iter()
            .enumerate()
            .find(|(_, table)| table.name == name)
    }

    /// The view of that name, and its position in [`Script::views`].
    pub fn view(&self, name: &str) -> Option<(usize, &View)> {
        self.views
            .iter()
            .enumerate()
            .find(|(_, view)| view.name == name)
    }
}

impl View {
    /// The column by whose values the rows are decisions, if the view answers any.
    pub fn decision_key(&self) -> Option<&str> {
        self.options.get(options::DECISION_KEY).map(String::as_str)
    }

    /// The value of that column in the rows that stand for all values without rows of their own;
    /// without it those rows have none.
    pub fn fallback_key(&self) -> Option<&str> {
        self.options.get(options::FALLBACK_KEY).map(String::as_str)
    }

    /// The tables and views that the query names, each once; those of other schemas are left out.
    pub fn reads(&self) -> Vec<String> {
        let found = query::inspect(&self.query).references.into_iter();
        let mut names: Vec<String> = found
            .filter_map(|reference| match reference.parts.as_slice() {
                [name] => Some(name.text.clone()),
                _ => None,
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The statement that makes the view, with its options and its query as written.
    pub fn statement(&self) -> String {
        let kind = if self.materialized {
            "MATERIALIZED VIEW"
        } else {
            "VIEW"
        };
        let mut text = format!("CREATE {kind} {}", quoted(&self.name));
        if !self.column_names.is_empty() {
            let names: Vec<String> = self.column_names.iter().map(|name| quoted(name)).collect();
            text.push_str(&format!(" ({})", names.join(", ")));
        }
        if !self.options.is_empty() {
            let options = self.options.iter();
            let options = options.map(|(name, value)| {
                let value = value.replace('\'', "''");
                format!("{name} = '{value}'")
            });
            let options: Vec<String> = options.collect();
            text.push_str(&format!(" WITH ({})", options.join(", ")));
        }
        text.push_str(" AS\n");
        text.push_str(&self.sql);
        text.push(';');
        text
    }

    /// Where in the file a span of the query begins; where the query begins if the span is empty,
    /// which is how `sqlparser` says that it does not know.
    pub fn origin_of(&self, span: Span) -> Origin {
        if span.start.line == 0 {
            return self.query_origin.clone();
        }
        Origin {
            file: self.query_origin.file.clone(),
            line: span.start.line,
            column: span.start.column,
        }
    }

    /// A fault at a span of the query; an unknown span stands for the query's first word.
    pub fn fault(&self, span: Span, message: impl Into<String>, help: Option<String>) -> Fault {
        let length = if span.start.line == 0 {
            self.sql
                .chars()
                .take_while(|letter| letter.is_alphanumeric())
                .count()
                .max(1)
        } else {
            let relative = Span::new(self.within(span.start), self.within(span.end));
            Text::new(&self.sql).length_of_expression(relative)
        };
        Fault {
            origin: self.origin_of(span),
            length,
            message: message.into(),
            help,
        }
    }

    /// A place in the file as a place in the query's text.
    fn within(&self, at: Location) -> Location {
        let line = at.line.saturating_sub(self.query_origin.line) + 1;
        let before = if line == 1 {
            self.query_origin.column.saturating_sub(1)
        } else {
            0
        };
        Location::new(line, at.column.saturating_sub(before).max(1))
    }
}

/// A name as SQL writes it: in quotes if it would be another without them.
pub(crate) fn quoted(name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let rest = |letter: char| is_plain(letter) || letter.is_ascii_digit();
    match name.starts_with(is_plain) && name.chars().all(rest) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}
