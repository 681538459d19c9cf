//! `CREATE TABLE`.
//!
//! A reader that stands before the table's name flows in; a [`TableStatement`] flows out. A column
//! that is wrong is noted and kept as far as it was understood, so that what names it is not at
//! fault as well.

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token};

use super::fault::{listed, near};
use super::options;
use super::reader::{Name, Reader, Stop};
use super::table_options;
use super::types::arrow_type;
use super::{Column, Table, TableOptions};

/// A table that was read, and what is known about its completeness.
#[derive(Debug)]
pub(super) struct TableStatement {
    pub(super) table: Table,
    pub(super) name: Name,
    /// Whether every column's name could be read.
    pub(super) complete: bool,
}

impl TableStatement {
    /// The position of a column; a column that does not exist is noted, unless it may be one that
    /// could not be read.
    pub(super) fn column(&self, reader: &mut Reader, name: &Name) -> Option<usize> {
        let found = self
            .table
            .columns
            .iter()
            .position(|column| column.name == name.text);
        if found.is_none() && self.complete {
            let help = self.instead_of_column(&name.text);
            let message = format!("table `{}` has no column `{}`", self.table.name, name.text);
            reader.fault(name.span, message, Some(help));
        }
        found
    }

    /// What to write instead of a column that does not exist.
    pub(super) fn instead_of_column(&self, name: &str) -> String {
        let columns = || self.table.columns.iter().map(|column| column.name.as_str());
        match near(name, columns()) {
            Some(near) => format!("write `{near}`"),
            None => format!("its columns are {}", listed(columns())),
        }
    }
}

/// The primary key as far as it has been read.
#[derive(Debug, Default)]
struct Key {
    columns: Vec<Name>,
    given: bool,
}

/// Reads what follows `CREATE TABLE`.
pub(super) fn read(reader: &mut Reader) -> Result<TableStatement, Stop> {
    let name = reader.new_name("the table's name")?;
    let mut statement = TableStatement {
        table: Table {
            name: name.text.clone(),
            columns: Vec::new(),
            primary_key: Vec::new(),
            options: TableOptions::default(),
            comment: None,
            origin: reader.file.origin(name.span.start),
        },
        name,
        complete: true,
    };
    if body(reader, &mut statement).is_err() {
        statement.complete = false;
    }
    Ok(statement)
}

fn body(reader: &mut Reader, statement: &mut TableStatement) -> Result<(), Stop> {
    if !reader.eat(&Token::LParen) {
        let help = match reader.peek_word(0).as_deref() {
            Some("AS") => "write CREATE MATERIALIZED VIEW name AS ...: a table is filled by inputs",
            _ => "write CREATE TABLE name (column type, ...)",
        };
        return Err(reader.expected("`(` and the columns", Some(help.to_string())));
    }
    let mut key = Key::default();
    if reader.eat(&Token::RParen) {
        let help = "write CREATE TABLE name (column type, ...)".to_string();
        reader.fault(
            statement.name.span,
            "a table has at least one column",
            Some(help),
        );
    } else {
        elements(reader, statement, &mut key)?;
    }
    settle_key(reader, statement, &key);
    if reader.eat_word(Keyword::WITH) {
        let settings = options::read(reader)?;
        table_options::apply(reader, statement, &settings);
    }
    if reader.at_end() {
        return Ok(());
    }
    let help = match reader.peek_word(0).as_deref() {
        Some("AS") => "write CREATE MATERIALIZED VIEW name AS ...: a table is filled by inputs",
        Some("PARTITION" | "CLUSTER" | "DISTRIBUTED" | "ORDER" | "ENGINE") => {
            "leave it out: the engine decides how rows are kept"
        }
        _ => "end the statement with `;`",
    };
    Err(reader.expected("`WITH` or the end of the table", Some(help.to_string())))
}

/// Reads columns and constraints up to the closing parenthesis.
fn elements(
    reader: &mut Reader,
    statement: &mut TableStatement,
    key: &mut Key,
) -> Result<(), Stop> {
    loop {
        if element(reader, statement, key).is_err() {
            statement.complete = false;
            reader.skip_element();
        }
        if reader.eat(&Token::RParen) {
            return Ok(());
        }
        if !reader.eat(&Token::Comma) {
            let help = "close the list of columns with `)`".to_string();
            return Err(reader.expected("`,` or `)` after a column", Some(help)));
        }
    }
}

fn element(reader: &mut Reader, statement: &mut TableStatement, key: &mut Key) -> Result<(), Stop> {
    let start = reader.span();
    let word = reader.peek_word(0);
    match word.as_deref() {
        Some("CONSTRAINT" | "PRIMARY" | "FOREIGN" | "UNIQUE" | "CHECK" | "LIKE" | "EXCLUDE") => {
            constraint(reader, key, start)
        }
        _ => column(reader, statement, key),
    }
}

/// Reads a constraint of the table.
fn constraint(reader: &mut Reader, key: &mut Key, start: Span) -> Result<(), Stop> {
    if reader.eat_word(Keyword::CONSTRAINT) {
        reader.name("the constraint's name")?;
    }
    if !reader.eat_words(&[Keyword::PRIMARY, Keyword::KEY]) {
        return refuse_clause(reader, start);
    }
    let span = reader.span_since(start);
    reader.expect(&Token::LParen)?;
    let mut columns: Vec<Name> = Vec::new();
    loop {
        let name = reader.name("a column's name")?;
        if columns.iter().any(|other| other.text == name.text) {
            let message = format!("column `{}` is in the primary key twice", name.text);
            reader.fault(name.span, message, Some("leave it out once".to_string()));
        } else {
            columns.push(name);
        }
        if reader.eat(&Token::RParen) {
            break;
        }
        if !reader.eat(&Token::Comma) {
            return Err(reader.expected("`,` or `)`", None));
        }
    }
    add_key(reader, key, columns, span);
    Ok(())
}

