//! Values to Arrow columns: what each type accepts.
//!
//! | type | accepts |
//! |---|---|
//! | TEXT | strings; numbers, booleans, objects and arrays as they are written |
//! | integers | whole numbers, also `17850.0` and `1e3`, and such text |
//! | DECIMAL | numbers and such text, exactly; surplus digits after the point must be zeros |
//! | DOUBLE, REAL | numbers and such text, rounded to the nearest |
//! | BOOLEAN | `true`, `false`, 1, 0, and such text |
//! | DATE | `YYYY-MM-DD`, or a time, of which the day by UTC is taken |
//! | TIMESTAMP | see [`super::time`]; numbers, and such text, in the table's `time_unit` |
//! | lists, structs | arrays, objects, and text that holds one; see [`super::nested`] |
//!
//! Blanks around a number, a boolean or a time in text do not matter.
//!
//! A value that its column does not accept leaves a placeholder behind, so that columns stay
//! aligned; its row is then taken out of the batch.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, BooleanBufferBuilder, NullBufferBuilder,
    PrimitiveArray, StringBuilder,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimeUnit as ArrowTimeUnit, TimestampNanosecondType,
};

use super::fault::{Fault, absent_fault, fault};
use super::nested::{ListColumn, StructColumn, read_token};
use super::number::{self, Problem};
use super::slot::{Cells, Kind, Value};
use super::time;
use crate::script::TimeUnit;

/// Builds one column.
pub(super) trait Column: Send {
    /// Adds a value; if it does not fit, a placeholder.
    fn append(&mut self, value: Value<'_>) -> Result<(), Box<Fault>>;

    /// Adds the value at a place in well-formed JSON; gives the place behind it, or `None` if
    /// there is no value.
    fn read(&mut self, json: &str, at: usize) -> Option<(usize, Result<(), Box<Fault>>)> {
        read_token(self, json, at)
    }

    /// Adds a null, or any value if the column has no nulls.
    fn append_placeholder(&mut self);

    /// Ends the array; the next one begins.
    fn finish(&mut self) -> ArrayRef;

    /// Adds a value a row; tells the rows whose values do not fit.
    /// Sets the time that stands for a missing event time, in nanoseconds since the Unix epoch.
    fn set_read_time(&mut self, _nanos: i64) {}

    fn extend(&mut self, cells: &Cells<'_>, refuse: &mut dyn FnMut(usize, Box<Fault>)) {
        cells.for_each(|row, value| {
            if let Err(fault) = self.append(value) {
                refuse(row, fault);
            }
        });
    }
}

/// What stands for a value that a record lacks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Absent {
    /// Null.
    Null,
    /// Nothing: the record is refused.
    Refuse,
    /// The time at which it was read, in nanoseconds since the Unix epoch.
    At(i64),
}

/// What all columns of a table share.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Context {
    pub(super) time_unit: TimeUnit,
}

/// A builder for a field, or `None` if its type is not one that tables have.
pub(super) fn column(field: &Field, absent: Absent, context: Context) -> Option<Box<dyn Column>> {
    let data_type = field.data_type();
    let column: Box<dyn Column> = match data_type {
        DataType::Utf8 => Box::new(Text {
            builder: StringBuilder::new(),
            absent,
        }),
        DataType::Boolean => Box::new(Boolean::new(absent)),
        DataType::Int8 => primitive(Whole::<Int8Type>::default(), data_type, absent),
        DataType::Int16 => primitive(Whole::<Int16Type>::default(), data_type, absent),
        DataType::Int32 => primitive(Whole::<Int32Type>::default(), data_type, absent),
        DataType::Int64 => primitive(Whole::<Int64Type>::default(), data_type, absent),
        DataType::Float32 => primitive(Float32, data_type, absent),
        DataType::Float64 => primitive(Float64, data_type, absent),
        DataType::Decimal128(precision, scale) => {
            let limit = number::power_of_ten(usize::from(*precision))?;
            let scale = u8::try_from(*scale).ok()?;
            primitive(Decimal { limit, scale }, data_type, absent)
        }
        DataType::Date32 => primitive(Date, data_type, absent),
        DataType::Timestamp(ArrowTimeUnit::Nanosecond, None) => {
            let reader = Timestamp {
                unit: context.time_unit,
                last: time::Minute::default(),
            };
            primitive(reader, data_type, absent)
        }
        DataType::List(item) => Box::new(ListColumn::new(item, absent, context)?),
        DataType::Struct(fields) => Box::new(StructColumn::new(fields, absent, context)?),
        _ => return None,
    };
    Some(column)
}

