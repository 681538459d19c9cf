//! Binary numbers of any size, for answers that must not lose a digit on the way.
//!
//! [`Big`] holds `±magnitude * 2^exponent` and adds, subtracts and multiplies exactly; it becomes a
//! double by one rounding. [`Scaled`] is a double whose exponent cannot overflow, for the divisions
//! and roots with which an answer ends.

/// An exact binary number. The magnitude is odd, or empty for zero, so that a value has one form.
#[derive(Debug, Clone)]
pub(super) struct Big {
    negative: bool,
    /// Least significant word first; the last word is not zero.
    magnitude: Vec<u64>,
    exponent: i64,
}

impl Big {
    /// The value of two's complement `words`, least significant first, times `2^exponent`.
    pub(super) fn from_words(words: &[u64], exponent: i64) -> Big {
        let negative = words.last().is_some_and(|word| (*word as i64) < 0);
        let mut magnitude = words.to_vec();
        if negative {
            let mut carry = true;
            for word in &mut magnitude {
                (*word, carry) = (!*word).carrying_add(0, carry);
            }
        }
        Big {
            negative,
            magnitude,
            exponent,
        }
        .trimmed()
    }

    /// The value of `value * 2^exponent`.
    pub(super) fn from_i128(value: i128, exponent: i64) -> Big {
        Big::from_words(&[value as u64, (value >> 64) as u64], exponent)
    }

    pub(super) fn is_zero(&self) -> bool {
        self.magnitude.is_empty()
    }

    pub(super) fn is_negative(&self) -> bool {
        self.negative
    }

    pub(super) fn exponent(&self) -> i64 {
        self.exponent
    }

    /// The absolute value in units of `2^exponent`, least significant word first.
    pub(super) fn magnitude(&self) -> &[u64] {
        &self.magnitude
    }

    pub(super) fn add(&self, other: &Big) -> Big {
        let exponent = self.exponent.min(other.exponent);
        let mine = shifted_left(&self.magnitude, self.exponent - exponent);
        let theirs = shifted_left(&other.magnitude, other.exponent - exponent);
        let (negative, magnitude) = if self.negative == other.negative {
            (self.negative, sum(mine, &theirs))
        } else if is_less(&mine, &theirs) {
            (other.negative, difference(theirs, &mine))
        } else {
            (self.negative, difference(mine, &theirs))
        };
        Big {
            negative,
            magnitude,
            exponent,
        }
        .trimmed()
    }

    pub(super) fn sub(&self, other: &Big) -> Big {
        let negated = Big {
            negative: !other.negative && !other.is_zero(),
            ..other.clone()
        };
        self.add(&negated)
    }

    pub(super) fn mul(&self, other: &Big) -> Big {
        let mut magnitude = vec![0; self.magnitude.len() + other.magnitude.len()];
        for (i, a) in self.magnitude.iter().enumerate() {
            let mut carry = 0;
            for (j, b) in other.magnitude.iter().enumerate() {
                (magnitude[i + j], carry) = a.carrying_mul_add(*b, magnitude[i + j], carry);
            }
            magnitude[i + other.magnitude.len()] = carry;
        }
        let negative = self.negative != other.negative;
        Big {
            negative,
            magnitude,
            exponent: self.exponent + other.exponent,
        }
        .trimmed()
    }

    /// The nearest double, ties to even.
    pub(super) fn to_f64(&self) -> f64 {
        round(self.negative, &self.magnitude, self.exponent)
    }

    /// The nearest number of 53 bits, ties to even, whatever its exponent.
    pub(super) fn to_scaled(&self) -> Scaled {
        let length = bit_length(&self.magnitude);
        let significand = round(self.negative, &self.magnitude, -length);
        Scaled {
            significand,
            exponent: self.exponent + length,
        }
    }

    /// Gives equal values one form: an odd magnitude, and no zero words on top.
    fn trimmed(mut self) -> Big {
        while self.magnitude.last() == Some(&0) {
            self.magnitude.pop();
        }
        let Some(first) = self.magnitude.iter().position(|word| *word != 0) else {
            return Big {
                negative: false,
                magnitude: Vec::new(),
                exponent: 0,
            };
        };
        let bits = self.magnitude[first].trailing_zeros();
        for i in first..self.magnitude.len() {
            let pair =
                u128::from(self.magnitude[i]) | (u128::from(word_at(&self.magnitude, i + 1)) << 64);
            self.magnitude[i - first] = (pair >> bits) as u64;
        }
        self.magnitude.truncate(self.magnitude.len() - first);
        if self.magnitude.last() == Some(&0) {
            self.magnitude.pop();
        }
        self.exponent += 64 * first as i64 + i64::from(bits);
        self
    }
}

/// The value as a two's complement integer of `N` words in units of `2^exponent`, of which it must
/// be a multiple that fits.
pub(super) fn to_words<const N: usize>(value: &Big, exponent: i64) -> [u64; N] {
    let aligned = shifted_left(&value.magnitude, value.exponent - exponent);
    let mut words = [0; N];
    for (word, aligned) in words.iter_mut().zip(aligned) {
        *word = aligned;
    }
    if value.negative {
        negated(words)
    } else {
        words
    }
}

/// The two's complement of an integer.
pub(super) fn negated<const N: usize>(mut words: [u64; N]) -> [u64; N] {
    let mut carry = true;
    for word in &mut words {
        (*word, carry) = (!*word).carrying_add(0, carry);
    }
    words
}

