//! Scripts from disk.
//!
//! Paths of files and folders flow in; one program flows out, made of every file together.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::fault::{Faults, Sources};
use super::{Script, parse};

/// Why no script could be made of some files.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or folder could not be read.
    #[error("could not read script {path:?}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder holds no `*.sql` file.
    #[error("found no *.sql file in {path:?}")]
    NoScripts {
        /// Which.
        path: PathBuf,
    },
    /// The files were read, but what they say is wrong.
    #[error(transparent)]
    Faults(#[from] Faults),
}

/// Reads files, and every `*.sql` file below folders, as one program. A file that is reached twice
/// is read once; entries whose names begin with a dot are passed over.
///
/// # Errors
/// If something cannot be read, a folder holds no script, or the program has faults.
pub fn load(paths: &[PathBuf]) -> Result<Script, LoadError> {
    let mut sources = Sources::default();
    let mut seen = BTreeSet::new();
    for path in paths {
        let mut files = Vec::new();
        if !collect(path, &mut seen, &mut files)? {
            return Err(LoadError::NoScripts { path: path.clone() });
        }
        for file in files {
            let text = fs::read_to_string(&file).map_err(|source| LoadError::Io {
                path: file.clone(),
                source,
            })?;
            let text = text
                .strip_prefix('\u{feff}')
                .map(str::to_string)
                .unwrap_or(text);
            sources.insert(file, text);
        }
    }
    Ok(parse(sources)?)
}

/// Adds the script files at or below `path`, in order of their names, and says whether there are
/// any. What has been `seen` before, by whatever name, counts but is not added again.
fn collect(
    path: &Path,
    seen: &mut BTreeSet<PathBuf>,
    files: &mut Vec<PathBuf>,
) -> Result<bool, LoadError> {
    let failed = |source| LoadError::Io {
        path: path.to_path_buf(),
        source,
    };
    if !seen.insert(fs::canonicalize(path).map_err(failed)?) {
        return Ok(true);
    }
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        files.push(path.to_path_buf());
        return Ok(true);
    }
    let mut entries = fs::read_dir(path)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(failed)?;
    entries.sort();
    let mut found = false;
    for entry in entries.iter().filter(|entry| is_script_or_folder(entry)) {
        found |= collect(entry, seen, files)?;
    }
    Ok(found)
}

fn is_script_or_folder(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let script = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("sql"));
    !hidden && (path.is_dir() || script)
}
