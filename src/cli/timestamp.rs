//! Points in time on the command line.

use chrono::{DateTime, NaiveDate, NaiveDateTime};

/// Reads `2023-10-01`, `2023-10-01 12:34:56`, `2023-10-01T12:34:56.789Z` or a time with another
/// offset, as nanoseconds since the Unix epoch; without an offset it is UTC.
///
/// # Errors
/// If the text is none of these, or the time lies outside what nanoseconds in 64 bits can say.
pub fn parse(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let utc = DateTime::parse_from_rfc3339(text)
        .map(|time| time.naive_utc())
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f"))
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f"))
        .or_else(|_| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_time(Default::default()))
        })
        .map_err(|_| {
            "not a time: write 2023-10-01, '2023-10-01 12:34:56' or 2023-10-01T12:34:56Z".to_owned()
        })?;
    utc.and_utc()
        .timestamp_nanos_opt()
        .ok_or_else(|| "before 1677 or after 2262".to_owned())
}
