//! JSON lines to slots: one object a line.
//!
//! Lines of a log repeat their shape, so the reader learns shapes: the texts between the values of
//! a line (names, colons, commas, braces, blanks), which a later line must repeat byte by byte,
//! and which of the values are wanted. A line of a known shape is checked and sliced in one pass
//! over its bytes ([`shape`]); any other goes to the full parser ([`full`], serde_json), and its
//! shape is learned for the lines to come.
//!
//! Both take and refuse the same lines. How far values are checked that nobody wants: wholly. They
//! are passed over by the grammar of JSON ([`scan`]), which is what serde_json does with values
//! that it ignores: escapes in strings must be well-formed, but surrogates need not pair, and
//! numbers may be of any size. Only where a string is wanted must its escapes make text.
//!
//! Of fields of the same name in one object the last counts. A line without an object is refused;
//! a blank line is passed over.

mod full;
pub(super) mod scan;
mod shape;

use super::slot::Rows;
use super::wanted::Wanted;
use shape::Shape;

/// How many shapes are kept.
const MAX_SHAPES: usize = 16;
/// How many lines of known shape pay for learning one more, once the reader has none left to
/// spend: lines that never repeat their shape are then not learned in vain.
const LEARN_COST: u32 = 8;
const LEARN_CREDIT: u32 = 64 * LEARN_COST;

/// Reads JSON lines; keeps the shapes that it met.
#[derive(Debug)]
pub(super) struct JsonReader {
    /// The shape of the line before comes first.
    shapes: Vec<Shape>,
    credit: u32,
    learns: bool,
}

impl JsonReader {
    /// A reader that learns shapes or, for comparison, gives every line to the full parser.
    pub(super) fn new(learns: bool) -> JsonReader {
        JsonReader {
            shapes: Vec::new(),
            credit: LEARN_CREDIT,
            learns,
        }
    }

    /// Reads all lines of a text.
    pub(super) fn read(&mut self, text: &str, wanted: &Wanted, rows: &mut Rows) {
        let bytes = text.as_bytes();
        let mut start = 0;
        while start < bytes.len() {
            if bytes[start] == b'\n' {
                start += 1;
                continue;
            }
            rows.begin();
            if let Some(end) = self.read_known(text, start, rows) {
                rows.commit(start, end);
                start = end + 1;
                continue;
            }
            let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |n| start + n);
            self.read_unknown(&text[start..end], start, wanted, rows);
            start = end + 1;
        }
    }

    /// Reads the line at `start` if it is of a known shape; gives its end.
    #[inline]
    fn read_known(&mut self, text: &str, start: usize, rows: &mut Rows) -> Option<usize> {
        for i in 0..self.shapes.len() {
            let (row, spill) = rows.current();
            if let Some(end) = self.shapes[i].read(text, start, row, spill) {
                self.shapes.swap(0, i);
                self.credit = (self.credit + 1).min(LEARN_CREDIT);
                return Some(end);
            }
            rows.restart();
        }
        None
    }

    /// Reads a line with the full parser and learns its shape.
    #[cold]
    fn read_unknown(&mut self, line: &str, start: usize, wanted: &Wanted, rows: &mut Rows) {
        let range = start..start + line.len();
        if line.trim_ascii().is_empty() {
            rows.take_back();
            return;
        }
        let (row, spill) = rows.current();
        if let Err(reason) = full::read(line, start, wanted, row, spill) {
            rows.refuse(range, reason);
            return;
        }
        rows.commit(range.start, range.end);
        if self.learns && self.credit >= LEARN_COST {
            self.credit -= LEARN_COST;
            if let Some(shape) = Shape::learn(line, wanted) {
                self.shapes.truncate(MAX_SHAPES - 1);
                self.shapes.insert(0, shape);
            }
        }
    }
}
