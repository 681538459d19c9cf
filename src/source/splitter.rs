//! A stream of text cut into blocks of whole records.
//!
//! The cuts depend on the text and the size of blocks alone, not on how reads happen to be sized.

use std::io::{self, Read};

use super::csv::RecordEnds;
use super::{CsvOptions, MAX_RECORD_BYTES, TooLong};

/// Whole records that follow each other.
#[derive(Debug)]
pub(super) struct Piece {
    /// Where the text begins, in bytes of the stream.
    pub(super) offset: u64,
    pub(super) text: Vec<u8>,
    /// A record behind the text that is left out.
    pub(super) too_long: Option<TooLong>,
}

/// Cuts a stream into pieces.
pub(super) struct Splitter {
    ends: Ends,
    block_bytes: usize,
    /// The longest record.
    record_bytes: usize,
    /// What is read and not yet handed out; begins at the start of a record, unless skipping.
    buffer: Vec<u8>,
    /// Where the buffer begins in the stream.
    offset: u64,
    /// How much of the buffer has been looked at.
    scanned: usize,
    /// The buffer's length at which it is cut next.
    goal: usize,
    /// Passing over the rest of a record that is too long.
    skipping: bool,
    too_long: Option<TooLong>,
}

enum Ends {
    Lines,
    Csv(RecordEnds),
}

impl Splitter {
    /// A splitter of CSV records or, without options, of lines.
    pub(super) fn new(csv: Option<&CsvOptions>, block_bytes: usize) -> Splitter {
        let ends = csv.map_or(Ends::Lines, |options| Ends::Csv(RecordEnds::new(options)));
        Splitter {
            ends,
            block_bytes,
            record_bytes: MAX_RECORD_BYTES,
            buffer: Vec::new(),
            offset: 0,
            scanned: 0,
            goal: block_bytes,
            skipping: false,
            too_long: None,
        }
    }

    /// Where in the stream the records begin that are not yet handed out.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next piece, or `None` at the end of the stream. After an error of the kind `WouldBlock`
    /// it may be called again.
    ///
    /// # Errors
    /// If reading fails; [`Splitter::rest`] then has the whole records read before.
    pub(super) fn next(&mut self, stream: &mut dyn Read) -> io::Result<Option<Piece>> {
        loop {
            let missing = self.goal - self.buffer.len();
            self.buffer.reserve(missing);
            Read::take(&mut *stream, missing as u64).read_to_end(&mut self.buffer)?;
            let ended = self.buffer.len() < self.goal;
            if self.skipping && !self.skip() {
                if ended {
                    return Ok(self.end());
                }
                continue;
            }
            if ended {
                return Ok(self.end());
            }
            match self.last_end() {
                Some(end) => return Ok(Some(self.cut(end))),
                None if self.buffer.len() > self.record_bytes => {
                    if let Some(piece) = self.give_up() {
                        return Ok(Some(piece));
                    }
                }
                None => self.goal += self.block_bytes,
            }
        }
    }

    /// The whole records that were read before the stream broke off.
    pub(super) fn rest(&mut self) -> Option<Piece> {
        let end = if self.skipping && !self.skip() {
            None
        } else {
            self.last_end()
        };
        match end {
            Some(end) => Some(self.cut(end)),
            None if self.too_long.is_some() => Some(self.cut(0)),
            None => None,
        }
    }

    /// The place behind the last whole record in the buffer.
    fn last_end(&mut self) -> Option<usize> {
        let scanned = std::mem::replace(&mut self.scanned, self.buffer.len());
        match &mut self.ends {
            Ends::Lines => {
                let newline = memchr::memrchr(b'\n', &self.buffer[scanned..])?;
                Some(scanned + newline + 1)
            }
            Ends::Csv(ends) => ends.last(&self.buffer, 0, scanned),
        }
    }

    /// Hands out the buffer up to `end`, which is the end of a record.
    fn cut(&mut self, end: usize) -> Piece {
        let rest = self.buffer.split_off(end);
        let text = std::mem::replace(&mut self.buffer, rest);
        let piece = Piece {
            offset: self.offset,
            text,
            too_long: self.too_long.take(),
        };
        self.offset += end as u64;
        self.scanned -= end.min(self.scanned);
        self.goal = self.block_bytes.max(self.buffer.len() + 1);
        piece
    }

    /// What is left when the stream has ended.
    fn end(&mut self) -> Option<Piece> {
        if self.buffer.is_empty() && self.too_long.is_none() {
            return None;
        }
        Some(self.cut(self.buffer.len()))
    }

    /// Gets over a record that is too long. If that is for a quote that is never closed, only its
    /// first line is cut off, for the decoder to refuse.
    fn give_up(&mut self) -> Option<Piece> {
        let newline = memchr::memchr(b'\n', &self.buffer);
        if let (Ends::Csv(ends), Some(newline)) = (&mut self.ends, newline) {
            ends.restart();
            let piece = self.cut(newline + 1);
            self.scanned = 0;
            return Some(piece);
        }
        let start = self.buffer[..self.buffer.len().min(TooLong::START_BYTES)].to_vec();
        self.too_long = Some(TooLong {
            offset: self.offset,
            start,
            limit: self.record_bytes,
        });
        self.skipping = true;
        self.drop_front(self.buffer.len());
        None
    }

    /// Drops the rest of a record that is too long; tells whether its end was met.
    fn skip(&mut self) -> bool {
        let newline = memchr::memchr(b'\n', &self.buffer);
        self.drop_front(newline.map_or(self.buffer.len(), |newline| newline + 1));
        self.skipping = newline.is_none();
        !self.skipping
    }

    fn drop_front(&mut self, bytes: usize) {
        self.buffer.drain(..bytes);
        self.offset += bytes as u64;
        self.scanned = 0;
        self.goal = self.block_bytes.max(self.buffer.len() + 1);
        if let Ends::Csv(ends) = &mut self.ends {
            ends.restart();
        }
    }
}
