//! What is wrong with a script, and where.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Origin;

/// The texts of a script's files, by the name that the user gave them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<PathBuf, String>);

impl Sources {
    /// Adds a file's text.
    pub fn insert(&mut self, file: PathBuf, text: String) {
        self.0.insert(file, text);
    }

    /// The text of a file.
    pub fn text(&self, file: &Path) -> Option<&str> {
        self.0.get(file).map(String::as_str)
    }

    /// The files and their texts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.0
            .iter()
            .map(|(file, text)| (file.as_path(), text.as_str()))
    }
}

/// One thing that is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The first character at fault.
    pub origin: Origin,
    /// How many characters are at fault; at least one.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// Everything that is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// The faults, by place.
    pub faults: Vec<Fault>,
    /// The texts that they lie in.
    pub sources: Arc<Sources>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            let Origin { file, line, column } = &fault.origin;
            writeln!(f, "{}:{line}:{column}: {}", file.display(), fault.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
