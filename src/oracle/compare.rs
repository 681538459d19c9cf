//! Whether two answers are the same rows, in whatever order.
//!
//! Floating-point values are equal if they differ by no more than rounding does: the batch answer
//! adds in another order than the maintained one. NaN equals NaN. Everything else is equal only if
//! it is the same. A float is therefore no good as a key to find a row by: rows are first brought
//! side by side by all of their other columns, and only rows that agree there are matched by their
//! floats.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{
    DECIMAL256_MAX_PRECISION, DataType, Field, Float16Type, Float32Type, Float64Type, Schema,
};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use crate::present::cell::Column;

/// By how much two floats may differ, relative to the greater of them.
const RELATIVE_TOLERANCE: f64 = 1e-9;

/// By how much two floats may always differ: what rounding leaves of a sum that should be zero.
const ABSOLUTE_TOLERANCE: f64 = 1e-12;

/// The first row that one answer has and the other has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The answers do not have the same columns.
    Columns {
        /// The columns of the batch answer, with their types.
        expected: String,
        /// The columns of the maintained answer.
        found: String,
    },
    /// The answers do not have the same rows.
    Rows {
        /// A row of the batch answer that the maintained one lacks.
        expected: Option<String>,
        /// The row of the maintained answer that is most like it and is in surplus.
        found: Option<String>,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |row: &Option<String>| row.clone().unwrap_or_else(|| "no such row".to_owned());
        match self {
            Difference::Columns { expected, found } => {
                write!(f, "expected columns {expected}\n   found columns {found}")
            }
            Difference::Rows { expected, found } => {
                write!(f, "expected {}\n   found {}", row(expected), row(found))
            }
        }
    }
}

/// Compares two answers as multisets of rows.
///
/// # Errors
/// If a column's type can be neither compared nor shown.
pub fn compare(
    expected: &RecordBatch,
    found: &RecordBatch,
) -> Result<Option<Difference>, ArrowError> {
    if columns(expected) != columns(found) {
        let (expected, found) = (columns(expected).join(", "), columns(found).join(", "));
        return Ok(Some(Difference::Columns { expected, found }));
    }
    let types: Vec<DataType> = expected
        .columns()
        .iter()
        .zip(found.columns())
        .map(|(expected, found)| common_type(expected.data_type(), found.data_type()))
        .collect();
    let (expected, found) = (&in_types(expected, &types)?, &in_types(found, &types)?);
    let sides = Sides::new(expected, found, &types)?;
    let (missing, surplus) = sides.unmatched();
    let first = match (missing.first(), surplus.first()) {
        (None, None) => return Ok(None),
        (missing, None) => (missing.copied(), None),
        (None, surplus) => (None, surplus.copied()),
        (Some(missing), Some(_)) => (Some(*missing), sides.most_like(*missing, &surplus)),
    };
    let show = |batch, row: Option<usize>| row.map(|row| show_row(batch, row)).transpose();
    Ok(Some(Difference::Rows {
        expected: show(expected, first.0)?,
        found: show(found, first.1)?,
    }))
}

/// A row as `column=value, ...`.
///
/// # Errors
/// If a column's type cannot be shown.
pub fn show_row(batch: &RecordBatch, row: usize) -> Result<String, ArrowError> {
    let columns = Column::of_batch(batch)?;
    let schema = batch.schema();
    let value = |column: &Column| match column.is_null(row) {
        true => "NULL".to_owned(),
        false => column.text(row),
    };
    let cells = schema.fields().iter().zip(&columns);
    let cells: Vec<String> = cells
        .map(|(field, column)| format!("{}={}", field.name(), value(column)))
        .collect();
    Ok(cells.join(", "))
}

fn columns(batch: &RecordBatch) -> Vec<String> {
    let schema = batch.schema();
    let fields = schema.fields().iter();
    fields
        .map(|field| format!("{} {}", field.name(), type_name(field.data_type())))
        .collect()
}

