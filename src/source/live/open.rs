//! A live input from what the user said of it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tungstenite::http::Uri;

use super::entry::Entry;
use super::events::EventsSource;
use super::listen::{Listener, addresses};
use super::options::Options;
use super::scheme::Scheme;
use super::socket::{MOST_CONNECTIONS, SocketOptions, SocketSource};
use super::stdin::StdinSource;
use super::tail::{Pattern, TailSource};
use super::traffic::Shops;
use super::udp::UdpSource;
use super::websocket::WebSocketSource;
use super::{LiveInput, Source};
use crate::source::open::header_of_growing;
use crate::source::spec::format_of_name;
use crate::source::{Compression, Format, InputSpec, OpenInput, SourceError};

/// How long a server may say nothing before the connection counts as broken, if nothing else is
/// said.
const SERVER_IDLE: Duration = Duration::from_secs(60);

/// What inputs that are opened together share. Clones share it as well.
#[derive(Clone, Default)]
pub struct LiveOptions {
    shops: Shops,
    stdin_is_taken: Arc<AtomicBool>,
}

/// Opens a live input: checks its options and its pattern, and listens if it is to listen.
///
/// # Errors
/// If the location or an option is wrong, or the port or socket cannot be had.
pub fn open(spec: &InputSpec, options: &LiveOptions) -> Result<LiveInput, SourceError> {
    let Some((scheme, rest)) = Scheme::of(&spec.location) else {
        let expected = "tail:logs/*.jsonl, tcp://127.0.0.1:7070 or generate:orders";
        return Err(bad_location(spec, expected));
    };
    let opening = Opening {
        spec,
        scheme,
        rest,
        format: format(spec, scheme)?,
        options: Options::new(spec),
    };
    let mut input = OpenInput {
        spec: opening.shown_spec(),
        format: opening.format.clone(),
        files: Vec::new(),
        csv_header: None,
    };
    let source: Box<dyn Source> = match scheme {
        Scheme::Tail => Box::new(opening.tail(&mut input)?),
        Scheme::Tcp | Scheme::Unix => Box::new(opening.socket()?),
        Scheme::Udp => Box::new(opening.udp()?),
        Scheme::Stdin => Box::new(opening.stdin(&options.stdin_is_taken)?),
        Scheme::WebSocket => Box::new(opening.websocket()?),
        Scheme::ServerSentEvents => Box::new(opening.events()?),
        Scheme::Generate => Box::new(options.shops.open(spec, rest)?),
    };
    if let Some(address) = source.address() {
        input.spec.location = with_port(&input.spec.location, address.port());
    }
    Ok(LiveInput { input, source })
}

/// A location that asked for any free port, with the one that it has got.
fn with_port(location: &str, port: u16) -> String {
    match location.strip_suffix(":0") {
        Some(host) => format!("{host}:{port}"),
        None => location.to_owned(),
    }
}

/// The format: as said, else by the name, else lines of JSON.
fn format(spec: &InputSpec, scheme: Scheme) -> Result<Format, SourceError> {
    let named = || format_of_name(&spec.location).filter(|_| scheme == Scheme::Tail);
    let format = spec.format.clone().or_else(named).unwrap_or(Format::Json);
    let refuse = |format, reason| {
        Err(SourceError::NotLive {
            table: spec.table.clone(),
            location: spec.location.clone(),
            format,
            reason,
        })
    };
    let packed = [".gz", ".gzip", ".zst", ".zstd"];
    let name = spec.location.to_ascii_lowercase();
    let has_packed_name = scheme == Scheme::Tail && packed.iter().any(|end| name.ends_with(end));
    let is_json_only = matches!(
        scheme,
        Scheme::WebSocket | Scheme::ServerSentEvents | Scheme::Generate
    );
    match (&format, spec.compression) {
        (Format::Parquet, _) => refuse("Parquet", "a Parquet file is not readable before its end"),
        (Format::Csv(_), _) if is_json_only => refuse("CSV", "it carries JSON"),
        (_, Some(Compression::Gzip | Compression::Zstd)) if scheme != Scheme::Stdin => {
            refuse("packed", "what is packed does not grow line by line")
        }
        (_, None) if has_packed_name => refuse(
            "packed",
            "a packed file does not grow; read it as history, without tail:",
        ),
        _ => Ok(format),
    }
}

/// What is known of an input that is being opened.
struct Opening<'a> {
    spec: &'a InputSpec,
    scheme: Scheme,
    /// The location without its scheme.
    rest: &'a str,
    format: Format,
    options: Options<'a>,
}

