//! Integers of 192 bits, for sums of decimals of up to 38 digits.
//!
//! Arithmetic is modulo 2^192. A sum of values below 2^127 whose multiplicities add up to less than
//! 2^63 lies within 2^190, so what is read out is exact whatever was wrapped on the way.

use arrow::datatypes::i256;

/// A two's complement integer of 192 bits, least significant word first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wide {
    words: [u64; 3],
}

impl Wide {
    pub(super) const BYTES: usize = 24;

    /// Adds a value.
    #[inline]
    pub(super) fn add(&mut self, value: i128) {
        let (low, middle, high) = (value as u64, (value >> 64) as u64, (value >> 127) as u64);
        self.add_words([low, middle, high]);
    }

    /// Adds a value `times` over.
    #[inline]
    pub(super) fn add_times(&mut self, value: i128, times: i64) {
        let times = i128::from(times);
        let low = i128::from(value as u64) * times;
        let high = (value >> 64) * times;
        self.add(low);
        self.add_words([0, high as u64, (high >> 64) as u64]);
    }

    /// Adds another sum.
    #[inline]
    pub(super) fn merge(&mut self, other: &Wide) {
        self.add_words(other.words);
    }

    #[inline]
    fn add_words(&mut self, words: [u64; 3]) {
        let (low, carry) = self.words[0].carrying_add(words[0], false);
        let (middle, carry) = self.words[1].carrying_add(words[1], carry);
        let high = self.words[2]
            .wrapping_add(words[2])
            .wrapping_add(u64::from(carry));
        self.words = [low, middle, high];
    }

    /// The value.
    pub(super) fn to_i256(self) -> i256 {
        let low = u128::from(self.words[0]) | (u128::from(self.words[1]) << 64);
        i256::from_parts(low, i128::from(self.words[2] as i64))
    }

    pub(super) fn to_le_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    pub(super) fn from_le_bytes(bytes: &[u8; Self::BYTES]) -> Wide {
        let (words, _) = bytes.as_chunks::<8>();
        Wide {
            words: [0, 1, 2].map(|i| u64::from_le_bytes(words[i])),
        }
    }
}
