//! `COPY ... TO STDOUT`: an answer as lines of text or CSV (PostgreSQL documentation, COPY).

use bytes::{Buf, BufMut, Bytes, BytesMut};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::copy::{CopyData, CopyDone, CopyOutResponse};
use datafusion_postgres::pgwire::messages::data::DataRow;

use super::answer::Answer;
use super::command::CopyFormat;
use super::connection::{Connection, Sending};
use super::fault::Trouble;

impl Connection {
    /// Sends an answer as lines, one a row.
    ///
    /// # Errors
    /// If the query fails or the connection breaks.
    pub(super) async fn copy_out(
        &mut self,
        answer: &mut Answer,
        format: CopyFormat,
    ) -> Result<(), Trouble> {
        let columns = answer.fields().len();
        let count = i16::try_from(columns).unwrap_or(i16::MAX);
        let response = CopyOutResponse::new(0, count, vec![0; columns]);
        let message = PgWireBackendMessage::CopyOutResponse(response);
        self.wire.send(message).await?;
        if format.header {
            let names = answer.fields().iter();
            let names = names.map(|field| Some(Bytes::from(field.name().to_owned())));
            self.wire.send(line(names, format)).await?;
        }
        answer.copy_as = Some(format);
        self.send_rows(answer, Sending::ALL).await?;
        let done = PgWireBackendMessage::CopyDone(CopyDone::new());
        self.wire.send(done).await?;
        self.complete(format!("COPY {}", answer.sent)).await
    }
}

/// A row in the text form of the protocol as a line.
pub(super) fn row_line(row: DataRow, format: CopyFormat) -> PgWireBackendMessage {
    let mut data = row.data;
    let values = (0..row.field_count).map(|_| match data.get_i32() {
        -1 => None,
        length => Some(data.split_to(length.unsigned_abs() as usize).freeze()),
    });
    line(values, format)
}

fn line(values: impl Iterator<Item = Option<Bytes>>, format: CopyFormat) -> PgWireBackendMessage {
    let mut line = BytesMut::new();
    for (place, value) in values.enumerate() {
        if place > 0 {
            line.put_u8(if format.csv { b',' } else { b'\t' });
        }
        match (value, format.csv) {
            (None, true) => {}
            (None, false) => line.put_slice(b"\\N"),
            (Some(value), true) => put_csv(&mut line, &value),
            (Some(value), false) => put_text(&mut line, &value),
        }
    }
    line.put_u8(b'\n');
    PgWireBackendMessage::CopyData(CopyData::new(line.freeze()))
}

/// A text that is empty stands in quotes: nothing at all is NULL.
fn put_csv(line: &mut BytesMut, value: &[u8]) {
    let quotes = value.is_empty()
        || value == b"\\."
        || value
            .iter()
            .any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if !quotes {
        return line.put_slice(value);
    }
    line.put_u8(b'"');
    for byte in value {
        if *byte == b'"' {
            line.put_u8(b'"');
        }
        line.put_u8(*byte);
    }
    line.put_u8(b'"');
}

fn put_text(line: &mut BytesMut, value: &[u8]) {
    for byte in value {
        match byte {
            b'\\' => line.put_slice(b"\\\\"),
            b'\t' => line.put_slice(b"\\t"),
            b'\n' => line.put_slice(b"\\n"),
            b'\r' => line.put_slice(b"\\r"),
            other => line.put_u8(*other),
        }
    }
}
