//! CSV to slots: RFC 4180, as lenient as most readers are.
//!
//! A record ends at a line feed outside of quotes; a carriage return before it is dropped. A quote
//! opens a quoted field only as the field's first byte; within it, two quotes are one; what follows
//! the closing quote belongs to the field as it is. A field that is empty and not quoted is null.
//! Blank lines are passed over. A record with another number of fields than the header is refused.
//!
//! Where a quote is never closed, only the line on which its record begins is refused, and reading
//! goes on behind that.
//!
//! Delimiters and line ends are found eight bytes at a time; quotes are looked for only where a
//! field begins.

use std::sync::Arc;

use super::slot::{Kind, Rows, Slot};
use super::wanted::Wanted;
use super::{DecodeError, Task};
use crate::source::{CsvOptions, csv_header};

const LOWS: u64 = u64::from_ne_bytes([0x7F; 8]);
const ONES: u64 = u64::from_ne_bytes([0x01; 8]);

/// Reads the records of one input.
pub(super) struct CsvReader {
    options: CsvOptions,
    /// The table's column names, for records without a header.
    own_names: Arc<Vec<String>>,
    /// The header that `fields` was made for.
    header: Option<Arc<Vec<String>>>,
    /// For each field the leaf that it is, if wanted.
    fields: Vec<Option<usize>>,
}

/// How a quoted field ends.
enum Quoted {
    /// At this place, a delimiter, a line feed or the text's end.
    Closed(Slot, usize),
    Unclosed,
}

impl CsvReader {
    /// A reader for a task; checks the header, if it is known, for the columns that must be there.
    pub(super) fn new(
        task: &Task,
        options: &CsvOptions,
        header: Option<&[String]>,
    ) -> Result<CsvReader, DecodeError> {
        for column in task.wanted() {
            // Of several places, those inside of nested objects are for other formats.
            let only_nested = column.paths.iter().all(|path| path.len() > 1);
            if let Some(path) = column.paths.first().filter(|_| only_nested) {
                return Err(DecodeError::NestedPath {
                    table: task.table.name.clone(),
                    column: column.name.clone(),
                    path: path.join("."),
                });
            }
        }
        let own_name = |column: &crate::script::Column| {
            column
                .paths
                .iter()
                .find(|path| path.len() == 1)
                .and_then(|path| path.first())
                .unwrap_or(&column.name)
                .clone()
        };
        let own_names = Arc::new(task.table.columns.iter().map(own_name).collect::<Vec<_>>());
        let header = if options.header {
            header
        } else {
            Some(&own_names[..])
        };
        if let Some(header) = header {
            check_header(task, header)?;
        }
        let options = options.clone();
        Ok(CsvReader {
            options,
            own_names,
            header: None,
            fields: Vec::new(),
        })
    }

    /// Reads all records of a text. Without a `header` for it, the first record is the header,
    /// unless the input has none.
    pub(super) fn read(
        &mut self,
        text: &str,
        header: Option<&Arc<Vec<String>>>,
        wanted: &Wanted,
        rows: &mut Rows,
    ) {
        let mut at = 0;
        match header {
            Some(header) => self.follow(header, wanted),
            None if self.options.header => {
                let (header, end) = csv_header(text.as_bytes(), &self.options);
                self.follow(&Arc::new(header), wanted);
                at = end;
            }
            None => self.follow(&Arc::clone(&self.own_names), wanted),
        }
        while at < text.len() {
            at = self.record(text, at, rows);
        }
    }

