//! Sums of doubles without any rounding, so that order, partition and retractions leave no trace.
//!
//! Doubles and products of doubles flow in, each with a multiplicity; the correctly rounded true
//! sum comes out. Every finite double is an integer times a power of two, so a sum of them is one
//! (long) fixed-point number and addition is integer addition: Kulisch, "Computer Arithmetic and
//! Validity", calls this the long accumulator. Neal, "Fast exact summation using small and large
//! superaccumulators", keeps it in chunks; Shewchuk, "Adaptive Precision Floating-Point Arithmetic
//! and Fast Robust Geometric Predicates", has the alternative, expansions of doubles, which are not
//! canonical and cannot be compared or found zero without work.
//!
//! A whole long accumulator takes 4,200 bits and nearly all sums need a few of them. So each sum
//! has a window of 256 bits about one, large enough for money, quantities, measurements and their
//! products, and only what lies outside goes to a heap-allocated list of digits.
//!
//! Invariants: the value is the window plus the digits, always exact; after
//! [`ExactSum::normalize`] equal values have equal representations, and zero has no digits.

use super::big::{Big, bit_length, round};
use super::encode::{Reader, Writer};
use super::{AccumulateError, big};

const LIMBS: usize = 4;

/// The weight of the window's last bit is two to this. A double of normal precision fits from
/// 2^-92 on; the window's sign bit has weight 2^111.
const WINDOW_EXPONENT: i32 = -144;

/// The weight of digit `k` outside the window is two to `32 * k`.
const DIGIT_BITS: i32 = 32;

/// Stands in the place of the window's first byte when more than the window is written.
const HAS_REST: u8 = u8::MAX;

/// Multiplicities below this times a 53-bit significand fit an `i64`.
const NARROW_TIMES: u64 = 1 << 10;

/// Multiplicities below this times a 106-bit product of significands fit an `i128`.
const WIDE_TIMES: u64 = 1 << 20;

/// The exact sum of doubles; an element of a group: what was added can be taken back.
#[derive(Debug, Clone, Default)]
pub struct ExactSum {
    /// A two's complement integer in units of `2^WINDOW_EXPONENT`, least significant limb first.
    window: [u64; LIMBS],
    rest: Option<Box<Rest>>,
}

/// What does not fit the window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Rest {
    nans: i64,
    infinities: i64,
    negative_infinities: i64,
    /// Positions and values of the digits that are not zero, by position. Each addition is below
    /// 2^32 in a digit, so `i128` holds 2^95 of them.
    digits: Vec<(i16, i128)>,
}

/// A finite double as `significand * 2^exponent`.
struct Parts {
    significand: i64,
    exponent: i32,
}

impl Parts {
    /// The parts of a normal double; meaningless for any other.
    #[inline]
    fn of_normal(value: f64) -> Parts {
        let bits = value.to_bits();
        let magnitude = ((bits & ((1 << 52) - 1)) | 1 << 52) as i64;
        let significand = if value.is_sign_negative() {
            -magnitude
        } else {
            magnitude
        };
        Parts {
            significand,
            exponent: ((bits >> 52) & 0x7ff) as i32 - 1075,
        }
    }

    fn of_finite(value: f64) -> Parts {
        if value.is_normal() {
            return Parts::of_normal(value);
        }
        let magnitude = (value.to_bits() & ((1 << 52) - 1)) as i64;
        let significand = if value.is_sign_negative() {
            -magnitude
        } else {
            magnitude
        };
        Parts {
            significand,
            exponent: -1074,
        }
    }
}

