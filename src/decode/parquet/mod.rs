//! Parquet to batches: reads the wanted columns of a row group and converts them ([`convert`]).

mod convert;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{concat_batches, filter, is_not_null};
use arrow::datatypes::{DataType, Field};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

use super::column::{Absent, Context, column};
use super::fault::{absent_fault, sql_type};
use super::slot::{Kind, Value};
use super::text::newest_event_time;
use super::wanted::Wanted;
use super::{DecodeError, Decoded, Reject, Task, reject_text};
use crate::source::{Block, RowGroup};
use convert::{Faults, convert};

/// Decodes row groups of one input.
pub(super) struct ParquetReader {
    task: Task,
    wanted: Wanted,
    /// The file read last, and what its footer says.
    metadata: Option<(Arc<PathBuf>, ArrowReaderMetadata)>,
}

impl ParquetReader {
    pub(super) fn new(task: Task) -> Result<ParquetReader, DecodeError> {
        // Every conversion ends in one of the builders' types.
        task.builders()?;
        let wanted = Wanted::new(task.wanted());
        Ok(ParquetReader {
            task,
            wanted,
            metadata: None,
        })
    }

    /// Makes rows of a row group.
    pub(super) fn decode(
        &mut self,
        block: &Block,
        group: &RowGroup,
    ) -> Result<Decoded, DecodeError> {
        let read = self.read(group);
        let read = read.map_err(|source| DecodeError::Parquet {
            file: Arc::clone(&group.path),
            source,
        })?;
        let mut faults = Faults::default();
        let mut arrays = Vec::with_capacity(self.task.columns.len());
        for position in 0..self.task.columns.len() {
            arrays.push(self.column(&read, position, group, &mut faults)?);
        }
        let positions = (block.offset..block.offset + read.num_rows() as u64).collect();
        self.assemble(&read, arrays, positions, faults)
    }

