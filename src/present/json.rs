//! Rows as JSON, straight from Arrow columns into bytes: one form for answers over HTTP, followers,
//! webhooks and files.
//!
//! Numbers are numbers, except where a reader would make another number of them: decimals are exact
//! text (`"12.50"`), so are whole numbers beyond 2^53 - 1, and floats that JSON cannot say (`"NaN"`).
//! Times are RFC 3339 in UTC, `"2024-05-01T12:00:00.123Z"` with only the digits they need. Nulls are
//! written. Nothing is allocated a value: this is what a point read spends its time on.

use std::io::{self, Write};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal128Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::Serialize;

use super::slices;
use crate::calendar::civil;

/// The greatest number up to which a reader that has only floats (RFC 8259, section 6) tells all
/// whole numbers apart.
const LARGEST_SAFE: u64 = (1 << 53) - 1;

/// Appends the value of a row that is not null.
type Push<'a> = Box<dyn Fn(&mut Vec<u8>, usize) + 'a>;

/// Writes the values of one column.
pub struct Values<'a> {
    array: &'a dyn Array,
    push: Push<'a>,
}

impl<'a> Values<'a> {
    /// Prepares to write a column.
    pub fn new(array: &'a dyn Array) -> Values<'a> {
        let push = pusher(array);
        Values { array, push }
    }

    /// Whether the value is null.
    pub fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row)
    }

    /// Appends a value.
    pub fn push(&self, out: &mut Vec<u8>, row: usize) {
        match self.array.is_null(row) {
            true => out.extend_from_slice(b"null"),
            false => (self.push)(out, row),
        }
    }
}

/// Writes the rows of one batch as objects.
pub struct Rows<'a> {
    /// `"name":` and the column's values.
    columns: Vec<(Vec<u8>, Values<'a>)>,
    count: usize,
}

impl<'a> Rows<'a> {
    /// Prepares to write a batch.
    pub fn new(batch: &'a RecordBatch) -> Rows<'a> {
        let schema = batch.schema_ref().fields().iter();
        let columns = schema.zip(batch.columns()).map(|(field, array)| {
            let mut name = Vec::new();
            push(&mut name, field.name());
            name.push(b':');
            (name, Values::new(array.as_ref()))
        });
        Rows {
            columns: columns.collect(),
            count: batch.num_rows(),
        }
    }

    /// Appends one row.
    pub fn push(&self, out: &mut Vec<u8>, row: usize) {
        out.push(b'{');
        for (position, (name, values)) in self.columns.iter().enumerate() {
            if position > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name);
            values.push(out, row);
        }
        out.push(b'}');
    }

    /// Appends all rows as an array.
    pub fn push_all(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for row in 0..self.count {
            if row > 0 {
                out.push(b',');
            }
            self.push(out, row);
        }
        out.push(b']');
    }
}

/// Writes a line a row.
///
/// # Errors
/// If `to` cannot be written.
pub fn write_rows(to: &mut dyn Write, rows: &RecordBatch) -> io::Result<()> {
    let mut lines = Vec::new();
    for slice in slices(rows) {
        let written = Rows::new(&slice);
        for row in 0..slice.num_rows() {
            written.push(&mut lines, row);
            lines.push(b'\n');
        }
        to.write_all(&lines)?;
        lines.clear();
    }
    Ok(())
}

/// Appends anything that serde can write.
pub fn push(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(out, value).expect("memory takes any JSON");
}

/// Appends a time in nanoseconds since the Unix epoch, or null.
pub fn push_time(out: &mut Vec<u8>, nanoseconds: Option<i64>) {
    match nanoseconds {
        Some(nanoseconds) => push_timestamp(out, i128::from(nanoseconds)),
        None => out.extend_from_slice(b"null"),
    }
}

/// A time in milliseconds since the Unix epoch as the contract writes it, without quotes.
pub fn time_text(milliseconds: i64) -> String {
    let mut text = Vec::with_capacity(26);
    push_timestamp(&mut text, i128::from(milliseconds) * 1_000_000);
    let inside = text[1..text.len() - 1].to_vec();
    String::from_utf8(inside).expect("times are ASCII")
}

