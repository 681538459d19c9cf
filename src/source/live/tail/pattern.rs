//! Which files are followed.

use std::io;
use std::path::{Path, PathBuf};

use crate::source::{InputSpec, SourceError, list};

/// A path, a directory or a glob pattern.
pub(in crate::source::live) struct Pattern {
    /// An input whose location is the path alone.
    spec: InputSpec,
}

impl Pattern {
    /// A pattern, looked at once: whether it is one, and whether its folder is there. It need not
    /// match anything yet.
    pub(in crate::source::live) fn new(
        spec: &InputSpec,
        path: &str,
    ) -> Result<Pattern, SourceError> {
        let spec = InputSpec {
            location: path.to_owned(),
            ..spec.clone()
        };
        let pattern = Pattern { spec };
        let folder = folder(path);
        if pattern.paths()?.is_empty() && !folder.is_dir() {
            return Err(SourceError::Unreadable {
                table: pattern.spec.table,
                path: folder,
                source: io::Error::new(io::ErrorKind::NotFound, "there is no such folder"),
            });
        }
        Ok(pattern)
    }

    /// The files that match now.
    pub(in crate::source::live) fn paths(&self) -> Result<Vec<PathBuf>, SourceError> {
        match list::files(&self.spec) {
            Err(
                SourceError::Missing { .. }
                | SourceError::NoMatch { .. }
                | SourceError::EmptyDirectory { .. },
            ) => Ok(Vec::new()),
            other => other,
        }
    }
}

/// The folder in which the files of a pattern lie, as far as no part of it is a pattern itself.
fn folder(path: &str) -> PathBuf {
    let parents = Path::new(path).ancestors().skip(1);
    let is_pattern = |path: &Path| path.to_string_lossy().contains(['*', '?', '[']);
    let folder = parents.into_iter().find(|path| !is_pattern(path));
    match folder {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
