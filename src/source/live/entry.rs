//! Who may send to a port: TLS, certificates of clients, and a token in the first line.
//!
//! Options flow in; what a listening socket demands of each connection flows out. A port that others
//! than this machine can reach is refused unless it demands something, or is said to be open to all.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use subtle::ConstantTimeEq;

use super::options::Options;
use crate::source::SourceError;
use crate::tls;

/// The option that lets everybody send.
const OPEN: &str = "open";

/// What the first line begins with, before the token.
const AUTH: &[u8] = b"AUTH ";

/// What is demanded of connections.
#[derive(Clone, Default)]
pub(super) struct Entry {
    pub(super) tls: Option<Arc<ServerConfig>>,
    token: Option<Arc<str>>,
}

impl Entry {
    /// Reads the options.
    ///
    /// # Errors
    /// If they contradict each other, or a file or variable that they name is not what it should be.
    pub(super) fn read(options: &Options<'_>) -> Result<Entry, SourceError> {
        let path = |name| Ok::<_, SourceError>(options.decoded(name)?.map(PathBuf::from));
        let (certificate, key) = (path("tls_certificate")?, path("tls_key")?);
        let authority = path("tls_client_ca")?;
        let tls = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let config = tls::server_config(&certificate, &key, authority.as_deref());
                Some(Arc::new(config.map_err(|source| {
                    options.unusable("tls_certificate, tls_key or tls_client_ca", source)
                })?))
            }
            (None, None) if authority.is_none() => None,
            _ => {
                let expected = "given together with tls_key and tls_certificate";
                return Err(options.bad("tls_certificate", "...", expected));
            }
        };
        Ok(Entry {
            tls,
            token: token(options)?,
        })
    }

    /// Whether anything is demanded.
    fn is_guarded(&self) -> bool {
        self.tls.is_some() || self.token.is_some()
    }

    /// Refuses addresses that others can reach, unless something is demanded of them or the port is
    /// open to all.
    ///
    /// # Errors
    /// If others can reach one of the addresses.
    pub(super) fn check(
        &self,
        options: &Options<'_>,
        addresses: &[SocketAddr],
    ) -> Result<(), SourceError> {
        let is_open = match options.text(OPEN) {
            None | Some("no" | "false") => false,
            Some("yes" | "true") => true,
            Some(other) => return Err(options.bad(OPEN, other, "yes or no")),
        };
        let is_exposed = addresses.iter().any(|at| !at.ip().is_loopback());
        match is_exposed && !is_open && !self.is_guarded() {
            true => Err(options.exposed()),
            false => Ok(()),
        }
    }

    /// The gate that a new connection has to pass, if there is one.
    pub(super) fn gate(&self) -> Option<Gate> {
        let token = Arc::clone(self.token.as_ref()?);
        Some(Gate {
            token,
            line: Vec::new(),
        })
    }
}

/// Shows what is demanded, without secrets.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("tls", &self.tls.is_some())
            .field("token", &self.token.is_some())
            .finish()
    }
}

fn token(options: &Options<'_>) -> Result<Option<Arc<str>>, SourceError> {
    let from_file = options.decoded("token_file")?;
    let from_env = options.decoded("token_env")?;
    let (option, found) = match (from_file, from_env) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(options.bad("token_file", "...", "left out where token_env is given"));
        }
        (Some(file), None) => ("token_file", fs::read_to_string(file)),
        (None, Some(name)) => ("token_env", std::env::var(name).map_err(io::Error::other)),
    };
    let token = found.map_err(|source| options.unusable(option, source))?;
    let token = token.trim();
    if token.is_empty() || token.contains(char::is_control) {
        let source = io::Error::new(io::ErrorKind::InvalidData, "it holds no token on one line");
        return Err(options.unusable(option, source));
    }
    Ok(Some(token.into()))
}

/// Waits for the first line of a connection: `AUTH` and the token.
pub(super) struct Gate {
    token: Arc<str>,
    line: Vec<u8>,
}

impl Gate {
    /// Takes in what has arrived; how much of it was still the first line, once that is whole.
    ///
    /// # Errors
    /// If the line is another.
    pub(super) fn admit(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        // Room for a carriage return and the line feed.
        let longest = AUTH.len() + self.token.len() + 2;
        let room = longest.saturating_sub(self.line.len()).min(bytes.len());
        let end = memchr::memchr(b'\n', &bytes[..room]);
        self.line
            .extend_from_slice(&bytes[..end.map_or(room, |end| end + 1)]);
        match end {
            None if self.line.len() < longest => Ok(None),
            Some(end) if self.is_right() => Ok(Some(end + 1)),
            _ => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "its first line is not AUTH and the token",
            )),
        }
    }

    /// How long the first line was, in bytes.
    pub(super) fn length(&self) -> u64 {
        self.line.len() as u64
    }

    fn is_right(&self) -> bool {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let token = line.strip_prefix(AUTH).unwrap_or_default();
        token.ct_eq(self.token.as_bytes()).into()
    }
}
