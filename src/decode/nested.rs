//! Lists and structs, built straight from the text of JSON arrays and objects.
//!
//! The text of a nested value has been checked by then, so here it is only taken apart. Where a
//! CSV field or a JSON string stands for a list or a struct, it must hold JSON, and is checked.
//! Fields of an object that the struct does not have are passed over; of fields of the same name
//! the last counts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, NullBufferBuilder, StructArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef, Fields};
use serde::de::IgnoredAny;
use smallvec::SmallVec;

use super::column::{Absent, Column, Context, column};
use super::fault::{Fault, absent_fault, fault};
use super::json::scan;
use super::number::Problem;
use super::slot::{Kind, Value};

/// The values of a struct's fields, those that there are. Few enough need no memory of their own.
type Members = SmallVec<[Option<Token>; 8]>;

/// Builds a list column.
pub(super) struct ListColumn {
    data_type: DataType,
    item_field: FieldRef,
    item: Box<dyn Column>,
    items: i32,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
    absent: Absent,
}

impl ListColumn {
    pub(super) fn new(item: &FieldRef, absent: Absent, context: Context) -> Option<ListColumn> {
        Some(ListColumn {
            data_type: DataType::List(Arc::clone(item)),
            item_field: Arc::clone(item),
            item: column(item, absence(item), context)?,
            items: 0,
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
            absent,
        })
    }

    /// Adds the list whose bracket is at `at`; gives the place behind it.
    fn append_items(&mut self, text: &str, at: usize) -> (usize, Result<(), Box<Fault>>) {
        let bytes = text.as_bytes();
        let mut result = Ok(());
        let mut index = 0;
        let mut at = scan::space(bytes, at + 1);
        while let Some((end, appended)) = self.item.read(text, at) {
            if let Err(fault) = appended
                && result.is_ok()
            {
                result = Err(fault.inside(format_args!("[{index}]")));
            }
            index += 1;
            at = scan::space(bytes, end);
            if bytes.get(at) != Some(&b',') {
                break;
            }
            at = scan::space(bytes, at + 1);
        }
        self.items += index;
        self.offsets.push(self.items);
        self.nulls.append_non_null();
        (at + 1, result)
    }
}

impl Column for ListColumn {
    fn append(&mut self, value: Value<'_>) -> Result<(), Box<Fault>> {
        match nested_text(&value, b'[') {
            Ok(text) => self.append_items(text, 0).1,
            Err(Refusal::Absent) => {
                self.append_placeholder();
                absence_result(self.absent, value.kind)
            }
            Err(Refusal::Problem) => {
                self.append_placeholder();
                Err(fault(value, &self.data_type, Problem::NotOne))
            }
        }
    }

    fn read(&mut self, json: &str, at: usize) -> Option<(usize, Result<(), Box<Fault>>)> {
        match json.as_bytes().get(at) {
            Some(b'[') => Some(self.append_items(json, at)),
            _ => read_token(self, json, at),
        }
    }

    fn append_placeholder(&mut self) {
        self.offsets.push(self.items);
        self.nulls.append(!matches!(self.absent, Absent::Null));
    }

    fn finish(&mut self) -> ArrayRef {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        self.items = 0;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let field = Arc::clone(&self.item_field);
        Arc::new(ListArray::new(
            field,
            offsets,
            self.item.finish(),
            self.nulls.finish(),
        ))
    }
}

/// Builds a struct column.
pub(super) struct StructColumn {
    fields: Fields,
    columns: Vec<Box<dyn Column>>,
    nulls: NullBufferBuilder,
    length: usize,
    absent: Absent,
}

impl StructColumn {
    pub(super) fn new(fields: &Fields, absent: Absent, context: Context) -> Option<StructColumn> {
        let columns = fields
            .iter()
            .map(|field| column(field, absence(field), context));
        Some(StructColumn {
            fields: fields.clone(),
            columns: columns.collect::<Option<_>>()?,
            nulls: NullBufferBuilder::new(0),
            length: 0,
            absent,
        })
    }

    /// Adds the struct whose brace is at `at`; gives the place behind it.
    fn append_fields(&mut self, text: &str, at: usize) -> (usize, Result<(), Box<Fault>>) {
        let (members, end) = members(text, at, &self.fields);
        let mut result = Ok(());
        let fields = self.fields.iter().zip(&mut self.columns);
        for ((field, column), member) in fields.zip(members) {
            let appended = match member {
                Some(token) => append_token(&mut **column, text, token),
                None => column.append(Value::MISSING),
            };
            if let Err(fault) = appended
                && result.is_ok()
            {
                result = Err(fault.inside(format_args!(".{}", field.name())));
            }
        }
        self.length += 1;
        self.nulls.append_non_null();
        (end, result)
    }

    fn append_placeholders(&mut self) {
        for column in &mut self.columns {
            column.append_placeholder();
        }
    }
}

impl Column for StructColumn {
    fn append(&mut self, value: Value<'_>) -> Result<(), Box<Fault>> {
        match nested_text(&value, b'{') {
            Ok(text) => self.append_fields(text, 0).1,
            Err(Refusal::Absent) => {
                self.append_placeholder();
                absence_result(self.absent, value.kind)
            }
            Err(Refusal::Problem) => {
                self.append_placeholder();
                let data_type = DataType::Struct(self.fields.clone());
                Err(fault(value, &data_type, Problem::NotOne))
            }
        }
    }

    fn read(&mut self, json: &str, at: usize) -> Option<(usize, Result<(), Box<Fault>>)> {
        match json.as_bytes().get(at) {
            Some(b'{') => Some(self.append_fields(json, at)),
            _ => read_token(self, json, at),
        }
    }