fn pusher<'a>(array: &'a dyn Array) -> Push<'a> {
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(move |out, row| push(out, &values.value(row)))
        }
        DataType::Int8 => number::<Int8Type>(array),
        DataType::Int16 => number::<Int16Type>(array),
        DataType::Int32 => number::<Int32Type>(array),
        DataType::Int64 => {
            let values = array.as_primitive::<Int64Type>().values();
            Box::new(move |out, row| {
                let is_safe = values[row].unsigned_abs() <= LARGEST_SAFE;
                push_whole(out, &values[row], is_safe);
            })
        }
        DataType::UInt8 => number::<UInt8Type>(array),
        DataType::UInt16 => number::<UInt16Type>(array),
        DataType::UInt32 => number::<UInt32Type>(array),
        DataType::UInt64 => {
            let values = array.as_primitive::<UInt64Type>().values();
            Box::new(move |out, row| push_whole(out, &values[row], values[row] <= LARGEST_SAFE))
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().values();
            Box::new(move |out, row| match values[row].is_finite() {
                true => push(out, &values[row]),
                false => push_special(out, f64::from(values[row])),
            })
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().values();
            Box::new(move |out, row| match values[row].is_finite() {
                true => push(out, &values[row]),
                false => push_special(out, values[row]),
            })
        }
        DataType::Decimal128(_, scale) => {
            let values = array.as_primitive::<Decimal128Type>().values();
            let scale = *scale;
            Box::new(move |out, row| push_decimal(out, values[row], scale))
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            Box::new(move |out, row| push(out, values.value(row)))
        }
        DataType::LargeUtf8 => {
            let values = array.as_string::<i64>();
            Box::new(move |out, row| push(out, values.value(row)))
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            Box::new(move |out, row| push(out, values.value(row)))
        }
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>().values();
            Box::new(move |out, row| push_date(out, i64::from(values[row])))
        }
        DataType::Date64 => {
            let values = array.as_primitive::<Date64Type>().values();
            Box::new(move |out, row| push_date(out, values[row].div_euclid(86_400_000)))
        }
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => timestamp::<TimestampSecondType>(array, 1_000_000_000),
            TimeUnit::Millisecond => timestamp::<TimestampMillisecondType>(array, 1_000_000),
            TimeUnit::Microsecond => timestamp::<TimestampMicrosecondType>(array, 1000),
            TimeUnit::Nanosecond => timestamp::<TimestampNanosecondType>(array, 1),
        },
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let (offsets, items) = (lists.value_offsets(), Values::new(lists.values().as_ref()));
            Box::new(move |out, row| {
                let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
                push_list(out, &items, from, to);
            })
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            let (offsets, items) = (lists.value_offsets(), Values::new(lists.values().as_ref()));
            Box::new(move |out, row| {
                let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
                push_list(out, &items, from, to);
            })
        }
        DataType::Struct(fields) => {
            let names = fields.iter().map(|field| field.name().as_str());
            let columns = array.as_struct().columns().iter();
            let fields: Vec<(&str, Values<'a>)> = names
                .zip(columns.map(|column| Values::new(column.as_ref())))
                .collect();
            Box::new(move |out, row| push_struct(out, &fields, row))
        }
        _ => as_text(array),
    }
}

fn number<'a, T>(array: &'a dyn Array) -> Push<'a>
where
    T: ArrowPrimitiveType,
    T::Native: Serialize,
{
    let values = array.as_primitive::<T>().values();
    Box::new(move |out, row| push(out, &values[row]))
}

fn timestamp<'a, T>(array: &'a dyn Array, nanoseconds: i128) -> Push<'a>
where
    T: ArrowPrimitiveType<Native = i64>,
{
    let values = array.as_primitive::<T>().values();
    Box::new(move |out, row| push_timestamp(out, i128::from(values[row]) * nanoseconds))
}