    /// Reads the columns that the wanted fields lie in.
    fn read(&mut self, group: &RowGroup) -> Result<RecordBatch, ParquetError> {
        let file = File::open(&*group.path)?;
        let metadata = match self.metadata.take() {
            Some((path, metadata)) if path == group.path => metadata,
            _ => ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?,
        };
        self.metadata = Some((Arc::clone(&group.path), metadata.clone()));
        let wanted = |field: &Field| self.wanted.child(Wanted::ROOT, field.name()).is_some();
        let fields = metadata.schema().fields().iter().enumerate();
        let roots = fields.filter(|(_, field)| wanted(field)).map(|(i, _)| i);
        let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);
        let rows = metadata.metadata().row_group(group.index).num_rows();
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
            .with_row_groups(vec![group.index])
            .with_projection(mask)
            .with_batch_size(usize::try_from(rows).unwrap_or_default().max(1))
            .build()?;
        let schema = arrow::array::RecordBatchReader::schema(&reader);
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        match <[RecordBatch; 1]>::try_from(batches) {
            Ok([batch]) => Ok(batch),
            Err(batches) => Ok(concat_batches(&schema, &batches)?),
        }
    }

    /// One column of the table, taken from the first of its fields that has a value.
    fn column(
        &self,
        read: &RecordBatch,
        position: usize,
        group: &RowGroup,
        faults: &mut Faults,
    ) -> Result<ArrayRef, DecodeError> {
        let field = self.task.schema.field(position);
        let mismatch = |found: &DataType| DecodeError::TypeMismatch {
            table: self.task.table.name.clone(),
            column: field.name().clone(),
            data_type: sql_type(field.data_type()).into_owned(),
            found: found.to_string(),
            file: Arc::clone(&group.path),
        };
        let context = Context {
            time_unit: self.task.table.options.time_unit,
        };
        let mut result: Option<ArrayRef> = None;
        let mut found = false;
        for &leaf in self.wanted.column(position) {
            let Some(source) = find(read, self.wanted.path(leaf)) else {
                continue;
            };
            found = true;
            // A value that an earlier field already gave is not looked at.
            let open = match &result {
                Some(result) => {
                    let open = is_null_mask(result);
                    nullify_unless(&source, &open).map_err(|e| self.task.arrow_error(e))?
                }
                None => source,
            };
            let array = convert(&open, field.data_type(), context, &mut |row, fault| {
                faults.add(row, field.name(), &fault);
            })
            .map_err(|_| mismatch(open.data_type()))?;
            result = Some(match result {
                Some(first) => {
                    let there = is_not_null(&first).map_err(|e| self.task.arrow_error(e))?;
                    zip(&there, &first, &array).map_err(|e| self.task.arrow_error(e))?
                }
                None => array,
            });
        }
        let array = result.unwrap_or_else(|| new_null_array(field.data_type(), read.num_rows()));
        match self.task.absent(position) {
            Absent::Null => Ok(array),
            Absent::At(nanos) => self.with_moment(&array, field, nanos),
            Absent::Refuse if !found => Err(self.missing(position, read)),
            Absent::Refuse => {
                for row in (0..array.len()).filter(|&row| array.is_null(row)) {
                    faults.add(row, field.name(), &absent_fault(Kind::Null));
                }
                Ok(array)
            }
        }
    }

    /// The event times, those that are missing replaced by the time of reading.
    fn with_moment(
        &self,
        array: &ArrayRef,
        field: &Field,
        nanos: i64,
    ) -> Result<ArrayRef, DecodeError> {
        let mut moment = column(field, Absent::At(nanos), Context::default())
            .expect("the column's type was checked when the reader was made");
        // A type that no moment fits leaves its placeholder; the builders refuse it for text too.
        let _placed = moment.append(Value::MISSING);
        let moment = arrow::array::Scalar::new(moment.finish());
        let there = is_not_null(array).map_err(|e| self.task.arrow_error(e))?;
        zip(&there, array, &moment).map_err(|e| self.task.arrow_error(e))
    }

    fn missing(&self, position: usize, read: &RecordBatch) -> DecodeError {
        let column = &self.task.table.columns[self.task.columns[position]];
        let paths = self
            .wanted
            .column(position)
            .iter()
            .map(|&leaf| self.wanted.path(leaf));
        let fields = match &self.metadata {
            Some((_, metadata)) => metadata.schema().fields().clone(),
            None => read.schema().fields().clone(),
        };
        let header = fields.iter().map(|field| format!("\"{}\"", field.name()));
        DecodeError::MissingColumn {
            input: self.task.input.clone(),
            table: self.task.table.name.clone(),
            column: column.name.clone(),
            wanted: paths
                .map(|path| format!("\"{}\"", path.join(".")))
                .collect::<Vec<_>>()
                .join(" or "),
            header: header.collect::<Vec<_>>().join(", "),
        }
    }

    /// Puts the batch together from the rows without faults.
    fn assemble(
        &self,
        read: &RecordBatch,
        mut arrays: Vec<ArrayRef>,
        mut positions: Vec<u64>,
        faults: Faults,
    ) -> Result<Decoded, DecodeError> {
        let mut rejects = Vec::new();
        if !faults.is_empty() {
            let mut keep = vec![true; positions.len()];
            for (row, reason) in faults.by_row() {
                keep[row] = false;
                let text = reject_text(row_text(read, row).as_bytes());
                rejects.push(Reject {
                    position: positions[row],
                    reason,
                    text,
                });
            }
            let mut kept = keep.iter();
            positions.retain(|_| kept.next().copied().unwrap_or_default());
            let keep = BooleanArray::from(keep);
            for array in &mut arrays {
                *array = filter(array, &keep).map_err(|e| self.task.arrow_error(e))?;
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(positions.len()));
        let schema = Arc::clone(&self.task.schema);
        let batch = RecordBatch::try_new_with_options(schema, arrays, &options)
            .map_err(|error| self.task.arrow_error(error))?;
        let newest_event_time = newest_event_time(&self.task, &batch);
        Ok(Decoded {
            batch,
            positions,
            rejects,
            newest_event_time,
        })
    }
}

fn is_null_mask(array: &ArrayRef) -> BooleanArray {
    (0..array.len())
        .map(|row| Some(array.is_null(row)))
        .collect()
}

/// The array with nulls where the mask is false.
fn nullify_unless(
    array: &ArrayRef,
    mask: &BooleanArray,
) -> Result<ArrayRef, arrow::error::ArrowError> {
    let nothing = arrow::array::Scalar::new(new_null_array(array.data_type(), 1));
    zip(mask, array, &nothing)
}

/// The column at a path; values inside of a null struct are null.
fn find(read: &RecordBatch, path: &[String]) -> Option<ArrayRef> {
    let (first, rest) = path.split_first()?;
    let mut array = Arc::clone(read.column_by_name(first)?);
    for name in rest {
        let outer = array.as_struct_opt()?;
        let inner = Arc::clone(outer.column_by_name(name)?);
        array = match outer.nulls() {
            Some(nulls) => {
                let there = BooleanArray::new(nulls.inner().clone(), None);
                nullify_unless(&inner, &there).ok()?
            }
            None => inner,
        };
    }
    Some(array)
}

/// A row as a reject shows it: `name: value, ...` of the columns that were read.
fn row_text(read: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::default()
        .with_null("null")
        .with_display_error(true);
    let schema = read.schema();
    let columns = schema.fields().iter().zip(read.columns());
    let shown = columns.map(
        |(field, array)| match ArrayFormatter::try_new(array, &options) {
            Ok(formatter) => format!("{}: {}", field.name(), formatter.value(row)),
            Err(_) => format!("{}: ?", field.name()),
        },
    );
    shown.collect::<Vec<_>>().join(", ")
}