/// The text of a value that may have blanks around it.
#[inline]
fn trimmed<'a>(value: &Value<'a>) -> &'a [u8] {
    let text = value.text.as_bytes();
    match value.kind {
        Kind::Text => text.trim_ascii(),
        _ => text,
    }
}

/// Room for as much as a length and some more.
fn spacious(length: usize) -> usize {
    length + length / 16
}

struct Text {
    builder: StringBuilder,
    absent: Absent,
}

impl Column for Text {
    #[inline]
    fn append(&mut self, value: Value<'_>) -> Result<(), Box<Fault>> {
        if !matches!(value.kind, Kind::Missing | Kind::Null) {
            self.builder.append_value(value.text);
            return Ok(());
        }
        self.append_placeholder();
        match self.absent {
            Absent::Null => Ok(()),
            Absent::Refuse | Absent::At(_) => Err(absent_fault(value.kind)),
        }
    }

    fn append_placeholder(&mut self) {
        match self.absent {
            Absent::Null => self.builder.append_null(),
            Absent::Refuse | Absent::At(_) => self.builder.append_value(""),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        let array = self.builder.finish();
        // The next block is most likely of the same kind.
        let bytes = array.value_data().len();
        self.builder = StringBuilder::with_capacity(spacious(array.len()), spacious(bytes));
        Arc::new(array)
    }
}

struct Boolean {
    values: BooleanBufferBuilder,
    nulls: NullBufferBuilder,
    absent: Absent,
}

impl Boolean {
    fn new(absent: Absent) -> Boolean {
        Boolean {
            values: BooleanBufferBuilder::new(0),
            nulls: NullBufferBuilder::new(0),
            absent,
        }
    }

    fn read(value: &Value<'_>) -> Option<bool> {
        match (value.kind, trimmed(value)) {
            (Kind::True, _) | (_, b"1") => Some(true),
            (Kind::False, _) | (_, b"0") => Some(false),
            (Kind::Text, text) if text.eq_ignore_ascii_case(b"true") => Some(true),
            (Kind::Text, text) if text.eq_ignore_ascii_case(b"false") => Some(false),
            _ => None,
        }
    }
}

impl Column for Boolean {
    fn append(&mut self, value: Value<'_>) -> Result<(), Box<Fault>> {
        if matches!(value.kind, Kind::Missing | Kind::Null) {
            self.append_placeholder();
            return match self.absent {
                Absent::Null => Ok(()),
                Absent::Refuse | Absent::At(_) => Err(absent_fault(value.kind)),
            };
        }
        let Some(read) = Boolean::read(&value) else {
            self.append_placeholder();
            return Err(fault(value, &DataType::Boolean, Problem::NotOne));
        };
        self.values.append(read);
        self.nulls.append_non_null();
        Ok(())
    }

    fn append_placeholder(&mut self) {
        self.values.append(false);
        self.nulls.append(!matches!(self.absent, Absent::Null));
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(BooleanArray::new(self.values.finish(), self.nulls.finish()))
    }
}

/// How a value of a fixed-size type is read.
trait Reader: Send {
    type Arrow: ArrowPrimitiveType;

    fn read(
        &mut self,
        value: &Value<'_>,
    ) -> Result<<Self::Arrow as ArrowPrimitiveType>::Native, Problem>;

    /// The value of a moment, in nanoseconds since the Unix epoch.
    fn moment(&self, _nanos: i64) -> Option<<Self::Arrow as ArrowPrimitiveType>::Native> {
        None
    }
}

struct Primitive<R: Reader> {
    reader: R,
    data_type: DataType,
    values: Vec<<R::Arrow as ArrowPrimitiveType>::Native>,
    nulls: NullBufferBuilder,
    absent: Absent,
}

fn primitive<R: Reader + 'static>(
    reader: R,
    data_type: &DataType,
    absent: Absent,
) -> Box<dyn Column> {
    let (values, nulls) = (Vec::new(), NullBufferBuilder::new(0));
    Box::new(Primitive {
        reader,
        data_type: data_type.clone(),
        values,
        nulls,
        absent,
    })
}

impl<R: Reader> Primitive<R> {
    fn append_absent(&mut self, kind: Kind) -> Result<(), Box<Fault>> {
        if let Absent::At(nanos) = self.absent
            && let Some(value) = self.reader.moment(nanos)
        {
            self.values.push(value);
            self.nulls.append_non_null();
            return Ok(());
        }
        self.append_placeholder();
        match self.absent {
            Absent::Null => Ok(()),
            Absent::Refuse | Absent::At(_) => Err(absent_fault(kind)),
        }
    }
}

impl<R: Reader> Column for Primitive<R> {
    fn set_read_time(&mut self, nanos: i64) {
        if let Absent::At(at) = &mut self.absent {
            *at = nanos;
        }
    }

