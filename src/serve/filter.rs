//! Which rows a client asks for: conditions on columns, typed and vectorised.
//!
//! Text from a query string flows in; a [`Filter`] holds the value in the column's type, or the
//! client is told what does not fit. A comparison with null is never true, as in SQL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, Scalar, StringArray};
use arrow::compute::kernels::cmp;
use arrow::compute::{
    CastOptions, and, cast, cast_with_options, ilike, is_not_null, is_null, like, or,
    prep_null_mask_filter,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;

use super::problem::{Problem, shortened};
use crate::decode::sql_type;
use crate::script::near;

/// A condition on one column.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    column: usize,
    test: Test,
}

/// What a value must be. Operands are arrays of one element of the column's type.
#[derive(Debug, Clone)]
enum Test {
    IsNull(bool),
    Compare(Comparison, ArrayRef),
    Like(ArrayRef),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The conditions that a query string can state of a column, by the ending of its name.
const ENDINGS: [(&str, Comparison); 6] = [
    ("eq", Comparison::Equal),
    ("ne", Comparison::Unequal),
    ("lt", Comparison::Less),
    ("le", Comparison::LessOrEqual),
    ("gt", Comparison::Greater),
    ("ge", Comparison::GreaterOrEqual),
];

impl Filter {
    /// A condition as a query string states it: `column=value`, `column.ge=value`.
    ///
    /// # Errors
    /// If there is no such column or condition, or the value is none of the column's type.
    pub(super) fn parse(schema: &Schema, key: &str, value: &str) -> Result<Filter, Problem> {
        if let Ok(column) = schema.index_of(key) {
            return Filter::compare(schema, column, Comparison::Equal, value);
        }
        let Some((name, ending)) = key.rsplit_once('.') else {
            return Err(no_column(schema, key));
        };
        let column = column_of(schema, name)?;
        let field = schema.field(column);
        match ending {
            "is" => {
                let test = match value {
                    "null" => Test::IsNull(true),
                    "not_null" => Test::IsNull(false),
                    _ => {
                        let message = format!("\"{}\" is `null` or `not_null`", shortened(key));
                        return Err(Problem::bad("bad_filter", message));
                    }
                };
                Ok(Filter { column, test })
            }
            "like" if *field.data_type() == DataType::Utf8 => {
                let pattern: ArrayRef = Arc::new(StringArray::from(vec![value]));
                let test = Test::Like(pattern);
                Ok(Filter { column, test })
            }
            "like" => {
                let kind = sql_type(field.data_type());
                let message = format!("column \"{name}\" is a {kind}; `like` needs TEXT");
                Err(Problem::bad("bad_filter", message))
            }
            _ => {
                let known = ENDINGS.iter().find(|(known, _)| *known == ending);
                let Some((_, comparison)) = known else {
                    let message = format!(
                        "\"{}\" is no condition; use .eq .ne .lt .le .gt .ge .like or .is",
                        shortened(key)
                    );
                    return Err(Problem::bad("bad_filter", message));
                };
                Filter::compare(schema, column, *comparison, value)
            }
        }
    }

    fn compare(
        schema: &Schema,
        column: usize,
        comparison: Comparison,
        value: &str,
    ) -> Result<Filter, Problem> {
        let operand = operand(schema.field(column), value)?;
        let test = Test::Compare(comparison, operand);
        Ok(Filter { column, test })
    }

    /// The column and value of an equality that an index can answer.
    pub(super) fn indexable(&self) -> Option<(usize, &ArrayRef)> {
        match &self.test {
            // The bytes of a row tell zero from minus zero.
            Test::Compare(Comparison::Equal, value) if !value.data_type().is_floating() => {
                Some((self.column, value))
            }
            _ => None,
        }
    }

