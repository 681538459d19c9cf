//! What is posted: changes of one view between two epochs, perhaps in several parts.

use std::io;

use arrow::array::RecordBatch;
use serde_json::json;

use crate::present;
use crate::sink::rows::ChangeRows;

/// Which changes a body holds.
pub(super) struct Part<'a> {
    pub(super) view: &'a str,
    /// After this epoch.
    pub(super) from: u64,
    /// Up to this one.
    pub(super) upto: u64,
    /// Which part, from 1 on.
    pub(super) number: usize,
    /// Of how many.
    pub(super) parts: usize,
}

impl Part<'_> {
    /// What no other body has: the view, the epochs and the part, as visible ASCII.
    pub(super) fn key(&self) -> String {
        let mut key = String::new();
        for byte in self.view.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => {
                    key.push(byte.into());
                }
                _ => key.push_str(&format!("%{byte:02X}")),
            }
        }
        format!("{key}:{}-{}:{}", self.from, self.upto, self.number)
    }

    /// The changes as one object.
    pub(super) fn json(&self, (batch, diffs): &(RecordBatch, Vec<i64>)) -> Vec<u8> {
        let rows = present::json::Rows::new(batch);
        let mut body = format!(
            r#"{{"view":{},"from_epoch":{},"epoch":{},"part":{},"parts":{},"changes":["#,
            json!(self.view),
            self.from,
            self.upto,
            self.number,
            self.parts
        )
        .into_bytes();
        for (row, diff) in diffs.iter().enumerate() {
            let comma = if row > 0 { "," } else { "" };
            body.extend_from_slice(format!(r#"{comma}{{"diff":{diff},"row":"#).as_bytes());
            rows.push(&mut body, row);
            body.push(b'}');
        }
        body.extend_from_slice(b"]}");
        body
    }

    /// The changes as an object a row.
    ///
    /// # Errors
    ///
    /// If JSON cannot hold them.
    pub(super) fn ndjson(
        &self,
        changes: &(RecordBatch, Vec<i64>),
        rows: &ChangeRows,
    ) -> io::Result<Vec<u8>> {
        let rows = rows.rows(changes, self.upto).map_err(io::Error::other)?;
        let mut body = Vec::new();
        present::json::write_rows(&mut body, &rows)?;
        Ok(body)
    }
}