impl Opening<'_> {
    /// The input as it may be shown: without what may be a secret.
    fn shown_spec(&self) -> InputSpec {
        let mut spec = self.spec.clone();
        if matches!(self.scheme, Scheme::WebSocket | Scheme::ServerSentEvents) {
            spec.location = shown_url(&spec.location).to_owned();
            spec.options.clear();
        }
        spec
    }

    fn tail(&self, input: &mut OpenInput) -> Result<TailSource, SourceError> {
        let from_end = match self.options.text("from") {
            None | Some("start") => false,
            Some("end") => true,
            Some(other) => return Err(self.options.bad("from", other, "start or end")),
        };
        let max_line = self.options.max_line()?;
        if self.rest.is_empty() {
            return Err(bad_location(self.spec, "tail:logs/*.jsonl"));
        }
        let pattern = Pattern::new(self.spec, self.rest)?;
        let files = pattern.paths()?;
        if let Format::Csv(options) = &self.format
            && options.header
        {
            let mut files = files.iter();
            input.csv_header = files.find_map(|path| header_of_growing(path, options));
        }
        input.files = files.into_iter().map(Arc::new).collect();
        Ok(TailSource {
            pattern,
            format: self.format.clone(),
            max_line,
            from_end,
        })
    }

    fn socket(&self) -> Result<SocketSource, SourceError> {
        let at_least_one = "a whole number of at least one";
        let connections = self.options.number("connections", 1, at_least_one)?;
        let options = SocketOptions {
            format: self.format.clone(),
            max_line: self.options.max_line()?,
            idle: self.options.seconds("idle")?,
            connections: usize::try_from(connections.unwrap_or(MOST_CONNECTIONS))
                .unwrap_or(usize::MAX),
            entry: Entry::read(&self.options)?,
        };
        let listener = match self.scheme {
            Scheme::Unix if self.rest.is_empty() => {
                return Err(bad_location(self.spec, "unix:/run/tillrace/orders.sock"));
            }
            Scheme::Unix => Listener::unix(self.rest, self.options.mode()?),
            _ => {
                let place = self.host_and_port("tcp://127.0.0.1:7070")?;
                self.check_entry(&options.entry, place)?;
                Listener::tcp(place)
            }
        };
        let source = listener.and_then(|listener| SocketSource::new(listener, options));
        source.map_err(|error| self.cannot_listen(error))
    }

    fn udp(&self) -> Result<UdpSource, SourceError> {
        let address = self.host_and_port("udp://127.0.0.1:7070")?;
        self.check_entry(&Entry::default(), address)?;
        let source = UdpSource::bind(address, self.format.clone());
        source.map_err(|error| self.cannot_listen(error))
    }

    /// Refuses a port that others can reach and that demands nothing of them.
    fn check_entry(&self, entry: &Entry, host_and_port: &str) -> Result<(), SourceError> {
        let found = addresses(host_and_port).map_err(|error| self.cannot_listen(error))?;
        entry.check(&self.options, &found)
    }

    fn stdin(&self, is_taken: &AtomicBool) -> Result<StdinSource, SourceError> {
        let max_line = self.options.max_line()?;
        if is_taken.swap(true, Ordering::Relaxed) {
            let table = self.spec.table.clone();
            return Err(SourceError::StdinTwice { table });
        }
        Ok(StdinSource {
            format: self.format.clone(),
            compression: self.spec.compression,
            max_line,
        })
    }

    fn websocket(&self) -> Result<WebSocketSource, SourceError> {
        Ok(WebSocketSource {
            uri: self.url(&self.spec.location, "wss://feed.example.com/orders")?,
            headers: self.options.headers()?,
            first: self.options.decoded("send")?,
            max_line: self.options.max_line()?,
            idle: self.options.seconds("idle")?.unwrap_or(SERVER_IDLE),
            name: self.shown_name(),
        })
    }

    fn events(&self) -> Result<EventsSource, SourceError> {
        let url = self.spec.location.strip_prefix("sse+").unwrap_or_default();
        Ok(EventsSource {
            url: self
                .url(url, "sse+https://feed.example.com/orders")?
                .to_string(),
            headers: self.options.headers()?,
            max_line: self.options.max_line()?,
            idle: self.options.seconds("idle")?.unwrap_or(SERVER_IDLE),
            name: self.shown_name(),
        })
    }

    fn url(&self, url: &str, expected: &'static str) -> Result<Uri, SourceError> {
        // A `?` at the end says that what is before it is no option.
        let url = url.strip_suffix('?').unwrap_or(url).parse::<Uri>().ok();
        // A name and password in it would be shown wherever the location is: a header is not.
        let is_sound = |url: &Uri| {
            let authority = url.authority().map(|authority| authority.as_str());
            url.host().is_some_and(|host| !host.is_empty())
                && !authority.unwrap_or_default().contains('@')
        };
        let url = url.filter(is_sound);
        url.ok_or_else(|| bad_location(self.spec, expected))
    }

    fn shown_name(&self) -> Arc<PathBuf> {
        Arc::new(PathBuf::from(shown_url(&self.spec.location)))
    }

    fn host_and_port(&self, expected: &'static str) -> Result<&str, SourceError> {
        let port = self.rest.rsplit_once(':');
        match port.map(|(host, port)| (host, port.parse::<u16>())) {
            Some((host, Ok(_))) if !host.is_empty() => Ok(self.rest),
            _ => Err(bad_location(self.spec, expected)),
        }
    }

    fn cannot_listen(&self, source: io::Error) -> SourceError {
        SourceError::Listen {
            table: self.spec.table.clone(),
            location: self.spec.location.clone(),
            source,
        }
    }
}

fn bad_location(spec: &InputSpec, expected: &'static str) -> SourceError {
    SourceError::BadLocation {
        table: spec.table.clone(),
        location: spec.location.clone(),
        expected,
    }
}

/// A URL without its query, in which there may be a token.
fn shown_url(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}
