//! Random tables, and values for their columns from small domains, so that rows meet.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    ListBuilder, RecordBatch, StringArray, StringBuilder, TimestampNanosecondArray,
};
use arrow::datatypes::SchemaRef;

use crate::choices::Choices;

/// The types of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Int,
    BigInt,
    Decimal,
    Double,
    Text,
    Bool,
    Date,
    Timestamp,
    Texts,
}

/// What may be a column of any table; the simplest first.
const TYPES: [Type; 9] = [
    Type::Int,
    Type::Text,
    Type::BigInt,
    Type::Decimal,
    Type::Double,
    Type::Bool,
    Type::Date,
    Type::Timestamp,
    Type::Texts,
];

impl Type {
    fn sql(self) -> &'static str {
        match self {
            Type::Int => "INT",
            Type::BigInt => "BIGINT",
            Type::Decimal => "DECIMAL(10, 2)",
            Type::Double => "DOUBLE",
            Type::Text => "TEXT",
            Type::Bool => "BOOLEAN",
            Type::Date => "DATE",
            Type::Timestamp => "TIMESTAMP",
            Type::Texts => "TEXT[]",
        }
    }
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Integer(i64),
    Decimal(i128),
    Double(f64),
    Text(String),
    Bool(bool),
    Texts(Vec<Option<String>>),
}

pub type Row = Vec<Value>;

#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub kind: Type,
    pub not_null: bool,
}

/// How rows of equal identity are treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Rows are added and taken back.
    None,
    /// The first columns are the key; the last says whether the row is gone, if `deleted`.
    Key { columns: usize, deleted: bool },
    /// The first column is the id of which the first row is kept.
    Dedup,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    pub identity: Identity,
}

impl Table {
    pub fn random(name: String, choices: &mut Choices) -> Self {
        let identity = match choices.pick(6) {
            0..=2 => Identity::None,
            3 => Identity::Key {
                columns: 1,
                deleted: choices.one_in(2),
            },
            4 => Identity::Key {
                columns: 2,
                deleted: choices.one_in(2),
            },
            _ => Identity::Dedup,
        };
        let key_columns = match identity {
            Identity::None => 0,
            Identity::Key { columns, .. } => columns,
            Identity::Dedup => 1,
        };
        let mut columns = Vec::new();
        for position in 0..key_columns + 2 + choices.pick(4) {
            let is_key = position < key_columns;
            let types = if is_key { &TYPES[..3] } else { &TYPES[..] };
            let kind = choices.of(types);
            let not_null = is_key || choices.one_in(4);
            columns.push(Column {
                name: format!("c{position}"),
                kind,
                not_null,
            });
        }
        if let Identity::Key { deleted: true, .. } = identity {
            columns.push(Column {
                name: "gone".to_owned(),
                kind: Type::Bool,
                not_null: false,
            });
        }
        Self {
            name,
            columns,
            identity,
        }
    }

    pub fn sql(&self) -> String {
        let column = |column: &Column| {
            let not_null = if column.not_null { " NOT NULL" } else { "" };
            format!("{} {}{not_null}", column.name, column.kind.sql())
        };
        let mut parts: Vec<String> = self.columns.iter().map(column).collect();
        let mut options = "";
        match self.identity {
            Identity::None => {}
            Identity::Key { columns, deleted } => {
                let key: Vec<&str> = self.columns[..columns]
                    .iter()
                    .map(|column| &*column.name)
                    .collect();
                parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
                options = if deleted {
                    " WITH (deleted = 'gone')"
                } else {
                    ""
                };
            }
            Identity::Dedup => options = " WITH (dedup = 'c0')",
        }
        format!(
            "CREATE TABLE {} ({}){options};",
            self.name,
            parts.join(", ")
        )
    }

    pub fn random_row(&self, choices: &mut Choices) -> Row {
        let value = |column: &Column| {
            let mut value = random_value(column.kind, choices);
            if column.name == "gone" && !choices.one_in(4) {
                value = Value::Bool(false);
            }
            if column.not_null && value == Value::Null {
                value = simplest(column.kind);
            }
            value
        };
        self.columns.iter().map(value).collect()
    }

    /// Rows as a batch of the table's schema.
    pub fn batch(&self, schema: SchemaRef, rows: &[Row]) -> RecordBatch {
        let arrays = self.columns.iter().enumerate().map(|(position, column)| {
            array(
                column.kind,
                &rows
                    .iter()
                    .map(|row| row[position].clone())
                    .collect::<Vec<_>>(),
            )
        });
        RecordBatch::try_new(schema, arrays.collect()).expect("rows fit their table")
    }
}

