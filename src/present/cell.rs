//! Values as people read them.
//!
//! Arrow columns flow in, text flows out: the same text in tables, CSV files and messages. A
//! timestamp is `2023-10-01 12:34:56`, with a fraction only if it has one; a null is empty; a list
//! is `["a", "b"]`.

use std::fmt::Write;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// How timestamps are written in every output.
pub const TIMESTAMP_FORMAT: &str = "%Y-%m-%d %H:%M:%S%.f";

const PLAIN: FormatOptions<'static> = FormatOptions::new()
    .with_display_error(true)
    .with_timestamp_format(Some(TIMESTAMP_FORMAT));

const NESTED: FormatOptions<'static> = PLAIN
    .with_null("null")
    .with_quoted_strings(true)
    .with_types_info(false);

/// Writes the values of one column.
pub struct Column<'a> {
    array: &'a dyn Array,
    formatter: ArrayFormatter<'a>,
}

impl<'a> Column<'a> {
    /// Prepares to write a column.
    ///
    /// # Errors
    /// If values of its type have no text.
    pub fn new(array: &'a dyn Array) -> Result<Self, ArrowError> {
        let options = if array.data_type().is_nested() {
            &NESTED
        } else {
            &PLAIN
        };
        Ok(Self {
            array,
            formatter: ArrayFormatter::try_new(array, options)?,
        })
    }

    /// Prepares to write every column of a batch.
    ///
    /// # Errors
    /// If values of some column's type have no text.
    pub fn of_batch(batch: &'a RecordBatch) -> Result<Vec<Self>, ArrowError> {
        batch
            .columns()
            .iter()
            .map(|array| Column::new(array.as_ref()))
            .collect()
    }

    /// Whether the value is null, which has no text.
    pub fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row)
    }

    /// Appends a value's text; nothing for a null.
    pub fn push_to(&self, text: &mut String, row: usize) {
        if !self.is_null(row) {
            write!(text, "{}", self.formatter.value(row)).expect("a String takes any text");
        }
    }

    /// A value's text; empty for a null.
    pub fn text(&self, row: usize) -> String {
        let mut text = String::new();
        self.push_to(&mut text, row);
        text
    }
}

/// Whether values of a type are read by their size, so that they are aligned to the right.
pub fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// Replaces line breaks and other control characters, which would break a table or worse, by
/// their escapes.
pub fn escape_controls(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}
