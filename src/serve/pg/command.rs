//! What of a statement belongs to the protocol and its clients, and not to a session.
//!
//! Clients of PostgreSQL begin and end transactions, set and show settings, declare cursors and copy
//! answers out. These are told apart by their first words; everything else is the session's.

use std::time::Duration;

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::fault::Fault;

/// A statement, as far as the protocol is concerned.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `COMMIT`, `END`.
    Commit,
    /// `ROLLBACK`, `ABORT`.
    Rollback,
    /// `SAVEPOINT`, `RELEASE`: nothing to do; what clients are told.
    Nothing(&'static str),
    /// `SET`, with the name in lower case; no value sets it back.
    Set(String, Option<String>),
    /// `SHOW` of a setting, with the name in lower case.
    Show(String),
    /// `DEALLOCATE` of a prepared statement, or of all.
    Deallocate(Option<String>),
    /// `DECLARE name CURSOR FOR query`.
    Declare(String, String),
    /// `FETCH`: how many rows at most, of which cursor, and how long it waits for the first.
    Fetch(usize, String, Option<Duration>),
    /// `CLOSE` of a cursor, or of all.
    Close(Option<String>),
    /// `COPY (query) TO STDOUT`.
    CopyOut(String, CopyFormat),
    /// `DISCARD ALL`.
    Discard,
    /// Whatever else: the session's.
    Statement,
}

/// How rows are copied out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CopyFormat {
    pub(super) csv: bool,
    pub(super) header: bool,
}

/// The settings that are shown but cannot be changed, and their values.
pub(super) const FIXED_SETTINGS: [(&str, &str); 14] = [
    ("server_version", super::startup::SERVER_VERSION),
    ("server_version_num", "160006"),
    ("server_encoding", "UTF8"),
    ("integer_datetimes", "on"),
    ("transaction_isolation", "read committed"),
    ("default_transaction_isolation", "read committed"),
    ("transaction_read_only", "off"),
    ("max_identifier_length", "63"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
    ("is_superuser", "on"),
    ("standard_conforming_strings", "on"),
    ("max_index_keys", "32"),
    ("wal_level", "replica"),
];

/// The settings that clients change, and what they are at first.
pub(super) const SETTINGS: [(&str, &str); 11] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_read_only", "off"),
    ("extra_float_digits", "1"),
    ("intervalstyle", "postgres"),
    ("search_path", "\"$user\", public"),
    ("statement_timeout", "0"),
    ("timezone", "UTC"),
];

/// Reads a statement's first words.
///
/// # Errors
/// If it is the protocol's, and cannot be read.
pub(super) fn read(sql: &str) -> Result<Command, Fault> {
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location() else {
        // The session says what is wrong with it.
        return Ok(Command::Statement);
    };
    let tokens = tokens.into_iter();
    let tokens = tokens.filter(|token| !matches!(token.token, Token::Whitespace(_)));
    let mut words = Words {
        sql,
        tokens: tokens.collect(),
        at: 0,
    };
    words.command()
}

/// A statement's tokens.
struct Words<'a> {
    sql: &'a str,
    tokens: Vec<TokenWithSpan>,
    at: usize,
}