impl ExactSum {
    /// Adds `value`, `times` over; negative `times` take it back. A zero of either sign adds
    /// nothing.
    #[inline]
    pub fn add(&mut self, value: f64, times: i64) {
        let parts = Parts::of_normal(value);
        let shift = parts.exponent - WINDOW_EXPONENT;
        // Everything that is not a normal double has an exponent out of this range.
        if (0..128).contains(&shift) && times.unsigned_abs() < NARROW_TIMES {
            let addend = i128::from(parts.significand * times) << (shift % 64);
            self.add_to_window(
                (shift / 64) as usize,
                [addend as u64, (addend >> 64) as u64],
                (addend >> 127) as u64,
            );
            return;
        }
        self.add_outside(value, times);
    }

    /// Adds the exact product of two finite doubles, `times` over.
    #[inline]
    pub fn add_product(&mut self, x: f64, y: f64, times: i64) {
        let (a, b) = (Parts::of_normal(x), Parts::of_normal(y));
        let shift = a.exponent + b.exponent - WINDOW_EXPONENT;
        let normal = x.is_normal() && y.is_normal();
        if normal && (0..128).contains(&shift) && times.unsigned_abs() < WIDE_TIMES {
            let product = i128::from(a.significand) * i128::from(b.significand) * i128::from(times);
            let bits = shift % 64;
            let low = (product as u128) << bits;
            let high = product >> (128 - bits).min(127);
            self.add_to_window(
                (shift / 64) as usize,
                [low as u64, (low >> 64) as u64, high as u64],
                (product >> 127) as u64,
            );
            return;
        }
        self.add_product_outside(x, y, times);
    }

    /// Adds another sum.
    #[inline]
    pub fn merge(&mut self, other: &ExactSum) {
        self.add_to_window(
            0,
            other.window,
            (other.window[LIMBS - 1] as i64 >> 63) as u64,
        );
        if let Some(rest) = &other.rest {
            self.merge_rest(rest);
        }
    }

    /// Whether the value is zero, with nothing infinite in it.
    pub fn is_zero(&self) -> bool {
        match &self.rest {
            None => self.window == [0; LIMBS],
            Some(rest) => rest.is_finite() && self.finite().is_zero(),
        }
    }

