//! Different texts, numbered.
//!
//! Columns of text flow in, the number of each row's text flows out; numbers begin at nought and are
//! given out in the order in which texts are first met. Ids, codes and categories are short: a
//! text of up to fifteen bytes is taken as a number of sixteen, its length in the last, so that
//! hashing and comparing it need neither a loop nor a look at where it came from.

use std::hash::{BuildHasher, RandomState};

use arrow::array::{Array, StringArray};
use hashbrown::HashTable;

/// Texts of up to so many bytes are numbers.
const SHORT_BYTES: usize = 15;

/// Numbers texts.
pub(super) struct Texts {
    short: HashTable<Short>,
    long: HashTable<Long>,
    /// The bytes of the long texts, end to end.
    bytes: Vec<u8>,
    null: Option<u32>,
    count: u32,
    /// Without it, whoever writes the texts could choose such as share a place in the table.
    seed: [u64; 2],
}

/// A short text as two halves of a number.
#[derive(Clone, Copy)]
struct Short {
    low: u64,
    high: u64,
    number: u32,
}

#[derive(Clone, Copy)]
struct Long {
    hash: u64,
    start: usize,
    length: usize,
    number: u32,
}

impl Default for Texts {
    fn default() -> Self {
        let random = RandomState::new();
        Texts {
            short: HashTable::new(),
            long: HashTable::new(),
            bytes: Vec::new(),
            null: None,
            count: 0,
            seed: [random.hash_one(0_u8), random.hash_one(1_u8)],
        }
    }
}

impl Texts {
    /// How many different texts there are; null is one of them, if it was met.
    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// Puts the number of each row's text into `numbers`.
    pub(super) fn intern(&mut self, column: &StringArray, numbers: &mut Vec<usize>) {
        numbers.clear();
        numbers.reserve(column.len());
        let bytes = column.value_data();
        for (row, ends) in column.value_offsets().windows(2).enumerate() {
            let number = if column.is_null(row) {
                self.null()
            } else {
                self.text(bytes, ends[0] as usize, ends[1] as usize)
            };
            numbers.push(number as usize);
        }
    }

    fn null(&mut self) -> u32 {
        match self.null {
            Some(number) => number,
            None => {
                let number = self.next();
                self.null = Some(number);
                number
            }
        }
    }

    fn next(&mut self) -> u32 {
        let number = self.count;
        self.count = number
            .checked_add(1)
            .expect("an epoch has fewer than 2^32 groups");
        number
    }

    #[inline]
    fn text(&mut self, bytes: &[u8], start: usize, end: usize) -> u32 {
        let length = end - start;
        if length > SHORT_BYTES {
            return self.long(&bytes[start..end]);
        }
        let (low, high) = as_number(bytes, start, length);
        let seed = self.seed;
        let hash = hash(low, high, seed);
        let same = |entry: &Short| entry.low == low && entry.high == high;
        if let Some(entry) = self.short.find(hash, same) {
            return entry.number;
        }
        let number = self.next();
        let entry = Short { low, high, number };
        let rehash = |entry: &Short| self::hash(entry.low, entry.high, seed);
        self.short.insert_unique(hash, entry, rehash);
        number
    }

    fn long(&mut self, text: &[u8]) -> u32 {
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(text, self.seed[0]);
        let bytes = &self.bytes;
        let same = |entry: &Long| {
            entry.hash == hash && &bytes[entry.start..entry.start + entry.length] == text
        };
        if let Some(entry) = self.long.find(hash, same) {
            return entry.number;
        }
        let number = self.next();
        let entry = Long {
            hash,
            start: self.bytes.len(),
            length: text.len(),
            number,
        };
        self.bytes.extend_from_slice(text);
        self.long.insert_unique(hash, entry, |entry| entry.hash);
        number
    }
}

/// A short text's bytes as a number, its length in the last byte.
#[inline]
fn as_number(bytes: &[u8], start: usize, length: usize) -> (u64, u64) {
    let word = match bytes[start..].first_chunk::<16>() {
        // Whatever follows the text is masked out.
        Some(chunk) => u128::from_le_bytes(*chunk) & ((1 << (8 * length)) - 1),
        None => {
            let mut chunk = [0; 16];
            chunk[..length].copy_from_slice(&bytes[start..start + length]);
            u128::from_le_bytes(chunk)
        }
    };
    let word = word | (length as u128) << (8 * SHORT_BYTES);
    (word as u64, (word >> 64) as u64)
}

/// The product of both halves with its own halves folded, as foldhash and wyhash do.
#[inline]
fn hash(low: u64, high: u64, seed: [u64; 2]) -> u64 {
    let product = u128::from(low ^ seed[0]) * u128::from(high ^ seed[1]);
    (product as u64) ^ (product >> 64) as u64
}
