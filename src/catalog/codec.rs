//! A view's rows as bytes in the order in which the view shows them, and back.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

use crate::delta::Diff;
use crate::plan::Output;
use crate::row::{RowCodec, Rows};

/// Encodes a view's rows such that their order is the order in which they are shown.
pub(super) struct ViewCodec {
    codec: RowCodec,
    /// The view's columns in the order in which they are encoded.
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl ViewCodec {
    /// The codec of a plan's output.
    ///
    /// # Errors
    ///
    /// If a column is of a type that cannot be kept.
    pub(super) fn new(output: &Output) -> Result<Self, ArrowError> {
        let mut columns: Vec<(usize, SortOptions)> = output.order.clone();
        for column in 0..output.schema.fields().len() {
            if columns.iter().all(|(other, _)| *other != column) {
                columns.push((column, SortOptions::default()));
            }
        }
        let data_type =
            |column: usize| -> DataType { output.schema.field(column).data_type().clone() };
        let codec = RowCodec::with_order(
            columns
                .iter()
                .map(|(column, options)| (data_type(*column), *options)),
        )?;
        let columns = columns.into_iter().map(|(column, _)| column).collect();
        Ok(ViewCodec {
            codec,
            columns,
            schema: output.schema.clone(),
        })
    }

    /// The view's columns.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A batch's rows.
    pub(super) fn encode(&self, batch: &RecordBatch) -> Rows {
        self.codec
            .encode(&self.in_order(batch), batch.num_rows())
            .expect("rows are of the view's types")
    }

    /// A batch's rows with their hashes before them.
    pub(super) fn encode_hashed(&self, batch: &RecordBatch) -> Rows {
        self.codec
            .encode_keys(&self.in_order(batch), batch.num_rows())
            .expect("rows are of the view's types")
    }

    fn in_order(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        let column = |column: &usize| batch.column(*column).clone();
        self.columns.iter().map(column).collect()
    }

    /// Rows without hashes, as columns.
    pub(super) fn decode<'a>(
        &'a self,
        rows: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> RecordBatch {
        let count = rows.len();
        let decoded = self
            .codec
            .decode(rows)
            .expect("rows are of the codec's making");
        let mut columns: Vec<Option<ArrayRef>> = vec![None; self.columns.len()];
        for (column, array) in self.columns.iter().zip(decoded) {
            columns[*column] = Some(array);
        }
        let columns = columns.into_iter().flatten().collect();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .expect("decoded rows fit the view's schema")
    }
}

/// Sorts rows and adds up those that are equal; drops those that cancel out.
pub(super) fn consolidate<R: Ord>(mut rows: Vec<(R, Diff)>) -> Vec<(R, Diff)> {
    rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut kept: Vec<(R, Diff)> = Vec::with_capacity(rows.len());
    for (row, diff) in rows {
        match kept.last_mut() {
            Some(last) if last.0 == row => last.1 += diff,
            _ => kept.push((row, diff)),
        }
    }
    kept.retain(|(_, diff)| *diff != 0);
    kept
}
