//! The options of a live input, read and checked.

use std::io;
use std::time::Duration;

use super::scheme::HEADER;
use crate::source::{InputSpec, SourceError};
use crate::wiring::{parse_bytes, percent_decoded};

/// The longest record, if nothing else is said, in bytes.
const MAX_LINE_BYTES: usize = 16 << 20;
/// What `max_line` may be, in bytes.
const LINE_BYTES: std::ops::RangeInclusive<usize> = 16..=1 << 30;

/// The options of an input.
pub(super) struct Options<'a> {
    spec: &'a InputSpec,
}

impl<'a> Options<'a> {
    pub(super) fn new(spec: &'a InputSpec) -> Options<'a> {
        Options { spec }
    }

    /// The value of an option; the one said last counts.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        let mut options = self.spec.options.iter().rev();
        options
            .find(|(option, _)| option == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of an option, percent-decoded.
    pub(super) fn decoded(&self, name: &str) -> Result<Option<String>, SourceError> {
        let value = self.text(name).map(|value| self.decode(name, value));
        value.transpose()
    }

    /// The longest record, in bytes.
    pub(super) fn max_line(&self) -> Result<usize, SourceError> {
        let Some(value) = self.text("max_line") else {
            return Ok(MAX_LINE_BYTES);
        };
        let bytes = parse_bytes(value).and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = bytes.filter(|bytes| LINE_BYTES.contains(bytes));
        bytes.ok_or_else(|| {
            self.bad(
                "max_line",
                value,
                "between 16 and 1G bytes, such as 64K or 16M",
            )
        })
    }

    /// A time span that was said in seconds.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<Duration>, SourceError> {
        let Some(value) = self.text(name) else {
            return Ok(None);
        };
        let seconds = value.parse().ok().filter(|s| (0.01..=1e7).contains(s));
        let seconds = seconds.ok_or_else(|| self.bad(name, value, "a number of seconds"))?;
        Ok(Some(Duration::from_secs_f64(seconds)))
    }

    /// A whole number of at least `least`.
    pub(super) fn number(
        &self,
        name: &str,
        least: u64,
        expected: &'static str,
    ) -> Result<Option<u64>, SourceError> {
        let Some(value) = self.text(name) else {
            return Ok(None);
        };
        let number = value.parse().ok().filter(|&number| number >= least);
        number
            .map(Some)
            .ok_or_else(|| self.bad(name, value, expected))
    }

    /// Who may do what with a file, as `chmod` writes it in octal digits.
    pub(super) fn mode(&self) -> Result<Option<u32>, SourceError> {
        let Some(value) = self.text("mode") else {
            return Ok(None);
        };
        let mode = u32::from_str_radix(value, 8).ok();
        let mode = mode.filter(|mode| *mode <= 0o777);
        let expected = "octal digits as chmod takes them, such as 660";
        mode.map(Some)
            .ok_or_else(|| self.bad("mode", value, expected))
    }

    /// The headers to send along, percent-decoded.
    pub(super) fn headers(&self) -> Result<Vec<(String, String)>, SourceError> {
        let mut headers = Vec::new();
        for (option, value) in &self.spec.options {
            let Some(name) = option.strip_prefix(HEADER) else {
                continue;
            };
            let decoded = self.decode(option, value)?;
            let sound = ureq::http::HeaderName::try_from(name).is_ok()
                && ureq::http::HeaderValue::try_from(&decoded).is_ok();
            if !sound {
                return Err(self.bad(option, "...", "a header that HTTP allows"));
            }
            headers.push((name.to_owned(), decoded));
        }
        Ok(headers)
    }

    pub(super) fn bad(&self, option: &str, value: &str, expected: &'static str) -> SourceError {
        SourceError::BadOption {
            input: format!("{}={}", self.spec.table, self.spec.location),
            option: option.to_owned(),
            value: value.to_owned(),
            expected,
        }
    }

    /// Something that an option names cannot be used.
    pub(super) fn unusable(&self, option: &'static str, source: io::Error) -> SourceError {
        SourceError::Unusable {
            table: self.spec.table.clone(),
            location: self.spec.location.clone(),
            option,
            source,
        }
    }

    /// Others can reach the port, and nothing is demanded of them.
    pub(super) fn exposed(&self) -> SourceError {
        SourceError::Exposed {
            table: self.spec.table.clone(),
            location: self.spec.location.clone(),
        }
    }

    fn decode(&self, option: &str, value: &str) -> Result<String, SourceError> {
        percent_decoded(value).ok_or_else(|| self.bad(option, "...", "UTF-8 text, where %26 is &"))
    }
}