fn add_key(reader: &mut Reader, key: &mut Key, columns: Vec<Name>, span: Span) {
    if key.given {
        let help = "write PRIMARY KEY (a, b) once, after the columns".to_string();
        reader.fault(span, "the table has two primary keys", Some(help));
        return;
    }
    *key = Key {
        columns,
        given: true,
    };
}

fn column(reader: &mut Reader, statement: &mut TableStatement, key: &mut Key) -> Result<(), Stop> {
    let name = reader.name("a column's name")?;
    if statement
        .table
        .columns
        .iter()
        .any(|column| column.name == name.text)
    {
        let message = format!(
            "table `{}` has two columns `{}`",
            statement.table.name, name.text
        );
        reader.fault(
            name.span,
            message,
            Some("leave one out, or rename it".to_string()),
        );
        reader.skip_element();
        return Ok(());
    }
    let position = statement.table.columns.len();
    statement.table.columns.push(Column {
        paths: vec![vec![name.text.clone()]],
        name: name.text.clone(),
        data_type: DataType::Null,
        nullable: true,
        comment: None,
    });
    let start = reader.span();
    if matches!(reader.peek(), None | Some(Token::Comma | Token::RParen)) {
        let help = format!("write {} TEXT, or another type", name.text);
        return Err(reader.expected("the column's type", Some(help)));
    }
    let sql_type = reader.sql_type()?;
    match arrow_type(&sql_type) {
        Ok(data_type) => statement.table.columns[position].data_type = data_type,
        Err(fault) => reader.fault(reader.span_since(start), fault.message, Some(fault.help)),
    }
    column_options(reader, &mut statement.table.columns[position], &name, key)
}

/// Reads what follows a column's type.
fn column_options(
    reader: &mut Reader,
    column: &mut Column,
    name: &Name,
    key: &mut Key,
) -> Result<(), Stop> {
    let mut said_null = false;
    loop {
        let start = reader.span();
        if reader.eat_words(&[Keyword::NOT, Keyword::NULL]) {
            column.nullable = false;
        } else if reader.eat_word(Keyword::NULL) {
            said_null = true;
        } else if reader.eat_words(&[Keyword::PRIMARY, Keyword::KEY]) {
            let span = reader.span_since(start);
            add_key(reader, key, vec![name.clone()], span);
        } else if reader.eat_word(Keyword::COMMENT) {
            column.comment = Some(reader.quoted_text("the comment's text in single quotes")?);
        } else if matches!(reader.peek(), None | Some(Token::Comma | Token::RParen)) {
            break;
        } else {
            return refuse_clause(reader, start);
        }
    }
    if said_null && !column.nullable {
        let message = format!(
            "column `{}` is said to be both NULL and NOT NULL",
            name.text
        );
        reader.fault(
            name.span,
            message,
            Some("leave one of them out".to_string()),
        );
    }
    Ok(())
}

/// Notes a clause that tables of other systems have, and passes over the rest of its element.
fn refuse_clause(reader: &mut Reader, start: Span) -> Result<(), Stop> {
    let help = match reader.peek_word(0).as_deref() {
        Some("FOREIGN" | "REFERENCES") => {
            "leave it out: events arrive in any order, so a row may come before the one it refers \
             to; a view can list the rows that lack theirs"
        }
        Some("CHECK") => {
            "leave it out: rows are not refused for their values; write the condition in the WHERE \
             of a view"
        }
        Some("DEFAULT") => {
            "leave it out: a field that a record lacks is NULL; write COALESCE(column, value) in a \
             view"
        }
        Some("UNIQUE") => {
            "leave it out: write PRIMARY KEY if a later row replaces the earlier one, or WITH \
             (dedup = 'column') if the first one stays"
        }
        Some("GENERATED" | "AS" | "IDENTITY" | "AUTO_INCREMENT" | "AUTOINCREMENT") => {
            "leave it out: a table holds what records say; compute the value in a view"
        }
        Some("COLLATE" | "CHARACTER") => {
            "leave it out: texts are UTF-8 and compared by their bytes"
        }
        Some("LIKE") => "write the columns out",
        _ => {
            let what = "`,`, `)`, `NOT NULL`, `PRIMARY KEY` or `COMMENT`";
            let help = match reader.peek() {
                Some(Token::Word(_)) => Some("write a comma before the next column".to_string()),
                _ => None,
            };
            return Err(reader.expected(what, help));
        }
    };
    let mut clause = reader.peek_word(0).unwrap_or_default();
    reader.advance();
    if clause == "FOREIGN" && reader.eat_word(Keyword::KEY) {
        clause.push_str(" KEY");
    }
    let message = format!("{clause} is not supported in a table");
    reader.fault(reader.span_since(start), message, Some(help.to_string()));
    reader.skip_element();
    Ok(())
}

/// Resolves the primary key's columns, none of which may be null.
fn settle_key(reader: &mut Reader, statement: &mut TableStatement, key: &Key) {
    for name in &key.columns {
        if let Some(position) = statement.column(reader, name) {
            statement.table.columns[position].nullable = false;
            statement.table.primary_key.push(position);
        }
    }
}