/// A type as far as it matters to an answer: without the names and nullability of the fields inside
/// it, and without a decimal's digits, which depend on how far a query was rewritten.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::List(item) => format!("List({})", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|field| type_name(field.data_type()))
                .collect();
            format!("Struct({})", fields.join(", "))
        }
        other if other.is_decimal() => "Decimal".to_owned(),
        other => format!("{other}"),
    }
}

/// The type in which both sides' values of a column are compared.
fn common_type(expected: &DataType, found: &DataType) -> DataType {
    match (expected, found) {
        (DataType::Decimal128(_, a), DataType::Decimal128(_, b)) => {
            DataType::Decimal256(DECIMAL256_MAX_PRECISION, *a.max(b))
        }
        _ => expected.clone(),
    }
}

/// Two answers prepared for matching: the exact columns of both as comparable rows.
struct Sides<'a> {
    expected: &'a RecordBatch,
    found: &'a RecordBatch,
    expected_rows: Rows,
    found_rows: Rows,
    /// Positions of the columns that hold floats somewhere.
    inexact: Vec<usize>,
    /// The order of rows by the exact columns, then by the inexact ones.
    expected_order: Vec<usize>,
    found_order: Vec<usize>,
}

impl<'a> Sides<'a> {
    fn new(
        expected: &'a RecordBatch,
        found: &'a RecordBatch,
        types: &[DataType],
    ) -> Result<Self, ArrowError> {
        let (inexact, exact): (Vec<usize>, Vec<usize>) =
            (0..types.len()).partition(|column| holds_float(&types[*column]));
        let (expected_rows, expected_order) = encode(expected, types, &exact, &inexact)?;
        let (found_rows, found_order) = encode(found, types, &exact, &inexact)?;
        Ok(Self {
            expected,
            found,
            expected_rows,
            found_rows,
            inexact,
            expected_order,
            found_order,
        })
    }

    /// The rows of either side that have no partner on the other.
    fn unmatched(&self) -> (Vec<usize>, Vec<usize>) {
        let (mut missing, mut surplus) = (Vec::new(), Vec::new());
        let (mut left, mut right) = (self.expected_order.as_slice(), self.found_order.as_slice());
        while let (Some(&expected), Some(&found)) = (left.first(), right.first()) {
            let key = self
                .expected_rows
                .row(expected)
                .min(self.found_rows.row(found));
            let left_run = left
                .iter()
                .take_while(|row| self.expected_rows.row(**row) == key);
            let right_run = right
                .iter()
                .take_while(|row| self.found_rows.row(**row) == key);
            let (left_group, left_rest) = left.split_at(left_run.count());
            let (right_group, right_rest) = right.split_at(right_run.count());
            self.match_group(left_group, right_group, &mut missing, &mut surplus);
            (left, right) = (left_rest, right_rest);
        }
        missing.extend(left);
        surplus.extend(right);
        (missing, surplus)
    }

    /// Matches rows that agree in all exact columns by their floats: pair by pair in order, and if
    /// rounding has changed the order, each with any that is close enough.
    fn match_group(
        &self,
        expected: &[usize],
        found: &[usize],
        missing: &mut Vec<usize>,
        surplus: &mut Vec<usize>,
    ) {
        let in_order = expected.len() == found.len()
            && expected
                .iter()
                .zip(found)
                .all(|(expected, found)| self.close(*expected, *found));
        if in_order {
            return;
        }
        let mut left_over = found.to_vec();
        for row in expected {
            match left_over.iter().position(|other| self.close(*row, *other)) {
                Some(partner) => drop(left_over.remove(partner)),
                None => missing.push(*row),
            }
        }
        surplus.extend(left_over);
    }

    fn close(&self, expected: usize, found: usize) -> bool {
        self.inexact
            .iter()
            .all(|column| self.close_in(*column, expected, found))
    }

    fn close_in(&self, column: usize, expected: usize, found: usize) -> bool {
        values_close(
            self.expected.column(column),
            expected,
            self.found.column(column),
            found,
        )
    }

