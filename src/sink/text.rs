//! What the user says of a sink: `view=location?option=value&option=value`.
//!
//! Options follow the last `?` that has a `=` after it; a location that has such a `?` of its own
//! ends in another one. `%26` in a value stands for `&`, as in any address on the web.

use std::path::Path;
use std::time::Duration;

use super::error::SinkError;
use super::spec::{
    BodyFormat, DeadLetters, Destination, FileFormat, FileSpec, Headers, Mode, SinkSpec,
    WebhookSpec,
};
use crate::wiring::{parse_bytes, percent_decoded};

/// What the names of options begin with that are headers.
const HEADER: &str = "header.";
/// Options of every sink.
const COMMON: [&str; 2] = ["every_ms", "stop_seconds"];
const OF_FILES: [&str; 4] = ["format", "mode", "roll_bytes", "roll_seconds"];
const OF_WEBHOOKS: [&str; 6] = [
    "format",
    "timeout_seconds",
    "retry_seconds",
    "dead_letters",
    "rows",
    "header.NAME",
];
const OF_STDOUT: [&str; 1] = ["mode"];

impl SinkSpec {
    /// Reads the text of `--sink`, such as `sales=out/sales.jsonl?roll_bytes=100MB`. Several views
    /// are joined by commas; `*` stands for all.
    ///
    /// # Errors
    /// If there is no view or no location, or an option is unknown or has a wrong value.
    pub fn parse(text: &str) -> Result<SinkSpec, SinkError> {
        let not_a_sink = || SinkError::NotASink {
            text: text.split('?').next().unwrap_or_default().to_owned(),
        };
        let (views, rest) = text.split_once('=').ok_or_else(not_a_sink)?;
        let (location, options) = match rest.rsplit_once('?') {
            Some((location, "")) => (location, ""),
            Some((location, options)) if options.contains('=') => (location, options),
            _ => (rest, ""),
        };
        let views: Vec<&str> = views.split(',').map(str::trim).collect();
        if location.is_empty() || views.iter().any(|view| view.is_empty()) {
            return Err(not_a_sink());
        }
        let options = options.split('&').filter(|option| !option.is_empty());
        let options = options.map(|option| option.split_once('=').unwrap_or((option, "")));
        let mut options = Options::decode(&views, location, options)?;
        let to = destination(location, &mut options)?;
        let mut spec = SinkSpec::new(views, to);
        if let Some(every) = options.number("every_ms", "a number of milliseconds")? {
            spec.every = Duration::from_millis(every);
        }
        if let Some(within) = options.seconds("stop_seconds")? {
            spec.stop_within = within;
        }
        Ok(spec)
    }
}

fn destination(location: &str, options: &mut Options) -> Result<Destination, SinkError> {
    let scheme = location.split_once(':').map(|(scheme, _)| scheme);
    // A single letter is a Windows drive.
    let scheme = scheme.filter(|scheme| {
        scheme.len() > 1
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '+')
    });
    match scheme {
        None => file(location, options),
        Some("file") => file(
            location
                .trim_start_matches("file:")
                .trim_start_matches("//"),
            options,
        ),
        Some("http" | "https") => webhook(location, options),
        Some("stdout") => {
            options.allow(&OF_STDOUT)?;
            Ok(Destination::Stdout(options.mode()?))
        }
        Some(other) => Err(SinkError::UnknownScheme {
            sink: options.sink.clone(),
            scheme: other.to_owned(),
        }),
    }
}

fn file(path: &str, options: &mut Options) -> Result<Destination, SinkError> {
    options.allow(&OF_FILES)?;
    let extension = Path::new(path).extension().and_then(|end| end.to_str());
    let expected = "jsonl, csv or parquet, here or as the end of the file's name";
    let said = options.text("format").or(extension).unwrap_or_default();
    let format = match said.to_ascii_lowercase().as_str() {
        "json" | "jsonl" | "ndjson" => FileFormat::Jsonl,
        "csv" => FileFormat::Csv,
        "parquet" => FileFormat::Parquet,
        _ => return Err(options.bad("format", said, expected)),
    };
    let mut spec = FileSpec::new(path, format, options.mode()?);
    let bytes = options.bytes("roll_bytes")?;
    let after = options.seconds("roll_seconds")?;
    for (option, said) in [
        ("roll_bytes", bytes.is_some()),
        ("roll_seconds", after.is_some()),
    ] {
        if said && spec.mode == Mode::Snapshot {
            return Err(options.bad(option, "given", "left out where mode is snapshot"));
        }
    }
    if bytes.is_some() || after.is_some() {
        (spec.roll_bytes, spec.roll_after) = (bytes, after);
    }
    Ok(Destination::File(spec))
}

