//! What a live input's location begins with, and the options that go with it.

/// The ways in which live inputs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Tail,
    Tcp,
    Unix,
    Udp,
    Stdin,
    WebSocket,
    ServerSentEvents,
    Generate,
}

use Scheme::{Generate, ServerSentEvents, Stdin, Tail, Tcp, Udp, Unix, WebSocket};

/// What locations begin with.
const PREFIXES: [(&str, Scheme); 9] = [
    ("tail:", Tail),
    ("tcp://", Tcp),
    ("unix:", Unix),
    ("udp://", Udp),
    ("ws://", WebSocket),
    ("wss://", WebSocket),
    ("sse+http://", ServerSentEvents),
    ("sse+https://", ServerSentEvents),
    ("generate:", Generate),
];
/// The location of standard input.
const STDIN: &str = "-";
/// Before the name of a header that is to be sent along.
pub(super) const HEADER: &str = "header.";
/// The options of the format, which every input has, and of the packing.
const FORMAT_OPTIONS: [&str; 5] = ["format", "delimiter", "quote", "header", "compression"];

impl Scheme {
    /// The scheme of a location, and what follows it; `None` if it is a file.
    pub(super) fn of(location: &str) -> Option<(Scheme, &str)> {
        if location == STDIN {
            return Some((Stdin, ""));
        }
        let mut prefixes = PREFIXES.iter();
        prefixes.find_map(|&(prefix, scheme)| Some((scheme, location.strip_prefix(prefix)?)))
    }

    /// Its own options.
    fn options(self) -> &'static [&'static str] {
        match self {
            Tail => &["from", "max_line"],
            Tcp => &[
                "max_line",
                "idle",
                "connections",
                "tls_certificate",
                "tls_key",
                "tls_client_ca",
                "token_env",
                "token_file",
                "open",
            ],
            Unix => &["max_line", "idle", "connections", "mode"],
            Udp => &["open"],
            Stdin => &["max_line"],
            WebSocket => &["max_line", "idle", "send"],
            ServerSentEvents => &["max_line", "idle"],
            Generate => &[
                "rate", "seed", "users", "products", "history", "pace", "preset",
            ],
        }
    }

    /// Whether the location is the address of a server, which may have a query of its own.
    fn is_url(self) -> bool {
        matches!(self, WebSocket | ServerSentEvents)
    }

    fn takes(self, option: &str) -> bool {
        let is_header = || {
            option
                .strip_prefix(HEADER)
                .is_some_and(|name| !name.is_empty())
        };
        self.options().contains(&option) || (self.is_url() && is_header())
    }
}

/// Whether a location names an input that never ends by itself. Standard input counts as one; a
/// replay reads it to its end all the same.
pub fn is_live(location: &str) -> bool {
    Scheme::of(location).is_some()
}

/// What stands before the `://` of a location, if it is the name of no scheme that there is; with
/// the names of those that there are.
pub(in crate::source) fn unknown_scheme(location: &str) -> Option<(&str, String)> {
    let (scheme, _) = location.split_once("://")?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '+';
    if scheme.is_empty() || !scheme.chars().all(is_name) || is_live(location) {
        return None;
    }
    Some((scheme, PREFIXES.map(|(prefix, _)| prefix).join(", ")))
}

/// Whether an input at the location has the option, beside those of its format.
pub(in crate::source) fn takes(location: &str, option: &str) -> bool {
    Scheme::of(location).is_some_and(|(scheme, _)| scheme.takes(option))
}

/// The options that an input at the location has, for a message.
pub(in crate::source) fn option_names(location: &str) -> String {
    let mut names = FORMAT_OPTIONS[..4].to_vec();
    match Scheme::of(location) {
        None => names.push("compression"),
        Some((scheme, _)) => {
            names.extend(scheme.options());
            names.extend(scheme.is_url().then_some("header.NAME"));
            names.extend((scheme == Stdin).then_some("compression"));
        }
    }
    let (last, before) = names.split_last().unwrap_or((&"", &[]));
    format!("{} and {last}", before.join(", "))
}

/// Whether what follows a `?` is the query of a server's address rather than options: the address
/// has no other query, and no option goes by any of the names.
pub(in crate::source) fn is_query(location: &str, options: &str) -> bool {
    let Some((scheme, rest)) = Scheme::of(location) else {
        return false;
    };
    let is_option = |option: &str| {
        let name = option.split('=').next().unwrap_or_default();
        FORMAT_OPTIONS.contains(&name) || scheme.takes(name)
    };
    scheme.is_url() && !rest.contains('?') && !options.split('&').any(is_option)
}

/// The path that a location is, and what stands before it; `None` if it is no path.
pub(in crate::source) fn path_of(location: &str) -> Option<(&str, &str)> {
    match Scheme::of(location) {
        None => Some(("", location)),
        Some((Tail | Unix, path)) => Some((&location[..location.len() - path.len()], path)),
        Some(_) => None,
    }
}
