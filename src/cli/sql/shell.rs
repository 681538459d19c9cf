//! Statements from a terminal, a pipe, a file or the command line, and the commands of the terminal.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustyline::config::Builder;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Editor};

use super::client::{Client, Part, Told};
use super::complete::Assistant;
use super::print::{Printer, print_fault};
use super::reader::{Read, Reader};
use crate::cli::Error;

/// Where lines of earlier sessions are kept, below the home folder.
const HISTORY: &str = ".tillrace_history";

const MOST_LINES_OF_HISTORY: usize = 1_000;

/// How much of a file is sent at once, in bytes.
const PIECE_BYTES: usize = 64 << 10;

const HELP: &str = "\
Statements end with a semicolon and may go over several lines.
  \\d            tables and views        \\d NAME        the columns of one
  \\dt           tables                  \\dv, \\dm       views, materialized views
  \\i FILE       statements of a file    \\copy TABLE FROM FILE [WITH (FORMAT csv)]
  \\timing       how long answers take   \\q            ends";

/// A session in a terminal.
pub struct Shell {
    client: Client,
    printer: Printer,
    timing: bool,
    /// Whether a statement has failed.
    pub has_failed: bool,
}

/// Where the lines behind a `COPY ... FROM STDIN` come from.
type Lines<'a> = &'a mut dyn FnMut() -> io::Result<Option<String>>;

impl Shell {
    /// A shell over a connection.
    pub fn new(client: Client, printer: Printer, timing: bool) -> Shell {
        Shell {
            client,
            printer,
            timing,
            has_failed: false,
        }
    }

    /// Executes statements that are complete; whether they succeeded.
    ///
    /// # Errors
    /// If the connection breaks or standard output cannot be written.
    pub fn execute(&mut self, sql: &str) -> Result<bool, Error> {
        self.execute_with(sql, &mut || Ok(None))
    }

    fn execute_with(&mut self, sql: &str, lines: Lines<'_>) -> Result<bool, Error> {
        let mut rows = || {
            let line = lines()?.filter(|line| line != "\\.");
            Ok(line.map(|line| format!("{line}\n").into_bytes()))
        };
        self.ask(sql, &mut rows)
    }

