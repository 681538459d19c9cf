//! Where bytes come from and go to: `tillrace.toml`.
//!
//! TOML text flows in; a [`Wiring`] flows out, or every fault of it with its line. A script says
//! what is computed and knows nothing of files and ports; the wiring names scripts, inputs, sinks,
//! the server and the engine's knobs. Options of an input or a sink are those of the command line
//! (`--input table=location?option=value`), so each is described and checked in one place.

mod read;
mod value;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::script::{Faults, Origin, Sources};

pub use value::{parse_bytes, percent_decoded};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "tillrace.toml";

/// What a wiring file says.
#[derive(Debug, Clone, Default)]
pub struct Wiring {
    /// Scripts and folders of them; paths are relative to the file already.
    pub scripts: Vec<PathBuf>,
    /// The inputs, in order.
    pub inputs: Vec<Wire>,
    /// The sinks, in order.
    pub sinks: Vec<Wire>,
    /// The engine's knobs.
    pub engine: EngineKnobs,
    /// The server's, if it says anything about one.
    pub server: ServerKnobs,
}

/// An input or a sink as text, `name=location?option=value`, and where the file says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// As it would stand on the command line.
    pub text: String,
    /// Where it begins in the file.
    pub origin: Origin,
}

/// `[engine]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineKnobs {
    /// Threads that share the work.
    pub workers: Option<usize>,
    /// The least length of an epoch that holds records.
    pub tick: Option<Duration>,
    /// The most memory that the process may use before it takes no more records, in bytes.
    pub memory_limit: Option<u64>,
    /// How many bytes of records are kept, to tell why a number changed.
    pub why: Option<usize>,
    /// How many rejects of an input are kept, the newest.
    pub rejects: Option<usize>,
}

/// `[server]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerKnobs {
    /// Whether there is a server at all; there is unless the file says `enabled = false`.
    pub disabled: bool,
    /// Where it speaks HTTP.
    pub listen: Vec<SocketAddr>,
    /// Where it speaks the PostgreSQL protocol.
    pub pg: Vec<SocketAddr>,
    /// Tokens that may read.
    pub read_tokens: Vec<String>,
    /// Tokens that may read and write.
    pub write_tokens: Vec<String>,
    /// Whether everybody may ask who reaches it.
    pub open: bool,
    /// A PEM file with the certificate chain, and one with its key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Origins whose pages may read answers.
    pub cors_origins: Vec<String>,
    /// The longest body of a request, in bytes.
    pub max_body: Option<usize>,
}

/// Why a wiring file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// It could not be read.
    #[error("could not read {path:?}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is wrong: every fault.
    #[error(transparent)]
    Faults(#[from] Faults),
}

/// Reads a wiring file. Paths in it are relative to its folder.
///
/// # Errors
/// If it cannot be read, or with every fault that it has.
pub fn load(path: &Path) -> Result<Wiring, WiringError> {
    let text = fs::read_to_string(path).map_err(|source| WiringError::Io {
        path: path.to_owned(),
        source,
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let (wiring, faults) = read::read(path, folder, &text);
    if faults.is_empty() {
        return Ok(wiring);
    }
    let mut sources = Sources::default();
    sources.insert(path.to_owned(), text);
    Err(Faults::new(faults, Arc::new(sources)).into())
}
