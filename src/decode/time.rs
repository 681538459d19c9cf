//! Dates and times from their text.
//!
//! Taken are RFC 3339 and what logs make of it: `2023-10-01T12:34:56.789Z`, `2023-10-01 12:34:56`,
//! `2023-10-01 12:34`, `2023-10-01`; then perhaps a zone, `Z`, `UTC`, `+02`, `+0200` or `+02:00`,
//! a blank before it or not. Without a zone it is UTC. Years have four digits.

use super::number::Problem;

/// Nanoseconds of a second.
const SECOND_NS: i64 = 1_000_000_000;
/// Seconds of a day.
const DAY_S: i64 = 86_400;
/// Nanoseconds of a day.
pub(super) const DAY_NS: i64 = DAY_S * SECOND_NS;

/// Whether a text is meant as a date, not as a number.
pub(super) fn looks_like_date(text: &[u8]) -> bool {
    text.len() >= 10 && text[4] == b'-'
}

/// The minute that was read last. Times of a log follow each other, so most are of the same minute
/// as the one before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Minute {
    text: [u8; MINUTE_BYTES],
    /// Since the Unix epoch.
    seconds: i64,
}

impl Default for Minute {
    /// None yet: no text has these bytes.
    fn default() -> Self {
        Minute {
            text: [0xFF; MINUTE_BYTES],
            seconds: 0,
        }
    }
}

/// The bytes of `YYYY-MM-DDTHH:MM`.
const MINUTE_BYTES: usize = 16;

/// Nanoseconds since the Unix epoch.
///
/// # Errors
/// If the text is no time, or one outside of the years 1677 to 2262, or finer than a nanosecond.
#[inline]
pub(super) fn timestamp(text: &[u8], last: &mut Minute) -> Result<i64, Problem> {
    let (seconds, fraction) = parse(text, last)?;
    let nanos = i128::from(seconds) * i128::from(SECOND_NS) + i128::from(fraction);
    i64::try_from(nanos).map_err(|_| Problem::OutOfRange)
}

/// Days since the Unix epoch; of a time, the day that it lies in by UTC.
///
/// # Errors
/// If the text is neither date nor time.
pub(super) fn date(text: &[u8]) -> Result<i32, Problem> {
    let (seconds, _) = parse(text, &mut Minute::default())?;
    i32::try_from(seconds.div_euclid(DAY_S)).map_err(|_| Problem::OutOfRange)
}

/// Seconds since the Unix epoch, and nanoseconds above them.
#[inline]
fn parse(text: &[u8], last: &mut Minute) -> Result<(i64, i64), Problem> {
    let Some((minute, rest)) = text.split_first_chunk::<MINUTE_BYTES>() else {
        let date = text.try_into().map_err(|_| Problem::NotOne)?;
        let midnight = days(date).ok_or(Problem::NotOne)? * DAY_S;
        return Ok((midnight, 0));
    };
    if *minute != last.text {
        let seconds = seconds(minute).ok_or(Problem::NotOne)?;
        *last = Minute {
            text: *minute,
            seconds,
        };
    }
    let (second, fraction, zone) = match rest {
        [b':', tens, ones, rest @ ..] => {
            let (fraction, zone) = fraction(rest)?;
            (two(*tens, *ones), fraction, zone)
        }
        _ => (0, 0, rest),
    };
    if second > 59 {
        return Err(Problem::NotOne);
    }
    let ahead = zone_seconds(zone).ok_or(Problem::NotOne)?;
    Ok((last.seconds + second - ahead, fraction))
}

/// Seconds since the Unix epoch of `YYYY-MM-DDTHH:MM`.
fn seconds(minute: &[u8; MINUTE_BYTES]) -> Option<i64> {
    let (date, time) = minute.split_first_chunk::<10>()?;
    let (hours, minutes) = (two(time[1], time[2]), two(time[4], time[5]));
    if !matches!(time[0], b'T' | b't' | b' ') || time[3] != b':' || hours > 23 || minutes > 59 {
        return None;
    }
    Some(days(date)? * DAY_S + hours * 3600 + minutes * 60)
}

/// Days since the Unix epoch of `YYYY-MM-DD`, after Howard Hinnant's `days_from_civil`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
#[inline]
fn days(date: &[u8; 10]) -> Option<i64> {
    let year = two(date[0], date[1]) * 100 + two(date[2], date[3]);
    let (month, day) = (two(date[5], date[6]), two(date[8], date[9]));
    let dashes = date[4] == b'-' && date[7] == b'-';
    if !dashes || year > 9999 || !(1..=12).contains(&month) || day < 1 {
        return None;
    }
    if day > 28 && day > days_of_month(year, month) {
        return None;
    }
    let shifted = year - i64::from(month <= 2);
    let era = shifted.div_euclid(400);
    let year_of_era = shifted - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// A number of two digits; without digits, a number so great that it is out of any range.
#[inline]
fn two(tens: u8, ones: u8) -> i64 {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens > 9 || ones > 9 {
        1 << 20
    } else {
        i64::from(tens) * 10 + i64::from(ones)
    }
}

/// Nanoseconds of `.f`, if that follows, and what follows it.
#[inline]
fn fraction(text: &[u8]) -> Result<(i64, &[u8]), Problem> {
    match text {
        [] | [b'Z'] => Ok((0, text)),
        [b'.', tenths, hundredths, thousandths] | [b'.', tenths, hundredths, thousandths, b'Z']
            if [tenths, hundredths, thousandths]
                .iter()
                .all(|digit| digit.is_ascii_digit()) =>
        {
            let tenths = i64::from(tenths - b'0');
            let thousandths = tenths * 100 + two(*hundredths, *thousandths);
            Ok((thousandths * 1_000_000, &text[4..]))
        }
        _ => any_fraction(text),
    }
}

/// The same for any number of digits.
fn any_fraction(text: &[u8]) -> Result<(i64, &[u8]), Problem> {
    let Some((b'.' | b',', rest)) = text.split_first() else {
        return Ok((0, text));
    };
    let length = rest
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(rest.len());
    let (digits, rest) = rest.split_at(length);
    if digits.is_empty() {
        return Err(Problem::NotOne);
    }
    if digits.iter().skip(9).any(|&digit| digit != b'0') {
        return Err(Problem::TooFine);
    }
    let digit = |i: usize| i64::from(digits.get(i).map_or(0, |digit| digit - b'0'));
    Ok(((0..9).fold(0, |sum, i| sum * 10 + digit(i)), rest))
}

/// By how many seconds a zone is ahead of UTC.
#[inline]
fn zone_seconds(zone: &[u8]) -> Option<i64> {
    let zone = zone.strip_prefix(b" ").unwrap_or(zone);
    let (sign, hour, minute) = match *zone {
        [] | [b'Z' | b'z'] | [b'U', b'T', b'C'] => return Some(0),
        [sign, a, b] => (sign, two(a, b), 0),
        [sign, a, b, b':', c, d] | [sign, a, b, c, d] => (sign, two(a, b), two(c, d)),
        _ => return None,
    };
    if hour > 23 || minute > 59 {
        return None;
    }
    let seconds = hour * 3600 + minute * 60;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}