fn shifted_left(magnitude: &[u64], bits: i64) -> Vec<u64> {
    let (words, bits) = ((bits / 64) as usize, (bits % 64) as u32);
    let mut shifted = vec![0; words];
    let mut carried = 0;
    for word in magnitude {
        let wide = u128::from(*word) << bits;
        shifted.push(wide as u64 | carried);
        carried = (wide >> 64) as u64;
    }
    shifted.push(carried);
    shifted
}

fn word_at(magnitude: &[u64], index: usize) -> u64 {
    magnitude.get(index).copied().unwrap_or(0)
}

fn sum(mut a: Vec<u64>, b: &[u64]) -> Vec<u64> {
    a.resize(a.len().max(b.len()) + 1, 0);
    let mut carry = false;
    for (i, word) in a.iter_mut().enumerate() {
        (*word, carry) = word.carrying_add(word_at(b, i), carry);
    }
    a
}

/// `a - b`, where `a` is not less than `b`.
fn difference(mut a: Vec<u64>, b: &[u64]) -> Vec<u64> {
    let mut borrow = false;
    for (i, word) in a.iter_mut().enumerate() {
        (*word, borrow) = word.borrowing_sub(word_at(b, i), borrow);
    }
    a
}

fn is_less(a: &[u64], b: &[u64]) -> bool {
    let longest = a.len().max(b.len());
    let words = |side: &[u64]| {
        (0..longest)
            .rev()
            .map(|i| word_at(side, i))
            .collect::<Vec<_>>()
    };
    words(a) < words(b)
}

/// The number of bits from the highest one that is set.
pub(super) fn bit_length(magnitude: &[u64]) -> i64 {
    match magnitude.iter().rposition(|word| *word != 0) {
        Some(top) => 64 * top as i64 + i64::from(64 - magnitude[top].leading_zeros()),
        None => 0,
    }
}

/// The double nearest to `±magnitude * 2^exponent`, ties to even; infinite from half an ulp beyond
/// the greatest double on, as IEEE 754 (4.3.1) has it. Zero is positive.
pub(super) fn round(negative: bool, magnitude: &[u64], exponent: i64) -> f64 {
    const LOWEST: i64 = -1074;
    let length = bit_length(magnitude);
    if length == 0 {
        return 0.0;
    }
    if exponent + length > 1024 {
        return if negative {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
    }
    // The weight of the last bit that is kept: 53 bits, fewer among the subnormals.
    let unit = (exponent + length - 53).max(LOWEST);
    let dropped = unit - exponent;
    let mut significand = bits_from(magnitude, dropped);
    if dropped > 0 {
        let half = bits_from(magnitude, dropped - 1) & 1 == 1;
        let odd = significand & 1 == 1;
        if half && (odd || any_below(magnitude, dropped - 1)) {
            significand += 1;
        }
    }
    // The leading bit of the significand carries into the exponent's field, as does a significand
    // that was rounded up to a power of two.
    let bits = (((unit - LOWEST) as u64) << 52) + significand;
    let absolute = f64::from_bits(bits);
    if negative { -absolute } else { absolute }
}

/// The 64 bits from position `from` on; the positions below zero, of which at most 63 are asked
/// for, hold zeros.
fn bits_from(magnitude: &[u64], from: i64) -> u64 {
    if from < 0 {
        return word_at(magnitude, 0) << -from;
    }
    let (index, bits) = ((from / 64) as usize, (from % 64) as u32);
    let pair =
        u128::from(word_at(magnitude, index)) | (u128::from(word_at(magnitude, index + 1)) << 64);
    (pair >> bits) as u64
}

/// Whether a bit below position `below` is set.
fn any_below(magnitude: &[u64], below: i64) -> bool {
    let (index, bits) = ((below / 64) as usize, (below % 64) as u32);
    magnitude.iter().take(index).any(|word| *word != 0)
        || word_at(magnitude, index) & ((1 << bits) - 1) != 0
}

/// `significand * 2^exponent`. The significand of a number that is not zero stays near one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scaled {
    significand: f64,
    exponent: i64,
}

impl Scaled {
    pub(super) fn mul(self, other: Scaled) -> Scaled {
        let significand = self.significand * other.significand;
        Scaled {
            significand,
            exponent: self.exponent + other.exponent,
        }
        .centred()
    }

    pub(super) fn div(self, other: Scaled) -> Scaled {
        let significand = self.significand / other.significand;
        Scaled {
            significand,
            exponent: self.exponent - other.exponent,
        }
        .centred()
    }

    pub(super) fn sqrt(self) -> Scaled {
        let odd = self.exponent.rem_euclid(2);
        let significand = if odd == 1 {
            self.significand * 2.0
        } else {
            self.significand
        };
        Scaled {
            significand: significand.sqrt(),
            exponent: (self.exponent - odd) / 2,
        }
    }

    pub(super) fn to_f64(self) -> f64 {
        let negative = self.significand < 0.0;
        let bits = self.significand.abs().to_bits();
        let fraction = bits & ((1 << 52) - 1);
        if bits == 0 {
            return 0.0;
        }
        let exponent = (bits >> 52) as i64 - 1075 + self.exponent;
        round(negative, &[fraction | 1 << 52], exponent)
    }

    /// Moves the significand's exponent over, so that no chain of products leaves the range.
    fn centred(self) -> Scaled {
        if self.significand == 0.0 {
            return Scaled {
                significand: 0.0,
                exponent: 0,
            };
        }
        let bits = self.significand.to_bits();
        let exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
        let significand = f64::from_bits((bits & !(0x7ff << 52)) | (1023 << 52));
        Scaled {
            significand,
            exponent: self.exponent + exponent,
        }
    }
}
