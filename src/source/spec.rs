//! What the user says of an input: `table=location?option=value&option=value`.
//!
//! Options follow the last `?` that has a `=` after it, so a `?` in a glob pattern needs no care.

use std::path::Path;

use super::{Compression, CsvOptions, Format, InputSpec, SourceError, live};

impl InputSpec {
    /// Reads the text of `--input`, such as `orders=logs/*.csv?delimiter=;&header=false`. Options:
    ///
    /// - `format`: `json` (also `jsonl`, `ndjson`), `csv`, `tsv` or `parquet`
    /// - `delimiter`, `quote`: one ASCII character; `tab` for a tab
    /// - `header`: `true` or `false`
    /// - `compression`: `none`, `gzip` (also `gz`) or `zstd` (also `zst`)
    /// - those of the location's scheme, if it is [live]
    ///
    /// # Errors
    /// If there is no table or no location, or an option is unknown or has a wrong value.
    pub fn parse(text: &str) -> Result<InputSpec, SourceError> {
        let not_an_input = || SourceError::NotAnInput {
            text: text.to_owned(),
        };
        let (table, rest) = text.split_once('=').ok_or_else(not_an_input)?;
        let (location, options) = match rest.rsplit_once('?') {
            Some((location, options))
                if options.contains('=') && !live::is_query(location, options) =>
            {
                (location, Some(options))
            }
            _ => (rest, None),
        };
        if table.trim().is_empty() || location.is_empty() {
            return Err(not_an_input());
        }
        if let Some((scheme, known)) = live::unknown_scheme(location) {
            return Err(SourceError::UnknownScheme {
                table: table.trim().to_owned(),
                scheme: scheme.to_owned(),
                known,
            });
        }
        let mut parsed = Parsed {
            text,
            format: None,
            dialect: Dialect::default(),
        };
        let (mut compression, mut others) = (None, Vec::new());
        for option in options.into_iter().flat_map(|options| options.split('&')) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name {
                "compression" => compression = Some(parsed.compression(value)?),
                _ if parsed.set(name, value)? => {}
                _ if live::takes(location, name) => {
                    others.push((name.to_owned(), value.to_owned()))
                }
                _ => return Err(parsed.unknown(location, name)),
            }
        }
        Ok(InputSpec {
            table: table.trim().to_owned(),
            location: location.to_owned(),
            format: parsed.format(location)?,
            compression,
            options: others,
        })
    }

    /// Takes a location that is a path as relative to a folder, such as that of the list it is in.
    pub fn relative_to(&mut self, folder: &Path) {
        self.location = match live::path_of(&self.location) {
            Some((scheme, path)) => format!("{scheme}{}", folder.join(path).display()),
            None => return,
        };
    }
}

/// What was said of the dialect.
#[derive(Default)]
struct Dialect {
    delimiter: Option<u8>,
    quote: Option<u8>,
    header: Option<bool>,
}

struct Parsed<'a> {
    text: &'a str,
    format: Option<String>,
    dialect: Dialect,
}

impl Parsed<'_> {
    /// Notes an option of the format; tells whether it is one.
    fn set(&mut self, name: &str, value: &str) -> Result<bool, SourceError> {
        match name {
            "format" => self.format = Some(value.to_ascii_lowercase()),
            "delimiter" => self.dialect.delimiter = Some(self.character(name, value)?),
            "quote" => self.dialect.quote = Some(self.character(name, value)?),
            "header" => {
                let header = value.parse();
                let header = header.map_err(|_| self.bad(name, value, "true or false"))?;
                self.dialect.header = Some(header);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn unknown(&self, location: &str, option: &str) -> SourceError {
        SourceError::UnknownOption {
            input: self.text.to_owned(),
            option: option.to_owned(),
            known: live::option_names(location),
        }
    }

    fn character(&self, name: &str, value: &str) -> Result<u8, SourceError> {
        match value.as_bytes() {
            b"tab" | b"\\t" => Ok(b'\t'),
            &[byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Ok(byte),
            _ => Err(self.bad(name, value, "one ASCII character, or tab")),
        }
    }

    fn compression(&self, value: &str) -> Result<Compression, SourceError> {
        match value {
            "none" => Ok(Compression::None),
            "gzip" | "gz" => Ok(Compression::Gzip),
            "zstd" | "zst" => Ok(Compression::Zstd),
            _ => Err(self.bad("compression", value, "none, gzip or zstd")),
        }
    }

    fn bad(&self, option: &str, value: &str, expected: &'static str) -> SourceError {
        SourceError::BadOption {
            input: self.text.to_owned(),
            option: option.to_owned(),
            value: value.to_owned(),
            expected,
        }
    }

    /// The format, as far as the options say. Options of CSV make it CSV.
    fn format(&self, location: &str) -> Result<Option<Format>, SourceError> {
        let Dialect {
            delimiter,
            quote,
            header,
        } = self.dialect;
        let says_csv = delimiter.is_some() || quote.is_some() || header.is_some();
        let base = match self.format.as_deref() {
            Some("json" | "jsonl" | "ndjson") => Some(Format::Json),
            Some("parquet") => Some(Format::Parquet),
            Some("csv") => Some(Format::Csv(CsvOptions::default())),
            Some("tsv") => Some(Format::Csv(tab_separated())),
            Some(other) => {
                return Err(self.bad("format", other, "json, csv, tsv or parquet"));
            }
            None if says_csv => match format_of_name(location) {
                Some(format @ Format::Csv(_)) => Some(format),
                _ => Some(Format::Csv(CsvOptions::default())),
            },
            None => None,
        };
        match base {
            Some(Format::Csv(base)) => {
                let delimiter = delimiter.unwrap_or(base.delimiter);
                let quote = quote.unwrap_or(base.quote);
                if delimiter == quote {
                    return Err(self.bad("quote", "", "another character than the delimiter"));
                }
                let header = header.unwrap_or(base.header);
                Ok(Some(Format::Csv(CsvOptions {
                    delimiter,
                    quote,
                    header,
                })))
            }
            Some(_) if says_csv => {
                let format = self.format.as_deref().unwrap_or_default();
                Err(self.bad(
                    "format",
                    format,
                    "csv or tsv where delimiter, quote or header is given",
                ))
            }
            other => Ok(other),
        }
    }
}

fn tab_separated() -> CsvOptions {
    CsvOptions {
        delimiter: b'\t',
        ..CsvOptions::default()
    }
}

/// The format that a file's name tells, whether it is packed or not.
pub(super) fn format_of_name(name: &str) -> Option<Format> {
    let name = name.to_ascii_lowercase();
    let packed = [".gz", ".gzip", ".zst", ".zstd"];
    let name = packed
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(&name);
    match name.rsplit_once('.')?.1 {
        "json" | "jsonl" | "ndjson" => Some(Format::Json),
        "csv" => Some(Format::Csv(CsvOptions::default())),
        "tsv" => Some(Format::Csv(tab_separated())),
        "parquet" => Some(Format::Parquet),
        _ => None,
    }
}
