//! Why inputs cannot be opened.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// What is wrong with one input.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The text of `--input` is not `table=location`.
    #[error("input \"{text}\" is not of the form table=location")]
    NotAnInput {
        /// The text.
        text: String,
    },
    /// There is no source of this kind.
    #[error(
        "input \"{table}\" reads from \"{scheme}://\", which is none that there is: a path, {known}"
    )]
    UnknownScheme {
        /// The table.
        table: String,
        /// What stands before `://`.
        scheme: String,
        /// What locations may begin with.
        known: String,
    },
    /// There is no such option.
    #[error("input \"{input}\" has an unknown option \"{option}\"; there are {known}")]
    UnknownOption {
        /// The text of the input.
        input: String,
        /// The option's name.
        option: String,
        /// The options that there are.
        known: String,
    },
    /// The option does not take that value.
    #[error("input \"{input}\" has {option}={value}, but {option} is {expected}")]
    BadOption {
        /// The text of the input.
        input: String,
        /// The option's name.
        option: String,
        /// The value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The pattern is not a glob pattern.
    #[error("input \"{table}\" has a wrong pattern {pattern}")]
    BadPattern {
        /// The table.
        table: String,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: glob::PatternError,
    },
    /// There is nothing there.
    #[error("input \"{table}\" finds no file at {location}")]
    Missing {
        /// The table.
        table: String,
        /// The location.
        location: String,
    },
    /// The directory has no files.
    #[error("input \"{table}\" finds no file in directory {}", directory.display())]
    EmptyDirectory {
        /// The table.
        table: String,
        /// The directory.
        directory: PathBuf,
    },
    /// The pattern matches no files.
    #[error("input \"{table}\" finds no file that matches {pattern}")]
    NoMatch {
        /// The table.
        table: String,
        /// The pattern.
        pattern: String,
    },
    /// The file cannot be read.
    #[error("could not open input \"{table}\" at {}", path.display())]
    Unreadable {
        /// The table.
        table: String,
        /// The file or directory.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// Files of one input differ in format.
    #[error(
        "input \"{table}\" has files of several formats, {} and {}; give them one by one, or say \
         which with ?format=", first.display(), second.display()
    )]
    MixedFormats {
        /// The table.
        table: String,
        /// A file.
        first: PathBuf,
        /// A file of another format.
        second: PathBuf,
    },
    /// Parquet cannot be read in sequence.
    #[error(
        "input \"{table}\" at {location} is Parquet, which must be a plain file, neither packed \
         nor standard input"
    )]
    PackedParquet {
        /// The table.
        table: String,
        /// The file or `-`.
        location: String,
    },
    /// The file is not Parquet.
    #[error("input \"{table}\" at {} is not a whole Parquet file", path.display())]
    NotParquet {
        /// The table.
        table: String,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: parquet::errors::ParquetError,
    },
    /// What follows the scheme is not what the scheme wants.
    #[error("input \"{table}\" is at {location}, but it should be like {expected}")]
    BadLocation {
        /// The table.
        table: String,
        /// The location.
        location: String,
        /// An example of one that is right.
        expected: &'static str,
    },
    /// A live input cannot be of that format.
    #[error("input \"{table}\" at {location} cannot be {format}: {reason}")]
    NotLive {
        /// The table.
        table: String,
        /// The location.
        location: String,
        /// What was asked for.
        format: &'static str,
        /// Why that does not go.
        reason: &'static str,
    },
    /// The address or socket cannot be listened at.
    #[error("could not listen for input \"{table}\" at {location}")]
    Listen {
        /// The table.
        table: String,
        /// The location.
        location: String,
        /// What went wrong.
        source: io::Error,
    },
    /// What an option names cannot be used.
    #[error("could not use {option} of input \"{table}\" at {location}")]
    Unusable {
        /// The table.
        table: String,
        /// The location.
        location: String,
        /// The option.
        option: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Others than this machine could send, and nothing is demanded of them.
    #[error(
        "input \"{table}\" at {location} could be sent to by everybody who reaches it: demand a \
         token (token_env=NAME or token_file=FILE) or TLS (tls_certificate=FILE&tls_key=FILE), \
         listen at 127.0.0.1, or say open=yes"
    )]
    Exposed {
        /// The table.
        table: String,
        /// The location.
        location: String,
    },
    /// Inputs that belong together say different things.
    #[error(
        "input \"{table}\" at {location} has {option}={value}, but another input of the same \
         traffic has {option}={other}"
    )]
    Contradiction {
        /// The table.
        table: String,
        /// The location.
        location: String,
        /// The option.
        option: &'static str,
        /// What this input says.
        value: u64,
        /// What the other says.
        other: u64,
    },
    /// Standard input can be read once only.
    #[error("input \"{table}\" is standard input, which another input reads already")]
    StdinTwice {
        /// The table.
        table: String,
    },
}

/// What is wrong with the inputs: every fault.
#[derive(Debug)]
pub struct SourceErrors(pub Vec<SourceError>);

impl fmt::Display for SourceErrors {
    /// One fault a line, each with its cause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
            if let Some(cause) = std::error::Error::source(error) {
                write!(f, ": {cause}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for SourceErrors {}
