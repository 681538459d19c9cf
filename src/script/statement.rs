//! Statements: which kind each one is, and what it says on its own.
//!
//! The pieces of a file flow in; [`Statement`]s flow out, checked as far as that is possible
//! without the other statements.

use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token};

use super::fault::{listed, near};
use super::options::{self, Setting};
use super::reader::{Name, Reader, Stop};
use super::table::{self, TableStatement};

/// What one statement says.
#[derive(Debug)]
pub(super) enum Statement {
    Table(TableStatement),
    View(ViewStatement),
    Comment(CommentStatement),
    Model(ModelStatement),
    /// A relation was to be created, but its name could not be read.
    Unknown,
}

/// `CREATE [MATERIALIZED] VIEW`.
#[derive(Debug)]
pub(super) struct ViewStatement {
    pub(super) name: Name,
    pub(super) materialized: bool,
    pub(super) column_names: Vec<Name>,
    pub(super) options: Vec<Setting>,
    /// The query and what it covers; nothing if it could not be read.
    pub(super) query: Option<(Box<Query>, Span)>,
}

/// `CREATE MODEL name FROM 'file'`.
#[derive(Debug)]
pub(super) struct ModelStatement {
    pub(super) name: Name,
    /// The ONNX file, relative to the script's folder, and where it is named.
    pub(super) path: String,
    pub(super) span: Span,
}

/// `COMMENT ON`.
#[derive(Debug)]
pub(super) struct CommentStatement {
    pub(super) target: CommentTarget,
    /// The name of the table or view, and for a column its name.
    pub(super) name: Name,
    pub(super) column: Option<Name>,
    /// Nothing for `IS NULL`.
    pub(super) text: Option<String>,
}

/// What a comment is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommentTarget {
    Table,
    View,
    MaterializedView,
    Column,
}

/// What CREATE makes in other systems that no query reads from.
const NOT_RELATIONS: [&str; 14] = [
    "INDEX",
    "MODEL",
    "UNIQUE",
    "FUNCTION",
    "PROCEDURE",
    "MACRO",
    "AGGREGATE",
    "TYPE",
    "DOMAIN",
    "SCHEMA",
    "DATABASE",
    "SINK",
    "CONNECTION",
    "CONNECTOR",
];

/// Reads one statement. What is returned may be incomplete if the reader has noted faults.
pub(super) fn read(reader: &mut Reader) -> Option<Statement> {
    let start = reader.span();
    if reader.eat_word(Keyword::CREATE) {
        let relation = reader
            .peek_word(0)
            .is_none_or(|kind| !NOT_RELATIONS.contains(&kind.as_str()));
        return match create(reader, start) {
            Ok(statement) => Some(statement),
            Err(Stop) => relation.then_some(Statement::Unknown),
        };
    }
    if reader.peek_word(1).as_deref() == Some("ON") && reader.eat_word(Keyword::COMMENT) {
        return comment(reader).ok().map(Statement::Comment);
    }
    refuse(reader);
    None
}

fn create(reader: &mut Reader, start: Span) -> Result<Statement, Stop> {
    if reader.eat_words(&[Keyword::OR, Keyword::REPLACE]) {
        let help = "leave out OR REPLACE: a script creates each name once";
        reader.fault(
            reader.span_since(start),
            "nothing can be replaced",
            Some(help.to_string()),
        );
    }
    if reader.eat_word(Keyword::TABLE) {
        refuse_if_not_exists(reader);
        return table::read(reader).map(Statement::Table);
    }
    let materialized = reader.eat_word(Keyword::MATERIALIZED);
    if reader.eat_word(Keyword::VIEW) {
        refuse_if_not_exists(reader);
        return view(reader, materialized).map(Statement::View);
    }
    if materialized {
        return Err(reader.expected("`VIEW`", None));
    }
    let kind = reader.peek_word(0).unwrap_or_default();
    reader.advance();
    if kind == "MODEL" {
        return model(reader).map(Statement::Model);
    }
    let span = reader.span_since(start);
    Err(reader.stop(
        span,
        format!("CREATE {kind} is not supported"),
        Some(instead_of_create(&kind)),
    ))
}

/// `IF NOT EXISTS` has no meaning where each name is created once.
fn refuse_if_not_exists(reader: &mut Reader) {
    let start = reader.span();
    if reader.eat_words(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]) {
        let help = "leave out IF NOT EXISTS: a script creates each name once";
        reader.fault(
            reader.span_since(start),
            "nothing can exist before the script",
            Some(help.to_string()),
        );
    }
}

