//! What a sink is to do: which views go where, and how.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Stands for all views of the script; not the system's own.
pub const ALL_VIEWS: &str = "*";

/// How long a sink that is stopped may go on, if nothing else is said.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How often at most a whole view is written or a request is made, if nothing else is said.
const NOT_TOO_OFTEN: Duration = Duration::from_secs(1);
/// How big a Parquet file becomes if nothing is said of size or time: it can be read only when it
/// is over.
const PARQUET_BYTES: u64 = 128_000_000;
const PARQUET_AFTER: Duration = Duration::from_secs(3600);

/// What a sink is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkSpec {
    /// The views that it follows, by name; [`ALL_VIEWS`] stands for all of the script's.
    pub views: Vec<String>,
    /// Where their changes go.
    pub to: Destination,
    /// How long it waits at least from one delivery of a view to the next; zero for an epoch each.
    pub every: Duration,
    /// How long it may go on delivering once it is stopped.
    pub stop_within: Duration,
}

/// Where changes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To files.
    File(FileSpec),
    /// To an HTTP server.
    Webhook(WebhookSpec),
    /// To standard output: changes as JSON lines, snapshots as tables.
    Stdout(Mode),
}

/// What of a view is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What changed: rows with their epoch and diff. The first are the whole view, added.
    Changes,
    /// The whole view, whenever it has changed.
    Snapshot,
}

/// How rows are written in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header in each file.
    Csv,
    /// Apache Parquet.
    Parquet,
}

impl FileFormat {
    /// How names of such files end.
    pub fn extension(self) -> &'static str {
        match self {
            FileFormat::Jsonl => "jsonl",
            FileFormat::Csv => "csv",
            FileFormat::Parquet => "parquet",
        }
    }
}

/// A sink to files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// The file. `{view}` in it stands for the view's name; a path that ends in `/` is a folder
    /// with a file a view. Files of changes also have the time and a number in their names.
    pub path: PathBuf,
    /// How rows are written.
    pub format: FileFormat,
    /// What is written.
    pub mode: Mode,
    /// A file of changes is over when it has this many bytes.
    pub roll_bytes: Option<u64>,
    /// A file of changes is over when it is this old.
    pub roll_after: Option<Duration>,
}

impl FileSpec {
    /// Files of some format, with its usual ends: text files go on until the sink stops, Parquet
    /// files are over after 128 MB or an hour.
    pub fn new(path: impl Into<PathBuf>, format: FileFormat, mode: Mode) -> FileSpec {
        let is_parquet = format == FileFormat::Parquet;
        FileSpec {
            path: path.into(),
            format,
            mode,
            roll_bytes: is_parquet.then_some(PARQUET_BYTES),
            roll_after: is_parquet.then_some(PARQUET_AFTER),
        }
    }
}

/// How changes are written in the body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// One JSON object: `{"view", "from_epoch", "epoch", "part", "parts", "changes": [{"diff",
    /// "row"}]}`.
    Json,
    /// One JSON object a changed row, with `_view`, `_epoch` and `_diff`.
    Ndjson,
}

/// A sink to an HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSpec {
    /// Where to post.
    pub url: Url,
    /// How bodies are written.
    pub body: BodyFormat,
    /// Headers sent along.
    pub headers: Headers,
    /// How long a request may take.
    pub timeout: Duration,
    /// How many changed rows a request has at most; more make several.
    pub rows: usize,
    /// What becomes of a body that is not taken. Without, it is sent again until it is.
    pub dead_letters: Option<DeadLetters>,
}

impl WebhookSpec {
    /// Posts as JSON, and again until each is taken.
    pub fn new(url: impl Into<String>) -> WebhookSpec {
        WebhookSpec {
            url: Url(url.into()),
            body: BodyFormat::Json,
            headers: Headers::default(),
            timeout: Duration::from_secs(10),
            rows: 10_000,
            dead_letters: None,
        }
    }
}

/// Where bodies go that a server does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetters {
    /// The file, of JSON lines; what is there stays.
    pub file: PathBuf,
    /// How long a body is sent again before it goes there. One that the server refuses as such goes
    /// at once.
    pub after: Duration,
}

impl DeadLetters {
    /// After five minutes.
    pub fn to(file: impl Into<PathBuf>) -> DeadLetters {
        DeadLetters {
            file: file.into(),
            after: Duration::from_secs(300),
        }
    }
}

/// An address on the web. It is shown without what may be secret in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(pub String);

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.split(['?', '#']).next().unwrap_or_default();
        match shown.split_once("://") {
            Some((scheme, rest)) => {
                let path = rest.find('/').unwrap_or(rest.len());
                let host = rest[..path].rsplit('@').next().unwrap_or_default();
                write!(f, "{scheme}://{host}{}", &rest[path..])
            }
            None => f.write_str(shown),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Headers by name. Values are not shown: they may be secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

impl SinkSpec {
    /// Some views to somewhere. Snapshots and requests are a second apart or more.
    pub fn new<V: Into<String>>(views: impl IntoIterator<Item = V>, to: Destination) -> SinkSpec {
        let every = match to.mode() {
            Mode::Changes if !matches!(to, Destination::Webhook(_)) => Duration::ZERO,
            _ => NOT_TOO_OFTEN,
        };
        SinkSpec {
            views: views.into_iter().map(Into::into).collect(),
            to,
            every,
            stop_within: STOP_WITHIN,
        }
    }

    /// What the sink is called: its views and where they go, without options.
    pub fn name(&self) -> String {
        let views = self.views.join(",");
        match &self.to {
            Destination::File(file) => format!("{views}={}", file.path.display()),
            Destination::Webhook(webhook) => format!("{views}={}", webhook.url),
            Destination::Stdout(_) => format!("{views}=stdout:"),
        }
    }
}

impl Destination {
    /// What of a view is handed out.
    pub fn mode(&self) -> Mode {
        match self {
            Destination::File(file) => file.mode,
            Destination::Webhook(_) => Mode::Changes,
            Destination::Stdout(mode) => *mode,
        }
    }
}
