//! The shape of a line: what stands between its values, and which values are wanted.
//!
//! A shape is learned from a line that the full parser took. A line that repeats the texts between
//! the values, and has a well-formed value in each gap, is well-formed too, since the line that
//! was learned from was. Names with escapes, and names of wanted fields that repeat in one object,
//! are not learned, so the wanted values of such a line are those of the line's own gaps.

use smallvec::SmallVec;

use super::scan;
use crate::decode::slot::{Kind, Slot};
use crate::decode::wanted::Wanted;

/// Lines of more values than this are not learned.
const MAX_STEPS: usize = 1024;

/// The shape of a line.
#[derive(Debug)]
pub(super) struct Shape {
    steps: Vec<Step>,
    /// What follows the last value, up to the line's end.
    tail: Literal,
}

/// A value and the text before it.
#[derive(Debug)]
struct Step {
    before: Literal,
    leaf: Option<usize>,
    /// Whether fields below it are wanted, so that an object here makes the line another shape.
    flat: bool,
}

/// A text to be met again.
#[derive(Debug)]
struct Literal {
    text: Box<[u8]>,
    words: Words,
}

/// A short text as words: to compare them is much quicker than a call.
#[derive(Debug)]
enum Words {
    /// A text of fewer than eight bytes, and which bits of a word are its.
    One { word: u64, mask: u64 },
    /// The first and the last eight bytes of a text of 8 to 16.
    Two { first: u64, last: u64 },
    /// A longer text.
    Many,
}

impl Literal {
    fn new(text: &[u8]) -> Literal {
        let words = match (text.first_chunk(), text.last_chunk()) {
            (Some(first), Some(last)) if text.len() <= 16 => Words::Two {
                first: u64::from_le_bytes(*first),
                last: u64::from_le_bytes(*last),
            },
            (Some(_), _) => Words::Many,
            _ => {
                let mut bytes = [0; 8];
                bytes[..text.len()].copy_from_slice(text);
                Words::One {
                    word: u64::from_le_bytes(bytes),
                    mask: (1 << (8 * text.len())) - 1,
                }
            }
        };
        Literal {
            text: text.into(),
            words,
        }
    }

    /// The place behind this text, if it stands at `at`.
    #[inline]
    fn pass(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let rest = bytes.get(at..)?;
        let equal = match (&self.words, rest.first_chunk()) {
            (Words::One { word, mask }, Some(there)) => u64::from_le_bytes(*there) & mask == *word,
            (Words::Two { first, last }, Some(there)) => {
                let end = rest.get(..self.text.len())?;
                u64::from_le_bytes(*there) == *first
                    && u64::from_le_bytes(*end.last_chunk()?) == *last
            }
            _ => rest.starts_with(&self.text),
        };
        equal.then_some(at + self.text.len())
    }
}

impl Shape {
    /// Reads the line that begins at `start`, and gives its end, if it has this shape. Otherwise
    /// the row's slots are left in any state.
    #[inline]
    pub(super) fn read(
        &self,
        text: &str,
        start: usize,
        row: &mut [Slot],
        spill: &mut String,
    ) -> Option<usize> {
        let bytes = text.as_bytes();
        let mut at = start;
        for step in &self.steps {
            at = step.before.pass(bytes, at)?;
            at = match step.leaf {
                Some(leaf) => step.wanted(text, at, &mut row[leaf], spill)?,
                None => step.unwanted(bytes, at)?,
            };
        }
        let end = self.tail.pass(bytes, at)?;
        let ends = bytes.get(end).is_none_or(|&byte| byte == b'\n');
        ends.then_some(end)
    }

    /// The shape of a well-formed line, if it is one that can be learned.
    pub(super) fn learn(line: &str, wanted: &Wanted) -> Option<Shape> {
        let mut learner = Learner {
            line: line.as_bytes(),
            wanted,
            steps: Vec::new(),
            value_end: 0,
        };
        learner.object(scan::space(line.as_bytes(), 0), Wanted::ROOT)?;
        let tail = Literal::new(&line.as_bytes()[learner.value_end..]);
        Some(Shape {
            steps: learner.steps,
            tail,
        })
    }
}

