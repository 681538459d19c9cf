//! A statement's tokens, read one by one.
//!
//! SQL text flows in, words and names flow out. What belongs to SQL proper (queries, DML) is read
//! by DataFusion; what only a session knows (`FLUSH`, `SUBSCRIBE`, `SHOW`, `COPY`, `DROP`) is read
//! here.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::error::{Code, SessionError};

/// One statement of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The statement, without the semicolon that ends it.
    pub text: String,
    /// How many characters of the whole text lie before it.
    pub before: usize,
}

/// The statements of a text, without those that say nothing.
///
/// # Errors
/// If a text, a name or a comment is never closed.
pub fn split(sql: &str) -> Result<Vec<Piece>, SessionError> {
    let tokens = tokens(sql)?;
    let lines: Vec<usize> = std::iter::once(0)
        .chain(memchr::memchr_iter(b'\n', sql.as_bytes()).map(|end| end + 1))
        .collect();
    let byte = |line: u64, column: u64| {
        let line = usize::try_from(line).unwrap_or(1).max(1) - 1;
        let start = lines.get(line).copied().unwrap_or(sql.len());
        let column = usize::try_from(column).unwrap_or(1).max(1) - 1;
        let mut characters = sql[start..].char_indices();
        characters
            .nth(column)
            .map_or(sql.len(), |(byte, _)| start + byte)
    };
    let mut pieces = Vec::new();
    let mut from: Option<usize> = None;
    let mut add = |from: Option<usize>, to: usize| {
        if let Some(from) = from {
            pieces.push(Piece {
                text: sql[from..to].trim_end().to_owned(),
                before: sql[..from].chars().count(),
            });
        }
    };
    for token in &tokens {
        let start = byte(token.span.start.line, token.span.start.column);
        if token.token == Token::SemiColon {
            add(from.take(), start);
        } else {
            from.get_or_insert(start);
        }
    }
    add(from, sql.len());
    Ok(pieces)
}

/// The tokens of a text, without blanks and comments.
fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, SessionError> {
    let mut tokens = Tokenizer::new(&GenericDialect, sql)
        .tokenize_with_location()
        .map_err(|error| {
            let message = error.message.trim_end_matches('.').to_lowercase();
            let hint = "close what is opened: a text with ', a name with \", a comment with */";
            SessionError::new(Code::Syntax, message).hint(hint)
        })?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    Ok(tokens)
}

/// Reads a statement from its first token to its last.
pub(super) struct Words<'a> {
    sql: &'a str,
    tokens: Vec<TokenWithSpan>,
    at: usize,
}

impl<'a> Words<'a> {
    /// The tokens of a statement; a semicolon at its end is left out.
    ///
    /// # Errors
    /// If it cannot be read, or is more than one statement.
    pub(super) fn new(sql: &'a str) -> Result<Words<'a>, SessionError> {
        let mut tokens = tokens(sql)?;
        while tokens.last().is_some_and(|t| t.token == Token::SemiColon) {
            tokens.pop();
        }
        if tokens.iter().any(|t| t.token == Token::SemiColon) {
            let message = "only one statement can be asked at a time";
            return Err(SessionError::new(Code::Syntax, message));
        }
        Ok(Words { sql, tokens, at: 0 })
    }

    /// Whether nothing is left.
    pub(super) fn at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// The unquoted word that comes `ahead` tokens after the next, in upper case.
    pub(super) fn peek(&self, ahead: usize) -> Option<String> {
        match self.tokens.get(self.at + ahead).map(|t| &t.token) {
            Some(Token::Word(word)) if word.quote_style.is_none() => {
                Some(word.value.to_ascii_uppercase())
            }
            _ => None,
        }
    }

    /// Takes words if they come next.
    pub(super) fn eat(&mut self, words: &[&str]) -> bool {
        let met = words
            .iter()
            .enumerate()
            .all(|(ahead, word)| self.peek(ahead).as_deref() == Some(*word));
        if met {
            self.at += words.len();
        }
        met
    }

    /// Takes a token if it comes next.
    pub(super) fn eat_token(&mut self, token: &Token) -> bool {
        let met = self.tokens.get(self.at).map(|t| &t.token) == Some(token);
        self.at += usize::from(met);
        met
    }

    /// Takes a text in single quotes.
    ///
    /// # Errors
    /// If none comes next.
    pub(super) fn text(&mut self) -> Result<String, SessionError> {
        match self.tokens.get(self.at).map(|t| &t.token) {
            Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => {
                let text = text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.expected("a text in single quotes")),
        }
    }

    /// The byte at which the next token begins; the end of the text at the end.
    pub(super) fn offset(&self) -> usize {
        self.byte().unwrap_or(self.sql.len())
    }

    /// Takes a name, folded as names are; of a name with a schema, `public` is left out and any
    /// other schema stays in front of a dot.
    ///
    /// # Errors
    /// If no name comes next.
    pub(super) fn name(&mut self) -> Result<String, SessionError> {
        let mut parts = vec![self.simple_name()?];
        while self.eat_token(&Token::Period) {
            parts.push(self.simple_name()?);
        }
        if parts.len() > 1 && parts[0] == "public" {
            parts.remove(0);
        }
        Ok(parts.join("."))
    }

    /// Takes a name without a schema.
    ///
    /// # Errors
    /// If none comes next.
    pub(super) fn simple_name(&mut self) -> Result<String, SessionError> {
        match self.tokens.get(self.at).map(|t| &t.token) {
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

    /// Something else was expected where the next token stands.
    pub(super) fn expected(&self, what: &str) -> SessionError {
        let found = match self.tokens.get(self.at) {
            Some(token) => format!("`{}`", token.token),
            None => "the end of the statement".to_owned(),
        };
        let message = format!("expected {what}, found {found}");
        SessionError::new(Code::Syntax, message).at(self.position())
    }

    /// Refuses whatever is left.
    ///
    /// # Errors
    /// If anything is.
    pub(super) fn end(&self) -> Result<(), SessionError> {
        match self.at_end() {
            true => Ok(()),
            false => Err(self.expected("the end of the statement")),
        }
    }

    /// The number of the next token's first character, from one; one past the last at the end.
    pub(super) fn position(&self) -> usize {
        self.byte().map_or_else(
            || self.sql.trim_end().chars().count() + 1,
            |byte| self.sql[..byte].chars().count() + 1,
        )
    }

    /// The text from the next token on.
    pub(super) fn rest(&self) -> &'a str {
        self.byte().map_or("", |byte| &self.sql[byte..])
    }

    fn byte(&self) -> Option<usize> {
        let start = self.tokens.get(self.at)?.span.start;
        let line = usize::try_from(start.line).ok()?.checked_sub(1)?;
        let from = match line {
            0 => 0,
            _ => memchr::memchr_iter(b'\n', self.sql.as_bytes()).nth(line - 1)? + 1,
        };
        let column = usize::try_from(start.column).ok()?.checked_sub(1)?;
        let (byte, _) = self.sql[from..].char_indices().nth(column)?;
        Some(from + byte)
    }
}
