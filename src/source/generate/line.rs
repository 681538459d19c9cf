//! JSON lines, built in one buffer that is used again for each.

use crate::calendar::civil;

const MS_A_DAY: i64 = 86_400_000;

/// A line under construction. Texts are written as they are: the generator uses no character that
/// JSON escapes.
#[derive(Debug)]
pub(super) struct Line {
    bytes: Vec<u8>,
    /// The day last written, in days since the Unix epoch, and how it is written.
    day: i64,
    date: [u8; 10],
}

impl Line {
    pub(super) fn new() -> Line {
        let mut line = Line {
            bytes: Vec::with_capacity(512),
            day: 0,
            date: [0; 10],
        };
        line.date = date(0);
        line
    }

    /// Begins a new line.
    pub(super) fn begin(&mut self) -> &mut Line {
        self.bytes.clear();
        self.bytes.push(b'{');
        self
    }

    /// Ends the line.
    pub(super) fn end(&mut self) -> &[u8] {
        self.bytes.extend_from_slice(b"}\n");
        &self.bytes
    }

    /// The line that was ended last.
    pub(super) fn ended(&self) -> &[u8] {
        &self.bytes
    }

    #[inline]
    fn key(&mut self, name: &str) {
        if !matches!(self.bytes.last(), Some(b'{' | b'[')) {
            self.bytes.push(b',');
        }
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b"\":");
    }

    /// A text.
    #[inline]
    pub(super) fn text(&mut self, name: &str, value: &str) -> &mut Line {
        self.key(name);
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(b'"');
        self
    }

    /// Two texts with a hyphen between, as one text.
    #[inline]
    pub(super) fn hyphenated(&mut self, name: &str, a: &str, b: &str) -> &mut Line {
        self.text(name, a);
        self.bytes.pop();
        self.bytes.push(b'-');
        self.bytes.extend_from_slice(b.as_bytes());
        self.bytes.push(b'"');
        self
    }

    /// An id: a prefix and a number, as text.
    #[inline]
    pub(super) fn id(&mut self, name: &str, prefix: &str, number: u64) -> &mut Line {
        self.key(name);
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(prefix.as_bytes());
        self.digits(number);
        self.bytes.push(b'"');
        self
    }

    /// An id of two numbers with a hyphen between.
    pub(super) fn double_id(&mut self, name: &str, prefix: &str, a: u64, b: u64) -> &mut Line {
        self.id(name, prefix, a);
        self.bytes.pop();
        self.bytes.push(b'-');
        self.digits(b);
        self.bytes.push(b'"');
        self
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &str, value: i64) -> &mut Line {
        self.key(name);
        if value < 0 {
            self.bytes.push(b'-');
        }
        self.digits(value.unsigned_abs());
        self
    }

    /// `true`.
    pub(super) fn yes(&mut self, name: &str) -> &mut Line {
        self.key(name);
        self.bytes.extend_from_slice(b"true");
        self
    }

    /// An amount in hundredths, with two decimals.
    pub(super) fn cents(&mut self, name: &str, cents: i64) -> &mut Line {
        self.key(name);
        if cents < 0 {
            self.bytes.push(b'-');
        }
        let cents = cents.unsigned_abs();
        self.digits(cents / 100);
        let rest = (cents % 100) as u8;
        self.bytes
            .extend_from_slice(&[b'.', b'0' + rest / 10, b'0' + rest % 10]);
        self
    }

    /// A time in milliseconds since the Unix epoch, not before it, as RFC 3339 in UTC.
    pub(super) fn time(&mut self, name: &str, at_ms: u64) -> &mut Line {
        let at_ms = at_ms.cast_signed();
        self.key(name);
        self.remember(at_ms.div_euclid(MS_A_DAY));
        let ms = at_ms.rem_euclid(MS_A_DAY).unsigned_abs() as u32;
        let two = |n: u32| [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        let (h, m, s) = (
            two(ms / 3_600_000),
            two(ms / 60_000 % 60),
            two(ms / 1000 % 60),
        );
        let (f, ff) = (b'0' + (ms / 100 % 10) as u8, two(ms % 100));
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(&self.date);
        self.bytes.extend_from_slice(&[
            b'T', h[0], h[1], b':', m[0], m[1], b':', s[0], s[1], b'.', f, ff[0], ff[1], b'Z', b'"',
        ]);
        self
    }

    /// A calendar day, in days since the Unix epoch.
    pub(super) fn day(&mut self, name: &str, day: i64) -> &mut Line {
        self.key(name);
        self.remember(day);
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(&self.date);
        self.bytes.push(b'"');
        self
    }

    /// A list of objects; `write` fills the `n`th.
    pub(super) fn list(
        &mut self,
        name: &str,
        len: usize,
        mut write: impl FnMut(&mut Line, usize),
    ) -> &mut Line {
        self.key(name);
        self.bytes.push(b'[');
        for n in 0..len {
            if n > 0 {
                self.bytes.push(b',');
            }
            self.bytes.push(b'{');
            write(self, n);
            self.bytes.push(b'}');
        }
        self.bytes.push(b']');
        self
    }

    fn remember(&mut self, day: i64) {
        if day != self.day {
            self.day = day;
            self.date = date(day);
        }
    }

    #[inline]
    fn digits(&mut self, mut number: u64) {
        let mut text = [0_u8; 20];
        let mut at = text.len();
        loop {
            at -= 1;
            text[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.bytes.extend_from_slice(&text[at..]);
    }
}

/// `YYYY-MM-DD` of a day since the Unix epoch, for years of four digits.
fn date(day: i64) -> [u8; 10] {
    let (year, month, day) = civil(day);
    let digit = |n: i64| b'0' + (n % 10).unsigned_abs() as u8;
    let two = |n: u8| [b'0' + n / 10, b'0' + n % 10];
    let ([m, mm], [d, dd]) = (two(month), two(day));
    [
        digit(year / 1000),
        digit(year / 100),
        digit(year / 10),
        digit(year),
        b'-',
        m,
        mm,
        b'-',
        d,
        dd,
    ]
}
