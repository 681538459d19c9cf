//! The inputs of a run: `table=path[?options]`, one by one or from a list.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Error;
use crate::script::{Script, near};
use crate::source::InputSpec;

/// How inputs are written, for `--help`.
pub const HELP: &str = "\
Inputs: table=path
  The path is a file, a folder, a glob pattern in quotes, or - for standard input. Format and
  compression are guessed from names and content. Where the guess is wrong, options follow a
  question mark:
    orders=export.txt?format=csv&delimiter=;&header=false
    format        jsonl, csv, tsv or parquet
    compression   none, gzip or zstd
    delimiter     one character, or tab (CSV)
    quote         one character (CSV)
    header        true or false (CSV): whether the first record names the columns
  A list for --inputs has one input a line; paths in it are relative to the list, # begins a
  comment.";

/// The inputs, as arguments.
#[derive(Debug, Args)]
pub struct Inputs {
    /// Reads the rows of a table from a file, folder, pattern or - (may be repeated)
    #[arg(short, long = "input", value_name = "TABLE=PATH", value_parser = InputSpec::parse)]
    input: Vec<InputSpec>,

    /// Reads the inputs that a file lists
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
}

impl Inputs {
    /// The inputs in order, those of the list first, each for a table that exists.
    ///
    /// # Errors
    /// If there are none, the list cannot be read, or an input names no table of the script.
    pub fn resolve(&self, script: &Script) -> Result<Vec<InputSpec>, Error> {
        let mut specs = self.specs()?;
        if specs.is_empty() {
            return Err(Error::NoInputs);
        }
        check_tables(&mut specs, script)?;
        Ok(specs)
    }

    /// The inputs as they were named, those of the list first; perhaps none.
    ///
    /// # Errors
    /// If the list cannot be read.
    pub fn specs(&self) -> Result<Vec<InputSpec>, Error> {
        let mut specs = match &self.inputs {
            Some(path) => read_list(path)?,
            None => Vec::new(),
        };
        specs.extend(self.input.iter().cloned());
        Ok(specs)
    }
}

/// Gives each input its table's own name: as written, or in lower case as SQL folds it.
///
/// # Errors
/// If an input names no table of the script.
pub fn check_tables(specs: &mut [InputSpec], script: &Script) -> Result<(), Error> {
    let names = || script.tables.iter().map(|table| table.name.as_str());
    for spec in specs {
        if names().any(|name| name == spec.table) {
            continue;
        }
        let folded = spec.table.to_lowercase();
        if !names().any(|name| name == folded) {
            return Err(Error::UnknownTable {
                name: spec.table.clone(),
                location: spec.location.clone(),
                near: near(&spec.table, names()),
            });
        }
        spec.table = folded;
    }
    Ok(())
}

/// Reads a list of inputs; paths in it are relative to the list.
///
/// # Errors
/// If it cannot be read, or a line is not an input.
pub fn read_list(path: &Path) -> Result<Vec<InputSpec>, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::ReadInputs {
        path: path.to_owned(),
        source,
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut specs = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |source| Error::InputLine {
            path: path.to_owned(),
            line: index + 1,
            source: Box::new(source),
        };
        let mut spec = InputSpec::parse(line).map_err(wrong)?;
        spec.relative_to(folder);
        specs.push(spec);
    }
    Ok(specs)
}