    fn append_placeholder(&mut self) {
        self.append_placeholders();
        self.length += 1;
        self.nulls.append(!matches!(self.absent, Absent::Null));
    }

    fn finish(&mut self) -> ArrayRef {
        let length = std::mem::take(&mut self.length);
        let nulls = self.nulls.finish();
        if self.fields.is_empty() {
            return Arc::new(StructArray::new_empty_fields(length, nulls));
        }
        let columns: Vec<ArrayRef> = self.columns.iter_mut().map(|c| c.finish()).collect();
        debug_assert!(columns.iter().all(|column| column.len() == length));
        Arc::new(StructArray::new(self.fields.clone(), columns, nulls))
    }
}

fn absence(field: &FieldRef) -> Absent {
    if field.is_nullable() {
        Absent::Null
    } else {
        Absent::Refuse
    }
}

fn absence_result(absent: Absent, kind: Kind) -> Result<(), Box<Fault>> {
    match absent {
        Absent::Null => Ok(()),
        Absent::Refuse | Absent::At(_) => Err(absent_fault(kind)),
    }
}

enum Refusal {
    Absent,
    Problem,
}

/// The JSON text of a value that begins with `open`.
fn nested_text<'a>(value: &Value<'a>, open: u8) -> Result<&'a str, Refusal> {
    let text = match value.kind {
        Kind::Missing | Kind::Null => return Err(Refusal::Absent),
        Kind::Nested => value.text,
        Kind::Text => {
            let text = value.text.trim();
            serde_json::from_str::<IgnoredAny>(text).map_err(|_| Refusal::Problem)?;
            text
        }
        _ => return Err(Refusal::Problem),
    };
    if text.as_bytes().first() == Some(&open) {
        Ok(text)
    } else {
        Err(Refusal::Problem)
    }
}

/// A value as it lies in JSON text.
#[derive(Debug, Clone, Copy)]
struct Token {
    kind: Kind,
    /// Whether it is a string with escapes.
    escaped: bool,
    /// Where its text begins and ends, without quotes.
    start: usize,
    end: usize,
    /// The place behind it.
    next: usize,
}

impl Token {
    /// The value at a place in JSON text, if there is one.
    #[inline]
    fn at(json: &str, at: usize) -> Option<Token> {
        let bytes = json.as_bytes();
        let kind = match bytes.get(at)? {
            b'"' => {
                let end = scan::plain_end(bytes, at + 1)?;
                let escaped = bytes[end] != b'"';
                let next = if escaped {
                    scan::string(bytes, at)?
                } else {
                    end + 1
                };
                return Some(Token {
                    kind: Kind::Text,
                    escaped,
                    start: at + 1,
                    end: next - 1,
                    next,
                });
            }
            b'{' | b'[' => Kind::Nested,
            b't' => Kind::True,
            b'f' => Kind::False,
            b'n' => Kind::Null,
            _ => Kind::Number,
        };
        let next = scan::value(bytes, at)?;
        Some(Token {
            kind,
            escaped: false,
            start: at,
            end: next,
            next,
        })
    }
}

/// Adds the value at a place in JSON text to a column; gives the place behind it.
pub(super) fn read_token<C: Column + ?Sized>(
    column: &mut C,
    json: &str,
    at: usize,
) -> Option<(usize, Result<(), Box<Fault>>)> {
    let token = Token::at(json, at)?;
    Some((token.next, append_token(column, json, token)))
}

#[inline]
fn append_token<C: Column + ?Sized>(
    column: &mut C,
    json: &str,
    token: Token,
) -> Result<(), Box<Fault>> {
    let text = &json[token.start..token.end];
    if !token.escaped {
        return column.append(Value {
            kind: token.kind,
            text,
        });
    }
    match serde_json::from_str::<String>(&json[token.start - 1..token.next]) {
        Ok(unescaped) => column.append(Value {
            kind: Kind::Text,
            text: &unescaped,
        }),
        Err(_) => {
            column.append_placeholder();
            let value = Value {
                kind: Kind::Text,
                text,
            };
            Err(fault(value, &DataType::Utf8, Problem::NotOne))
        }
    }
}

/// The members of the object at `at` by the struct's fields, and the place behind it.
fn members(text: &str, at: usize, fields: &Fields) -> (Members, usize) {
    let mut members = Members::from_elem(None, fields.len());
    let bytes = text.as_bytes();
    let mut expected = 0;
    let mut at = scan::space(bytes, at + 1);
    while let Some(key) = Token::at(text, at) {
        let colon = scan::space(bytes, key.next);
        let Some(value) = Token::at(text, scan::space(bytes, colon + 1)) else {
            break;
        };
        if let Some(field) = field_named(fields, &text[key.start..key.end], expected) {
            members[field] = Some(value);
            expected = field + 1;
        }
        at = scan::space(bytes, value.next);
        if bytes.get(at) != Some(&b',') {
            break;
        }
        at = scan::space(bytes, at + 1);
    }
    (members, at + 1)
}

/// The field of the name written as `key`, which is most likely the one at `expected`.
fn field_named(fields: &Fields, key: &str, expected: usize) -> Option<usize> {
    if fields
        .get(expected)
        .is_some_and(|field| field.name() == key)
    {
        return Some(expected);
    }
    if !key.contains('\\') {
        return fields.iter().position(|field| field.name() == key);
    }
    let unescaped: String = serde_json::from_str(&format!("\"{key}\"")).ok()?;
    fields.iter().position(|field| *field.name() == unescaped)
}
