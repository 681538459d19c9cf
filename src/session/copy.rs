//! `COPY table FROM STDIN`: rows handed in as text, written all at once.
//!
//! Text as PostgreSQL's COPY takes it (PostgreSQL documentation, COPY, "File Formats") flows in:
//! columns between tabs with `\N` for null, or CSV.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::error::{Code, SessionError};
use super::outcome::Outcome;
use super::words::Words;
use super::{Session, Sessions};
use crate::script::Table;

/// Takes the text of rows, piece by piece.
pub struct CopyIn {
    shared: Arc<Sessions>,
    table: Arc<Table>,
    /// By column of a record: the table's.
    columns: Vec<usize>,
    schema: SchemaRef,
    form: Form,
    text: Vec<u8>,
}

/// How records are written.
#[derive(Debug, Clone)]
struct Form {
    csv: bool,
    header: bool,
    delimiter: char,
    null: String,
}

/// A record's values; `None` is null.
type Record = Vec<Option<String>>;

impl Session {
    /// `COPY table [(columns)] FROM STDIN [[WITH] (options) | CSV [HEADER]]`.
    pub(super) fn copy(&self, words: &mut Words<'_>) -> Result<CopyIn, SessionError> {
        let name = words.name()?;
        let program = self.shared.live.program();
        let Some((_, table)) = program.script.table(&name) else {
            return Err(SessionError::no_relation(&name));
        };
        let mut columns = Vec::new();
        if words.eat_token(&Token::LParen) {
            loop {
                let column = words.simple_name()?;
                let position = table.columns.iter().position(|c| c.name == column);
                columns.push(position.ok_or_else(|| {
                    let message = format!("table \"{name}\" has no column \"{column}\"");
                    SessionError::new(Code::UndefinedColumn, message)
                })?);
                if words.eat_token(&Token::RParen) {
                    break;
                }
                if !words.eat_token(&Token::Comma) {
                    return Err(words.expected("`,` or `)`"));
                }
            }
        } else {
            columns.extend(0..table.columns.len());
        }
        if !words.eat(&["FROM", "STDIN"]) {
            let hint = "rows are copied in with COPY table FROM STDIN, and out with SELECT";
            return Err(words.expected("FROM STDIN").hint(hint));
        }
        let form = form(words)?;
        words.end()?;
        let fields = columns.iter().map(|column| table.columns[*column].field());
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(CopyIn {
            shared: Arc::clone(&self.shared),
            table: Arc::new(table.clone()),
            columns,
            schema,
            form,
            text: Vec::new(),
        })
    }
}

/// The options at the end of a COPY.
fn form(words: &mut Words<'_>) -> Result<Form, SessionError> {
    let mut form = Form {
        csv: false,
        header: false,
        delimiter: '\t',
        null: "\\N".to_owned(),
    };
    let (mut delimiter, mut null) = (None, None);
    let _is_said = words.eat(&["WITH"]);
    let in_list = words.eat_token(&Token::LParen);
    loop {
        if words.eat(&["FORMAT", "CSV"]) || words.eat(&["CSV"]) {
            form.csv = true;
        } else if words.eat(&["FORMAT", "TEXT"]) || words.eat(&["TEXT"]) {
            form.csv = false;
        } else if words.eat(&["HEADER"]) {
            form.header = !words.eat(&["FALSE"]);
            let _is_said = words.eat(&["TRUE"]);
        } else if words.eat(&["DELIMITER"]) {
            delimiter = words.text()?.chars().next();
        } else if words.eat(&["NULL"]) {
            null = Some(words.text()?);
        } else if in_list || !words.at_end() {
            return Err(words.expected("FORMAT, HEADER, DELIMITER or NULL"));
        } else {
            break;
        }
        if in_list {
            if words.eat_token(&Token::RParen) {
                break;
            }
            if !words.eat_token(&Token::Comma) {
                return Err(words.expected("`,` or `)`"));
            }
        }
    }
    if form.csv {
        form.delimiter = ',';
        form.null = String::new();
    }
    form.delimiter = delimiter.unwrap_or(form.delimiter);
    form.null = null.unwrap_or(form.null);
    Ok(form)
}

impl CopyIn {
    /// The columns that each record has, in order.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Takes some bytes; a record may go over several pieces.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        self.shared.check_memory()?;
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes all rows at once; dropped without it, nothing is written. Records that follow in
    /// other statements of any session see them.
    ///
    /// # Errors
    /// If a record cannot be read; nothing has been written then.
    pub async fn finish(self) -> Result<Outcome, SessionError> {
        let text = String::from_utf8(self.text.clone());
        let text = text.map_err(|_| bad("what is copied is not UTF-8".to_owned()))?;
        let mut records = match self.form.csv {
            true => csv(&text, &self.form)?,
            false => plain(&text, &self.form),
        };
        if self.form.header && !records.is_empty() {
            records.remove(0);
        }
        let rows = self.rows(&records)?;
        let program = self.shared.live.program();
        let mut writer = self.shared.writer(&program, &self.table.name).await?;
        let write = writer.insert(&rows)?;
        drop(writer);
        super::write::wait_visible(&self.shared.live, write).await?;
        Ok(Outcome::Tag(format!("COPY {}", records.len())))
    }

