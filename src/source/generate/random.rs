//! Chance, the same on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// How much is drawn at once.
const BUFFER_BYTES: usize = 4096;

/// A source of chance that a seed determines. All draws are of whole numbers.
#[derive(Debug)]
pub(super) struct Random {
    generator: ChaCha8Rng,
    buffer: [u8; BUFFER_BYTES],
    used: usize,
}

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        let generator = ChaCha8Rng::seed_from_u64(seed);
        Random {
            generator,
            buffer: [0; BUFFER_BYTES],
            used: BUFFER_BYTES,
        }
    }

    #[inline]
    fn word(&mut self) -> u32 {
        if self.used == BUFFER_BYTES {
            self.generator.fill_bytes(&mut self.buffer);
            self.used = 0;
        }
        let bytes = &self.buffer[self.used..self.used + 4];
        self.used += 4;
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// A number below `bound`, which must not be zero. The bias of the multiplication is below
    /// `bound` / 2^32, which no shop would notice.
    #[inline]
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let wide = u64::from(self.word()) * u64::from(bound);
        (wide >> 32) as u32
    }

    /// A number from `low` to `high`, both included.
    #[inline]
    pub(super) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// Whether something happens that happens `n` times in ten thousand.
    #[inline]
    pub(super) fn chance(&mut self, n: u32) -> bool {
        self.below(10_000) < n
    }

    /// A rank from zero to `count` - 1 by Zipf's law with exponent one, in steps: each octave of
    /// ranks (1, 2 to 3, 4 to 7, ...) is equally likely, and within an octave each rank.
    #[inline]
    pub(super) fn zipf(&mut self, count: u32) -> u32 {
        let octaves = 32 - count.leading_zeros();
        loop {
            let first = 1_u32 << self.below(octaves);
            let rank = first + self.below(first);
            if rank <= count {
                return rank - 1;
            }
        }
    }

    /// A rank from zero to `count` - 1 by Mandelbrot's flatter form of Zipf's law, in the same
    /// steps: as if the `shift` highest ranks were not there.
    #[inline]
    pub(super) fn flattened_zipf(&mut self, count: u32, shift: u32) -> u32 {
        loop {
            let rank = self.zipf(count + shift);
            if rank >= shift {
                return rank - shift;
            }
        }
    }

    /// A time span in milliseconds around `mean_ms`: from a quarter of it to seven quarters.
    #[inline]
    pub(super) fn around_ms(&mut self, mean_ms: u32) -> u64 {
        u64::from(mean_ms / 4) + u64::from(self.below(mean_ms + mean_ms / 2))
    }

    /// By how much a late event is late, in milliseconds: minutes to three days, and every
    /// doubling equally likely.
    pub(super) fn lateness_ms(&mut self) -> u64 {
        let minutes = 1_u32 << self.below(12);
        let minutes = (minutes + self.below(minutes)).min(3 * 24 * 60);
        u64::from(minutes) * 60_000
    }
}
