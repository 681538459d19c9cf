//! Floating-point numbers as PostgreSQL writes them.
//!
//! The shortest digits that read back as the same number, with an exponent where that has 15 digits or
//! more (`real`: 6), or below 0.0001 (PostgreSQL documentation, 8.1.3; `%g` in its source). The
//! library that writes rows has texts of its own for these, which drivers do not all read.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema};
use arrow::error::ArrowError;
use datafusion_postgres::pgwire::api::results::{FieldFormat, FieldInfo};

/// The digits before the point from which on an exponent is written.
const DOUBLE_DIGITS: i32 = 15;
const REAL_DIGITS: i32 = 6;

/// The same rows, with floating-point numbers as texts where the client wants texts.
///
/// # Errors
/// If a number of half the precision cannot be widened.
pub(super) fn as_text(batch: RecordBatch, fields: &[FieldInfo]) -> Result<RecordBatch, ArrowError> {
    let is_text = |place: usize, data_type: &DataType| {
        let wanted = fields.get(place).map(FieldInfo::format);
        wanted == Some(FieldFormat::Text) && data_type.is_floating()
    };
    let schema = batch.schema();
    let mut places = schema.fields().iter().enumerate();
    if !places.any(|(place, field)| is_text(place, field.data_type())) {
        return Ok(batch);
    }
    let mut changed = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (place, (field, column)) in schema.fields().iter().zip(batch.columns()).enumerate() {
        if is_text(place, field.data_type()) {
            changed.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(texts(column)?);
        } else {
            changed.push(Arc::clone(field));
            columns.push(Arc::clone(column));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(changed)), columns, &options)
}

fn texts(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let texts: StringArray = match column.as_primitive_opt::<Float64Type>() {
        Some(doubles) => {
            let text = |value: f64| text(value, &format!("{value}|{value:e}"), DOUBLE_DIGITS);
            doubles.iter().map(|value| value.map(text)).collect()
        }
        None => {
            let reals = cast(column, &DataType::Float32)?;
            let reals = reals.as_primitive::<Float32Type>();
            let text =
                |value: f32| text(f64::from(value), &format!("{value}|{value:e}"), REAL_DIGITS);
            reals.iter().map(|value| value.map(text)).collect()
        }
    };
    Ok(Arc::new(texts))
}

/// A number's text, out of those without and with an exponent, which a bar sets apart.
fn text(value: f64, both: &str, digits: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let (plain, scientific) = both.split_once('|').unwrap_or((both, both));
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value == 0.0 || (-4..digits).contains(&exponent) {
        return plain.to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}
