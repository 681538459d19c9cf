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

/// Fields of a struct for which no memory is allocated.
const USUAL_FIELDS: usize = 16;

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

    fn append_items(&mut self, text: &str) -> Result<(), Box<Fault>> {
        let mut result = Ok(());
        let mut index = 0;
        let mut unescaped = String::new();
        let bytes = text.as_bytes();
        let mut at = scan::space(bytes, 1);
        while let Some(end) = scan::value(bytes, at) {
            let appended = match json_value(&text[at..end], &mut unescaped) {
                Some(value) => self.item.append(value),
                None => {
                    self.item.append_placeholder();
                    Err(unreadable(&text[at..end]))
                }
            };
            result = result.and(appended.map_err(|fault| fault.inside(format_args!("[{index}]"))));
            index += 1;
            self.items += 1;
            at = scan::space(bytes, end);
            if bytes.get(at) != Some(&b',') {
                break;
            }
            at = scan::space(bytes, at + 1);
        }
        result
    }
}

impl Column for ListColumn {
    fn append(&mut self, value: Value<'_>) -> Result<(), Box<Fault>> {
        let result = match nested_text(&value, b'[') {
            Ok(text) => self.append_items(text),
            Err(Refusal::Absent) => {
                self.append_placeholder();
                return absence_result(self.absent, value.kind);
            }
            Err(Refusal::Problem) => Err(fault(value, &self.data_type, Problem::NotOne)),
        };
        self.offsets.push(self.items);
        self.nulls.append_non_null();
        result
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

    fn append_fields(&mut self, text: &str) -> Result<(), Box<Fault>> {
        let members = members(text, &self.fields);
        let mut result = Ok(());
        let mut unescaped = String::new();
        let fields = self.fields.iter().zip(&mut self.columns);
        for ((field, column), raw) in fields.zip(members) {
            let value = match raw {
                Some(raw) => json_value(raw, &mut unescaped),
                None => Some(Value::MISSING),
            };
            let appended = match value {
                Some(value) => column.append(value),
                None => {
                    column.append_placeholder();
                    Err(unreadable(raw.unwrap_or_default()))
                }
            };
            let named = |fault: Box<Fault>| fault.inside(format_args!(".{}", field.name()));
            result = result.and(appended.map_err(named));
        }
        result
    }

    fn append_placeholders(&mut self) {
        for column in &mut self.columns {
            column.append_placeholder();
        }
    }
}

impl Column for StructColumn {
    fn append(&mut self, value: Value<'_>) -> Result<(), Box<Fault>> {
        let result = match nested_text(&value, b'{') {
            Ok(text) => self.append_fields(text),
            Err(Refusal::Absent) => {
                self.append_placeholder();
                return absence_result(self.absent, value.kind);
            }
            Err(Refusal::Problem) => {
                self.append_placeholders();
                Err(fault(
                    value,
                    &DataType::Struct(self.fields.clone()),
                    Problem::NotOne,
                ))
            }
        };
        self.length += 1;
        self.nulls.append_non_null();
        result
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

/// The raw values of an object's members by the struct's fields.
fn members<'a>(text: &'a str, fields: &Fields) -> SmallVec<[Option<&'a str>; USUAL_FIELDS]> {
    let mut members = SmallVec::from_elem(None, fields.len());
    let bytes = text.as_bytes();
    let mut expected = 0;
    let mut at = scan::space(bytes, 1);
    while let Some(key_end) = scan::value(bytes, at) {
        let key = &text[at + 1..key_end - 1];
        let colon = scan::space(bytes, key_end);
        let start = scan::space(bytes, colon + 1);
        let Some(end) = scan::value(bytes, start) else {
            break;
        };
        if let Some(field) = field_named(fields, key, expected) {
            members[field] = Some(&text[start..end]);
            expected = field + 1;
        }
        at = scan::space(bytes, end);
        if bytes.get(at) != Some(&b',') {
            break;
        }
        at = scan::space(bytes, at + 1);
    }
    members
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

/// The value that a JSON token stands for; strings with escapes are written to `unescaped`.
/// `None` if a string's escapes make no text.
fn json_value<'a>(raw: &'a str, unescaped: &'a mut String) -> Option<Value<'a>> {
    let value = |kind, text| Some(Value { kind, text });
    match raw.as_bytes().first()? {
        b'"' if raw.contains('\\') => {
            *unescaped = serde_json::from_str(raw).ok()?;
            value(Kind::Text, unescaped.as_str())
        }
        b'"' => value(Kind::Text, &raw[1..raw.len() - 1]),
        b'{' | b'[' => value(Kind::Nested, raw),
        b't' => value(Kind::True, raw),
        b'f' => value(Kind::False, raw),
        b'n' => value(Kind::Null, raw),
        _ => value(Kind::Number, raw),
    }
}

fn unreadable(raw: &str) -> Box<Fault> {
    fault(
        Value {
            kind: Kind::Nested,
            text: raw,
        },
        &DataType::Utf8,
        Problem::NotOne,
    )
}
