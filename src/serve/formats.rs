//! Rows in the format that a client asks for: JSON, JSON lines, CSV, Arrow.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use axum::http::{HeaderMap, header};
use utoipa::ToSchema;

use super::problem::{Problem, shortened};
use crate::present::json::{Rows, Values};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum Form {
    /// One object with the rows and what there is to know of them.
    Json,
    /// An object a line.
    #[schema(rename = "ndjson")]
    JsonLines,
    /// RFC 4180 with a header; NULL is empty, empty text is `""`.
    Csv,
    /// The streaming form of Arrow's IPC.
    Arrow,
}

const FORMS: [(Form, &str, &str); 4] = [
    (Form::Json, "json", "application/json"),
    (Form::JsonLines, "ndjson", "application/x-ndjson"),
    (Form::Csv, "csv", "text/csv"),
    (Form::Arrow, "arrow", "application/vnd.apache.arrow.stream"),
];

impl Form {
    /// A form by its name.
    ///
    /// # Errors
    /// If there is no such form.
    pub(super) fn named(name: &str) -> Result<Form, Problem> {
        let mut forms = FORMS.iter();
        let form = forms.find(|(_, known, _)| *known == name);
        form.map(|(form, ..)| *form).ok_or_else(|| {
            let name = shortened(name);
            let message = format!("there is no format \"{name}\"; use json, ndjson, csv or arrow");
            Problem::bad("bad_format", message)
        })
    }

    /// The form that a client accepts before others; JSON unless it names one that is known.
    pub(super) fn accepted(headers: &HeaderMap) -> Form {
        let accept = headers.get(header::ACCEPT).and_then(|a| a.to_str().ok());
        let ranges = accept.unwrap_or_default().split(',').map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let quality = parts.find_map(|part| part.strip_prefix("q="));
            (
                media,
                quality.and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0),
            )
        });
        let mut best = (Form::Json, 0.0);
        for (media, quality) in ranges {
            let known = FORMS.iter().find(|(_, _, known)| *known == media);
            let form = match (known, media) {
                (Some((form, ..)), _) => *form,
                (None, "*/*" | "application/*") => Form::Json,
                (None, "text/*") => Form::Csv,
                (None, "application/jsonl" | "application/ndjson") => Form::JsonLines,
                _ => continue,
            };
            if quality > best.1 {
                best = (form, quality);
            }
        }
        best.0
    }

    /// The media type.
    pub(super) fn media_type(self) -> &'static str {
        let form = FORMS.iter().find(|(form, ..)| *form == self);
        form.map_or("application/json", |(_, _, media)| media)
    }

    /// Rows alone, in this form.
    ///
    /// # Errors
    /// If Arrow cannot hold them.
    pub(super) fn rows(self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let mut out = Vec::new();
        match self {
            Form::Json => Rows::new(batch).push_all(&mut out),
            Form::JsonLines => {
                let rows = Rows::new(batch);
                for row in 0..batch.num_rows() {
                    rows.push(&mut out, row);
                    out.push(b'\n');
                }
            }
            Form::Csv => push_csv(&mut out, batch),
            Form::Arrow => {
                let mut writer = StreamWriter::try_new(&mut out, batch.schema_ref())?;
                writer.write(batch)?;
                writer.finish()?;
            }
        }
        Ok(out)
    }
}

fn push_csv(out: &mut Vec<u8>, batch: &RecordBatch) {
    for (position, field) in batch.schema_ref().fields().iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        push_field(out, field.name().as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    let columns: Vec<Values<'_>> = batch
        .columns()
        .iter()
        .map(|array| Values::new(array.as_ref()))
        .collect();
    let mut value = Vec::new();
    for row in 0..batch.num_rows() {
        for (position, column) in columns.iter().enumerate() {
            if position > 0 {
                out.push(b',');
            }
            if column.is_null(row) {
                continue;
            }
            value.clear();
            column.push(&mut value, row);
            match value.first() {
                // What JSON holds as text is the same text here.
                Some(b'"') => {
                    let text: String = serde_json::from_slice(&value).unwrap_or_default();
                    push_field(out, text.as_bytes());
                }
                _ => push_field(out, &value),
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends a field, in quotes where they are needed and for empty text, so that it is no null.
fn push_field(out: &mut Vec<u8>, text: &[u8]) {
    let is_plain = |byte: &u8| !matches!(byte, b'"' | b',' | b'\n' | b'\r');
    if !text.is_empty() && text.iter().all(is_plain) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
