//! The reader of wiring files: goes on after a fault, so that all are found.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::{EngineKnobs, ServerKnobs, Wire, Wiring, parse_bytes};
use crate::script::{Fault, Origin, near};

const TOP: [&str; 5] = ["scripts", "input", "sink", "engine", "server"];

/// Options that name files; paths are relative to the wiring file.
const FILES: [&str; 5] = [
    "dead_letters",
    "tls_certificate",
    "tls_key",
    "tls_client_ca",
    "token_file",
];

/// What a file says, as far as it is right, and every fault of it.
pub(super) fn read(file: &Path, folder: &Path, text: &str) -> (Wiring, Vec<Fault>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        file,
        folder,
        text,
        faults: Vec::new(),
    };
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        reader.fault(span, error.message(), None);
    }
    let mut wiring = Wiring::default();
    reader.top(table.get_ref(), &mut wiring);
    (wiring, reader.faults)
}

struct Reader<'a> {
    file: &'a Path,
    folder: &'a Path,
    text: &'a str,
    faults: Vec<Fault>,
}

/// A key's value.
type Value<'a> = Spanned<DeValue<'a>>;

impl Reader<'_> {
    fn top(&mut self, table: &DeTable<'_>, wiring: &mut Wiring) {
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "scripts" => {
                    let scripts = self.strings(value, "scripts");
                    wiring.scripts = scripts.iter().map(|path| self.path(path)).collect();
                }
                "input" => wiring.inputs = self.wires(value, "input", "table", "from"),
                "sink" => wiring.sinks = self.wires(value, "sink", "view", "to"),
                "engine" => self.engine(value, &mut wiring.engine),
                "server" => self.server(value, &mut wiring.server),
                _ => self.unknown(key, &TOP, "the file"),
            }
        }
    }

    /// `[[input]]` or `[[sink]]`: two keys that name it, and options.
    fn wires(&mut self, value: &Value<'_>, section: &str, name: &str, place: &str) -> Vec<Wire> {
        let Some(tables) = value.get_ref().as_array() else {
            let help = format!("write [[{section}]] above {name} = \"...\" and {place} = \"...\"");
            self.fault(
                value.span(),
                format!("`{section}` is not a list of tables"),
                Some(help),
            );
            return Vec::new();
        };
        let mut wires = Vec::new();
        for table in tables.iter() {
            match table.get_ref().as_table() {
                Some(keys) => wires.extend(self.wire(table.span(), keys, section, name, place)),
                None => self.fault(table.span(), format!("`{section}` holds no table"), None),
            }
        }
        wires
    }

    fn wire(
        &mut self,
        span: Range<usize>,
        keys: &DeTable<'_>,
        section: &str,
        name: &str,
        place: &str,
    ) -> Vec<Wire> {
        let mut named = None;
        let mut places = Vec::new();
        let mut options = Vec::new();
        for (key, value) in keys {
            match key.get_ref().as_ref() {
                key if key == name => named = self.string(value, name),
                key if key == place => {
                    let found = self.strings(value, place);
                    places = found.into_iter().map(|text| self.location(text)).collect();
                }
                key => options.extend(self.option(key, value)),
            }
        }
        let Some(named) = named.filter(|_| !places.is_empty()) else {
            let message = format!("[[{section}]] lacks `{name}` or `{place}`");
            let help = format!("write {name} = \"...\" and {place} = \"...\"");
            self.fault(span, message, Some(help));
            return Vec::new();
        };
        let options = options.join("&");
        let origin = self.origin(span.start);
        let wire = |place: String| {
            // A `?` at the end says that what is before it is an address's query and no option.
            let has_query = place.contains("://") && place.contains('?');
            let mark = if has_query || !options.is_empty() {
                "?"
            } else {
                ""
            };
            Wire {
                text: format!("{named}={place}{mark}{options}"),
                origin: origin.clone(),
            }
        };
        places.into_iter().map(wire).collect()
    }

    /// An option as the command line has it; a table's are joined with a point.
    fn option(&mut self, key: &str, value: &Value<'_>) -> Vec<String> {
        let text = match value.get_ref() {
            DeValue::String(text) if FILES.contains(&key) => {
                percent_encoded(&self.path(text).display().to_string())
            }
            DeValue::String(text) if key == "send" || key.starts_with("header.") => {
                percent_encoded(text)
            }
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(truth) => truth.to_string(),
            DeValue::Table(table) => {
                let parts = table.iter();
                let inner = parts.map(|(k, v)| (format!("{key}.{}", k.get_ref()), v));
                let inner: Vec<_> = inner.collect();
                return inner
                    .into_iter()
                    .flat_map(|(k, v)| self.option(&k, v))
                    .collect();
            }
            _ => {
                let message = format!("`{key}` is neither text, a number nor true or false");
                self.fault(value.span(), message, None);
                return Vec::new();
            }
        };
        vec![format!("{key}={text}")]
    }

    fn engine(&mut self, value: &Value<'_>, engine: &mut EngineKnobs) {
        let Some(table) = self.table(value, "engine") else {
            return;
        };
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "workers" => engine.workers = self.whole(value, "workers", 1),
                "tick_ms" => {
                    let tick = self.whole(value, "tick_ms", 1);
                    engine.tick = tick.map(|ms| Duration::from_millis(ms as u64));
                }
                "memory_limit" => engine.memory_limit = self.bytes(value, "memory_limit"),
                "why" => {
                    let bytes = self.bytes(value, "why");
                    engine.why = bytes.and_then(|bytes| usize::try_from(bytes).ok());
                }
                "rejects" => engine.rejects = self.whole(value, "rejects", 1),
                _ => {
                    let known = ["workers", "tick_ms", "memory_limit", "rejects", "why"];
                    self.unknown(key, &known, "[engine]");
                }
            }
        }
    }

    fn server(&mut self, value: &Value<'_>, server: &mut ServerKnobs) {
        let Some(table) = self.table(value, "server") else {
            return;
        };
        let known = [
            "enabled",
            "listen",
            "pg",
            "open",
            "read_tokens",
            "write_tokens",
            "tls_certificate",
            "tls_key",
            "cors_origins",
            "max_body",
        ];
        let (mut certificate, mut private_key) = (None, None);
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "enabled" => server.disabled = self.truth(value, "enabled") == Some(false),
                "listen" => server.listen = self.addresses(value, "listen", "127.0.0.1:7717"),
                "pg" => server.pg = self.addresses(value, "pg", "127.0.0.1:5433"),
                "open" => server.open = self.truth(value, "open") == Some(true),
                "read_tokens" => server.read_tokens = self.strings(value, "read_tokens"),
                "write_tokens" => server.write_tokens = self.strings(value, "write_tokens"),
                "tls_certificate" => certificate = self.string(value, "tls_certificate"),
                "tls_key" => private_key = self.string(value, "tls_key"),
                "cors_origins" => server.cors_origins = self.strings(value, "cors_origins"),
                "max_body" => {
                    let bytes = self.bytes(value, "max_body");
                    server.max_body = bytes.and_then(|bytes| usize::try_from(bytes).ok());
                }
                _ => self.unknown(key, &known, "[server]"),
            }
        }
        server.tls = match (certificate, private_key) {
            (Some(certificate), Some(key)) => Some((self.path(&certificate), self.path(&key))),
            (None, None) => None,
            _ => {
                let message = "tls_certificate and tls_key belong together";
                self.fault(value.span(), message, Some("give both".to_owned()));
                None
            }
        };
    }

    fn addresses(&mut self, value: &Value<'_>, key: &str, example: &str) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        for text in self.strings(value, key) {
            match text.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => self.fault(
                    value.span(),
                    format!("`{text}` is no address to listen at"),
                    Some(format!("write an IP address and a port: \"{example}\"")),
                ),
            }
        }
        addresses
    }

    fn table<'t, 'i>(&mut self, value: &'t Value<'i>, key: &str) -> Option<&'t DeTable<'i>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            let help = format!("write [{key}] on a line of its own");
            self.fault(value.span(), format!("`{key}` is not a table"), Some(help));
        }
        table
    }

    fn string(&mut self, value: &Value<'_>, key: &str) -> Option<String> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.fault(value.span(), format!("`{key}` is not text"), None);
        }
        text.map(str::to_owned)
    }

    /// One text or a list of them.
    fn strings(&mut self, value: &Value<'_>, key: &str) -> Vec<String> {
        match value.get_ref().as_array() {
            Some(list) => list
                .iter()
                .filter_map(|text| self.string(text, key))
                .collect(),
            None => self.string(value, key).into_iter().collect(),
        }
    }

    fn truth(&mut self, value: &Value<'_>, key: &str) -> Option<bool> {
        let truth = value.get_ref().as_bool();
        if truth.is_none() {
            self.fault(
                value.span(),
                format!("`{key}` is neither true nor false"),
                None,
            );
        }
        truth
    }

    fn whole(&mut self, value: &Value<'_>, key: &str, least: usize) -> Option<usize> {
        let number = value.get_ref().as_integer();
        let number = number.and_then(|n| n.as_str().parse::<usize>().ok());
        let number = number.filter(|number| *number >= least);
        if number.is_none() {
            let message = format!("`{key}` is not a whole number of at least {least}");
            self.fault(value.span(), message, None);
        }
        number
    }

    /// A number of bytes, or text such as "2GB".
    fn bytes(&mut self, value: &Value<'_>, key: &str) -> Option<u64> {
        let number = value
            .get_ref()
            .as_integer()
            .map(|number| number.as_str().to_owned());
        let text = number.or_else(|| value.get_ref().as_str().map(str::to_owned));
        let bytes = text.and_then(|text| parse_bytes(&text));
        if bytes.is_none() {
            let help = Some("write a number of bytes, or \"512MB\", \"2GiB\"".to_owned());
            self.fault(
                value.span(),
                format!("`{key}` is no amount of memory"),
                help,
            );
        }
        bytes
    }

    fn unknown(&mut self, key: &Spanned<DeString<'_>>, known: &[&str], place: &str) {
        let help = match near(key.get_ref(), known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", known.join(", ")),
        };
        let message = format!("{place} has no `{}`", key.get_ref());
        self.fault(key.span(), message, Some(help));
    }

    /// A location is a path relative to the file unless it names a scheme.
    fn location(&self, text: String) -> String {
        for scheme in ["tail:", "unix:"] {
            if let Some(path) = text.strip_prefix(scheme) {
                return format!("{scheme}{}", self.path(path).display());
            }
        }
        let is_scheme = |scheme: &str| {
            let mut letters = scheme.chars();
            scheme.len() > 1 && letters.all(|c| c.is_ascii_alphanumeric() || c == '+')
        };
        let scheme = text.split_once(':').map(|(scheme, _)| scheme);
        match scheme.is_some_and(is_scheme) || text == "-" {
            true => text,
            false => self.path(&text).display().to_string(),
        }
    }

    fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }

    fn fault(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        let span_text = self.text.get(span.clone()).unwrap_or_default();
        let line = span_text.lines().next().unwrap_or_default();
        self.faults.push(Fault {
            origin: self.origin(span.start),
            length: line.chars().count().max(1),
            message: message.into(),
            help,
        });
    }

    fn origin(&self, byte: usize) -> Origin {
        let before = &self.text[..byte.min(self.text.len())];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Origin {
            file: self.file.to_owned(),
            line: before.matches('\n').count() as u64 + 1,
            column: before[line_start..].chars().count() as u64 + 1,
        }
    }
}

/// The value of an option that is percent-decoded, so that nothing in it ends the option.
fn percent_encoded(text: &str) -> String {
    text.replace('%', "%25")
        .replace('&', "%26")
        .replace('?', "%3F")
}
