//! Where in a block's text the wanted values lie.
//!
//! Decoding text takes two steps. The first, by format, finds records and in each the wanted
//! values: a [`Slot`] per record and leaf of [`Wanted`](super::wanted::Wanted). The second, in
//! [`super::column`], goes through the slots column by column and writes Arrow buffers. So a
//! record that turns out broken half-way has left nothing behind in a builder, and each column's
//! loop knows its type.

use std::ops::Range;

/// The greatest text that slots can point into, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 1 << 29;

/// What a value is, before its column's type is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The record does not have it.
    Missing,
    /// The record has it and says null.
    Null,
    /// A string, or a CSV field.
    Text,
    /// A string that was unescaped into [`Rows::spill`].
    Spilled,
    /// A JSON number.
    Number,
    /// The JSON literal.
    True,
    /// The JSON literal.
    False,
    /// A JSON object or array.
    Nested,
}

const KINDS: [Kind; 8] = [
    Kind::Missing,
    Kind::Null,
    Kind::Text,
    Kind::Spilled,
    Kind::Number,
    Kind::True,
    Kind::False,
    Kind::Nested,
];
const KIND_BITS: u32 = 3;

/// A value's kind and its place in the text, in eight bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    start: u32,
    /// The length, and below it the kind.
    tagged: u32,
}

impl Slot {
    /// Nothing there.
    pub(super) const MISSING: Slot = Slot {
        start: 0,
        tagged: 0,
    };

    /// A value at `start..end`, within the first [`MAX_TEXT_BYTES`] bytes.
    #[inline]
    pub(super) fn new(kind: Kind, start: usize, end: usize) -> Slot {
        Slot {
            start: start as u32,
            tagged: ((end - start) as u32) << KIND_BITS | kind as u32,
        }
    }

    #[inline]
    pub(super) fn kind(self) -> Kind {
        KINDS[(self.tagged & ((1 << KIND_BITS) - 1)) as usize]
    }

    /// Whether there is no value: missing or null.
    #[inline]
    pub(super) fn is_absent(self) -> bool {
        self.tagged & ((1 << KIND_BITS) - 1) <= Kind::Null as u32
    }

    #[inline]
    pub(super) fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + (self.tagged >> KIND_BITS) as usize
    }
}

/// A value as a column's builder takes it. Strings are without quotes and escapes; everything else
/// is as written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
}

impl Value<'_> {
    /// Nothing there.
    pub(super) const MISSING: Value<'static> = Value {
        kind: Kind::Missing,
        text: "",
    };
}

/// A record that cannot be a row.
#[derive(Debug)]
pub(super) struct Refused {
    /// Where the record lies in the text.
    pub(super) range: Range<usize>,
    pub(super) reason: String,
}

/// What the first step makes of a block's text.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// The slots, row by row, [`Rows::stride`] each.
    slots: Vec<Slot>,
    stride: usize,
    /// Where each row's record lies in the text.
    pub(super) records: Vec<Range<u32>>,
    /// Unescaped strings, one after the other; never longer than the text that they are from.
    spill: String,
    /// How long the spill was when the current row began.
    spilled: usize,
    /// The records that are not rows, in order.
    pub(super) refused: Vec<Refused>,
}

impl Rows {
    /// Room for rows of so many leaves.
    pub(super) fn new(leaves: usize) -> Rows {
        Rows {
            stride: leaves.max(1),
            ..Rows::default()
        }
    }

    /// Forgets the rows of the block before.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.records.clear();
        self.spill.clear();
        self.refused.clear();
    }

    /// Begins a row whose values are all missing; [`Rows::commit`] or [`Rows::restart`] follows.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.spilled = self.spill.len();
        self.slots
            .resize(self.slots.len() + self.stride, Slot::MISSING);
    }

    /// The slots of the row that was begun, and the spill.
    #[inline]
    pub(super) fn current(&mut self) -> (&mut [Slot], &mut String) {
        let start = self.slots.len() - self.stride;
        (&mut self.slots[start..], &mut self.spill)
    }

    /// Makes all values of the row that was begun missing again.
    pub(super) fn restart(&mut self) {
        self.spill.truncate(self.spilled);
        self.current().0.fill(Slot::MISSING);
    }

    /// Ends the row that was begun.
    #[inline]
    pub(super) fn commit(&mut self, start: usize, end: usize) {
        self.records.push(start as u32..end as u32);
    }

    /// Takes back the row that was begun, which was none.
    pub(super) fn take_back(&mut self) {
        self.spill.truncate(self.spilled);
        self.slots.truncate(self.records.len() * self.stride);
    }

    /// Takes back the row that was begun, and says why.
    pub(super) fn refuse(&mut self, range: Range<usize>, reason: String) {
        self.take_back();
        self.refused.push(Refused { range, reason });
    }

    /// Takes back the rows whose records meet a condition.
    pub(super) fn refuse_where(&mut self, refuse: impl Fn(&Range<usize>) -> bool, reason: &str) {
        let mut kept = 0;
        for row in 0..self.records.len() {
            let record = self.records[row].clone();
            let range = record.start as usize..record.end as usize;
            if refuse(&range) {
                self.refused.push(Refused {
                    range,
                    reason: reason.to_owned(),
                });
                continue;
            }
            self.records[kept] = record;
            self.slots.copy_within(
                row * self.stride..(row + 1) * self.stride,
                kept * self.stride,
            );
            kept += 1;
        }
        self.records.truncate(kept);
        self.slots.truncate(kept * self.stride);
        self.refused.sort_by_key(|refused| refused.range.start);
    }

    /// The values of one column, found at the first of the leaves that is there.
    pub(super) fn cells<'a>(&'a self, text: &'a str, leaves: &'a [usize]) -> Cells<'a> {
        Cells {
            rows: self,
            text,
            leaves,
        }
    }
}

/// The values of one column over all rows.
pub(super) struct Cells<'a> {
    rows: &'a Rows,
    text: &'a str,
    leaves: &'a [usize],
}

impl<'a> Cells<'a> {
    /// Tells the number and the value of each row.
    #[inline]
    pub(super) fn for_each(&self, mut each: impl FnMut(usize, Value<'a>)) {
        let rows = self.rows.slots.chunks_exact(self.rows.stride).enumerate();
        match *self.leaves {
            [leaf] => rows.for_each(|(number, row)| each(number, self.value(row[leaf]))),
            _ => rows.for_each(|(number, row)| each(number, self.value(self.first(row)))),
        }
    }

    /// The first leaf's slot of a row that has a value, or else the last one's.
    fn first(&self, row: &[Slot]) -> Slot {
        let mut slot = Slot::MISSING;
        for &leaf in self.leaves {
            slot = row[leaf];
            if !slot.is_absent() {
                break;
            }
        }
        slot
    }

    #[inline]
    fn value(&self, slot: Slot) -> Value<'a> {
        match slot.kind() {
            Kind::Spilled => Value {
                kind: Kind::Text,
                text: &self.rows.spill[slot.range()],
            },
            kind => Value {
                kind,
                text: &self.text[slot.range()],
            },
        }
    }
}