fn webhook(url: &str, options: &mut Options) -> Result<Destination, SinkError> {
    options.allow(&OF_WEBHOOKS)?;
    let mut spec = WebhookSpec::new(url);
    let is_sound = ureq::http::Uri::try_from(url).is_ok_and(|uri| uri.host().is_some());
    if !is_sound {
        let shown = spec.url.to_string();
        return Err(options.bad("location", &shown, "an address with a host"));
    }
    match options.text("format") {
        None | Some("json") => {}
        Some("ndjson" | "jsonl") => spec.body = BodyFormat::Ndjson,
        Some(other) => return Err(options.bad("format", other, "json or ndjson")),
    }
    spec.headers = options.headers()?;
    if let Some(timeout) = options.seconds("timeout_seconds")? {
        spec.timeout = timeout;
    }
    if let Some(rows) = options.number("rows", "a number of rows, at least 1")? {
        spec.rows = usize::try_from(rows.max(1)).unwrap_or(usize::MAX);
    }
    let after = options.seconds("retry_seconds")?;
    spec.dead_letters = options.text("dead_letters").map(DeadLetters::to);
    match (&mut spec.dead_letters, after) {
        (Some(dead), Some(after)) => dead.after = after,
        (None, Some(_)) => {
            let expected = "with dead_letters, a file for what is not taken by then";
            return Err(options.bad("retry_seconds", "alone", expected));
        }
        _ => {}
    }
    Ok(Destination::Webhook(spec))
}

/// The options of a sink, by name.
struct Options {
    sink: String,
    options: Vec<(String, String)>,
}

impl Options {
    fn decode<'a>(
        views: &[&str],
        location: &str,
        options: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Options, SinkError> {
        let shown = super::spec::Url(location.to_owned());
        let mut decoded = Options {
            sink: format!("{}={shown}", views.join(",")),
            options: Vec::new(),
        };
        for (name, value) in options {
            let value = percent_decoded(value)
                .ok_or_else(|| decoded.bad(name, "...", "UTF-8 text, where %26 is &"))?;
            decoded.options.push((name.to_owned(), value));
        }
        Ok(decoded)
    }

    /// Refuses options that are neither common nor among some.
    fn allow(&self, known: &[&str]) -> Result<(), SinkError> {
        let all = || COMMON.iter().chain(known);
        let is_header = |name: &str| {
            known.contains(&"header.NAME")
                && name.strip_prefix(HEADER).is_some_and(|n| !n.is_empty())
        };
        let strange = self.options.iter().map(|(name, _)| name);
        let mut strange = strange.filter(|name| !all().any(|k| k == name) && !is_header(name));
        match strange.next() {
            None => Ok(()),
            Some(option) => Err(SinkError::UnknownOption {
                sink: self.sink.clone(),
                option: option.clone(),
                known: all().copied().collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// The value of an option; the one said last counts.
    fn text(&self, name: &str) -> Option<&str> {
        let mut options = self.options.iter().rev();
        options
            .find(|(option, _)| option == name)
            .map(|(_, value)| value.as_str())
    }

    fn mode(&self) -> Result<Mode, SinkError> {
        match self.text("mode") {
            None | Some("changes") => Ok(Mode::Changes),
            Some("snapshot") => Ok(Mode::Snapshot),
            Some(other) => Err(self.bad("mode", other, "changes or snapshot")),
        }
    }

    fn number(&self, name: &str, expected: &'static str) -> Result<Option<u64>, SinkError> {
        let Some(value) = self.text(name) else {
            return Ok(None);
        };
        let number = value.parse().map_err(|_| self.bad(name, value, expected))?;
        Ok(Some(number))
    }

    fn seconds(&self, name: &str) -> Result<Option<Duration>, SinkError> {
        let Some(value) = self.text(name) else {
            return Ok(None);
        };
        let seconds: Option<f64> = value.parse().ok().filter(|s| (0.001..=1e8).contains(s));
        let seconds = seconds.ok_or_else(|| self.bad(name, value, "a number of seconds"))?;
        Ok(Some(Duration::from_secs_f64(seconds)))
    }

    fn bytes(&self, name: &str) -> Result<Option<u64>, SinkError> {
        let Some(value) = self.text(name) else {
            return Ok(None);
        };
        let bytes = parse_bytes(value).filter(|bytes| *bytes > 0);
        let expected = "a number of bytes, such as 500000, 100MB or 64MiB";
        bytes
            .map(Some)
            .ok_or_else(|| self.bad(name, value, expected))
    }

    fn headers(&self) -> Result<Headers, SinkError> {
        let mut headers = Headers::default();
        for (option, value) in &self.options {
            let Some(name) = option.strip_prefix(HEADER) else {
                continue;
            };
            let is_sound = ureq::http::HeaderName::try_from(name).is_ok()
                && ureq::http::HeaderValue::try_from(value).is_ok();
            if !is_sound {
                return Err(self.bad(option, "...", "a header that HTTP allows"));
            }
            headers.0.push((name.to_owned(), value.clone()));
        }
        Ok(headers)
    }

    fn bad(&self, option: &str, value: &str, expected: &'static str) -> SinkError {
        SinkError::BadOption {
            sink: self.sink.clone(),
            option: option.to_owned(),
            value: value.to_owned(),
            expected,
        }
    }
}
