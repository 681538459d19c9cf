//! Reading one statement token by token.
//!
//! A [`Piece`] of a file flows in; the parts of a statement flow out, and the faults found on the
//! way. The frame of a statement is read here rather than by `sqlparser`'s own statement parser:
//! its grammar is the union of many systems' and keeps few places, while ours is small, knows where
//! each word stands and goes on after a fault. Types and queries are read by `sqlparser`.

use datafusion::sql::sqlparser::ast::{DataType as SqlType, Ident, Query};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

use super::fault::Fault;
use super::text::{DIALECT, Piece, SourceFile};

/// How many operators a query may have. A chain of operators is a tree as deep as the chain is long,
/// and it is walked by recursion.
const MAX_OPERATORS: usize = 1_000;

/// A fault has been noted, and what was being read cannot be made sense of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop;

/// A name in a script, folded: lower case unless it was quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) span: Span,
}

impl Name {
    pub(super) fn new(ident: &Ident) -> Name {
        let text = match ident.quote_style {
            Some(_) => ident.value.clone(),
            None => ident.value.to_ascii_lowercase(),
        };
        Name {
            text,
            span: ident.span,
        }
    }
}

/// Reads one statement from its first token to its last.
pub(super) struct Reader<'a> {
    pub(super) file: &'a SourceFile<'a>,
    tokens: &'a [TokenWithSpan],
    parser: Parser<'static>,
    pub(super) faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a SourceFile<'a>, piece: &'a Piece) -> Reader<'a> {
        let parser = Parser::new(&DIALECT).with_tokens_with_locations(piece.tokens.clone());
        Reader {
            file,
            tokens: &piece.tokens,
            parser,
            faults: Vec::new(),
        }
    }

    /// The token that comes `ahead` tokens after the next one, if the statement goes on that far.
    pub(super) fn peek_at(&self, ahead: usize) -> Option<&'a Token> {
        self.tokens
            .get(self.parser.index() + ahead)
            .map(|token| &token.token)
    }

    /// The next token.
    pub(super) fn peek(&self) -> Option<&'a Token> {
        self.peek_at(0)
    }

    /// The unquoted word that comes `ahead` tokens after the next token, in upper case.
    pub(super) fn peek_word(&self, ahead: usize) -> Option<String> {
        match self.peek_at(ahead) {
            Some(Token::Word(word)) if word.quote_style.is_none() => {
                Some(word.value.to_ascii_uppercase())
            }
            _ => None,
        }
    }

    pub(super) fn at_end(&self) -> bool {
        self.peek().is_none()
    }

    /// Takes the next token.
    pub(super) fn advance(&mut self) {
        if !self.at_end() {
            self.parser.advance_token();
        }
    }

    /// Takes the next token if it is this one.
    pub(super) fn eat(&mut self, token: &Token) -> bool {
        let met = self.peek() == Some(token);
        if met {
            self.advance();
        }
        met
    }

    /// Takes the next token if it is this keyword.
    pub(super) fn eat_word(&mut self, keyword: Keyword) -> bool {
        self.parser.parse_keyword(keyword)
    }

    /// Takes the next tokens if they are these keywords.
    pub(super) fn eat_words(&mut self, keywords: &[Keyword]) -> bool {
        self.parser.parse_keywords(keywords)
    }

    /// Where the next token stands; at the end, the last character of the statement.
    pub(super) fn span(&self) -> Span {
        match self.tokens.get(self.parser.index()) {
            Some(token) => token.span,
            None => self.end(),
        }
    }

    /// Where the token that was taken last stands.
    pub(super) fn last_span(&self) -> Span {
        let taken = self.parser.index().min(self.tokens.len());
        self.tokens
            .get(taken.saturating_sub(1))
            .map_or(self.end(), |token| token.span)
    }

    /// From the start of `from` to the end of the token that was taken last.
    pub(super) fn span_since(&self, from: Span) -> Span {
        Span::new(from.start, self.last_span().end.max(from.end))
    }

    /// The last character of the statement.
    fn end(&self) -> Span {
        let end = self
            .tokens
            .last()
            .map_or(Location::new(1, 1), |token| token.span.end);
        Span::new(
            Location::new(end.line, end.column.saturating_sub(1).max(1)),
            end,
        )
    }

    /// Notes a fault.
    pub(super) fn fault(&mut self, span: Span, message: impl Into<String>, help: Option<String>) {
        self.faults.push(self.file.fault(span, message, help));
    }

    /// Notes a fault after which reading cannot go on.
    pub(super) fn stop(
        &mut self,
        span: Span,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Stop {
        self.fault(span, message, help);
        Stop
    }

    /// Notes that something else was expected where the next token stands.
    pub(super) fn expected(&mut self, what: &str, help: Option<String>) -> Stop {
        let found = match self.peek() {
            Some(token) => format!("`{token}`"),
            None => "the end of the statement".to_string(),
        };
        self.stop(self.span(), format!("expected {what}, found {found}"), help)
    }

    /// Takes this token.
    pub(super) fn expect(&mut self, token: &Token) -> Result<(), Stop> {
        if self.eat(token) {
            Ok(())
        } else {
            Err(self.expected(&format!("`{token}`"), None))
        }
    }

    /// Takes a name.
    pub(super) fn name(&mut self, what: &str) -> Result<Name, Stop> {
        let Some(Token::Word(word)) = self.peek() else {
            let help = match self.peek() {
                Some(Token::SingleQuotedString(text)) => {
                    Some(format!("write `{text}` without single quotes"))
                }
                _ => None,
            };
            return Err(self.expected(what, help));
        };
        let name = Name::new(&word.clone().into_ident(self.span()));
        self.advance();
        Ok(name)
    }

    /// Takes a name and the parts that dots join to it.
    pub(super) fn qualified_name(&mut self, what: &str) -> Result<Vec<Name>, Stop> {
        let mut parts = vec![self.name(what)?];
        while self.eat(&Token::Period) {
            parts.push(self.name(what)?);
        }
        Ok(parts)
    }

    /// Takes the name of something that is created; such names have no schema.
    pub(super) fn new_name(&mut self, what: &str) -> Result<Name, Stop> {
        let mut parts = self.qualified_name(what)?;
        let Some(name) = parts.pop() else {
            return Err(self.expected(what, None));
        };
        let Some(schema) = parts.first() else {
            return Ok(name);
        };
        let span = Span::new(schema.span.start, name.span.end);
        if schema.text == super::SYSTEM_SCHEMA {
            self.fault(
                span,
                format!(
                    "names in `{}` are kept for the engine's own views",
                    super::SYSTEM_SCHEMA
                ),
                Some(format!(
                    "write `{}`, or another name without a dot",
                    name.text
                )),
            );
        } else {
            self.fault(
                span,
                "a name has no schema here: all tables and views live side by side",
                Some(format!("write `{}`", name.text)),
            );
        }
        Err(Stop)
    }

    /// Takes a text in single quotes.
    pub(super) fn quoted_text(&mut self, what: &str) -> Result<String, Stop> {
        let Some(Token::SingleQuotedString(text)) = self.peek() else {
            let help = match self.peek() {
                Some(Token::Word(word)) => {
                    Some(format!("write it in single quotes: '{}'", word.value))
                }
                _ => None,
            };
            return Err(self.expected(what, help));
        };
        self.advance();
        Ok(text.clone())
    }

    /// Takes a type.
    pub(super) fn sql_type(&mut self) -> Result<SqlType, Stop> {
        self.parser
            .parse_data_type()
            .map_err(|error| self.syntax(&error))
    }

    /// Takes a query.
    pub(super) fn query(&mut self) -> Result<Box<Query>, Stop> {
        let rest = self.tokens.get(self.parser.index()..).unwrap_or_default();
        if let Some(operator) = rest
            .iter()
            .filter(|token| joins(&token.token))
            .nth(MAX_OPERATORS)
        {
            let help = "give parts of it names of their own with CREATE VIEW, or write IN (...)";
            return Err(self.stop(
                operator.span,
                format!("a query has at most {MAX_OPERATORS} operators"),
                Some(help.to_string()),
            ));
        }
        self.parser
            .parse_query()
            .map_err(|error| self.syntax(&error))
    }

    /// Passes over tokens up to a comma or closing parenthesis of the list that is being read.
    pub(super) fn skip_element(&mut self) {
        let mut depth = 0_usize;
        while let Some(token) = self.peek() {
            match token {
                Token::LParen => depth += 1,
                Token::RParen | Token::Comma if depth == 0 => return,
                Token::RParen => depth -= 1,
                _ => {}
            }
            self.advance();
        }
    }

    /// Notes what `sqlparser` could not read.
    fn syntax(&mut self, error: &ParserError) -> Stop {
        let text = match error {
            ParserError::RecursionLimitExceeded => {
                let help = "give the inner parts names of their own with CREATE VIEW";
                return self.stop(
                    self.last_span(),
                    "this is nested too deeply",
                    Some(help.to_string()),
                );
            }
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        };
        let (text, place) = split_place(text);
        let span = match place {
            Some(place) => self
                .tokens
                .iter()
                .map(|token| token.span)
                .find(|span| span.start == place)
                .unwrap_or(Span::new(place, place)),
            None if text.ends_with("found: EOF") => self.end(),
            None => self.last_span(),
        };
        let wants_name = text.contains("identifier");
        let help = place.and_then(|_| self.after(span, wants_name));
        self.stop(span, reworded(text), help)
    }

    /// Help with a syntax fault, by what stands at the place where reading failed.
    fn after(&self, span: Span, wants_name: bool) -> Option<String> {
        let at = self.tokens.iter().position(|token| token.span == span)?;
        let before = at.checked_sub(1).map(|before| &self.tokens[before].token);
        let Token::Word(word) = &self.tokens[at].token else {
            let comma = before == Some(&Token::Comma);
            return comma.then(|| "leave out the comma before it".to_string());
        };
        match word.keyword {
            Keyword::FROM | Keyword::WHERE | Keyword::GROUP | Keyword::ORDER
                if before == Some(&Token::Comma) =>
            {
                Some("leave out the comma before it".to_string())
            }
            Keyword::CREATE => Some("end the statement before it with `;`".to_string()),
            keyword if keyword != Keyword::NoKeyword && wants_name => Some(format!(
                "`{0}` is a word of SQL; if it is meant as a name, write \"{0}\" in double quotes",
                word.value
            )),
            _ => None,
        }
    }
}