/// 2024-01-31, in days since the Unix epoch: the months around it have 31, 29 and 31 days.
pub const DAY: i64 = 19_753;

const NANOSECONDS_PER_SECOND: i64 = 1_000_000_000;

fn simplest(kind: Type) -> Value {
    match kind {
        Type::Int | Type::BigInt | Type::Date | Type::Timestamp => Value::Integer(0),
        Type::Decimal => Value::Decimal(0),
        Type::Double => Value::Double(0.0),
        Type::Text => Value::Text(String::new()),
        Type::Bool => Value::Bool(false),
        Type::Texts => Value::Texts(Vec::new()),
    }
}

fn random_value(kind: Type, choices: &mut Choices) -> Value {
    if choices.one_in(7) {
        return Value::Null;
    }
    match kind {
        Type::Int => Value::Integer(choices.of(&[1, 0, 2, 3, 4, 5, -1, 7, 1000, -20])),
        Type::BigInt => Value::Integer(choices.of(&[1, 0, 2, 3, -1, 10, 4_000_000_000])),
        Type::Decimal => Value::Decimal(choices.of(&[100, 0, 1, 250, 199, -100, 999_999, -5])),
        Type::Double => {
            let values = [
                1.0,
                0.0,
                0.5,
                2.25,
                -1.75,
                3.0,
                1e6,
                f64::NAN,
                f64::INFINITY,
            ];
            Value::Double(choices.of(&values))
        }
        Type::Text => Value::Text(text(choices)),
        Type::Bool => Value::Bool(choices.one_in(2)),
        Type::Date => Value::Integer(DAY + choices.of(&[0, 1, 2, 29, 30, -31, 366])),
        Type::Timestamp => {
            let seconds = choices.of(&[0, 60, 3_599, 3_600, 86_399, 86_400, -1, 2_678_400]);
            let fraction = choices.of(&[0, 0, 0, 500_000_000, 1]);
            Value::Integer((DAY * 86_400 + seconds) * NANOSECONDS_PER_SECOND + fraction)
        }
        Type::Texts => {
            let length = choices.pick(4);
            let item = |choices: &mut Choices| (!choices.one_in(6)).then(|| text(choices));
            Value::Texts((0..length).map(|_| item(choices)).collect())
        }
    }
}

fn text(choices: &mut Choices) -> String {
    choices
        .of(&["a", "b", "ab", "", "B", "é", "10", "a b"])
        .to_owned()
}

fn array(kind: Type, values: &[Value]) -> ArrayRef {
    let integers = values.iter().map(|value| match value {
        Value::Integer(integer) => Some(*integer),
        _ => None,
    });
    match kind {
        Type::Int => Arc::new(Int32Array::from_iter(integers.map(|i| i.map(|i| i as i32)))),
        Type::BigInt => Arc::new(Int64Array::from_iter(integers)),
        Type::Date => Arc::new(Date32Array::from_iter(
            integers.map(|i| i.map(|i| i as i32)),
        )),
        Type::Timestamp => Arc::new(TimestampNanosecondArray::from_iter(integers)),
        Type::Decimal => {
            let decimals = values.iter().map(|value| match value {
                Value::Decimal(decimal) => Some(*decimal),
                _ => None,
            });
            let array = Decimal128Array::from_iter(decimals);
            Arc::new(
                array
                    .with_precision_and_scale(10, 2)
                    .expect("the type exists"),
            )
        }
        Type::Double => Arc::new(Float64Array::from_iter(values.iter().map(
            |value| match value {
                Value::Double(double) => Some(*double),
                _ => None,
            },
        ))),
        Type::Text => Arc::new(StringArray::from_iter(values.iter().map(
            |value| match value {
                Value::Text(text) => Some(text),
                _ => None,
            },
        ))),
        Type::Bool => Arc::new(BooleanArray::from_iter(values.iter().map(
            |value| match value {
                Value::Bool(bool) => Some(*bool),
                _ => None,
            },
        ))),
        Type::Texts => {
            let mut builder = ListBuilder::new(StringBuilder::new());
            for value in values {
                match value {
                    Value::Texts(texts) => builder.append_value(texts.iter().cloned()),
                    _ => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => write!(f, "NULL"),
            Value::Integer(integer) => write!(f, "{integer}"),
            Value::Decimal(decimal) => write!(f, "{}", *decimal as f64 / 100.0),
            Value::Double(double) => write!(f, "{double:?}"),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Bool(bool) => write!(f, "{bool}"),
            Value::Texts(texts) => write!(f, "{texts:?}"),
        }
    }
}
