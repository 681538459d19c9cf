//! Numbers from their text, exactly.

/// Why a text is not a value of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// It is not written like one.
    NotOne,
    /// It has digits after the point that the type cannot hold.
    TooFine,
    /// It is too great or too small.
    OutOfRange,
}

/// Digits that surely fit 64 bits.
const SAFE_DIGITS: usize = 18;
/// Digits that surely fit 128 bits with a sign.
const MAX_DIGITS: u32 = 38;
/// Beyond this an exponent makes any number too great or too fine.
const MAX_EXPONENT: i64 = 1 << 30;

const POWERS: [i128; MAX_DIGITS as usize + 1] = {
    let mut powers = [1; MAX_DIGITS as usize + 1];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

const SHORT_POWERS: [i64; SAFE_DIGITS + 1] = {
    let mut powers = [1; SAFE_DIGITS + 1];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// Ten to the power of `exponent`, if that fits.
pub(super) fn power_of_ten(exponent: usize) -> Option<i128> {
    POWERS.get(exponent).copied()
}

/// The number times ten to the power of `scale`, which must come out whole. Takes a sign, digits,
/// a point and an exponent.
///
/// # Errors
/// If the text is no number, if digits other than zero are left over after the point, or if the
/// result exceeds 38 digits.
#[inline]
pub(super) fn scaled(text: &[u8], scale: u8) -> Result<i128, Problem> {
    match short(text, scale) {
        Some(number) => Ok(i128::from(number)),
        None => long(text, scale),
    }
}

/// The same for results of 64 bits.
///
/// # Errors
/// Also if the result exceeds 64 bits.
#[inline]
pub(super) fn scaled_short(text: &[u8], scale: u8) -> Result<i64, Problem> {
    match short(text, scale) {
        Some(number) => Ok(number),
        None => i64::try_from(long(text, scale)?).map_err(|_| Problem::OutOfRange),
    }
}

/// At most 18 digits, no exponent, none too many after the point.
#[inline]
fn short(text: &[u8], scale: u8) -> Option<i64> {
    if let Some(number) = shortest(text, scale) {
        return Some(number);
    }
    let negative = text.first() == Some(&b'-');
    let digits = if negative { &text[1..] } else { text };
    if digits.len() > SAFE_DIGITS {
        return None;
    }
    let (whole, rest) = leading_digits(digits, 0);
    let whole_digits = digits.len() - rest.len();
    let (number, fraction) = match rest {
        [] => (whole, 0),
        [b'.', fraction @ ..] => match leading_digits(fraction, whole) {
            (number, []) if !fraction.is_empty() => (number, fraction.len()),
            _ => return None,
        },
        _ => return None,
    };
    if whole_digits == 0 {
        return None;
    }
    let zeros = usize::from(scale).checked_sub(fraction)?;
    let number = number.checked_mul(*SHORT_POWERS.get(zeros)?)?;
    Some(if negative { -number } else { number })
}

/// The common case: digits, perhaps a point between them, eight bytes at most. All digits are read
/// at once, since how many there are could not be guessed.
#[inline]
fn shortest(text: &[u8], scale: u8) -> Option<i64> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let word = word_of(text)?;
    let point = word ^ (ONES * u64::from(b'.'));
    let point = point.wrapping_sub(ONES) & !point & (ONES << 7);
    let (digits, count, fraction) = if point == 0 {
        (word, text.len(), 0)
    } else {
        let whole = point.trailing_zeros() as usize / 8;
        let fraction = text.len() - 1 - whole;
        if whole == 0 || fraction == 0 {
            return None;
        }
        let before = word & ((1 << (8 * whole)) - 1);
        let after = word >> (8 * whole) >> 8 << (8 * whole);
        (before | after, text.len() - 1, fraction)
    };
    // The last digit into the highest byte; noughts before the first.
    let digits = (digits ^ (ONES * u64::from(b'0'))) << (8 * (8 - count));
    if (digits.wrapping_add(ONES * 6) | digits) & (ONES * 0xF0) != 0 {
        return None;
    }
    let zeros = usize::from(scale).checked_sub(fraction)?;
    eight_digits(digits).checked_mul(*SHORT_POWERS.get(zeros)?)
}

/// A text of one to eight bytes as a word, the first byte lowest, noughts above the last.
#[inline]
fn word_of(text: &[u8]) -> Option<u64> {
    let length = text.len();
    if length > 8 {
        return None;
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return Some(u64::from(first) | u64::from(last) << (8 * (length - 4)));
    }
    let (first, last) = (text.first()?, text.last()?);
    let middle = u64::from(text[length / 2]) << (8 * (length / 2));
    Some(u64::from(*first) | middle | u64::from(*last) << (8 * (length - 1)))
}

/// Eight digits, one a byte, the highest-valued in the lowest byte: pairs, then fours, then all
/// (Daniel Lemire, "Quickly parsing eight digits",
/// <https://lemire.me/blog/2022/01/21/swar-explained-parsing-eight-digits/>).
#[inline]
fn eight_digits(digits: u64) -> i64 {
    const EVERY_OTHER_PAIR: u64 = 0x0000_00FF_0000_00FF;
    const MILLIONS_AND_HUNDREDS: u64 = 100 + (1_000_000 << 32);
    const TEN_THOUSANDS_AND_ONES: u64 = 1 + (10_000 << 32);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let upper = (pairs & EVERY_OTHER_PAIR).wrapping_mul(MILLIONS_AND_HUNDREDS);
    let lower = (pairs >> 16 & EVERY_OTHER_PAIR).wrapping_mul(TEN_THOUSANDS_AND_ONES);
    i64::from((upper.wrapping_add(lower) >> 32) as u32)
}

/// Appends the digits that a text begins with to a number; gives what follows them.
#[inline]
fn leading_digits(mut text: &[u8], mut number: i64) -> (i64, &[u8]) {
    while let [byte, rest @ ..] = text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number * 10 + i64::from(digit);
        text = rest;
    }
    (number, text)
}

