//! The lines of an event stream, as the HTML standard interprets them.

use std::time::Duration;

use super::text::append_records;
use crate::source::TooLong;

/// An event stream that is read piece by piece.
pub(super) struct EventStream {
    /// The longest data of an event, in bytes.
    limit: usize,
    /// A line that has not ended.
    line: Vec<u8>,
    /// Whether the line before ended with a carriage return, to which a line feed may belong.
    after_return: bool,
    is_first_line: bool,
    data: Vec<u8>,
    /// Whether the event that is under way is too long.
    is_too_long: bool,
    too_long: Option<TooLong>,
    /// The id of the event that is under way, and of the last whole one.
    next_id: String,
    last_id: String,
    retry: Option<Duration>,
}

impl EventStream {
    pub(super) fn new(limit: usize) -> EventStream {
        EventStream {
            limit,
            line: Vec::new(),
            after_return: false,
            is_first_line: true,
            data: Vec::new(),
            is_too_long: false,
            too_long: None,
            next_id: String::new(),
            last_id: String::new(),
            retry: None,
        }
    }

    /// The id of the last event.
    pub(super) fn last_id(&self) -> &str {
        &self.last_id
    }

    /// The pause before connecting again, if the server has set it since the last call.
    pub(super) fn take_retry(&mut self) -> Option<Duration> {
        self.retry.take()
    }

    /// An event that was passed over since the last call; it is said to begin at `offset`.
    pub(super) fn take_too_long(&mut self, offset: u64) -> Option<TooLong> {
        let too_long = self.too_long.take()?;
        Some(TooLong { offset, ..too_long })
    }

    /// The stream begins anew; an event that was under way is dropped, since it comes again.
    pub(super) fn restart(&mut self) {
        let last_id = std::mem::take(&mut self.last_id);
        *self = EventStream {
            next_id: last_id.clone(),
            last_id,
            ..EventStream::new(self.limit)
        };
    }

    /// Takes in bytes, and appends the records of the events that are whole by now.
    pub(super) fn push(&mut self, mut bytes: &[u8], text: &mut Vec<u8>) {
        if std::mem::take(&mut self.after_return) && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) {
            self.extend_line(&bytes[..end]);
            self.end_line(text);
            let is_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.after_return = is_return && bytes.is_empty();
            if is_return {
                bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            }
        }
        self.extend_line(bytes);
    }

    /// Adds to the line, of which no more is kept than shows that it is too long.
    fn extend_line(&mut self, bytes: &[u8]) {
        let room = (self.limit + TooLong::START_BYTES).saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self, text: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if std::mem::take(&mut self.is_first_line) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            return self.dispatch(text);
        }
        let colon = memchr::memchr(b':', line);
        let (field, value) = match colon {
            Some(0) => return,
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => self.add_data(value),
            b"id" if !value.contains(&0) => {
                self.next_id = String::from_utf8_lossy(value).into_owned();
            }
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                let digits = String::from_utf8_lossy(value);
                self.retry = digits.parse().ok().map(Duration::from_millis);
            }
            _ => {}
        }
    }

    fn add_data(&mut self, value: &[u8]) {
        if !self.data.is_empty() {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        if self.data.len() > self.limit {
            self.is_too_long = true;
            self.data.truncate(TooLong::START_BYTES);
        }
    }

    /// An empty line ends the event.
    fn dispatch(&mut self, text: &mut Vec<u8>) {
        let data = std::mem::take(&mut self.data);
        if std::mem::take(&mut self.is_too_long) {
            self.too_long = Some(TooLong {
                offset: 0,
                start: data[..data.len().min(TooLong::START_BYTES)].to_vec(),
                limit: self.limit,
            });
        } else {
            append_records(text, &data);
        }
        self.last_id.clone_from(&self.next_id);
    }
}