    /// Whether an infinity or a NaN is among what was added.
    pub fn has_special(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| !rest.is_finite())
    }

    /// The double nearest to the true sum, ties to even; zero is positive. With infinities and NaNs
    /// among the values, what IEEE 754 addition yields in any order.
    pub fn to_f64(&self) -> f64 {
        let Some(rest) = &self.rest else {
            let negative = (self.window[LIMBS - 1] as i64) < 0;
            let magnitude = if negative {
                big::negated(self.window)
            } else {
                self.window
            };
            return round(negative, &magnitude, i64::from(WINDOW_EXPONENT));
        };
        match (
            rest.nans != 0,
            rest.infinities != 0,
            rest.negative_infinities != 0,
        ) {
            (true, _, _) | (_, true, true) => f64::NAN,
            (_, true, _) => f64::INFINITY,
            (_, _, true) => f64::NEG_INFINITY,
            _ => self.finite().to_f64(),
        }
    }

    /// The exact sum of the finite values.
    pub(super) fn finite(&self) -> Big {
        let window = Big::from_words(&self.window, i64::from(WINDOW_EXPONENT));
        let digits = self.rest.iter().flat_map(|rest| &rest.digits);
        digits.fold(window, |sum, (position, digit)| {
            sum.add(&Big::from_i128(
                *digit,
                i64::from(*position) * i64::from(DIGIT_BITS),
            ))
        })
    }

    /// Gives equal values equal representations: all in the window if that holds it, else all in
    /// the digits.
    pub fn normalize(&mut self) {
        let Some(rest) = &self.rest else { return };
        let specials = [rest.nans, rest.infinities, rest.negative_infinities];
        let value = self.finite();
        *self = ExactSum::default();
        self.add_big(&value);
        self.add_specials(specials);
    }

    /// The bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.rest.as_ref().map_or(0, |rest| {
            size_of::<Rest>() + rest.digits.capacity() * size_of::<(i16, i128)>()
        })
    }

    /// Writes the value; equal values write equal bytes.
    pub(super) fn write(&self, writer: &mut Writer) {
        let mut normal = None;
        let sum = match self.rest {
            None => self,
            Some(_) => {
                let copy: &mut ExactSum = normal.insert(self.clone());
                copy.normalize();
                copy
            }
        };
        let mut bytes = [0; 8 * LIMBS];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(sum.window) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        let Some(rest) = &sum.rest else {
            let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(0);
            writer.byte(start as u8);
            return writer.integer(&bytes[start..]);
        };
        writer.byte(HAS_REST);
        writer.integer(&bytes);
        for count in [rest.nans, rest.infinities, rest.negative_infinities] {
            writer.signed(count);
        }
        writer.unsigned(rest.digits.len() as u64);
        for (position, digit) in &rest.digits {
            writer.signed(i64::from(*position));
            writer.integer(&digit.to_le_bytes());
        }
    }

    /// Reads what [`ExactSum::write`] wrote.
    pub(super) fn read(reader: &mut Reader) -> Result<ExactSum, AccumulateError> {
        let start = match reader.byte()? {
            HAS_REST => None,
            start if usize::from(start) < 8 * LIMBS => Some(usize::from(start)),
            _ => return Err(AccumulateError::Malformed("the start of an exact sum")),
        };
        let bytes: [u8; 8 * LIMBS] = reader.integer(start.unwrap_or(0))?;
        let (words, _) = bytes.as_chunks::<8>();
        let window = std::array::from_fn(|i| u64::from_le_bytes(words[i]));
        let mut sum = ExactSum { window, rest: None };
        if start.is_some() {
            return Ok(sum);
        }
        sum.add_specials([reader.signed()?, reader.signed()?, reader.signed()?]);
        for _ in 0..reader.unsigned()? {
            let position = i16::try_from(reader.signed()?)
                .map_err(|_| AccumulateError::Malformed("a digit of an exact sum"))?;
            let digit = i128::from_le_bytes(reader.integer(0)?);
            sum.change_rest(|rest| rest.add_digit(position, digit));
        }
        Ok(sum)
    }

    /// Adds `words`, whose sign goes on as `extension`, at limb `at`. When the window overflows,
    /// its content moves to the digits first.
    #[inline]
    fn add_to_window<const N: usize>(&mut self, at: usize, words: [u64; N], extension: u64) {
        let mut window = self.window;
        let mut carry = false;
        for (i, limb) in window[at..].iter_mut().enumerate() {
            let word = words.get(i).copied().unwrap_or(extension);
            (*limb, carry) = limb.carrying_add(word, carry);
        }
        let last = words.get(LIMBS - 1 - at).copied().unwrap_or(extension);
        let (before, after) = (self.window[LIMBS - 1], window[LIMBS - 1]);
        if ((before ^ after) & (last ^ after)) >> 63 == 1 {
            self.empty_window();
            return self.add_to_window(at, words, extension);
        }
        self.window = window;
    }

    #[cold]
    fn empty_window(&mut self) {
        let value = Big::from_words(&self.window, i64::from(WINDOW_EXPONENT));
        self.window = [0; LIMBS];
        self.add_big_to_digits(&value);
    }

    #[cold]
    fn add_outside(&mut self, value: f64, times: i64) {
        if value == 0.0 || times == 0 {
            return;
        }
        if value.is_finite() {
            let Parts {
                significand,
                exponent,
            } = Parts::of_finite(value);
            self.add_scaled(i128::from(significand) * i128::from(times), exponent);
            return;
        }
        self.add_specials(match value {
            f64::INFINITY => [0, times, 0],
            f64::NEG_INFINITY => [0, 0, times],
            _ => [times, 0, 0],
        });
    }

    #[cold]
    fn add_product_outside(&mut self, x: f64, y: f64, times: i64) {
        debug_assert!(
            x.is_finite() && y.is_finite(),
            "products are of finite values"
        );
        let (a, b) = (Parts::of_finite(x), Parts::of_finite(y));
        let product = i128::from(a.significand) * i128::from(b.significand);
        let exponent = a.exponent + b.exponent;
        if times.unsigned_abs() < WIDE_TIMES {
            return self.add_scaled(product * i128::from(times), exponent);
        }
        let (low, high) = (product as u64, product >> 64);
        self.add_scaled(i128::from(low) * i128::from(times), exponent);
        self.add_scaled(high * i128::from(times), exponent + 64);
    }

    /// Adds `value * 2^exponent` to the window, if it fits it wholly, else to the digits.
    fn add_scaled(&mut self, value: i128, exponent: i32) {
        if value == 0 {
            return;
        }
        self.add_big(&Big::from_i128(value, i64::from(exponent)));
    }

    fn add_big(&mut self, value: &Big) {
        let offset = value.exponent() - i64::from(WINDOW_EXPONENT);
        if offset >= 0 && offset + bit_length(value.magnitude()) < 64 * LIMBS as i64 {
            let words = big::to_words::<LIMBS>(value, i64::from(WINDOW_EXPONENT));
            self.add_to_window(0, words, (words[LIMBS - 1] as i64 >> 63) as u64);
            return;
        }
        self.add_big_to_digits(value);
    }

    fn add_big_to_digits(&mut self, value: &Big) {
        let position = value.exponent().div_euclid(i64::from(DIGIT_BITS));
        let shift = value.exponent().rem_euclid(i64::from(DIGIT_BITS));
        self.change_rest(|rest| {
            let mut carried = 0;
            let halves = value
                .magnitude()
                .iter()
                .flat_map(|word| [*word as u32, (*word >> 32) as u32]);
            for (k, half) in halves.chain([0]).enumerate() {
                let wide = (u64::from(half) << shift) | carried;
                carried = wide >> 32;
                let digit = i128::from(wide as u32);
                rest.add_digit(
                    (position + k as i64) as i16,
                    if value.is_negative() { -digit } else { digit },
                );
            }
        });
    }

    #[cold]
    fn merge_rest(&mut self, other: &Rest) {
        self.add_specials([other.nans, other.infinities, other.negative_infinities]);
        self.change_rest(|rest| {
            for (position, digit) in &other.digits {
                rest.add_digit(*position, *digit);
            }
        });
    }

    /// Adds to the counts of NaNs, infinities and negative infinities.
    fn add_specials(&mut self, [nans, infinities, negative_infinities]: [i64; 3]) {
        self.change_rest(|rest| {
            rest.nans += nans;
            rest.infinities += infinities;
            rest.negative_infinities += negative_infinities;
        });
    }

    /// Changes what lies outside the window, and lets go of it when nothing is left.
    fn change_rest(&mut self, change: impl FnOnce(&mut Rest)) {
        let rest = self.rest.get_or_insert_default();
        change(rest);
        if rest.is_finite() && rest.digits.is_empty() {
            self.rest = None;
        }
    }
}

impl Rest {
    fn is_finite(&self) -> bool {
        self.nans == 0 && self.infinities == 0 && self.negative_infinities == 0
    }

    fn add_digit(&mut self, position: i16, digit: i128) {
        if digit == 0 {
            return;
        }
        match self
            .digits
            .binary_search_by_key(&position, |(position, _)| *position)
        {
            Ok(found) => {
                self.digits[found].1 = self.digits[found].1.wrapping_add(digit);
                if self.digits[found].1 == 0 {
                    self.digits.remove(found);
                }
            }
            Err(place) => self.digits.insert(place, (position, digit)),
        }
    }
}

impl PartialEq for ExactSum {
    fn eq(&self, other: &ExactSum) -> bool {
        let (mut a, mut b) = (self.clone(), other.clone());
        a.normalize();
        b.normalize();
        a.window == b.window && a.rest == b.rest
    }
}

impl Eq for ExactSum {}
