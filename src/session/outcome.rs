//! What comes of a statement.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::copy::CopyIn;
use super::error::{Code, SessionError};
use crate::catalog::{Catalog, Cursor, Snapshot};

/// What comes of a statement.
#[derive(Debug)]
pub enum Outcome {
    /// Rows to be read.
    Rows(Rows),
    /// It is done; what PostgreSQL says of it, such as `INSERT 0 3`.
    Tag(String),
    /// A view's changes, for as long as somebody asks for them.
    Subscription(Subscription),
    /// Rows are to be handed in.
    CopyIn(CopyIn),
    /// The statement says nothing.
    Empty,
}

/// What a statement asks for and answers, before it is executed.
#[derive(Debug, Clone)]
pub struct Described {
    /// The types of `$1`, `$2` and so on; text where nothing tells.
    pub parameters: Vec<DataType>,
    /// The columns of the answer; `None` if it has no rows.
    pub schema: Option<SchemaRef>,
}

/// All rows that a query finds.
pub(super) async fn all(
    mut stream: SendableRecordBatchStream,
    sql: &str,
) -> Result<RecordBatch, SessionError> {
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        batches.push(batch.map_err(|error| SessionError::of_datafusion(&error, sql))?);
    }
    concat_batches(&stream.schema(), &batches)
        .map_err(|error| SessionError::new(Code::Internal, error.to_string()))
}

/// The rows of an answer, all of one epoch.
pub struct Rows {
    schema: SchemaRef,
    epoch: u64,
    closed_at_ms: i64,
    source: Source,
    /// For how the rows' errors are told.
    sql: Arc<str>,
    /// Held while the query runs.
    _turn: Option<OwnedSemaphorePermit>,
}

enum Source {
    Whole(Option<RecordBatch>),
    Stream(SendableRecordBatchStream),
}

impl Rows {
    /// Rows that are there already.
    pub(super) fn whole(batch: RecordBatch, snapshot: &Snapshot) -> Rows {
        Rows {
            schema: batch.schema(),
            epoch: snapshot.epoch(),
            closed_at_ms: snapshot.closed_at_ms(),
            source: Source::Whole(Some(batch)),
            sql: Arc::from(""),
            _turn: None,
        }
    }

    /// Rows as a query finds them.
    pub(super) fn stream(
        stream: SendableRecordBatchStream,
        snapshot: &Snapshot,
        sql: &str,
        turn: OwnedSemaphorePermit,
    ) -> Rows {
        Rows {
            schema: stream.schema(),
            epoch: snapshot.epoch(),
            closed_at_ms: snapshot.closed_at_ms(),
            source: Source::Stream(stream),
            sql: Arc::from(sql),
            _turn: Some(turn),
        }
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The epoch that all rows are of.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// When that epoch was published, in milliseconds since the Unix epoch.
    pub fn closed_at_ms(&self) -> i64 {
        self.closed_at_ms
    }

    /// The next rows; `None` after the last.
    ///
    /// # Errors
    /// If an expression fails or there is not enough memory.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, SessionError> {
        match &mut self.source {
            Source::Whole(batch) => Ok(batch.take()),
            Source::Stream(stream) => match stream.next().await {
                Some(Ok(batch)) => Ok(Some(batch)),
                Some(Err(error)) => Err(SessionError::of_datafusion(&error, &self.sql)),
                None => Ok(None),
            },
        }
    }

    /// All rows at once.
    ///
    /// # Errors
    /// If there are more than `most`, an expression fails or there is not enough memory.
    pub async fn collect(mut self, most: usize) -> Result<RecordBatch, SessionError> {
        let mut batches = Vec::new();
        let mut rows = 0;
        while let Some(batch) = self.next().await? {
            rows += batch.num_rows();
            if rows > most {
                let message = format!("the answer has more than {most} rows; add a LIMIT");
                return Err(SessionError::new(Code::TooManyRows, message));
            }
            batches.push(batch);
        }
        concat_batches(&self.schema, &batches)
            .map_err(|error| SessionError::new(Code::Internal, error.to_string()))
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("schema", &self.schema)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// A view's changes, from epoch to epoch. A reader that falls behind gets fewer and larger ones.
pub struct Subscription {
    catalog: Arc<Catalog>,
    view: String,
    cursor: Cursor,
    schema: SchemaRef,
    published: watch::Receiver<u64>,
}

impl Subscription {
    /// The changes of a view: first its rows, unless they are not wanted.
    pub(super) fn new(
        catalog: &Arc<Catalog>,
        view: &str,
        with_snapshot: bool,
    ) -> Result<Subscription, SessionError> {
        let published = catalog.subscribe();
        let latest = catalog.latest();
        let found = latest.view(view);
        let found = found.ok_or_else(|| SessionError::no_relation(view))?;
        let mut cursor = Cursor::at_start(catalog, found.place());
        if !with_snapshot {
            cursor.advance(&latest);
        }
        let mut fields = vec![
            Arc::new(Field::new("epoch", DataType::Int64, false)),
            Arc::new(Field::new("diff", DataType::Int64, false)),
        ];
        fields.extend(found.output().schema.fields().iter().cloned());
        Ok(Subscription {
            catalog: Arc::clone(catalog),
            view: view.to_owned(),
            cursor,
            schema: Arc::new(Schema::new(fields)),
            published,
        })
    }

    /// The columns: `epoch`, `diff` (by how much the row's number changes), then the view's.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next changes, as soon as there are any; `None` once the engine has ended.
    ///
    /// # Errors
    /// If the view has been dropped.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, SessionError> {
        loop {
            self.published.borrow_and_update();
            let latest = self.catalog.latest();
            let place = latest.view(&self.view).map(|view| view.place());
            if place != Some(self.cursor.place()) {
                let message = format!("view \"{}\" has been dropped", self.view);
                return Err(SessionError::new(Code::UndefinedTable, message).naming(&self.view));
            }
            if self.cursor.is_behind(&latest) {
                let (rows, diffs) = self.cursor.changes(&latest);
                self.cursor.advance(&latest);
                if rows.num_rows() > 0 {
                    return Ok(Some(self.changes(latest.epoch(), &rows, diffs)));
                }
            }
            if self.published.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    fn changes(&self, epoch: u64, rows: &RecordBatch, diffs: Vec<i64>) -> RecordBatch {
        let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![epoch; diffs.len()])),
            Arc::new(Int64Array::from(diffs)),
        ];
        columns.extend(rows.columns().iter().cloned());
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .expect("changes have the view's columns")
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}
