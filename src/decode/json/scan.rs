//! The tokens of JSON (RFC 8259), found without being read.
//!
//! Every function takes a text and the position of a token's first byte, and gives the position
//! after it, or `None` if there is no such token. They accept exactly what `serde_json` accepts
//! where it passes over a value: strings without raw control characters, with escapes of the known
//! letters or four hexadecimal digits (surrogates need not pair); numbers by the grammar, however
//! great; nesting to any depth.

use smallvec::SmallVec;

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);

/// The lowest set high bit marks the first byte that is a quote, a backslash or a control
/// character. Bits above the lowest may be wrong.
#[inline]
fn ends_of_plain(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let quotes = quote.wrapping_sub(ONES) & !quote;
    let backslashes = backslash.wrapping_sub(ONES) & !backslash;
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (quotes | backslashes | controls) & HIGHS
}

/// The first position at or after `at` of a quote, a backslash or a control character.
#[inline]
pub(in crate::decode) fn plain_end(text: &[u8], mut at: usize) -> Option<usize> {
    // Two words at once: whether a short string needs one or two is then no branch to be guessed.
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        let chunk = u128::from_le_bytes(*chunk);
        let (first, second) = (
            ends_of_plain(chunk as u64),
            ends_of_plain((chunk >> 64) as u64),
        );
        if first | second != 0 {
            let (ends, skipped) = if first != 0 { (first, 0) } else { (second, 8) };
            return Some(at + skipped + ends.trailing_zeros() as usize / 8);
        }
        at += 16;
    }
    if let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let ends = ends_of_plain(u64::from_le_bytes(*chunk));
        if ends != 0 {
            return Some(at + ends.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = text.get(at..)?;
    rest.iter()
        .position(|&byte| byte < 0x20 || matches!(byte, b'"' | b'\\'))
        .map(|i| at + i)
}

/// Passes over a string from its opening quote on.
#[inline]
pub(in crate::decode) fn string(text: &[u8], at: usize) -> Option<usize> {
    let end = plain_end(text, at + 1)?;
    match text[end] {
        b'"' => Some(end + 1),
        b'\\' => escaped_string(text, end),
        _ => None,
    }
}

/// Passes over the rest of a string from its first backslash on.
#[cold]
fn escaped_string(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match text[at] {
            b'"' => return Some(at + 1),
            b'\\' => at = escape(text, at + 1)?,
            _ => return None,
        }
        at = plain_end(text, at)?;
    }
}

fn escape(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' => {
            let digits = text.get(at + 1..at + 5)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 5)
        }
        _ => None,
    }
}

/// Passes over a number.
#[inline]
pub(super) fn number(text: &[u8], at: usize) -> Option<usize> {
    short_number(text, at).or_else(|| any_number(text, at))
}

/// Passes over a number of fewer than eight digits before the point and after it, without sign or
/// exponent. How many digits there are is no branch, which could not be guessed.
#[inline]
fn short_number(text: &[u8], at: usize) -> Option<usize> {
    let word = |at: usize| Some(u64::from_le_bytes(*text.get(at..)?.first_chunk()?));
    let whole = word(at)?;
    let digits = leading_digits(whole);
    if digits == 0 || digits == 8 || (digits > 1 && whole as u8 == b'0') {
        return None;
    }
    let mut end = at + digits;
    let mut next = (whole >> (8 * digits)) as u8;
    if next == b'.' {
        let fraction = word(end + 1)?;
        let digits = leading_digits(fraction);
        if digits == 0 || digits == 8 {
            return None;
        }
        end += 1 + digits;
        next = (fraction >> (8 * digits)) as u8;
    }
    (next | 0x20 != b'e').then_some(end)
}

/// With how many digits a word's bytes begin, the lowest first.
#[inline]
fn leading_digits(word: u64) -> usize {
    // A digit's upper half is 3, and stays so if 6 is added. What is carried over from a byte that
    // is no digit disturbs only those behind it.
    let digits = word ^ (ONES * b'0' as u64);
    let others = (digits.wrapping_add(ONES * 6) | digits) & (ONES * 0xF0);
    others.trailing_zeros() as usize / 8
}

/// Passes over a number by the grammar.
fn any_number(text: &[u8], mut at: usize) -> Option<usize> {
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match text.get(at)? {
        b'0' => at + 1,
        b'1'..=b'9' => digits(text, at + 1),
        _ => return None,
    };
    if text.get(at) == Some(&b'.') {
        at = some_digits(text, at + 1)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let signed = matches!(text.get(at + 1), Some(b'+' | b'-'));
        at = some_digits(text, at + 1 + usize::from(signed))?;
    }
    // A digit here follows a leading zero.
    if text.get(at).is_some_and(u8::is_ascii_digit) {
        None
    } else {
        Some(at)
    }
}

#[inline]
fn digits(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

#[inline]
fn some_digits(text: &[u8], at: usize) -> Option<usize> {
    let end = digits(text, at);
    (end > at).then_some(end)
}

/// Passes over `true`, `false` or `null`.
#[inline]
pub(super) fn literal(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let length = match rest.first()? {
        b't' if rest.starts_with(b"true") => 4,
        b'f' if rest.starts_with(b"false") => 5,
        b'n' if rest.starts_with(b"null") => 4,
        _ => return None,
    };
    Some(at + length)
}

/// Passes over white space.
#[inline]
pub(in crate::decode) fn space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Passes over any value.
#[inline]
pub(in crate::decode) fn value(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string(text, at),
        b'-' | b'0'..=b'9' => number(text, at),
        b'{' | b'[' => nested(text, at),
        _ => literal(text, at),
    }
}

/// Passes over an object or array.
pub(super) fn nested(text: &[u8], mut at: usize) -> Option<usize> {
    // The closing brackets that are due, the innermost last.
    let mut due: SmallVec<[u8; 32]> = SmallVec::new();
    loop {
        // Here a value begins.
        at = match text.get(at)? {
            open @ (b'{' | b'[') => {
                let close = if *open == b'{' { b'}' } else { b']' };
                at = space(text, at + 1);
                if text.get(at)? == &close {
                    at + 1
                } else {
                    due.push(close);
                    at = if close == b'}' { key(text, at)? } else { at };
                    continue;
                }
            }
            b'"' => string(text, at)?,
            b'-' | b'0'..=b'9' => number(text, at)?,
            _ => literal(text, at)?,
        };
        // Here a value has ended.
        loop {
            let Some(&close) = due.last() else {
                return Some(at);
            };
            at = space(text, at);
            let byte = *text.get(at)?;
            at += 1;
            if byte == b',' {
                at = space(text, at);
                at = if close == b'}' { key(text, at)? } else { at };
                break;
            }
            if byte != close {
                return None;
            }
            due.pop();
        }
    }
}

/// Passes over a key, its colon and the white space up to the value.
fn key(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at)? != &b'"' {
        return None;
    }
    let at = space(text, string(text, at)?);
    (text.get(at)? == &b':').then(|| space(text, at + 1))
}
