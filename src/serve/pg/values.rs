//! The values of a statement's parameters.
//!
//! Bytes and the type that the client says flow in, a value that the session can put in the place
//! of a parameter flows out. A number becomes what its parameter was found to be only where that
//! changes nothing of it: a query that compares a price with 12.345 means that, not 12.35.

use arrow::datatypes::DataType;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion_postgres::arrow_pg::datatypes::df::deserialize_parameters_with_server_types;
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::api::portal::Portal;

use super::fault::{Fault, Trouble};
use crate::session::Described;

/// The values that a client gives, as the session takes them.
///
/// # Errors
/// If a value cannot be read, or is not what a statement that writes can take.
pub(super) fn values(
    portal: &Portal<()>,
    described: &Described,
    types: &[Type],
) -> Result<Vec<ScalarValue>, Trouble> {
    // What the session takes for text may be anything that becomes text.
    let found = |place: usize| {
        let found = described.parameters.get(place);
        found.filter(|found| **found != DataType::Utf8)
    };
    let target = |place: usize| found(place).filter(|found| is_number(&types[place], found));
    let read_as: Vec<Option<&DataType>> = (0..types.len())
        .map(|place| found(place).filter(|_| target(place).is_none()))
        .collect();
    let said: Vec<Option<&Type>> = types.iter().map(Some).collect();
    let values = deserialize_parameters_with_server_types(portal, &read_as, &said)?;
    let ParamValues::List(values) = values else {
        return Err(Fault::new("XX000", "parameters have no names").into());
    };
    let is_query = described.schema.is_some();
    let values = values.into_iter().enumerate();
    let values = values.map(|(place, value)| match target(place) {
        None => Ok(value.value),
        Some(target) => fitted(value.value, target, is_query).ok_or_else(|| {
            let message = format!("the value of ${} does not fit {target}", place + 1);
            Fault::new("22003", message).into()
        }),
    });
    values.collect()
}

/// Whether all values are of the types that their parameters were found to have.
pub(super) fn are_as_found(values: &[ScalarValue], found: &[DataType]) -> bool {
    let mut pairs = values.iter().zip(found);
    pairs.all(|(value, found)| *found == DataType::Utf8 || value.data_type() == *found)
}

/// Whether a client says a number, and the session found one.
fn is_number(said: &Type, found: &DataType) -> bool {
    let numbers = [
        Type::INT2,
        Type::INT4,
        Type::INT8,
        Type::FLOAT4,
        Type::FLOAT8,
        Type::NUMERIC,
    ];
    found.is_numeric() && numbers.contains(said)
}

/// A number as another type if that is exact, else as it is. `None` if it would be cut to an
/// integer when it is written, or does not fit there.
fn fitted(value: ScalarValue, target: &DataType, is_query: bool) -> Option<ScalarValue> {
    if value.is_null() {
        return ScalarValue::try_from(target).ok();
    }
    let value = match value {
        // 0.05 is read as one digit, two of which are behind the point.
        ScalarValue::Decimal128(digits, precision, scale) => {
            let precision = precision.max(scale.unsigned_abs());
            ScalarValue::Decimal128(digits, precision, scale)
        }
        other => other,
    };
    let fitting = value.cast_to(target).ok();
    let is_same = |fitting: &ScalarValue| {
        let back = fitting.cast_to(&value.data_type());
        back.is_ok_and(|back| back == value)
    };
    match fitting.filter(is_same) {
        Some(fitting) => Some(fitting),
        None if is_query || !target.is_integer() => Some(value),
        None => None,
    }
}
