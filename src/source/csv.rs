//! Where records of CSV end, and what a header says.
//!
//! The rules are those of [`crate::decode`]'s reader: a quote opens a quoted field only as the
//! field's first byte, and a line feed outside of quotes ends the record.

use super::CsvOptions;

/// Finds record ends in text that comes piece by piece.
#[derive(Debug, Clone)]
pub(super) struct RecordEnds {
    delimiter: u8,
    quote: u8,
    in_quotes: bool,
    /// The place behind the quote found last, within the record.
    after_quote: Option<usize>,
}

impl RecordEnds {
    pub(super) fn new(options: &CsvOptions) -> RecordEnds {
        let &CsvOptions {
            delimiter, quote, ..
        } = options;
        RecordEnds {
            delimiter,
            quote,
            in_quotes: false,
            after_quote: None,
        }
    }

    /// Begins anew at the start of a record.
    pub(super) fn restart(&mut self) {
        (self.in_quotes, self.after_quote) = (false, None);
    }

    /// The place behind the last record end in a text of which everything before `at` has been
    /// looked at before, and whose record there began at `start`.
    pub(super) fn last(&mut self, text: &[u8], start: usize, at: usize) -> Option<usize> {
        let rest = &text[at..];
        if !self.in_quotes && memchr::memchr(self.quote, rest).is_none() {
            return memchr::memrchr(b'\n', rest).map(|found| {
                self.after_quote = None;
                at + found + 1
            });
        }
        let mut end = self.next(text, start, at);
        let mut last = end;
        while let Some(start) = end {
            last = end;
            end = self.next(text, start, start);
        }
        last
    }

    /// The place behind the next record end at or after `at`. Everything before `at` has been
    /// looked at before; the record began at `start`.
    pub(super) fn next(&mut self, text: &[u8], start: usize, mut at: usize) -> Option<usize> {
        loop {
            let rest = text.get(at..)?;
            if self.in_quotes {
                at += memchr::memchr(self.quote, rest)? + 1;
                self.in_quotes = false;
                self.after_quote = Some(at - start);
                continue;
            }
            let found = at + memchr::memchr2(self.quote, b'\n', rest)?;
            at = found + 1;
            if text[found] == b'\n' {
                self.after_quote = None;
                return Some(at);
            }
            let opens = found == start || text[found - 1] == self.delimiter;
            let doubles = self.after_quote == Some(found - start);
            self.in_quotes = opens || doubles;
        }
    }
}

/// The column names in the first record of a CSV text, and where the record after it begins. A
/// byte order mark does not matter; bytes that are not UTF-8 are replaced.
pub fn csv_header(text: &[u8], options: &CsvOptions) -> (Vec<String>, usize) {
    let mark = if text.starts_with(b"\xEF\xBB\xBF") {
        3
    } else {
        0
    };
    let mut start = mark;
    let mut ends = RecordEnds::new(options);
    loop {
        let end = ends.next(text, start, start).unwrap_or(text.len());
        let record = &text[start..end];
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        let record = record.strip_suffix(b"\r").unwrap_or(record);
        if !record.is_empty() {
            return (names(record, options), end);
        }
        if end == text.len() {
            return (Vec::new(), end);
        }
        start = end;
    }
}

/// The place behind the record that begins at `start`.
pub fn csv_record_end(text: &[u8], start: usize, options: &CsvOptions) -> usize {
    let end = RecordEnds::new(options).next(text, start, start);
    end.unwrap_or(text.len())
}

fn names(record: &[u8], options: &CsvOptions) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = Vec::new();
    let mut bytes = record.iter().copied().peekable();
    let mut in_quotes = false;
    let mut at_start = true;
    while let Some(byte) = bytes.next() {
        if in_quotes && byte == options.quote {
            if bytes.next_if_eq(&options.quote).is_some() {
                name.push(byte);
            } else {
                in_quotes = false;
            }
        } else if at_start && byte == options.quote {
            in_quotes = true;
        } else if !in_quotes && byte == options.delimiter {
            names.push(text_of(&name));
            name.clear();
            at_start = true;
            continue;
        } else {
            name.push(byte);
        }
        at_start = false;
    }
    names.push(text_of(&name));
    names
}

fn text_of(name: &[u8]) -> String {
    String::from_utf8_lossy(name).trim().to_owned()
}
