//! The types of columns.
//!
//! SQL types flow in; Arrow types flow out. The spellings are those that DataFusion's planner maps
//! to the same Arrow types in a CAST, so that a column and a cast agree. An array is written
//! `type[]` or `ARRAY<type>`, a structure `STRUCT<name type, ...>`; both nest.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo, StructField, TimezoneInfo,
};

use super::fault::near;
use super::reader::Name;

/// What `DECIMAL` without precision and scale means, as in DataFusion.
const DEFAULT_DECIMAL: (u8, i8) = (38, 10);

/// The most digits that a DECIMAL has.
const MAX_DIGITS: u64 = 38;

const SUPPORTED: &str = "the types are BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, REAL, DOUBLE, \
     DECIMAL(precision, scale), TEXT, DATE, TIMESTAMP, type[] and STRUCT<name type, ...>";

const SPELLINGS: [&str; 20] = [
    "BOOLEAN",
    "BOOL",
    "TINYINT",
    "SMALLINT",
    "INT",
    "INTEGER",
    "BIGINT",
    "REAL",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "NUMERIC",
    "TEXT",
    "VARCHAR",
    "STRING",
    "DATE",
    "TIMESTAMP",
    "ARRAY",
    "STRUCT",
    "UUID",
];

/// What is wrong with a type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TypeFault {
    pub(super) message: String,
    pub(super) help: String,
}

/// The Arrow type for a SQL type.
pub(super) fn arrow_type(sql: &SqlType) -> Result<DataType, TypeFault> {
    use ExactNumberInfo::None as Plain;
    Ok(match sql {
        SqlType::Boolean | SqlType::Bool => DataType::Boolean,
        SqlType::TinyInt(None) => DataType::Int8,
        SqlType::SmallInt(None) | SqlType::Int2(None) => DataType::Int16,
        SqlType::Int(None) | SqlType::Integer(None) | SqlType::Int4(None) => DataType::Int32,
        SqlType::BigInt(None) | SqlType::Int8(None) => DataType::Int64,
        SqlType::Real | SqlType::Float4 | SqlType::Float(Plain) => DataType::Float32,
        SqlType::Double(Plain) | SqlType::DoublePrecision | SqlType::Float8 => DataType::Float64,
        SqlType::Text
        | SqlType::Varchar(None)
        | SqlType::String(None)
        | SqlType::CharacterVarying(None)
        | SqlType::CharVarying(None) => DataType::Utf8,
        SqlType::Date => DataType::Date32,
        SqlType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            DataType::Timestamp(TimeUnit::Nanosecond, None)
        }
        SqlType::Decimal(digits) | SqlType::Numeric(digits) | SqlType::Dec(digits) => {
            decimal(*digits)?
        }
        SqlType::Array(
            ArrayElemTypeDef::AngleBracket(element)
            | ArrayElemTypeDef::SquareBracket(element, None),
        ) => DataType::List(Arc::new(Field::new("item", arrow_type(element)?, true))),
        SqlType::Struct(fields, _) if !fields.is_empty() => structure(fields)?,
        other => {
            return Err(TypeFault {
                message: format!("type {other} is not supported"),
                help: instead_of(other),
            });
        }
    })
}

fn decimal(digits: ExactNumberInfo) -> Result<DataType, TypeFault> {
    let (precision, scale) = match digits {
        ExactNumberInfo::None => {
            return Ok(DataType::Decimal128(DEFAULT_DECIMAL.0, DEFAULT_DECIMAL.1));
        }
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    if !(1..=MAX_DIGITS).contains(&precision) {
        return Err(TypeFault {
            message: format!("a DECIMAL cannot have {precision} digits"),
            help: format!("write a precision from 1 to {MAX_DIGITS}"),
        });
    }
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(digits), Ok(places)) if (0..=i64::from(digits)).contains(&scale) => {
            Ok(DataType::Decimal128(digits, places))
        }
        _ => Err(TypeFault {
            message: format!(
                "a DECIMAL of {precision} digits cannot have {scale} of them after the point"
            ),
            help: format!("write a scale from 0 to {precision}"),
        }),
    }
}

fn structure(fields: &[StructField]) -> Result<DataType, TypeFault> {
    let mut members: Vec<Field> = Vec::with_capacity(fields.len());
    for field in fields {
        let Some(name) = field.field_name.as_ref().map(|ident| Name::new(ident).text) else {
            return Err(TypeFault {
                message: format!("a field of type {} has no name", field.field_type),
                help: "write STRUCT<name type, ...>".to_string(),
            });
        };
        if members.iter().any(|member| member.name() == &name) {
            return Err(TypeFault {
                message: format!("the structure has two fields `{name}`"),
                help: "give one of them another name".to_string(),
            });
        }
        members.push(Field::new(name, arrow_type(&field.field_type)?, true));
    }
    Ok(DataType::Struct(Fields::from(members)))
}

/// What to write instead of a type that is not supported.
fn instead_of(sql: &SqlType) -> String {
    let spelled = sql.to_string().to_uppercase();
    let word = spelled
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .unwrap_or_default();
    match sql {
        SqlType::Timestamp(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
            return "write TIMESTAMP: times with an offset are read as UTC".to_string();
        }
        SqlType::Array(ArrayElemTypeDef::SquareBracket(_, Some(_))) => {
            return "write [] without a number: an array has any length".to_string();
        }
        SqlType::Struct(..) => return "write STRUCT<name type, ...>".to_string(),
        SqlType::Custom(name, _) => {
            return match near(&name.to_string(), SPELLINGS) {
                Some(near) if near != "UUID" => format!("write {near}; {SUPPORTED}"),
                _ => SUPPORTED.to_string(),
            };
        }
        _ => {}
    }
    if spelled.contains("UNSIGNED") || word.starts_with("UINT") || word.starts_with("UBIGINT") {
        return "write BIGINT, or DECIMAL(20, 0) for numbers beyond it".to_string();
    }
    match word {
        "TIMESTAMP" | "DATETIME" | "TIMESTAMP_NTZ" | "DATETIME64" => {
            "write TIMESTAMP: it keeps nanoseconds".to_string()
        }
        "TINYINT" | "SMALLINT" | "INT" | "INTEGER" | "BIGINT" | "INT2" | "INT4" | "INT8"
        | "DOUBLE" | "FLOAT" => format!("write {word} without a number"),
        "VARCHAR" | "CHAR" | "CHARACTER" | "NVARCHAR" | "STRING" | "CLOB" | "TINYTEXT"
        | "MEDIUMTEXT" | "LONGTEXT" | "FIXEDSTRING" => {
            "write TEXT: the length of a text is not checked".to_string()
        }
        "JSON" | "JSONB" => {
            "write STRUCT<name type, ...> with the fields that views need, or reach into it with \
             the table option fields = 'column = outer.inner'"
                .to_string()
        }
        "UUID" | "ENUM" | "SET" => "write TEXT".to_string(),
        "MEDIUMINT" | "INT32" => "write INT".to_string(),
        "INT16" => "write SMALLINT".to_string(),
        "INT64" | "LONG" => "write BIGINT".to_string(),
        "FLOAT32" => "write REAL".to_string(),
        "FLOAT64" => "write DOUBLE".to_string(),
        "DATE32" => "write DATE".to_string(),
        "TIME" => "write TEXT, or TIMESTAMP if it has a date".to_string(),
        _ => SUPPORTED.to_string(),
    }
}