fn model(reader: &mut Reader) -> Result<ModelStatement, Stop> {
    let name = reader.new_name("the model's name")?;
    if !reader.eat_word(Keyword::FROM) {
        let help = format!("write CREATE MODEL {} FROM 'file.onnx'", name.text);
        return Err(reader.expected("`FROM`", Some(help)));
    }
    let span = reader.span();
    let path = reader.quoted_text("an ONNX file in single quotes")?;
    if !reader.at_end() {
        return Err(reader.expected("`;` after the file", None));
    }
    Ok(ModelStatement { name, path, span })
}

fn view(reader: &mut Reader, materialized: bool) -> Result<ViewStatement, Stop> {
    let name = reader.new_name("the view's name")?;
    let mut view = ViewStatement {
        name,
        materialized,
        column_names: Vec::new(),
        options: Vec::new(),
        query: None,
    };
    if view_body(reader, &mut view).is_err() {
        view.query = None;
    }
    Ok(view)
}

fn view_body(reader: &mut Reader, view: &mut ViewStatement) -> Result<(), Stop> {
    if reader.eat(&Token::LParen) {
        view.column_names = column_names(reader)?;
    }
    let with = reader.span();
    if reader.eat_word(Keyword::WITH) {
        view.options = options::read(reader)?;
        if !view.materialized {
            let help = "write CREATE MATERIALIZED VIEW: only a view that is kept can be shown";
            reader.fault(
                with,
                "a view that is not materialized has no options",
                Some(help.to_string()),
            );
        }
        options::check_view_options(reader, &view.options);
    }
    if !reader.eat_word(Keyword::AS) {
        let what = match (view.options.is_empty(), view.column_names.is_empty()) {
            (false, _) => "`AS`",
            (true, false) => "`WITH` or `AS`",
            (true, true) => "`(`, `WITH` or `AS`",
        };
        let help = "write CREATE MATERIALIZED VIEW name [(columns)] [WITH (options)] AS query";
        return Err(reader.expected(what, Some(help.to_string())));
    }
    let start = reader.span();
    let query = reader.query()?;
    let span = reader.span_since(start);
    if !reader.at_end() {
        let help = match reader.peek_word(0).as_deref() {
            Some("WITH") => "write WITH (...) before AS",
            Some("CREATE" | "COMMENT" | "SELECT" | "INSERT" | "DROP") => "end the query with `;`",
            _ => "a comma or an operator may be missing before it",
        };
        return Err(reader.expected("the end of the query", Some(help.to_string())));
    }
    view.query = Some((query, span));
    Ok(())
}

/// The names in parentheses after a view's name.
fn column_names(reader: &mut Reader) -> Result<Vec<Name>, Stop> {
    let mut names: Vec<Name> = Vec::new();
    loop {
        let name = reader.name("a column's name")?;
        if names.iter().any(|other| other.text == name.text) {
            reader.fault(
                name.span,
                format!("the view has two columns `{}`", name.text),
                Some("give one of them another name".to_string()),
            );
        }
        names.push(name);
        if reader.eat(&Token::RParen) {
            return Ok(names);
        }
        if !reader.eat(&Token::Comma) {
            let help = "write only names here; the query gives their types";
            return Err(reader.expected("`,` or `)`", Some(help.to_string())));
        }
    }
}

fn comment(reader: &mut Reader) -> Result<CommentStatement, Stop> {
    reader.advance();
    let target = if reader.eat_word(Keyword::TABLE) {
        CommentTarget::Table
    } else if reader.eat_word(Keyword::VIEW) {
        CommentTarget::View
    } else if reader.eat_words(&[Keyword::MATERIALIZED, Keyword::VIEW]) {
        CommentTarget::MaterializedView
    } else if reader.eat_word(Keyword::COLUMN) {
        CommentTarget::Column
    } else {
        return Err(reader.expected("`TABLE`, `VIEW`, `MATERIALIZED VIEW` or `COLUMN`", None));
    };
    let start = reader.span();
    let mut parts = reader.qualified_name("a name")?.into_iter();
    let (name, column) = (parts.next(), parts.next());
    let wants_column = target == CommentTarget::Column;
    let (Some(name), true, None) = (name, column.is_some() == wants_column, parts.next()) else {
        let help = if wants_column {
            "write COMMENT ON COLUMN table.column IS '...'"
        } else {
            "write the name alone: tables and views have no schema here"
        };
        let span = reader.span_since(start);
        return Err(reader.stop(span, "this does not name one thing", Some(help.to_string())));
    };
    if !reader.eat_word(Keyword::IS) {
        return Err(reader.expected("`IS`", None));
    }
    let text = if reader.eat_word(Keyword::NULL) {
        None
    } else {
        Some(reader.quoted_text("the comment's text in single quotes")?)
    };
    if !reader.at_end() {
        let help = "end the statement with `;`".to_string();
        return Err(reader.expected("the end of the comment", Some(help)));
    }
    Ok(CommentStatement {
        target,
        name,
        column,
        text,
    })
}

