//! The file of bodies that no server took: JSON lines with the reason and the body, to be sent
//! again by hand.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::{RawValue, Value, to_raw_value};

use super::body::Part;
use crate::sink::spec::BodyFormat;
use crate::sink::target::Fault;

/// A body with what became of it.
#[derive(Serialize)]
pub(super) struct DeadLetter<'a> {
    at: String,
    view: &'a str,
    from_epoch: u64,
    epoch: u64,
    idempotency_key: String,
    attempts: u64,
    reason: &'a str,
    /// The body as it was: an object, or the text of several.
    body: Box<RawValue>,
}

impl<'a> DeadLetter<'a> {
    pub(super) fn new(
        part: &Part<'a>,
        format: BodyFormat,
        body: &[u8],
        reason: &'a str,
        attempts: u64,
    ) -> DeadLetter<'a> {
        let text = String::from_utf8_lossy(body);
        let raw = match format {
            BodyFormat::Json => RawValue::from_string(text.into_owned()),
            BodyFormat::Ndjson => to_raw_value(&Value::from(text)),
        };
        DeadLetter {
            at: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            view: part.view,
            from_epoch: part.from,
            epoch: part.upto,
            idempotency_key: part.key(),
            attempts,
            reason,
            body: raw.expect("a body is JSON, and so is any text"),
        }
    }
}

/// A file of dead letters.
pub(super) struct DeadLetterFile {
    file: File,
    path: PathBuf,
}

impl DeadLetterFile {
    /// Opens a file to add to it.
    ///
    /// # Errors
    ///
    /// If it cannot be.
    pub(super) fn open(path: &Path) -> io::Result<DeadLetterFile> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(DeadLetterFile {
            file,
            path: path.to_owned(),
        })
    }

    /// Adds a body; it is on the disk then.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub(super) fn write(&self, letter: &DeadLetter<'_>) -> Result<(), Fault> {
        let write = || {
            let mut line = serde_json::to_vec(letter)?;
            line.push(b'\n');
            (&self.file).write_all(&line)?;
            self.file.sync_data()
        };
        let failed = |error: io::Error| {
            let path = self.path.display();
            Fault::new(format!("could not write dead letters to {path}: {error}"))
        };
        write().map_err(failed)
    }
}