    fn ask(
        &mut self,
        sql: &str,
        rows: &mut dyn FnMut() -> io::Result<Option<Vec<u8>>>,
    ) -> Result<bool, Error> {
        let start = Instant::now();
        self.printer.begin(sql);
        let printer = &mut self.printer;
        let outcome = self.client.ask(sql, rows, &mut |part| printer.take(part))?;
        if let Err(told) = &outcome {
            print_fault(told, sql);
            self.has_failed = true;
        }
        if self.timing {
            eprintln!("{:.3} ms", start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(outcome.is_ok())
    }

    /// Executes the statements of a text, up to the first that fails if that is wanted; whether
    /// all succeeded.
    ///
    /// # Errors
    /// If the text cannot be read or the connection breaks.
    pub fn run(&mut self, text: &mut dyn BufRead, stops_at_fault: bool) -> Result<bool, Error> {
        let lines = RefCell::new(text.lines());
        let mut next = || lines.borrow_mut().next().transpose();
        let mut reader = Reader::default();
        let mut is_good = true;
        while let Some(line) = next().map_err(Error::ReadStatements)? {
            let done = match reader.take(&line) {
                Read::More => true,
                Read::Statements(sql) => self.execute_with(&sql, &mut next)?,
                Read::Command(command) if command == "\\q" => return Ok(is_good),
                Read::Command(command) => self.command(&command)?,
            };
            is_good &= done;
            if !done && stops_at_fault {
                return Ok(false);
            }
        }
        if let Some(sql) = reader.rest() {
            is_good &= self.execute(&sql)?;
        }
        Ok(is_good)
    }

    /// Executes the statements of a file; whether all succeeded.
    ///
    /// # Errors
    /// If the file cannot be read or the connection breaks.
    pub fn run_file(&mut self, path: &Path) -> Result<bool, Error> {
        let file = File::open(path).map_err(|source| Error::ReadFile {
            path: path.to_owned(),
            source,
        })?;
        self.run(&mut BufReader::new(file), true)
    }

    /// Reads statements from the terminal until it ends.
    ///
    /// # Errors
    /// If the terminal cannot be read or the connection breaks.
    pub fn interact(&mut self) -> Result<(), Error> {
        let config = Builder::new()
            .auto_add_history(true)
            .max_history_size(MOST_LINES_OF_HISTORY)
            .map_err(Error::Terminal)?
            .completion_type(CompletionType::List)
            .build();
        let mut editor: Editor<Assistant, DefaultHistory> =
            Editor::with_config(config).map_err(Error::Terminal)?;
        editor.set_helper(Some(Assistant::default()));
        let history = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(HISTORY));
        if let Some(history) = &history {
            // There is none the first time.
            let _ = editor.load_history(history);
        }
        loop {
            if let Some(assistant) = editor.helper_mut() {
                assistant.names = self.names()?;
            }
            let text = match editor.readline("tillrace=> ") {
                Ok(text) => text,
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(Error::Terminal(error)),
            };
            let trimmed = text.trim();
            if trimmed == "\\q" || matches!(trimmed, "exit" | "quit") {
                break;
            }
            if trimmed.starts_with('\\') {
                self.command(trimmed)?;
            } else if !trimmed.is_empty() {
                let mut line = || match editor.readline("") {
                    Ok(line) => Ok(Some(line)),
                    Err(ReadlineError::Eof) => Ok(None),
                    Err(error) => Err(io::Error::other(error)),
                };
                self.execute_with(&text, &mut line)?;
            }
        }
        if let Some(history) = &history {
            // A history that cannot be kept is no reason to fail.
            let _ = editor.save_history(history);
        }
        Ok(())
    }

    /// Does a command of the terminal; whether it succeeded.
    fn command(&mut self, command: &str) -> Result<bool, Error> {
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        let rest = rest.trim().trim_end_matches(';').trim();
        match (name, rest) {
            ("\\d" | "\\d+", "") => Ok(self.execute("SHOW TABLES")? && self.execute("SHOW VIEWS")?),
            ("\\d" | "\\d+", relation) => self.execute(&format!("DESCRIBE {relation}")),
            ("\\dt", _) => self.execute("SHOW TABLES"),
            ("\\dv", _) => self.execute("SHOW VIEWS"),
            ("\\dm", _) => self.execute("SHOW MATERIALIZED VIEWS"),
            ("\\timing", _) => {
                self.timing = !self.timing;
                eprintln!("timing is {}", if self.timing { "on" } else { "off" });
                Ok(true)
            }
            ("\\i", path) if !path.is_empty() => self.run_file(Path::new(path)),
            ("\\copy", copy) if !copy.is_empty() => self.copy(copy),
            ("\\?" | "\\h", _) => {
                eprintln!("{HELP}");
                Ok(true)
            }
            _ => {
                eprintln!("error: there is no command {name}; \\? shows those that there are");
                self.has_failed = true;
                Ok(false)
            }
        }
    }

    /// `\copy table FROM file ...`: a file of this machine as what `COPY ... FROM STDIN` takes.
    fn copy(&mut self, text: &str) -> Result<bool, Error> {
        let lower = text.to_ascii_lowercase();
        let Some(from) = lower.find(" from ") else {
            eprintln!("error: write \\copy TABLE FROM FILE");
            self.has_failed = true;
            return Ok(false);
        };
        let (table, rest) = (&text[..from], text[from + " from ".len()..].trim());
        let (path, options) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap_or((quoted, "")),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        let failed = |source| Error::ReadFile {
            path: PathBuf::from(path),
            source,
        };
        let mut file = File::open(path).map_err(failed)?;
        let mut rows = || {
            let mut piece = vec![0; PIECE_BYTES];
            let length = io::Read::read(&mut file, &mut piece)?;
            piece.truncate(length);
            Ok((length > 0).then_some(piece))
        };
        self.ask(&format!("COPY {table} FROM STDIN {options}"), &mut rows)
    }

    /// The names of relations and their columns, sorted; none where they cannot be asked for.
    fn names(&mut self) -> Result<Vec<String>, Error> {
        let sql = "SELECT DISTINCT name FROM (
            SELECT table_name AS name FROM information_schema.tables
            WHERE table_schema IN ('public', 'tillrace')
            UNION ALL SELECT column_name FROM information_schema.columns
            WHERE table_schema IN ('public', 'tillrace')) ORDER BY name";
        let mut names = Vec::new();
        let mut take = |part| {
            if let Part::Row(row) = part {
                names.extend(row.into_iter().flatten());
            }
            Ok(())
        };
        let asked: Result<(), Told> = self.client.ask(sql, &mut || Ok(None), &mut take)?;
        Ok(asked.map_or_else(|_| Vec::new(), |()| names))
    }
}

/// Whether somebody types the statements.
pub fn is_typed() -> bool {
    io::stdin().is_terminal()
}