    #[inline]
    fn append(&mut self, value: Value<'_>) -> Result<(), Box<Fault>> {
        if matches!(value.kind, Kind::Missing | Kind::Null) {
            return self.append_absent(value.kind);
        }
        match self.reader.read(&value) {
            Ok(read) => {
                self.values.push(read);
                self.nulls.append_non_null();
                Ok(())
            }
            Err(problem) => {
                self.append_placeholder();
                Err(fault(value, &self.data_type, problem))
            }
        }
    }

    fn append_placeholder(&mut self) {
        self.values.push(Default::default());
        self.nulls.append(!matches!(self.absent, Absent::Null));
    }

    fn finish(&mut self) -> ArrayRef {
        let values = std::mem::take(&mut self.values);
        self.values.reserve(spacious(values.len()));
        let array = PrimitiveArray::<R::Arrow>::new(values.into(), self.nulls.finish());
        Arc::new(array.with_data_type(self.data_type.clone()))
    }
}

/// The text of a number, or why it is none.
#[inline]
fn numeric<'a>(value: &Value<'a>) -> Result<&'a [u8], Problem> {
    match value.kind {
        Kind::Number | Kind::Text => Ok(trimmed(value)),
        _ => Err(Problem::NotOne),
    }
}

struct Whole<T>(std::marker::PhantomData<fn() -> T>);

impl<T> Default for Whole<T> {
    fn default() -> Self {
        Whole(std::marker::PhantomData)
    }
}

impl<T> Reader for Whole<T>
where
    T: ArrowPrimitiveType,
    T::Native: TryFrom<i64>,
{
    type Arrow = T;

    #[inline]
    fn read(&mut self, value: &Value<'_>) -> Result<T::Native, Problem> {
        let whole = number::scaled_short(numeric(value)?, 0)?;
        T::Native::try_from(whole).map_err(|_| Problem::OutOfRange)
    }
}

struct Decimal {
    /// Ten to the power of the precision.
    limit: i128,
    scale: u8,
}

impl Reader for Decimal {
    type Arrow = Decimal128Type;

    #[inline]
    fn read(&mut self, value: &Value<'_>) -> Result<i128, Problem> {
        let number = number::scaled(numeric(value)?, self.scale)?;
        if number >= self.limit || number <= -self.limit {
            return Err(Problem::OutOfRange);
        }
        Ok(number)
    }
}

struct Float64;

impl Reader for Float64 {
    type Arrow = Float64Type;

    fn read(&mut self, value: &Value<'_>) -> Result<f64, Problem> {
        numeric(value)?;
        let number: f64 = value
            .text
            .trim_ascii()
            .parse()
            .map_err(|_| Problem::NotOne)?;
        if number.is_infinite() && value.text.contains(|c: char| c.is_ascii_digit()) {
            return Err(Problem::OutOfRange);
        }
        Ok(number)
    }
}

struct Float32;

impl Reader for Float32 {
    type Arrow = Float32Type;

    fn read(&mut self, value: &Value<'_>) -> Result<f32, Problem> {
        numeric(value)?;
        let number: f32 = value
            .text
            .trim_ascii()
            .parse()
            .map_err(|_| Problem::NotOne)?;
        if number.is_infinite() && value.text.contains(|c: char| c.is_ascii_digit()) {
            return Err(Problem::OutOfRange);
        }
        Ok(number)
    }
}

struct Date;

impl Reader for Date {
    type Arrow = Date32Type;

    fn read(&mut self, value: &Value<'_>) -> Result<i32, Problem> {
        match value.kind {
            Kind::Text => time::date(trimmed(value)),
            _ => Err(Problem::NotOne),
        }
    }

    fn moment(&self, nanos: i64) -> Option<i32> {
        i32::try_from(nanos.div_euclid(time::DAY_NS)).ok()
    }
}

struct Timestamp {
    unit: TimeUnit,
    last: time::Minute,
}

impl Reader for Timestamp {
    type Arrow = TimestampNanosecondType;

    #[inline]
    fn read(&mut self, value: &Value<'_>) -> Result<i64, Problem> {
        let text = numeric(value)?;
        if value.kind == Kind::Text && time::looks_like_date(text) {
            return time::timestamp(text, &mut self.last);
        }
        let scale = match self.unit {
            TimeUnit::Seconds => 9,
            TimeUnit::Milliseconds => 6,
            TimeUnit::Microseconds => 3,
            TimeUnit::Nanoseconds => 0,
        };
        number::scaled_short(text, scale)
    }

    fn moment(&self, nanos: i64) -> Option<i64> {
        Some(nanos)
    }
}