    /// The records as rows with all columns of the table.
    fn rows(&self, records: &[Record]) -> Result<RecordBatch, SessionError> {
        for (at, record) in records.iter().enumerate() {
            if record.len() != self.columns.len() {
                let line = at + 1 + usize::from(self.form.header);
                let (has, wants) = (record.len(), self.columns.len());
                let message = format!("record {line} has {has} columns, not {wants}");
                return Err(bad(message));
            }
        }
        let schema = super::write::nullable(&self.table.schema());
        let strict = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let column = |(position, field): (usize, &Arc<arrow::datatypes::Field>)| {
            let data_type = field.data_type();
            let Some(at) = self.columns.iter().position(|c| *c == position) else {
                return Ok(new_null_array(data_type, records.len()));
            };
            let values = records.iter().map(|record| record[at].as_deref());
            let values: ArrayRef = Arc::new(StringArray::from_iter(values));
            cast_with_options(&values, data_type, &strict).map_err(|error| {
                let message = format!("column \"{}\": {error}", field.name());
                SessionError::new(Code::InvalidText, message)
            })
        };
        let columns = schema.fields().iter().enumerate().map(column);
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(schema, columns)
            .map_err(|error| SessionError::new(Code::Internal, error.to_string()))
    }
}

impl std::fmt::Debug for CopyIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopyIn")
            .field("table", &self.table.name)
            .finish_non_exhaustive()
    }
}

/// Records of PostgreSQL's text format, up to `\.` if that comes.
fn plain(text: &str, form: &Form) -> Vec<Record> {
    let lines = text.lines().take_while(|line| *line != "\\.");
    let record = |line: &str| {
        let fields = split_unescaped(line, form.delimiter);
        let value = |field: &str| (field != form.null).then(|| unescaped(field));
        fields.into_iter().map(value).collect()
    };
    lines.map(record).collect()
}

fn split_unescaped(line: &str, delimiter: char) -> Vec<&str> {
    let (mut fields, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, letter) in line.char_indices() {
        if escaped {
            escaped = false;
        } else if letter == '\\' {
            escaped = true;
        } else if letter == delimiter {
            fields.push(&line[start..at]);
            start = at + letter.len_utf8();
        }
    }
    fields.push(&line[start..]);
    fields
}

fn unescaped(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut letters = field.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        out.push(match letters.next() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('v') => '\u{b}',
            Some(other) => other,
            None => '\\',
        });
    }
    out
}

/// Records of CSV (RFC 4180); a value that is not quoted and is the null text is null.
fn csv(text: &str, form: &Form) -> Result<Vec<Record>, SessionError> {
    let mut records: Vec<Record> = Vec::new();
    let mut record: Record = Vec::new();
    let (mut value, mut quoted) = (String::new(), false);
    let mut letters = text.chars().peekable();
    let mut is_begun = false;
    while let Some(letter) = letters.next() {
        is_begun = true;
        if letter == '"' && value.is_empty() && !quoted {
            quoted = true;
            loop {
                match letters.next() {
                    Some('"') if letters.peek() == Some(&'"') => {
                        letters.next();
                        value.push('"');
                    }
                    Some('"') => break,
                    Some(other) => value.push(other),
                    None => return Err(bad("a quoted value is never closed".to_owned())),
                }
            }
        } else if letter == form.delimiter {
            record.push(of_csv(&mut value, &mut quoted, form));
        } else if letter == '\n' {
            record.push(of_csv(&mut value, &mut quoted, form));
            records.push(std::mem::take(&mut record));
            is_begun = false;
        } else if letter != '\r' || letters.peek() != Some(&'\n') {
            value.push(letter);
        }
    }
    if is_begun {
        record.push(of_csv(&mut value, &mut quoted, form));
        records.push(record);
    }
    if records
        .last()
        .is_some_and(|r| *r == [Some("\\.".to_owned())])
    {
        records.pop();
    }
    Ok(records)
}

fn of_csv(value: &mut String, quoted: &mut bool, form: &Form) -> Option<String> {
    let is_null = !std::mem::take(quoted) && *value == form.null;
    let value = std::mem::take(value);
    (!is_null).then_some(value)
}

fn bad(message: String) -> SessionError {
    SessionError::new(Code::BadCopy, message)
}
