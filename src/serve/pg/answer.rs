//! An answer on its way to a client: batches in, rows of the protocol out.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion_postgres::arrow_pg::datatypes::arrow_schema_to_pg_fields;
use datafusion_postgres::arrow_pg::row_encoder::RowEncoder;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::FieldInfo;
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::data::RowDescription;

use super::command::CopyFormat;
use super::copy_out::row_line;
use super::fault::{Fault, Trouble};
use super::float;
use crate::session::{Rows, Subscription};

/// The most rows of an answer that is kept until the client fetches it.
const MOST_KEPT_ROWS: usize = 1_000_000;

/// Where an answer's rows come from.
enum Feed {
    Rows(Rows),
    Changes(Subscription),
    Whole(Option<RecordBatch>),
}

/// An answer that is being sent.
pub(super) struct Answer {
    fields: Arc<Vec<FieldInfo>>,
    feed: Feed,
    encoder: Option<RowEncoder>,
    /// How many rows have been sent.
    pub(super) sent: usize,
    /// Whether rows are sent as lines, and of which form.
    pub(super) copy_as: Option<CopyFormat>,
}

impl Answer {
    /// The rows of a query, in the formats that the client wants.
    ///
    /// # Errors
    /// If the protocol has no type for a column.
    pub(super) fn rows(rows: Rows, format: &Format) -> Result<Answer, Trouble> {
        let fields = fields(rows.schema(), format)?;
        Ok(Answer::new(fields, Feed::Rows(rows)))
    }

    /// A view's changes.
    ///
    /// # Errors
    /// If the protocol has no type for a column.
    pub(super) fn changes(changes: Subscription, format: &Format) -> Result<Answer, Trouble> {
        let fields = fields(changes.schema(), format)?;
        Ok(Answer::new(fields, Feed::Changes(changes)))
    }

    /// Rows that are there.
    ///
    /// # Errors
    /// If the protocol has no type for a column.
    pub(super) fn whole(batch: RecordBatch, format: &Format) -> Result<Answer, Trouble> {
        let fields = fields(batch.schema_ref(), format)?;
        Ok(Answer::new(fields, Feed::Whole(Some(batch))))
    }

    fn new(fields: Vec<FieldInfo>, feed: Feed) -> Answer {
        Answer {
            fields: Arc::new(fields),
            feed,
            encoder: None,
            sent: 0,
            copy_as: None,
        }
    }

    /// Whether it goes on for as long as the client wants.
    pub(super) fn is_endless(&self) -> bool {
        matches!(self.feed, Feed::Changes(_))
    }

    /// Computes all rows now, so that nothing is held for the client but them.
    ///
    /// # Errors
    /// If the query fails or has too many rows.
    pub(super) async fn keep(&mut self) -> Result<(), Trouble> {
        if let Feed::Rows(_) = self.feed
            && let Feed::Rows(rows) = std::mem::replace(&mut self.feed, Feed::Whole(None))
        {
            let rows = rows.collect(MOST_KEPT_ROWS).await?;
            self.feed = Feed::Whole(Some(rows));
        }
        Ok(())
    }

    /// Sends rows that are fetched from now on in other formats.
    ///
    /// # Errors
    /// If the formats are not those of as many columns.
    pub(super) fn reformat(&mut self, format: &Format) -> Result<(), Trouble> {
        check_formats(format, self.fields.len())?;
        let columns = self.fields.iter().enumerate();
        let other = |(place, field): (usize, &FieldInfo)| {
            let (name, data_type) = (field.name().to_owned(), field.datatype().clone());
            let format = format.format_for(place);
            sized(FieldInfo::new(name, None, None, data_type, format))
        };
        self.fields = Arc::new(columns.map(other).collect());
        Ok(())
    }

    /// What describes the columns.
    pub(super) fn description(&self) -> PgWireBackendMessage {
        description(&self.fields)
    }

    /// The columns.
    pub(super) fn fields(&self) -> &[FieldInfo] {
        &self.fields
    }

    /// The next of the rows that have been fetched.
    ///
    /// # Errors
    /// If a value cannot be written as the client wants it.
    pub(super) fn next_row(&mut self) -> Result<Option<PgWireBackendMessage>, Trouble> {
        let Some(encoder) = &mut self.encoder else {
            return Ok(None);
        };
        match encoder.next_row() {
            Some(row) => {
                self.sent += 1;
                let row = row?;
                Ok(Some(match self.copy_as {
                    Some(format) => row_line(row, format),
                    None => PgWireBackendMessage::DataRow(row),
                }))
            }
            None => {
                self.encoder = None;
                Ok(None)
            }
        }
    }

    /// Fetches more rows; whether there are any.
    ///
    /// # Errors
    /// If the query fails.
    pub(super) async fn fetch(&mut self) -> Result<bool, Trouble> {
        let batch = match &mut self.feed {
            Feed::Rows(rows) => rows.next().await?,
            Feed::Changes(changes) => changes.next().await?,
            Feed::Whole(batch) => batch.take(),
        };
        let Some(batch) = batch else {
            return Ok(false);
        };
        if batch.num_columns() != self.fields.len() {
            return Err(
                Fault::new("XX000", "an answer has other columns than were described").into(),
            );
        }
        let batch = float::as_text(batch, &self.fields);
        let batch = batch.map_err(|error| Fault::new("XX000", error.to_string()))?;
        self.encoder = Some(RowEncoder::new(batch, Arc::clone(&self.fields)));
        Ok(true)
    }
}

/// The columns as the protocol names them.
///
/// # Errors
/// If it has no type for one.
pub(super) fn fields(schema: &Schema, format: &Format) -> Result<Vec<FieldInfo>, Trouble> {
    check_formats(format, schema.fields().len())?;
    let fields = arrow_schema_to_pg_fields(schema, format, None)?;
    Ok(fields.into_iter().map(sized).collect())
}

/// A client may name fewer formats than there are columns.
fn check_formats(format: &Format, columns: usize) -> Result<(), Fault> {
    match format {
        Format::Individual(formats) if formats.len() != columns => {
            let given = formats.len();
            let message = format!("the answer has {columns} columns, {given} formats are given");
            Err(Fault::new("08P01", message))
        }
        _ => Ok(()),
    }
}

/// A column with the width of its type (`pg_type.typlen`), by which some drivers read it.
fn sized(field: FieldInfo) -> FieldInfo {
    let bytes = match field.datatype().name() {
        "bool" | "char" => 1,
        "int2" => 2,
        "int4" | "float4" | "date" | "oid" => 4,
        "int8" | "float8" | "timestamp" | "timestamptz" | "time" => 8,
        "interval" => 16,
        _ => -1,
    };
    field.with_type_size(bytes)
}

/// What describes columns.
pub(super) fn description(fields: &[FieldInfo]) -> PgWireBackendMessage {
    let fields = fields.iter().map(Into::into).collect();
    PgWireBackendMessage::RowDescription(RowDescription::new(fields))
}