impl Step {
    #[inline]
    fn unwanted(&self, bytes: &[u8], at: usize) -> Option<usize> {
        match bytes.get(at)? {
            b'"' => scan::string(bytes, at),
            b'-' | b'0'..=b'9' => scan::number(bytes, at),
            b'{' if self.flat => None,
            b'{' | b'[' => nested_in_line(bytes, at),
            _ => scan::literal(bytes, at),
        }
    }

    #[inline]
    fn wanted(&self, text: &str, at: usize, slot: &mut Slot, spill: &mut String) -> Option<usize> {
        let bytes = text.as_bytes();
        let (kind, end) = match bytes.get(at)? {
            b'"' => {
                let end = scan::plain_end(bytes, at + 1)?;
                if bytes[end] == b'"' {
                    *slot = Slot::new(Kind::Text, at + 1, end);
                    return Some(end + 1);
                }
                return unescape(text, at, slot, spill);
            }
            b'-' | b'0'..=b'9' => (Kind::Number, scan::number(bytes, at)?),
            b'{' if self.flat => return None,
            b'{' | b'[' => (Kind::Nested, nested_in_line(bytes, at)?),
            b't' => (Kind::True, scan::literal(bytes, at)?),
            b'f' => (Kind::False, scan::literal(bytes, at)?),
            _ => (Kind::Null, scan::literal(bytes, at)?),
        };
        *slot = Slot::new(kind, at, end);
        Some(end)
    }
}

/// Passes over an object or array that ends before its line does.
fn nested_in_line(bytes: &[u8], at: usize) -> Option<usize> {
    let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |n| at + n);
    scan::nested(&bytes[..end], at)
}

/// Reads a wanted string with escapes.
#[cold]
fn unescape(text: &str, at: usize, slot: &mut Slot, spill: &mut String) -> Option<usize> {
    let end = scan::string(text.as_bytes(), at)?;
    let unescaped: String = serde_json::from_str(&text[at..end]).ok()?;
    let start = spill.len();
    spill.push_str(&unescaped);
    *slot = Slot::new(Kind::Spilled, start, spill.len());
    Some(end)
}

struct Learner<'a> {
    line: &'a [u8],
    wanted: &'a Wanted,
    steps: Vec<Step>,
    /// The end of the last value.
    value_end: usize,
}

impl Learner<'_> {
    /// Walks an object from its brace on; gives its end.
    fn object(&mut self, at: usize, node: usize) -> Option<usize> {
        if self.line.get(at)? != &b'{' {
            return None;
        }
        let mut at = scan::space(self.line, at + 1);
        if self.line.get(at)? == &b'}' {
            return Some(at + 1);
        }
        let mut met: SmallVec<[usize; 16]> = SmallVec::new();
        loop {
            let key_end = scan::string(self.line, at)?;
            let key = std::str::from_utf8(&self.line[at + 1..key_end - 1]).ok()?;
            if key.contains('\\') || self.steps.len() == MAX_STEPS {
                return None;
            }
            let colon = scan::space(self.line, key_end);
            let child = self.wanted.child(node, key);
            if let Some(child) = child {
                if met.contains(&child) {
                    return None;
                }
                met.push(child);
            }
            at = scan::space(self.line, colon + 1);
            at = scan::space(self.line, self.value(at, child)?);
            match self.line.get(at)? {
                b',' => at = scan::space(self.line, at + 1),
                _ => return Some(at + 1),
            }
        }
    }

    /// Walks a value that is at a node of the wanted fields, or at none; gives its end.
    fn value(&mut self, at: usize, node: Option<usize>) -> Option<usize> {
        let leaf = node.and_then(|node| self.wanted.leaf(node));
        let inner = node.filter(|&node| self.wanted.has_children(node));
        if let Some(inner) = inner
            && self.line.get(at)? == &b'{'
        {
            // An object that is wanted both whole and in parts is not learned.
            return if leaf.is_some() {
                None
            } else {
                self.object(at, inner)
            };
        }
        let end = scan::value(self.line, at)?;
        let before = Literal::new(&self.line[self.value_end..at]);
        self.steps.push(Step {
            before,
            leaf,
            flat: inner.is_some(),
        });
        self.value_end = end;
        Some(end)
    }
}
