//! A body's records, cut into pieces that the queue takes.
//!
//! Bytes and their format flow in; runs of whole records flow out, each with its place in the body,
//! so that a reject's position is that of the record in what the client sent. JSON arrays become
//! lines in place: what is around the elements turns into blanks and line ends.

use std::ops::Range;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::problem::Problem;
use crate::source::live::PIECE_BYTES;
use crate::source::{CsvOptions, Format, csv_header, csv_record_end};

/// What a body's records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Records {
    /// A JSON value, an array of them, or one a line.
    Json,
    /// A JSON value a line.
    JsonLines,
    /// CSV with a header.
    Csv(u8),
    /// Whichever the first byte tells.
    Any,
}

/// A body, ready to be handed over.
pub(super) struct Cut {
    pub(super) format: Format,
    /// The column names of CSV.
    pub(super) header: Option<Arc<Vec<String>>>,
    text: Vec<u8>,
    /// Where the records of each piece lie.
    pieces: Vec<Range<usize>>,
}

impl Cut {
    /// Finds a body's records.
    ///
    /// # Errors
    /// If a JSON array is none.
    pub(super) fn new(mut text: Vec<u8>, records: Records) -> Result<Cut, Problem> {
        match kind(&text, records) {
            Records::Csv(delimiter) => Ok(csv(text, delimiter)),
            Records::Json => {
                to_lines(&mut text)?;
                Ok(lines(text))
            }
            _ => Ok(lines(text)),
        }
    }

    /// The records of each piece, with where they begin in the body.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let pieces = self.pieces.iter();
        pieces.map(|piece| (piece.start as u64, &self.text[piece.clone()]))
    }
}

fn kind(text: &[u8], records: Records) -> Records {
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    match (records, first) {
        (Records::Any, Some(b'{' | b'[')) | (Records::Any, None) => Records::Json,
        (Records::Any, Some(_)) => Records::Csv(b','),
        (known, _) => known,
    }
}

/// Puts each element of an array, or a value that goes over several lines, on one line of its own.
fn to_lines(text: &mut [u8]) -> Result<(), Problem> {
    let start = text.iter().position(|byte| !byte.is_ascii_whitespace());
    let Some(start) = start else { return Ok(()) };
    if text[start] == b'[' {
        return array_to_lines(text);
    }
    let line = text[start..].iter().position(|byte| *byte == b'\n');
    let first = line.map_or(&text[start..], |line| &text[start..start + line]);
    let is_lines = serde_json::from_slice::<&RawValue>(first).is_ok();
    if !is_lines && serde_json::from_slice::<&RawValue>(text).is_ok() {
        blank_line_ends(text);
    }
    Ok(())
}

fn array_to_lines(text: &mut [u8]) -> Result<(), Problem> {
    let base = text.as_ptr() as usize;
    let elements: Vec<Range<usize>> = {
        let elements: Vec<&RawValue> = serde_json::from_slice(text).map_err(|error| {
            Problem::bad("bad_json", "the array is not JSON")
                .with("line", error.line())
                .with("column", error.column())
        })?;
        let place = |element: &&RawValue| {
            let start = element.get().as_ptr() as usize - base;
            start..start + element.get().len()
        };
        elements.iter().map(place).collect()
    };
    let mut behind = 0;
    for element in elements {
        text[behind..element.start].fill(b' ');
        // There is at least the bracket or comma before the element.
        text[element.start - 1] = b'\n';
        blank_line_ends(&mut text[element.clone()]);
        behind = element.end;
    }
    text[behind..].fill(b' ');
    Ok(())
}

/// Line ends in a JSON value are between its parts, never within text.
fn blank_line_ends(value: &mut [u8]) {
    for byte in value {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

fn lines(text: Vec<u8>) -> Cut {
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let end = match text.len() - start {
            rest if rest <= PIECE_BYTES => text.len(),
            _ => line_end(&text, start),
        };
        pieces.push(start..end);
        start = end;
    }
    Cut {
        format: Format::Json,
        header: None,
        text,
        pieces,
    }
}

/// The place behind the last line that ends within a piece, or behind the first if that is longer.
fn line_end(text: &[u8], start: usize) -> usize {
    let most = &text[start..start + PIECE_BYTES];
    if let Some(last) = memchr::memrchr(b'\n', most) {
        return start + last + 1;
    }
    let rest = &text[start + PIECE_BYTES..];
    let first = memchr::memchr(b'\n', rest);
    first.map_or(text.len(), |first| start + PIECE_BYTES + first + 1)
}

fn csv(text: Vec<u8>, delimiter: u8) -> Cut {
    let options = CsvOptions {
        delimiter,
        ..CsvOptions::default()
    };
    let (header, body) = csv_header(&text, &options);
    let mut pieces = Vec::new();
    let (mut start, mut end) = (body, body);
    while end < text.len() {
        let next = match text.len() - start {
            rest if rest <= PIECE_BYTES => text.len(),
            _ => csv_record_end(&text, end, &options),
        };
        if next - start > PIECE_BYTES && end > start {
            pieces.push(start..end);
            start = end;
        }
        end = next;
    }
    if start < end {
        pieces.push(start..end);
    }
    Cut {
        format: Format::Csv(options),
        header: Some(Arc::new(header)),
        text,
        pieces,
    }
}
