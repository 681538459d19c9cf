//! Changes as rows with columns that say when and by how much.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::error::SinkError;
use crate::plan::Output;

/// The column of the epoch up to which a row's change is told.
const EPOCH: &str = "_epoch";
/// The column of how often a row is added; negative if it is taken back.
const DIFF: &str = "_diff";
/// The column of the view's name, where views are told together.
const VIEW: &str = "_view";

/// Makes rows of a view's changes.
pub(super) struct ChangeRows {
    schema: SchemaRef,
    /// The view's name, if rows have it.
    view: Option<String>,
}

impl ChangeRows {
    /// For a view; `with_view` says whether rows have its name.
    ///
    /// # Errors
    ///
    /// If the view has columns of the same names.
    pub(super) fn new(output: &Output, with_view: bool) -> Result<ChangeRows, SinkError> {
        let name = &output.view.name;
        let reserved = [
            (EPOCH, "the epoch of a change"),
            (DIFF, "how often a row is added"),
            (VIEW, "the view's name"),
        ];
        let clash = reserved
            .iter()
            .find(|(column, _)| output.schema.column_with_name(column).is_some());
        if let Some(&(column, meaning)) = clash {
            return Err(SinkError::ReservedColumn {
                view: name.clone(),
                column,
                meaning,
            });
        }
        let mut fields: Vec<FieldRef> = Vec::new();
        if with_view {
            fields.push(Arc::new(Field::new(VIEW, DataType::Utf8, false)));
        }
        fields.push(Arc::new(Field::new(EPOCH, DataType::UInt64, false)));
        fields.push(Arc::new(Field::new(DIFF, DataType::Int64, false)));
        fields.extend(output.schema.fields().iter().cloned());
        Ok(ChangeRows {
            schema: Arc::new(Schema::new(fields)),
            view: with_view.then(|| name.clone()),
        })
    }

    /// The columns.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows of some changes.
    ///
    /// # Errors
    ///
    /// If the changes are not the view's.
    pub(super) fn rows(
        &self,
        (batch, diffs): &(RecordBatch, Vec<i64>),
        epoch: u64,
    ) -> Result<RecordBatch, ArrowError> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        if let Some(view) = &self.view {
            columns.push(Arc::new(StringArray::from_iter_values(
                std::iter::repeat_n(view, diffs.len()),
            )));
        }
        columns.push(Arc::new(UInt64Array::from_value(epoch, diffs.len())));
        columns.push(Arc::new(Int64Array::from(diffs.clone())));
        columns.extend(batch.columns().iter().cloned());
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}