/// Sign, digits and exponent of a number: `mantissa * 10^exponent`, and whether digits other than
/// zero were left out after those of the mantissa.
struct Parts {
    negative: bool,
    mantissa: i128,
    exponent: i64,
    inexact: bool,
}

#[cold]
fn long(text: &[u8], scale: u8) -> Result<i128, Problem> {
    let parts = parts(text).ok_or(Problem::NotOne)?;
    if parts.mantissa == 0 {
        return Ok(0);
    }
    let shift = parts.exponent + i64::from(scale);
    let magnitude = if shift >= 0 {
        let power = usize::try_from(shift).ok().and_then(power_of_ten);
        let power = power.ok_or(Problem::OutOfRange)?;
        let magnitude = parts
            .mantissa
            .checked_mul(power)
            .ok_or(Problem::OutOfRange)?;
        if parts.inexact {
            return Err(if shift == 0 {
                Problem::TooFine
            } else {
                Problem::OutOfRange
            });
        }
        magnitude
    } else {
        let power = usize::try_from(-shift).ok().and_then(power_of_ten);
        let power = power.ok_or(Problem::TooFine)?;
        if parts.mantissa % power != 0 || parts.inexact {
            return Err(Problem::TooFine);
        }
        parts.mantissa / power
    };
    if magnitude >= POWERS[MAX_DIGITS as usize] {
        return Err(Problem::OutOfRange);
    }
    Ok(if parts.negative {
        -magnitude
    } else {
        magnitude
    })
}

fn parts(text: &[u8]) -> Option<Parts> {
    let (negative, rest) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let (digits, power) = match rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&rest[..at], exponent(&rest[at + 1..])?),
        None => (rest, 0),
    };
    let mut parts = Parts {
        negative,
        mantissa: 0,
        exponent: power,
        inexact: false,
    };
    let (mut any, mut after_point) = (false, false);
    for &byte in digits {
        if byte == b'.' && !after_point {
            after_point = true;
            continue;
        }
        if !byte.is_ascii_digit() {
            return None;
        }
        any = true;
        let digit = byte - b'0';
        if parts.mantissa < POWERS[MAX_DIGITS as usize - 1] {
            parts.mantissa = parts.mantissa * 10 + i128::from(digit);
            parts.exponent -= i64::from(after_point);
        } else {
            parts.inexact |= digit != 0;
            parts.exponent += i64::from(!after_point);
        }
    }
    any.then_some(parts)
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: i64, &digit: &u8| (sum * 10 + i64::from(digit - b'0')).min(MAX_EXPONENT);
    let power = digits.iter().fold(0, add);
    Some(if negative { -power } else { power })
}