/// A value of a type that JSON has no form for: as text.
fn as_text<'a>(array: &'a dyn Array) -> Push<'a> {
    const OPTIONS: FormatOptions<'static> = FormatOptions::new().with_display_error(true);
    match ArrayFormatter::try_new(array, &OPTIONS) {
        Ok(formatter) => Box::new(move |out, row| push(out, &formatter.value(row).to_string())),
        Err(_) => Box::new(|out, _| out.extend_from_slice(b"null")),
    }
}

fn push_list(out: &mut Vec<u8>, items: &Values<'_>, from: usize, to: usize) {
    out.push(b'[');
    for item in from..to {
        if item > from {
            out.push(b',');
        }
        items.push(out, item);
    }
    out.push(b']');
}

fn push_struct(out: &mut Vec<u8>, fields: &[(&str, Values<'_>)], row: usize) {
    out.push(b'{');
    for (position, (name, values)) in fields.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        push(out, *name);
        out.push(b':');
        values.push(out, row);
    }
    out.push(b'}');
}

fn push_whole(out: &mut Vec<u8>, value: &impl Serialize, is_safe: bool) {
    match is_safe {
        true => push(out, value),
        false => {
            out.push(b'"');
            push(out, value);
            out.push(b'"');
        }
    }
}

fn push_special(out: &mut Vec<u8>, value: f64) {
    let text: &[u8] = match value {
        value if value.is_nan() => b"\"NaN\"",
        value if value > 0.0 => b"\"Infinity\"",
        _ => b"\"-Infinity\"",
    };
    out.extend_from_slice(text);
}

/// Appends a decimal with exactly as many digits after the point as its type has.
fn push_decimal(out: &mut Vec<u8>, value: i128, scale: i8) {
    // The longest: 39 digits, and a scale of at most 38 before or after them.
    let mut digits = [b'0'; 80];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    // 64-bit division is several times as fast, and nearly all values are that small.
    while rest > u128::from(u64::MAX) {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let mut rest = rest as u64;
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let fraction = usize::from(scale.max(0).unsigned_abs());
    // One digit stands before the point whatever the value.
    at = at.min(digits.len() - fraction - 1);
    let point = digits.len() - fraction;
    out.push(b'"');
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..point]);
    if scale < 0 && value != 0 {
        out.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs())));
    }
    if fraction > 0 {
        out.push(b'.');
        out.extend_from_slice(&digits[point..]);
    }
    out.push(b'"');
}

/// Appends a date given in days since the Unix epoch.
fn push_date(out: &mut Vec<u8>, days: i64) {
    out.push(b'"');
    push_civil(out, days);
    out.push(b'"');
}

fn push_timestamp(out: &mut Vec<u8>, nanoseconds: i128) {
    const DAY_NS: i128 = 86_400_000_000_000;
    let days = nanoseconds.div_euclid(DAY_NS) as i64;
    let in_day = nanoseconds.rem_euclid(DAY_NS) as u64;
    let (seconds, mut fraction) = (in_day / 1_000_000_000, in_day % 1_000_000_000);
    out.push(b'"');
    push_civil(out, days);
    out.push(b'T');
    push_two(out, seconds / 3600);
    out.push(b':');
    push_two(out, seconds / 60 % 60);
    out.push(b':');
    push_two(out, seconds % 60);
    if fraction > 0 {
        let mut digits = [b'0'; 9];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (fraction % 10) as u8;
            fraction /= 10;
        }
        let last = digits.iter().rposition(|digit| *digit != b'0');
        out.push(b'.');
        out.extend_from_slice(&digits[..last.map_or(0, |last| last + 1)]);
    }
    out.extend_from_slice(b"Z\"");
}

/// Appends year, month and day of a day since the Unix epoch.
fn push_civil(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil(days);
    match year {
        0..=9999 => {
            push_two(out, year as u64 / 100);
            push_two(out, year as u64 % 100);
        }
        _ => write!(out, "{year:+05}").expect("memory takes any text"),
    }
    out.push(b'-');
    push_two(out, month.into());
    out.push(b'-');
    push_two(out, day.into());
}

fn push_two(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&[b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]);
}
