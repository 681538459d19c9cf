//! Rows that an expression cannot be evaluated for, as rows of `tillrace.rejects`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::decode::{REJECT_TEXT_BYTES, Reject};
use crate::delta::{Delta, Diff, Time};
use crate::plan::rejects_schema;

/// The rejects of a block, which was read at a time in nanoseconds since the Unix epoch.
pub fn of_block(
    input: &str,
    table: &str,
    file: &str,
    rejects: &[Reject],
    read_time: i64,
) -> RecordBatch {
    let same = |text: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
            text,
            rejects.len(),
        )))
    };
    let positions = rejects
        .iter()
        .map(|reject| i64::try_from(reject.position).unwrap_or(i64::MAX));
    let columns: Vec<ArrayRef> = vec![
        same(input),
        same(table),
        same(file),
        Arc::new(Int64Array::from_iter_values(positions)),
        Arc::new(StringArray::from_iter_values(
            rejects.iter().map(|reject| &reject.reason),
        )),
        Arc::new(StringArray::from_iter_values(
            rejects.iter().map(|reject| &reject.text),
        )),
        Arc::new(TimestampNanosecondArray::from_value(
            read_time,
            rejects.len(),
        )),
    ];
    RecordBatch::try_new(rejects_schema(), columns).expect("reject columns fit their schema")
}

/// Failed rows of a view: reason, the row's text, and its diff.
pub(super) fn of_rows(views: &[String], rows: &[(String, String, Diff)], time: Time) -> Delta {
    let prefix = match views {
        [view] => format!("view {view}: "),
        views => format!("views {}: ", views.join(", ")),
    };
    let count = rows.len();
    let columns: Vec<ArrayRef> = vec![
        new_null_array(&DataType::Utf8, count),
        new_null_array(&DataType::Utf8, count),
        new_null_array(&DataType::Utf8, count),
        new_null_array(&DataType::Int64, count),
        Arc::new(StringArray::from_iter_values(
            rows.iter()
                .map(|(reason, _, _)| format!("{prefix}{reason}")),
        )),
        Arc::new(StringArray::from_iter_values(
            rows.iter().map(|(_, record, _)| record),
        )),
        // A row that is taken back must be the one that was added, whenever that was.
        new_null_array(&DataType::Timestamp(TimeUnit::Nanosecond, None), count),
    ];
    let batch =
        RecordBatch::try_new(rejects_schema(), columns).expect("reject columns fit their schema");
    Delta::new(batch, rows.iter().map(|(_, _, diff)| *diff).collect(), time)
}

/// A row as `name=value` pairs, cut to a bearable length.
pub(super) fn describe(batch: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::default().with_null("null");
    let mut text = String::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(field.name());
        text.push('=');
        match ArrayFormatter::try_new(column, &options) {
            Ok(formatter) => text.push_str(&formatter.value(row).to_string()),
            Err(_) => text.push('?'),
        }
    }
    if text.len() > REJECT_TEXT_BYTES {
        let cut = (0..=REJECT_TEXT_BYTES)
            .rev()
            .find(|at| text.is_char_boundary(*at));
        text.truncate(cut.unwrap_or(0));
    }
    text
}
