//! Arrow arrays to the types of a table's columns.
//!
//! Conversions that keep every value go through Arrow's cast. Those that could round or that depend
//! on how a value is written go through its text, so that the same values are taken and refused
//! as from JSON and CSV. Times with a zone become UTC.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, PrimitiveArray, StructArray, new_null_array,
};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Fields, Float64Type, TimeUnit};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::decode::column::{Absent, Context, column};
use crate::decode::fault::{Fault, fault};
use crate::decode::number::Problem;
use crate::decode::slot::{Kind, Value};

/// What is wrong with rows, and with which columns.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(usize, String)>);

impl Faults {
    pub(super) fn add(&mut self, row: usize, column: &str, fault: &Fault) {
        self.0.push((row, fault.reason(column)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first fault of each row, rows ascending.
    pub(super) fn by_row(mut self) -> Vec<(usize, String)> {
        self.0.sort_by_key(|&(row, _)| row);
        self.0.dedup_by_key(|&mut (row, _)| row);
        self.0
    }
}

/// The types do not convert.
#[derive(Debug)]
pub(super) struct Unconvertible;

impl From<ArrowError> for Unconvertible {
    fn from(_: ArrowError) -> Self {
        Unconvertible
    }
}

/// The array as one of the target type; values that do not fit are null and told of.
pub(super) fn convert(
    array: &ArrayRef,
    target: &DataType,
    context: Context,
    refuse: &mut dyn FnMut(usize, Box<Fault>),
) -> Result<ArrayRef, Unconvertible> {
    use DataType as T;
    let source = array.data_type();
    match (source, target) {
        _ if source == target => Ok(Arc::clone(array)),
        (T::Null, _) => Ok(new_null_array(target, array.len())),
        (T::Dictionary(_, values), _) => convert(&cast(array, values)?, target, context, refuse),
        (T::Timestamp(unit, Some(_)), _) => {
            // Without its zone a time keeps the moment that it stands for.
            let utc = cast(array, &T::Timestamp(*unit, Some("UTC".into())))?;
            let plain = cast(&utc, &T::Timestamp(*unit, None))?;
            convert(&plain, target, context, refuse)
        }
        (T::Struct(_), T::Struct(fields)) => convert_struct(array, fields, context, refuse),
        (T::LargeList(item) | T::FixedSizeList(item, _), T::List(_)) => convert(
            &cast(array, &T::List(Arc::clone(item)))?,
            target,
            context,
            refuse,
        ),
        (T::List(_), T::List(item)) => convert_list(array, item, context, refuse),
        _ if source.is_nested() || target.is_nested() && !is_text(source) => Err(Unconvertible),
        (T::Float64, T::Decimal128(precision, scale)) => {
            match short_decimals(array.as_primitive(), *precision, *scale) {
                Some(decimals) => Ok(Arc::new(decimals)),
                None => through_text(array, target, context, refuse),
            }
        }
        _ if keeps_values(source, target) => checked_cast(array, target, refuse),
        _ => through_text(array, target, context, refuse),
    }
}

/// Takes a struct's fields by name; fields that are not there are null.
fn convert_struct(
    array: &ArrayRef,
    fields: &Fields,
    context: Context,
    refuse: &mut dyn FnMut(usize, Box<Fault>),
) -> Result<ArrayRef, Unconvertible> {
    let outer = array.as_struct();
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        let Some(inner) = outer.column_by_name(field.name()) else {
            columns.push(new_null_array(field.data_type(), array.len()));
            continue;
        };
        let mut refuse = |row: usize, fault: Box<Fault>| {
            // What a null struct hides is no fault.
            if outer.is_valid(row) {
                refuse(row, fault.inside(format_args!(".{}", field.name())));
            }
        };
        columns.push(convert(inner, field.data_type(), context, &mut refuse)?);
    }
    let nulls = outer.nulls().cloned();
    Ok(Arc::new(StructArray::try_new(
        fields.clone(),
        columns,
        nulls,
    )?))
}

fn convert_list(
    array: &ArrayRef,
    item: &FieldRef,
    context: Context,
    refuse: &mut dyn FnMut(usize, Box<Fault>),
) -> Result<ArrayRef, Unconvertible> {
    let list = array.as_list::<i32>();
    let offsets = list.offsets();
    let mut refuse = |at: usize, fault: Box<Fault>| {
        // The last row whose items begin at or before this one; none for items of no row.
        let Some(row) = offsets
            .partition_point(|&start| start as usize <= at)
            .checked_sub(1)
        else {
            return;
        };
        if row < list.len() && list.is_valid(row) {
            let index = at - offsets[row] as usize;
            refuse(row, fault.inside(format_args!("[{index}]")));
        }
    };
    let items = convert(list.values(), item.data_type(), context, &mut refuse)?;
    let (item, nulls) = (Arc::clone(item), list.nulls().cloned());
    Ok(Arc::new(ListArray::try_new(
        item,
        offsets.clone(),
        items,
        nulls,
    )?))
}

/// The decimals that floats are written as, if all of them have at most 15 digits, as they nearly
/// always do: such a decimal is the only one of so many digits that rounds to its float.
fn short_decimals(
    floats: &PrimitiveArray<Float64Type>,
    precision: u8,
    scale: i8,
) -> Option<PrimitiveArray<Decimal128Type>> {
    const EXACT: f64 = 1e15;
    /// Powers of ten up to this one are floats.
    const MAX_SCALE: i8 = 22;
    if !(0..=MAX_SCALE).contains(&scale) {
        return None;
    }
    let unit = 10_f64.powi(i32::from(scale));
    let limit = EXACT.min(10_f64.powi(i32::from(precision)));
    let mut decimals = Vec::with_capacity(floats.len());
    for (row, &float) in floats.values().iter().enumerate() {
        let digits = (float * unit).round();
        let exact = digits.abs() < limit && digits / unit == float;
        if !exact && floats.is_valid(row) {
            return None;
        }
        decimals.push(if exact { digits as i128 } else { 0 });
    }
    let decimals = PrimitiveArray::new(decimals.into(), floats.nulls().cloned());
    Some(decimals.with_data_type(DataType::Decimal128(precision, scale)))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// Whether Arrow's cast gives either the same value or null.
fn keeps_values(source: &DataType, target: &DataType) -> bool {
    use DataType as T;
    match (source, target) {
        (T::Binary | T::LargeBinary | T::BinaryView, T::Utf8) => true,
        (_, T::Utf8) => is_text(source) || source.is_integer() || source == &T::Date32,
        (_, T::Decimal128(..)) if source.is_integer() => true,
        (T::Decimal128(_, from), T::Decimal128(_, to)) => from <= to,
        (_, T::Float64) => source.is_integer() || source == &T::Float32 || source == &T::Float16,
        (_, T::Float32) => source.is_integer() || source == &T::Float16,
        (T::Timestamp(_, None), T::Timestamp(TimeUnit::Nanosecond, None) | T::Date32) => true,
        (T::Date32 | T::Date64, T::Timestamp(TimeUnit::Nanosecond, None)) => true,
        (T::Date64, T::Date32) => true,
        _ => source.is_integer() && target.is_integer(),
    }
}

fn checked_cast(
    array: &ArrayRef,
    target: &DataType,
    refuse: &mut dyn FnMut(usize, Box<Fault>),
) -> Result<ArrayRef, Unconvertible> {
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    let result = cast_with_options(array, target, &options)?;
    if result.logical_null_count() > array.logical_null_count() {
        let format = FormatOptions::default();
        let formatter = ArrayFormatter::try_new(array, &format)?;
        for row in (0..array.len()).filter(|&row| result.is_null(row) && array.is_valid(row)) {
            let text = formatter.value(row).to_string();
            let value = Value {
                kind: Kind::Number,
                text: &text,
            };
            refuse(row, fault(value, target, Problem::OutOfRange));
        }
    }
    Ok(result)
}

/// Converts value by value, as if each had been read from text.
fn through_text(
    array: &ArrayRef,
    target: &DataType,
    context: Context,
    refuse: &mut dyn FnMut(usize, Box<Fault>),
) -> Result<ArrayRef, Unconvertible> {
    let field = Field::new("", target.clone(), true);
    let mut builder = column(&field, Absent::Null, context).ok_or(Unconvertible)?;
    let text_kind = match array.data_type() {
        DataType::Boolean => None,
        data_type if data_type.is_numeric() => Some(Kind::Number),
        _ => Some(Kind::Text),
    };
    let format = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array, &format)?;
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_placeholder();
            continue;
        }
        let text = formatter.value(row).try_to_string()?;
        let kind = match text_kind {
            Some(kind) => kind,
            None if text == "true" => Kind::True,
            None => Kind::False,
        };
        if let Err(fault) = builder.append(Value { kind, text: &text }) {
            refuse(row, fault);
        }
    }
    Ok(builder.finish())
}
