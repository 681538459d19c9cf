//! A location to its files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{InputSpec, SourceError};

/// The files at an input's location, in the order in which they are read: by name. Of a directory,
/// all files below it, without the hidden ones.
pub(super) fn files(spec: &InputSpec) -> Result<Vec<PathBuf>, SourceError> {
    let path = Path::new(&spec.location);
    let unreadable = |path: &Path, source| SourceError::Unreadable {
        table: spec.table.clone(),
        path: path.to_owned(),
        source,
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let mut files = Vec::new();
            below(path, &mut files).map_err(|(path, error)| unreadable(&path, error))?;
            if files.is_empty() {
                let (table, directory) = (spec.table.clone(), path.to_owned());
                return Err(SourceError::EmptyDirectory { table, directory });
            }
            files.sort();
            Ok(files)
        }
        Ok(_) => Ok(vec![path.to_owned()]),
        Err(_) if spec.location.contains(['*', '?', '[']) => matching(spec),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let (table, location) = (spec.table.clone(), spec.location.clone());
            Err(SourceError::Missing { table, location })
        }
        Err(error) => Err(unreadable(path, error)),
    }
}

fn below(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    let at = |error| (directory.to_owned(), error);
    for entry in fs::read_dir(directory).map_err(at)? {
        let entry = entry.map_err(at)?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let metadata = fs::metadata(&path).map_err(|error| (path.clone(), error))?;
        // A link to a directory could lead in a circle.
        if metadata.is_dir() && !path.is_symlink() {
            below(&path, files)?;
        } else if metadata.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn matching(spec: &InputSpec) -> Result<Vec<PathBuf>, SourceError> {
    let pattern = || spec.location.clone();
    let options = glob::MatchOptions {
        require_literal_separator: true,
        require_literal_leading_dot: true,
        ..glob::MatchOptions::default()
    };
    let paths =
        glob::glob_with(&spec.location, options).map_err(|source| SourceError::BadPattern {
            table: spec.table.clone(),
            pattern: pattern(),
            source,
        })?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.map_err(|error| SourceError::Unreadable {
            table: spec.table.clone(),
            path: error.path().to_owned(),
            source: error.into(),
        })?;
        if path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(SourceError::NoMatch {
            table: spec.table.clone(),
            pattern: pattern(),
        });
    }
    files.sort();
    Ok(files)
}
