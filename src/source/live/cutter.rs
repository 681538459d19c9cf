//! Bytes as they arrive, cut behind the last whole record.
//!
//! What is left behind the cut waits for the rest of its record, up to a limit; a longer record is
//! passed over and told of. Nothing is held between records, so an idle connection costs nothing.

use std::path::PathBuf;
use std::sync::Arc;

use super::Piece;
use crate::source::csv::{RecordEnds, csv_header};
use crate::source::{CsvOptions, Format, TooLong};

/// Cuts one file's or connection's bytes into pieces of whole records.
pub(super) struct Cutter {
    name: Arc<PathBuf>,
    ends: Ends,
    /// The dialect, while the header has not been met.
    headless: Option<CsvOptions>,
    header: Option<Arc<Vec<String>>>,
    /// The longest record, in bytes.
    limit: usize,
    /// The beginning of a record that has not ended.
    buffer: Vec<u8>,
    /// Where the buffer begins in the file or connection.
    start: u64,
    /// How much of the buffer has been looked at.
    scanned: usize,
    /// Passing over the rest of a record that is too long.
    skipping: bool,
}

enum Ends {
    Lines,
    Csv(RecordEnds),
}

impl Cutter {
    pub(super) fn new(name: Arc<PathBuf>, format: &Format, limit: usize) -> Cutter {
        let csv = match format {
            Format::Csv(options) => Some(options),
            Format::Json | Format::Parquet => None,
        };
        Cutter {
            name,
            ends: csv.map_or(Ends::Lines, |options| Ends::Csv(RecordEnds::new(options))),
            headless: csv.filter(|options| options.header).cloned(),
            header: None,
            limit,
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            skipping: false,
        }
    }

    /// Goes on at a place further on, where a record begins. The header has been read already.
    pub(super) fn resume_at(&mut self, start: u64, header: Option<Vec<String>>) {
        self.start = start;
        if let Some(header) = header {
            self.header = Some(Arc::new(header));
            self.headless = None;
        }
    }

    /// What the records are from has another name now.
    pub(super) fn rename(&mut self, name: Arc<PathBuf>) {
        self.name = name;
    }

    /// What the records are from.
    pub(super) fn name(&self) -> &Arc<PathBuf> {
        &self.name
    }

    /// Whether a record has begun and not ended.
    pub(super) fn is_within_record(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Takes in what has arrived, and adds the records that are whole by now.
    pub(super) fn push(&mut self, mut bytes: &[u8], pieces: &mut Vec<Piece>) {
        while !bytes.is_empty() {
            // No record of a slice can be too long but the one that began before it.
            let (slice, rest) = bytes.split_at(bytes.len().min(self.limit));
            self.push_slice(slice, pieces);
            bytes = rest;
        }
    }

    /// Hands over the rest: nothing follows, so its last record needs no line end.
    pub(super) fn finish(&mut self, pieces: &mut Vec<Piece>) {
        let end = self.buffer.len();
        self.cut(end, pieces);
        self.skipping = false;
        self.restart();
    }

    fn push_slice(&mut self, slice: &[u8], pieces: &mut Vec<Piece>) {
        let slice = if self.skipping {
            let end = memchr::memchr(b'\n', slice).map(|newline| newline + 1);
            self.start += end.unwrap_or(slice.len()) as u64;
            self.skipping = end.is_none();
            &slice[end.unwrap_or(slice.len())..]
        } else {
            slice
        };
        self.buffer.extend_from_slice(slice);
        loop {
            match self.first_end() {
                Some(end) if end > self.limit => {
                    self.pass_over(end, pieces);
                    continue;
                }
                Some(end) => {
                    let end = self.last_end(end);
                    self.cut(end, pieces);
                }
                None => {}
            }
            if self.buffer.len() <= self.limit {
                return;
            }
            self.give_up(pieces);
        }
    }

    /// The place behind the first record in the buffer.
    fn first_end(&mut self) -> Option<usize> {
        let scanned = std::mem::replace(&mut self.scanned, self.buffer.len());
        match &mut self.ends {
            Ends::Lines => {
                let newline = memchr::memchr(b'\n', &self.buffer[scanned..])?;
                Some(scanned + newline + 1)
            }
            Ends::Csv(ends) => ends.next(&self.buffer, 0, scanned),
        }
    }

    /// The place behind the last record in the buffer, the first of which ends at `first`.
    fn last_end(&mut self, first: usize) -> usize {
        let last = match &mut self.ends {
            Ends::Lines => memchr::memrchr(b'\n', &self.buffer[first..]).map(|at| first + at + 1),
            Ends::Csv(ends) => ends.last(&self.buffer, first, first),
        };
        last.unwrap_or(first)
    }

    /// Hands over the buffer up to `end`, which is the end of a record.
    fn cut(&mut self, end: usize, pieces: &mut Vec<Piece>) {
        let rest = self.buffer.split_off(end);
        let text = std::mem::replace(&mut self.buffer, rest);
        let mut piece = Piece::of_text(Arc::clone(&self.name), self.start, text);
        self.start += end as u64;
        self.scanned = self.scanned.saturating_sub(end);
        if let Some(options) = &self.headless {
            let (header, end) = csv_header(&piece.text, options);
            if !header.is_empty() {
                self.header = Some(Arc::new(header));
                self.headless = None;
            }
            piece.text.drain(..end);
            piece.start += end as u64;
        }
        if !piece.text.is_empty() {
            piece.header.clone_from(&self.header);
            pieces.push(piece);
        }
    }

    /// Drops the first `end` bytes, a record that is too long or the beginning of one.
    fn pass_over(&mut self, end: usize, pieces: &mut Vec<Piece>) {
        let mut piece = Piece::of_text(Arc::clone(&self.name), self.start, Vec::new());
        piece.header.clone_from(&self.header);
        piece.too_long = Some(TooLong {
            offset: self.start,
            start: self.buffer[..end.min(TooLong::START_BYTES)].to_vec(),
            limit: self.limit,
        });
        pieces.push(piece);
        self.buffer.drain(..end);
        self.start += end as u64;
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
        self.restart();
    }

    /// Gets over a record that is too long already. If that is for a quote that is never closed,
    /// only its first line is cut off, for the decoder to refuse.
    fn give_up(&mut self, pieces: &mut Vec<Piece>) {
        let newline = memchr::memchr(b'\n', &self.buffer);
        if let (Ends::Csv(_), Some(newline)) = (&self.ends, newline) {
            self.cut(newline + 1, pieces);
            self.restart();
            return;
        }
        self.pass_over(self.buffer.len(), pieces);
        self.skipping = true;
    }

    /// Looks at the buffer anew, from the start of a record.
    fn restart(&mut self) {
        self.scanned = 0;
        if let Ends::Csv(ends) = &mut self.ends {
            ends.restart();
        }
    }
}