impl Words<'_> {
    fn command(&mut self) -> Result<Command, Fault> {
        let first = self.word().unwrap_or_default();
        self.at += 1;
        Ok(match first.as_str() {
            "BEGIN" | "START" => Command::Begin,
            "COMMIT" | "END" => Command::Commit,
            "ROLLBACK" | "ABORT" => match self.eat("TO") {
                true => Command::Nothing("ROLLBACK"),
                false => Command::Rollback,
            },
            "SAVEPOINT" => Command::Nothing("SAVEPOINT"),
            "RELEASE" => Command::Nothing("RELEASE"),
            "SET" => self.set()?,
            "RESET" => Command::Set(self.setting()?, None),
            "SHOW" => self.show(),
            "DISCARD" => Command::Discard,
            "DEALLOCATE" => {
                let _is_said = self.eat("PREPARE");
                Command::Deallocate(self.name_or_all()?)
            }
            "DECLARE" => self.declare()?,
            "FETCH" => self.fetch()?,
            "CLOSE" => Command::Close(self.name_or_all()?),
            "COPY" => self.copy_out()?.unwrap_or(Command::Statement),
            _ => Command::Statement,
        })
    }

    fn set(&mut self) -> Result<Command, Fault> {
        let _is_said = self.eat("SESSION") || self.eat("LOCAL");
        if self.eat("CHARACTERISTICS") || self.eat("TRANSACTION") || self.eat("NAMES") {
            return Ok(Command::Nothing("SET"));
        }
        let name = self.setting()?;
        if name != "timezone" && !self.eat("TO") && !self.eat_token(&Token::Eq) {
            return Err(self.expected("`=` or `TO`"));
        }
        let mut values = Vec::new();
        while let Some(token) = self.tokens.get(self.at) {
            match &token.token {
                Token::SemiColon => break,
                Token::Word(word) => values.push(word.value.clone()),
                Token::SingleQuotedString(text) => values.push(text.clone()),
                Token::Number(number, _) => values.push(number.clone()),
                Token::Comma => values.push(", ".to_owned()),
                other => values.push(other.to_string()),
            }
            self.at += 1;
        }
        let value = values.concat();
        let is_default = value.eq_ignore_ascii_case("default");
        Ok(Command::Set(name, (!is_default).then_some(value)))
    }

    fn show(&mut self) -> Command {
        let at = self.at;
        let Ok(name) = self.setting() else {
            return Command::Statement;
        };
        let name = match name.as_str() {
            "transaction" => "transaction_isolation".to_owned(),
            _ => name,
        };
        let known = SETTINGS.iter().chain(&FIXED_SETTINGS);
        if known.into_iter().any(|(setting, _)| *setting == name) {
            return Command::Show(name);
        }
        self.at = at;
        Command::Statement
    }

    /// A setting's name, which may be of two words or have a dot.
    fn setting(&mut self) -> Result<String, Fault> {
        if self.eat("TIME") {
            let _is_said = self.eat("ZONE") && (self.eat("TO") || self.eat_token(&Token::Eq));
            return Ok("timezone".to_owned());
        }
        let mut name = self.name()?.to_ascii_lowercase();
        while self.eat_token(&Token::Period) {
            name = format!("{name}.{}", self.name()?.to_ascii_lowercase());
        }
        Ok(name)
    }

    fn declare(&mut self) -> Result<Command, Fault> {
        let name = self.name()?;
        while let Some(word) = self.word() {
            self.at += 1;
            match word.as_str() {
                "CURSOR" | "BINARY" | "INSENSITIVE" | "NO" | "SCROLL" | "WITH" | "WITHOUT"
                | "HOLD" | "ASENSITIVE" => {}
                "FOR" => return Ok(Command::Declare(name, self.rest().to_owned())),
                _ => break,
            }
        }
        Err(self.expected("CURSOR FOR and a query"))
    }

    /// `FETCH [NEXT | ALL | FORWARD [n | ALL] | n] [FROM | IN] cursor [WITH (TIMEOUT = '1s')]`.
    fn fetch(&mut self) -> Result<Command, Fault> {
        let forward = self.eat("FORWARD");
        let count = if self.eat("ALL") {
            usize::MAX
        } else if self.eat("NEXT") {
            1
        } else if let Some(Token::Number(number, _)) = self.token() {
            let count = number.parse().map_err(|_| self.expected("a number"))?;
            self.at += 1;
            count
        } else if forward || matches!(self.token(), Some(Token::Word(_))) {
            1
        } else {
            return Err(self.expected("how many rows, or ALL"));
        };
        let _is_said = self.eat("FROM") || self.eat("IN");
        let name = self.name()?;
        let mut wait = None;
        if self.eat("WITH") {
            let open = self.eat_token(&Token::LParen);
            if !open || !self.eat("TIMEOUT") {
                return Err(self.expected("(TIMEOUT = '1s')"));
            }
            let _is_said = self.eat_token(&Token::Eq);
            wait = match self.token() {
                Some(Token::SingleQuotedString(text)) => duration(text),
                _ => None,
            };
            if wait.is_none() {
                return Err(self.expected("a time such as '500ms' or '2s'"));
            }
        }
        Ok(Command::Fetch(count, name, wait))
    }

    /// `COPY view TO STDOUT`, `COPY (query) TO STDOUT`; `None` for a copy the other way.
    fn copy_out(&mut self) -> Result<Option<Command>, Fault> {
        let query = if self.eat_token(&Token::LParen) {
            let from = self.byte();
            let mut depth = 1;
            let mut to = from;
            while depth > 0 {
                to = self.byte();
                match self.token() {
                    Some(Token::LParen) => depth += 1,
                    Some(Token::RParen) => depth -= 1,
                    Some(_) => {}
                    None => return Err(self.expected("`)`")),
                }
                self.at += 1;
            }
            self.sql[from..to].trim().to_owned()
        } else {
            let from = self.byte();
            let _first = self.name()?;
            while self.eat_token(&Token::Period) {
                let _next = self.name()?;
            }
            format!("SELECT * FROM {}", self.sql[from..self.byte()].trim())
        };
        if !self.eat("TO") {
            return Ok(None);
        }
        if !self.eat("STDOUT") {
            let fault = self.expected("STDOUT");
            return Err(
                fault.hint("answers are copied to the client, never to files of the server")
            );
        }
        let mut format = CopyFormat::default();
        while let Some(token) = self.token() {
            let word = match token {
                Token::Word(word) => word.value.to_ascii_uppercase(),
                _ => String::new(),
            };
            self.at += 1;
            match word.as_str() {
                "CSV" => format.csv = true,
                "HEADER" => format.header = !self.eat("FALSE"),
                "BINARY" => {
                    return Err(Fault::new("0A000", "answers are not copied in binary form"));
                }
                _ => {}
            }
        }
        Ok(Some(Command::CopyOut(query, format)))
    }

    fn token(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|token| &token.token)
    }

    /// The next unquoted word in upper case.
    fn word(&self) -> Option<String> {
        match self.token() {
            Some(Token::Word(word)) if word.quote_style.is_none() => {
                Some(word.value.to_ascii_uppercase())
            }
            _ => None,
        }
    }

    fn eat(&mut self, word: &str) -> bool {
        let met = self.word().as_deref() == Some(word);
        self.at += usize::from(met);
        met
    }

    fn eat_token(&mut self, token: &Token) -> bool {
        let met = self.token() == Some(token);
        self.at += usize::from(met);
        met
    }

    fn name(&mut self) -> Result<String, Fault> {
        match self.token() {
            Some(Token::Word(word)) => {
                let name = match word.quote_style {
                    Some(_) => word.value.clone(),
                    None => word.value.to_ascii_lowercase(),
                };
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.expected("a name")),
        }
    }

    fn name_or_all(&mut self) -> Result<Option<String>, Fault> {
        match self.eat("ALL") {
            true => Ok(None),
            false => self.name().map(Some),
        }
    }

    /// Where the next token begins in the text.
    fn byte(&self) -> usize {
        let Some(token) = self.tokens.get(self.at) else {
            return self.sql.len();
        };
        let line = usize::try_from(token.span.start.line).unwrap_or(1);
        let column = usize::try_from(token.span.start.column).unwrap_or(1);
        let mut ends = memchr::memchr_iter(b'\n', self.sql.as_bytes());
        let from = match line {
            0 | 1 => 0,
            _ => ends.nth(line - 2).map_or(self.sql.len(), |end| end + 1),
        };
        let mut characters = self.sql[from..].char_indices();
        characters
            .nth(column.saturating_sub(1))
            .map_or(self.sql.len(), |(byte, _)| from + byte)
    }

    fn rest(&self) -> &str {
        &self.sql[self.byte()..]
    }

    fn expected(&self, what: &str) -> Fault {
        let found = match self.token() {
            Some(token) => format!("`{token}`"),
            None => "the end of the statement".to_owned(),
        };
        let mut fault = Fault::new("42601", format!("expected {what}, found {found}"));
        fault.position = Some(self.sql[..self.byte()].chars().count() + 1);
        fault
    }
}

/// A time as `500ms`, `2s`, `1 minute` or a number of milliseconds.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let ms = match text[digits..].trim() {
        "" | "ms" => 1,
        "s" | "second" | "seconds" => 1_000,
        "min" | "minute" | "minutes" => 60_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.saturating_mul(ms)))
}