    /// The surplus row that shares most columns with a missing row.
    fn most_like(&self, missing: usize, surplus: &[usize]) -> Option<usize> {
        let shared = |row: usize| {
            let columns = 0..self.expected.num_columns();
            columns
                .filter(|column| self.close_in(*column, missing, row))
                .count()
        };
        // The first of the best, so that the answer does not depend on how many come after.
        surplus.iter().copied().rev().max_by_key(|row| shared(*row))
    }
}

fn encode(
    batch: &RecordBatch,
    types: &[DataType],
    exact: &[usize],
    inexact: &[usize],
) -> Result<(Rows, Vec<usize>), ArrowError> {
    let exact_rows = rows(batch, types, exact)?;
    let inexact_rows = rows(batch, types, inexact)?;
    let mut order: Vec<usize> = (0..batch.num_rows()).collect();
    order.sort_by(|a, b| {
        let by_exact = exact_rows.row(*a).cmp(&exact_rows.row(*b));
        by_exact.then_with(|| inexact_rows.row(*a).cmp(&inexact_rows.row(*b)))
    });
    Ok((exact_rows, order))
}

fn rows(batch: &RecordBatch, types: &[DataType], columns: &[usize]) -> Result<Rows, ArrowError> {
    if columns.is_empty() {
        // A converter without columns forgets how many rows there were.
        let nothing: ArrayRef = arrow::array::new_null_array(&DataType::Null, batch.num_rows());
        return RowConverter::new(vec![SortField::new(DataType::Null)])?
            .convert_columns(&[nothing]);
    }
    let fields = columns
        .iter()
        .map(|column| SortField::new(types[*column].clone()))
        .collect();
    let arrays: Vec<ArrayRef> = columns
        .iter()
        .map(|column| batch.column(*column).clone())
        .collect();
    RowConverter::new(fields)?.convert_columns(&arrays)
}

/// A batch with its columns cast to these types.
fn in_types(batch: &RecordBatch, types: &[DataType]) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(types);
    let fields: Vec<Field> = fields
        .map(|(field, kind)| Field::new(field.name(), kind.clone(), true))
        .collect();
    let arrays = batch.columns().iter().zip(types);
    let arrays = arrays.map(|(array, data_type)| cast(array, data_type));
    let arrays = arrays.collect::<Result<Vec<ArrayRef>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
}

fn holds_float(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) => holds_float(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| holds_float(field.data_type())),
        other => other.is_floating(),
    }
}

fn values_close(expected: &ArrayRef, row: usize, found: &ArrayRef, other: usize) -> bool {
    match (expected.is_null(row), found.is_null(other)) {
        (true, true) => return true,
        (false, false) => {}
        _ => return false,
    }
    match expected.data_type() {
        DataType::List(_) => {
            let expected = expected.as_list::<i32>().value(row);
            let found = found.as_list::<i32>().value(other);
            expected.len() == found.len()
                && (0..expected.len()).all(|i| values_close(&expected, i, &found, i))
        }
        DataType::Struct(_) => {
            let fields = expected
                .as_struct()
                .columns()
                .iter()
                .zip(found.as_struct().columns());
            fields
                .into_iter()
                .all(|(a, b)| values_close(a, row, b, other))
        }
        DataType::Float16 => floats_close(
            expected.as_primitive::<Float16Type>().value(row).to_f64(),
            found.as_primitive::<Float16Type>().value(other).to_f64(),
        ),
        DataType::Float32 => floats_close(
            f64::from(expected.as_primitive::<Float32Type>().value(row)),
            f64::from(found.as_primitive::<Float32Type>().value(other)),
        ),
        DataType::Float64 => floats_close(
            expected.as_primitive::<Float64Type>().value(row),
            found.as_primitive::<Float64Type>().value(other),
        ),
        _ => expected.slice(row, 1).to_data() == found.slice(other, 1).to_data(),
    }
}

/// Whether two floats are equal but for rounding.
pub fn floats_close(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let difference = (a - b).abs();
    difference <= ABSOLUTE_TOLERANCE
        || (difference.is_finite() && difference <= RELATIVE_TOLERANCE * a.abs().max(b.abs()))
}