/// Notes that the statement is of no known kind.
fn refuse(reader: &mut Reader) {
    let start = reader.span();
    let Some(word) = reader.peek_word(0) else {
        reader.expected("a statement", Some(STATEMENTS.to_string()));
        return;
    };
    reader.advance();
    let help = instead_of(&word);
    let message = match help {
        Some(_) => format!("{word} is not a statement of a script"),
        None => format!("expected a statement, found `{word}`"),
    };
    let help = help
        .map(str::to_string)
        .or_else(|| near(&word, ["CREATE", "COMMENT"]).map(|near| format!("write {near}")));
    reader.fault(
        start,
        message,
        help.or_else(|| Some(STATEMENTS.to_string())),
    );
}

const STATEMENTS: &str = "the statements are CREATE TABLE, CREATE VIEW, CREATE MATERIALIZED VIEW \
                          and COMMENT ON";

/// What to do instead of a statement that other systems have.
fn instead_of(word: &str) -> Option<&'static str> {
    Some(match word {
        "SELECT" | "WITH" | "VALUES" | "FROM" | "TABLE" => {
            "give the query a name: CREATE MATERIALIZED VIEW name AS SELECT ..."
        }
        "INSERT" | "COPY" | "LOAD" | "IMPORT" | "UPSERT" => {
            "leave it out and say on the command line where rows come from: --input table=path"
        }
        "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" => {
            "leave it out: a row changes when a later record for its PRIMARY KEY arrives, and goes \
             when the column named by the option deleted is true"
        }
        "DROP" => "leave it out, and with it the statement that creates the name",
        "ALTER" => "change the statement that creates the name",
        "SET" | "RESET" | "USE" | "PRAGMA" | "SHOW" => {
            "leave it out: settings are options of the command line"
        }
        "EXPLAIN" | "DESCRIBE" | "DESC" | "ANALYZE" => "leave it out and run `tillrace explain`",
        "BEGIN" | "START" | "COMMIT" | "ROLLBACK" | "END" => {
            "leave it out: all views change together, always"
        }
        "GRANT" | "REVOKE" => "leave it out: a script has no users",
        "EXPORT" | "UNLOAD" => "leave it out and write answers with --out on the command line",
        "REFRESH" => "leave it out: materialized views are always up to date",
        _ => return None,
    })
}

/// What to do instead of creating something that other systems have.
fn instead_of_create(kind: &str) -> String {
    let help = match kind {
        "SOURCE" | "CONNECTION" | "CONNECTOR" | "EXTERNAL" | "STREAM" | "FOREIGN" => {
            "write CREATE TABLE, and say on the command line where rows come from: \
             --input table=path"
        }
        "SINK" => {
            "write CREATE MATERIALIZED VIEW, and write answers with --out on the command line"
        }
        "INDEX" | "UNIQUE" => "leave it out: what joins and groups need is found by itself",
        "TEMP" | "TEMPORARY" | "GLOBAL" | "LOCAL" | "UNLOGGED" | "TRANSIENT" => {
            "leave the word out: tables and views live as long as the engine runs"
        }
        "FUNCTION" | "PROCEDURE" | "MACRO" | "AGGREGATE" => {
            "write the expression in a view, and read the view"
        }
        "TYPE" | "DOMAIN" => "write the type where it is used",
        "SCHEMA" | "DATABASE" => "leave it out: all tables and views live side by side",
        "RECURSIVE" => "write CREATE VIEW name AS WITH RECURSIVE ...",
        _ => {
            let near = near(kind, ["TABLE", "VIEW", "MATERIALIZED", "MODEL"]);
            let kinds = [
                "CREATE TABLE",
                "CREATE VIEW",
                "CREATE MATERIALIZED VIEW",
                "CREATE MODEL",
            ];
            return match near.as_deref() {
                Some("MATERIALIZED") => "write CREATE MATERIALIZED VIEW".to_string(),
                Some(near) => format!("write CREATE {near}"),
                None => format!("what can be created: {}", listed(kinds)),
            };
        }
    };
    help.to_string()
}