    /// Maps fields to leaves by a header.
    fn follow(&mut self, header: &Arc<Vec<String>>, wanted: &Wanted) {
        if self
            .header
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, header))
        {
            return;
        }
        self.fields = vec![None; header.len()];
        for leaf in 0..wanted.leaves() {
            let [name] = wanted.path(leaf) else { continue };
            if let Some(field) = header.iter().position(|field| field == name) {
                self.fields[field] = Some(leaf);
            }
        }
        self.header = Some(Arc::clone(header));
    }

    /// Reads the record at `start`; gives the start of the next.
    #[inline]
    fn record(&self, text: &str, start: usize, rows: &mut Rows) -> usize {
        let bytes = text.as_bytes();
        if matches!(bytes[start..], [b'\n', ..] | [b'\r', b'\n', ..]) {
            return start + 1 + usize::from(bytes[start] == b'\r');
        }
        rows.begin();
        let (row, spill) = rows.current();
        let mut ends = FieldEnds::new(bytes, self.options.delimiter, start);
        let (mut at, mut count) = (start, 0);
        loop {
            let (slot, end) = if bytes.get(at) == Some(&self.options.quote) {
                match self.quoted(text, at, spill) {
                    Quoted::Closed(slot, end) => {
                        ends = FieldEnds::new(bytes, self.options.delimiter, end + 1);
                        (slot, end)
                    }
                    Quoted::Unclosed => return refuse_line(bytes, start, rows),
                }
            } else {
                let end = ends.next();
                let stop = line_stop(bytes, at, end);
                let kind = if stop == at { Kind::Null } else { Kind::Text };
                (Slot::new(kind, at, stop), end)
            };
            if let Some(Some(leaf)) = self.fields.get(count) {
                row[*leaf] = slot;
            }
            count += 1;
            at = end + 1;
            if bytes.get(end) != Some(&self.options.delimiter) {
                break;
            }
        }
        let end = line_stop(bytes, start, at - 1);
        if count == self.fields.len() {
            rows.commit(start, end);
        } else {
            rows.refuse(start..end, self.miscounted(count));
        }
        at
    }

    #[cold]
    fn miscounted(&self, count: usize) -> String {
        let plural = if count == 1 { "field" } else { "fields" };
        let expecter = if self.options.header {
            "header"
        } else {
            "table"
        };
        format!(
            "{count} {plural}, but the {expecter} has {}",
            self.fields.len()
        )
    }

    /// Reads a field from its opening quote on.
    fn quoted(&self, text: &str, open: usize, spill: &mut String) -> Quoted {
        let bytes = text.as_bytes();
        let quote = self.options.quote;
        let mut at = open + 1;
        let mut doubled = false;
        let close = loop {
            let Some(found) = memchr::memchr(quote, &bytes[at..]) else {
                return Quoted::Unclosed;
            };
            let found = at + found;
            if bytes.get(found + 1) != Some(&quote) {
                break found;
            }
            doubled = true;
            at = found + 2;
        };
        let end = FieldEnds::new(bytes, self.options.delimiter, close + 1).next();
        let stop = line_stop(bytes, close + 1, end);
        if !doubled && stop == close + 1 {
            return Quoted::Closed(Slot::new(Kind::Text, open + 1, close), end);
        }
        let start = spill.len();
        let mut rest = &text[open + 1..close];
        while let Some(found) = memchr::memchr(quote, rest.as_bytes()) {
            spill.push_str(&rest[..=found]);
            rest = &rest[found + 2..];
        }
        spill.push_str(rest);
        spill.push_str(&text[close + 1..stop]);
        Quoted::Closed(Slot::new(Kind::Spilled, start, spill.len()), end)
    }
}

/// Refuses the line that begins at `start`, whose quote is never closed; gives the next line.
#[cold]
fn refuse_line(bytes: &[u8], start: usize, rows: &mut Rows) -> usize {
    let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |n| start + n);
    rows.refuse(start..end, "a quote is never closed".to_owned());
    end + 1
}

/// Where a field ends that its delimiter or line end follows at `end`: before a carriage return
/// that belongs to the line end.
#[inline]
fn line_stop(bytes: &[u8], start: usize, end: usize) -> usize {
    let at_line_end = bytes.get(end).is_none_or(|&byte| byte == b'\n');
    let returns = at_line_end && end > start && bytes[end - 1] == b'\r';
    end - usize::from(returns)
}

/// The places of delimiters and line feeds, then that of the text's end, for ever.
struct FieldEnds<'a> {
    bytes: &'a [u8],
    delimiters: u64,
    /// Where the word begins that `marks` is of.
    word: usize,
    /// A high bit for each byte of the word that is an end.
    marks: u64,
}

impl<'a> FieldEnds<'a> {
    #[inline]
    fn new(bytes: &'a [u8], delimiter: u8, at: usize) -> FieldEnds<'a> {
        let mut ends = FieldEnds {
            bytes,
            delimiters: ONES * u64::from(delimiter),
            word: at,
            marks: 0,
        };
        ends.marks = ends.load();
        ends
    }

    /// The marks of the current word; bytes behind the text's end are none.
    #[inline]
    fn load(&self) -> u64 {
        let rest = self.bytes.get(self.word..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(chunk) => u64::from_le_bytes(*chunk),
            None => {
                let mut chunk = [0; 8];
                chunk[..rest.len()].copy_from_slice(rest);
                u64::from_le_bytes(chunk)
            }
        };
        zero_bytes(word ^ self.delimiters) | zero_bytes(word ^ (ONES * u64::from(b'\n')))
    }

    #[inline]
    fn next(&mut self) -> usize {
        while self.marks == 0 {
            self.word += 8;
            if self.word >= self.bytes.len() {
                return self.bytes.len();
            }
            self.marks = self.load();
        }
        let end = self.word + self.marks.trailing_zeros() as usize / 8;
        self.marks &= self.marks - 1;
        end
    }
}

/// The high bit of each byte that is zero.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    !(((word & LOWS) + LOWS) | word | LOWS)
}

/// Finds the wanted columns that a header lacks and that must be there.
fn check_header(task: &Task, header: &[String]) -> Result<(), DecodeError> {
    for (position, column) in task.wanted().enumerate() {
        let own_name = [vec![column.name.clone()]];
        let paths = if column.paths.is_empty() {
            &own_name[..]
        } else {
            &column.paths[..]
        };
        let names = || paths.iter().filter(|path| path.len() == 1).flatten();
        let there = names().any(|name| header.contains(name));
        if there || !matches!(task.absent(position), super::column::Absent::Refuse) {
            continue;
        }
        let quoted = |name: &String| format!("\"{name}\"");
        return Err(DecodeError::MissingColumn {
            input: task.input.clone(),
            table: task.table.name.clone(),
            column: column.name.clone(),
            wanted: names().map(quoted).collect::<Vec<_>>().join(" or "),
            header: header.iter().map(quoted).collect::<Vec<_>>().join(", "),
        });
    }
    Ok(())
}
