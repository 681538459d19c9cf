//! Ranges of a plain file of lines, read by many workers at once.
//!
//! The lines of a range are those that begin in it, however far the last one goes on. So what a
//! range yields is a function of the file and the range's bounds alone, and every line is in
//! exactly one range.

use std::fs::File;
use std::io;
use std::ops::Range;

use super::splitter::Piece;
use super::{MAX_RECORD_BYTES, TooLong};

/// How far is read at first in search of a line's end.
const SEARCH_BYTES: usize = 4 << 10;
/// How far is read at most at once.
const MAX_SEARCH_BYTES: usize = 4 << 20;

/// A file of a length that is settled when it is opened.
#[derive(Debug)]
pub(super) struct PlainFile {
    file: File,
    length: u64,
}

impl PlainFile {
    pub(super) fn new(file: File) -> io::Result<PlainFile> {
        let length = file.metadata()?.len();
        Ok(PlainFile { file, length })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The lines that begin in a range; the piece is empty if none does. Its text lies in `memory`,
    /// whose content is of no matter: overwriting bytes is cheaper than having fresh ones.
    ///
    /// # Errors
    /// If reading fails, or the file has become shorter.
    pub(super) fn lines(&self, range: Range<u64>, memory: Vec<u8>) -> io::Result<Piece> {
        let nothing = Piece {
            offset: range.start,
            text: Vec::new(),
            too_long: None,
        };
        let Some(start) = self.first_line(&range)? else {
            return Ok(nothing);
        };
        let mut text = self.read_into(memory, start, range.end + SEARCH_BYTES as u64)?;
        // A line of the range may be known to end only at or behind the range's last byte.
        let last = (range.end - 1 - start) as usize;
        let line = memchr::memrchr(b'\n', &text[..last]).map_or(0, |newline| newline + 1);
        let mut searched = last;
        loop {
            let found = memchr::memchr(b'\n', &text[searched..]).map(|at| searched + at + 1);
            let end = start + text.len() as u64;
            if found.unwrap_or(text.len()) - line > MAX_RECORD_BYTES {
                let kept = text.len().min(line + TooLong::START_BYTES);
                let begin = text[line..kept].to_vec();
                let too_long = Some(TooLong {
                    offset: start + line as u64,
                    start: begin,
                    limit: MAX_RECORD_BYTES,
                });
                text.truncate(line);
                return Ok(Piece {
                    offset: start,
                    text,
                    too_long,
                });
            }
            if found.is_some() || end == self.length {
                text.truncate(found.unwrap_or(text.len()));
                return Ok(Piece {
                    offset: start,
                    text,
                    too_long: None,
                });
            }
            searched = text.len();
            let more = (text.len() - last).clamp(SEARCH_BYTES, MAX_SEARCH_BYTES);
            text.extend(self.read(end, end + more as u64)?);
        }
    }

    /// Where the first line begins that begins in the range.
    fn first_line(&self, range: &Range<u64>) -> io::Result<Option<u64>> {
        if range.start == 0 {
            return Ok(Some(0));
        }
        // A line begins behind a line feed, the last of which to matter is the one before last.
        let (mut at, end) = (range.start - 1, range.end - 1);
        let mut step = SEARCH_BYTES as u64;
        while at < end {
            let chunk = self.read(at, end.min(at + step))?;
            if let Some(found) = memchr::memchr(b'\n', &chunk) {
                return Ok(Some(at + found as u64 + 1));
            }
            at += chunk.len() as u64;
            step *= 4;
        }
        Ok(None)
    }

    /// The bytes from `start` to `end` or the file's end.
    fn read(&self, start: u64, end: u64) -> io::Result<Vec<u8>> {
        self.read_into(Vec::new(), start, end)
    }

    fn read_into(&self, mut bytes: Vec<u8>, start: u64, end: u64) -> io::Result<Vec<u8>> {
        bytes.resize((end.min(self.length) - start) as usize, 0);
        read_exact_at(&self.file, &mut bytes, start)?;
        Ok(bytes)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, buffer, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[read..];
        offset += read as u64;
    }
    Ok(())
}
