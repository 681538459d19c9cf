//! Where a server listens, who may ask what, and how much.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use subtle::ConstantTimeEq;

use crate::sink::Board;

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Where it speaks HTTP; port 0 asks for a free one.
    pub listen: Vec<SocketAddr>,
    /// Where it speaks the PostgreSQL protocol, if anywhere; port 0 asks for a free one.
    pub pg: Vec<SocketAddr>,
    /// Certificate and key, for all ports. Without them nothing is encrypted.
    pub tls: Option<TlsFiles>,
    /// Who may ask. Without any, everybody who reaches the port may do everything.
    pub tokens: Vec<Token>,
    /// Whether everybody may, also at addresses that others than this machine can reach.
    pub open: bool,
    /// Pages of other origins that may ask, such as `https://shop.example`.
    pub allowed_origins: Vec<String>,
    /// Bounds on what clients take up.
    pub limits: Limits,
    /// How many threads serve; at least one.
    pub threads: usize,
    /// The sinks whose metrics are told.
    pub sinks: Board,
}

impl ServeConfig {
    /// A server without TLS and tokens on one address.
    pub fn on(address: SocketAddr) -> ServeConfig {
        ServeConfig {
            listen: vec![address],
            pg: Vec::new(),
            tls: None,
            tokens: Vec::new(),
            open: false,
            allowed_origins: Vec::new(),
            limits: Limits::default(),
            threads: 2,
            sinks: Board::default(),
        }
    }
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, followed by those that vouch for it.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A secret that lets its holder ask.
#[derive(Clone)]
pub struct Token {
    secret: String,
    /// Whether the holder may read views, metrics and the like.
    pub read: bool,
    /// Whether the holder may push events.
    pub write: bool,
}

impl Token {
    /// A token with some rights.
    pub fn new(secret: impl Into<String>, read: bool, write: bool) -> Token {
        let secret = secret.into();
        Token {
            secret,
            read,
            write,
        }
    }

    /// Whether this is the token; takes as long whatever the difference is.
    pub(super) fn is(&self, secret: &str) -> bool {
        self.secret.as_bytes().ct_eq(secret.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("read", &self.read)
            .field("write", &self.write)
            .finish_non_exhaustive()
    }
}

/// Bounds on what clients take up.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The longest body that is taken, packed or not, in bytes.
    pub body_bytes: usize,
    /// How long a client may take to send a request's head.
    pub head: Duration,
    /// How long a client may pause within a body.
    pub body_pause: Duration,
    /// How long an answer may take to begin.
    pub request: Duration,
    /// How long pushed records wait for a place in the queue.
    pub queue: Duration,
    /// How many connections may be open.
    pub connections: usize,
    /// How many of them may follow changes.
    pub followers: usize,
    /// How long an ad hoc query may take.
    pub query: Duration,
    /// How much memory all ad hoc queries may take for sorting, grouping and joining, in bytes.
    pub query_bytes: usize,
    /// How many ad hoc queries run side by side; others wait.
    pub queries: usize,
    /// How long [`super::Server::stop`] waits for answers that are under way.
    pub stop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 64 << 20,
            head: Duration::from_secs(10),
            body_pause: Duration::from_secs(30),
            request: Duration::from_secs(60),
            queue: Duration::from_secs(10),
            connections: 4096,
            followers: 1024,
            query: Duration::from_secs(30),
            query_bytes: 256 << 20,
            queries: 2,
            stop: Duration::from_secs(3),
        }
    }
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Others than this machine could ask, and nothing is demanded of them.
    #[error(
        "everybody who reaches {address} could read all answers and push events: demand tokens \
         (--read-token, --write-token) or serve TLS, listen at 127.0.0.1, or say --open"
    )]
    Exposed {
        /// The address.
        address: SocketAddr,
    },
    /// No address was given.
    #[error("there is no address to listen on")]
    Nowhere,
    /// A certificate or key cannot be used.
    #[error("could not read certificate {} and key {}", files.certificate.display(), files.key.display())]
    Tls {
        /// The files.
        files: TlsFiles,
        /// Why.
        source: io::Error,
    },
    /// An origin is none.
    #[error("\"{0}\" is no origin; write it as https://shop.example")]
    Origin(String),
    /// The system gives no threads, or DataFusion no session.
    #[error("could not start the server: {0}")]
    Start(String),
}