/// Whether a token joins two operands, or two queries, to one.
fn joins(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND | Keyword::OR | Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT
        ),
        Token::Number(..) | Token::SingleQuotedString(_) => false,
        Token::Comma | Token::Period | Token::LParen | Token::RParen => false,
        _ => true,
    }
}

/// Takes the place off the end of `sqlparser`'s message.
fn split_place(text: &str) -> (&str, Option<Location>) {
    let parse = || {
        let (message, place) = text.rsplit_once(" at Line: ")?;
        let (line, column) = place.split_once(", Column: ")?;
        Some((
            message,
            Location::new(line.parse().ok()?, column.parse().ok()?),
        ))
    };
    match parse() {
        Some((message, place)) => (message, Some(place)),
        None => (text, None),
    }
}

/// Puts `sqlparser`'s message in this project's words.
fn reworded(text: &str) -> String {
    let Some((expected, found)) = text
        .strip_prefix("Expected: ")
        .and_then(|text| text.rsplit_once(", found: "))
    else {
        let mut letters = text.chars();
        return letters.next().map_or_else(String::new, |first| {
            first.to_lowercase().chain(letters).collect::<String>()
        });
    };
    let mark = expected.chars().all(|letter| letter.is_ascii_punctuation());
    let expected = if mark {
        format!("`{expected}`")
    } else {
        expected.to_string()
    };
    match found {
        "EOF" => format!("expected {expected}, found the end of the statement"),
        _ => format!("expected {expected}, found `{found}`"),
    }
}
