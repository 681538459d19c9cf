//! Which rows of a view are meant: `column=value`, several joined by commas, or a value alone.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, Scalar, StringArray};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{CastOptions, and, cast_with_options, filter_record_batch};
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;

use crate::oracle::compare;
use crate::plan::Output;
use crate::script::near;

/// Why a key means no rows.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The view's answer is not kept.
    #[error("the view has no answer that is kept")]
    NoView,
    /// A column that the view does not have.
    #[error("view \"{view}\" has no column \"{column}\"{}", hint(.near))]
    NoColumn {
        /// The view.
        view: String,
        /// The column.
        column: String,
        /// One of a like name.
        near: Option<String>,
    },
    /// A value that a column cannot have.
    #[error("column \"{column}\" is a {kind}; \"{value}\" is none")]
    BadValue {
        /// The column.
        column: String,
        /// Its type.
        kind: String,
        /// The value.
        value: String,
    },
    /// Rows could not be compared.
    #[error("could not compare rows")]
    Rows(#[from] ArrowError),
}

fn hint(near: &Option<String>) -> String {
    near.as_ref()
        .map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"))
}

/// Values of some columns of a view.
#[derive(Debug, Clone)]
pub struct Key {
    /// Each column's place, and its value as an array of one element.
    values: Vec<(usize, ArrayRef)>,
}

impl Key {
    /// Reads a key of a view. A value alone is that of the column that the view decides by, or of its
    /// first column.
    ///
    /// # Errors
    /// If a column is none, or a value is none of its column's type.
    pub fn parse(output: &Output, text: &str) -> Result<Key, KeyError> {
        let schema = &output.schema;
        let names_column = |part: &str| {
            let name = part.split_once('=').map(|(name, _)| name.trim());
            name.is_some_and(|name| schema.index_of(name).is_ok())
        };
        let parts: Vec<(&str, &str)> = match text.split(',').all(names_column) {
            true => text.split(',').filter_map(|p| p.split_once('=')).collect(),
            false => match (text.split_once('='), output.view.decision_key()) {
                (Some((name, value)), _) => vec![(name, value)],
                (None, Some(column)) => vec![(column, text)],
                (None, None) => vec![(schema.field(0).name().as_str(), text)],
            },
        };
        let value = |(name, value): (&str, &str)| {
            let column = column_of(&output.view.name, schema, name.trim())?;
            Ok((column, typed(schema, column, value.trim())?))
        };
        let values = parts
            .into_iter()
            .map(value)
            .collect::<Result<_, KeyError>>()?;
        Ok(Key { values })
    }

    /// The rows that have these values.
    ///
    /// # Errors
    /// If they cannot be compared.
    pub fn of(&self, rows: &RecordBatch) -> Result<RecordBatch, KeyError> {
        let mut mask = BooleanArray::from(vec![true; rows.num_rows()]);
        for (column, value) in &self.values {
            let same = not_distinct(rows.column(*column), &Scalar::new(Arc::clone(value)))?;
            mask = and(&mask, &same)?;
        }
        Ok(filter_record_batch(rows, &mask)?)
    }
}

fn column_of(view: &str, schema: &Schema, name: &str) -> Result<usize, KeyError> {
    schema.index_of(name).map_err(|_| {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        KeyError::NoColumn {
            view: view.to_owned(),
            column: name.to_owned(),
            near: near(name, names),
        }
    })
}

fn typed(schema: &Schema, column: usize, value: &str) -> Result<ArrayRef, KeyError> {
    const STRICT: CastOptions<'static> = CastOptions {
        safe: false,
        format_options: arrow::util::display::FormatOptions::new(),
    };
    let field = schema.field(column);
    let refused = || KeyError::BadValue {
        column: field.name().clone(),
        kind: crate::decode::sql_type(field.data_type()).into_owned(),
        value: value.to_owned(),
    };
    let text: ArrayRef = Arc::new(match value {
        "NULL" if *field.data_type() != DataType::Utf8 => StringArray::new_null(1),
        value => StringArray::from(vec![value]),
    });
    cast_with_options(&text, field.data_type(), &STRICT).map_err(|_| refused())
}

/// Whether two answers are the same rows.
///
/// # Errors
/// If they cannot be compared.
pub(super) fn same_rows(now: &RecordBatch, then: &RecordBatch) -> Result<bool, ArrowError> {
    if now.num_rows() != then.num_rows() {
        return Ok(false);
    }
    if now.columns() == then.columns() {
        return Ok(true);
    }
    Ok(compare(now, then)?.is_none())
}