    fn evaluate(&self, rows: &RecordBatch) -> Result<BooleanArray, ArrowError> {
        let column = rows.column(self.column);
        let (comparison, operand) = match &self.test {
            Test::IsNull(true) => return is_null(column),
            Test::IsNull(false) => return is_not_null(column),
            Test::Like(pattern) => return like(column, &Scalar::new(pattern)),
            Test::Compare(comparison, operand) => (comparison, Scalar::new(operand)),
        };
        match comparison {
            Comparison::Equal => cmp::eq(column, &operand),
            Comparison::Unequal => cmp::neq(column, &operand),
            Comparison::Less => cmp::lt(column, &operand),
            Comparison::LessOrEqual => cmp::lt_eq(column, &operand),
            Comparison::Greater => cmp::gt(column, &operand),
            Comparison::GreaterOrEqual => cmp::gt_eq(column, &operand),
        }
    }
}

/// For each row whether it meets all conditions; `None` if there are none.
///
/// # Errors
/// If a comparison fails.
pub(super) fn evaluate(
    filters: &[Filter],
    rows: &RecordBatch,
) -> Result<Option<BooleanArray>, ArrowError> {
    let mut all: Option<BooleanArray> = None;
    for filter in filters {
        let mask = without_nulls(filter.evaluate(rows)?);
        all = Some(match all {
            Some(all) => and(&all, &mask)?,
            None => mask,
        });
    }
    Ok(all)
}

/// A mask in which nulls are false.
fn without_nulls(mask: BooleanArray) -> BooleanArray {
    match mask.null_count() {
        0 => mask,
        _ => prep_null_mask_filter(&mask),
    }
}

/// For each row whether the text of one of its values contains a text, whatever the case.
///
/// # Errors
/// If a comparison fails.
pub(super) fn containing(rows: &RecordBatch, text: &str) -> Result<BooleanArray, ArrowError> {
    let mut escaped = String::with_capacity(text.len() + 2);
    escaped.push('%');
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped.push('%');
    let pattern = Scalar::new(StringArray::from(vec![escaped]));
    let mut found = BooleanArray::from(vec![false; rows.num_rows()]);
    for column in rows.columns() {
        if column.data_type().is_nested() {
            continue;
        }
        let texts = cast(column, &DataType::Utf8)?;
        found = or(&found, &without_nulls(ilike(&texts, &pattern)?))?;
    }
    Ok(found)
}

/// A column by its name.
pub(super) fn column_of(schema: &Schema, name: &str) -> Result<usize, Problem> {
    schema.index_of(name).map_err(|_| no_column(schema, name))
}

fn no_column(schema: &Schema, name: &str) -> Problem {
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let near = near(name, names.collect::<Vec<_>>());
    Problem::unknown("unknown_column", "column", name, near)
        .status(axum::http::StatusCode::BAD_REQUEST)
}

/// A value in the column's type, as an array of one element.
///
/// # Errors
/// If the value is none of the column's type, or rows cannot be chosen by it.
pub(super) fn operand(field: &Field, value: &str) -> Result<ArrayRef, Problem> {
    const STRICT: CastOptions<'static> = CastOptions {
        safe: false,
        format_options: arrow::util::display::FormatOptions::new(),
    };
    let (name, data_type) = (field.name(), field.data_type());
    let kind = sql_type(data_type);
    if data_type.is_nested() {
        let message = format!("column \"{name}\" is a {kind}, by which rows cannot be chosen");
        return Err(Problem::bad("bad_filter", message));
    }
    let text: ArrayRef = Arc::new(StringArray::from(vec![value]));
    let refused = || {
        let value = shortened(value);
        let message = format!("column \"{name}\" is a {kind}; \"{value}\" is none");
        Problem::bad("bad_value", message).with("column", name.as_str())
    };
    if let DataType::Decimal128(_, scale) = data_type {
        let digits = value.split_once('.').map_or("", |(_, fraction)| fraction);
        let is_plain = !value.contains(['e', 'E']);
        let digits = digits.trim_end_matches('0').len();
        if is_plain && digits > usize::from(scale.max(&0).unsigned_abs()) {
            let message = format!(
                "column \"{name}\" is a {kind}; \"{}\" has more digits after the point",
                shortened(value)
            );
            return Err(Problem::bad("bad_value", message).with("column", name.as_str()));
        }
    }
    let typed = cast_with_options(&text, data_type, &STRICT).map_err(|_| refused())?;
    match typed.is_null(0) {
        true => Err(refused()),
        false => Ok(typed),
    }
}
