//! The text of one script file: places in it, and its division into statements.
//!
//! A file's text flows in; tokens with their places, grouped by statement, flow out. Places count
//! lines and columns from one, in characters, as the tokenizer does; only a line feed ends a line.

use std::ops::Range;
use std::path::Path;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{
    Location, Span, Token, TokenWithSpan, Tokenizer, TokenizerError,
};

use super::Origin;
use super::fault::Fault;

/// The SQL dialect of scripts: the one that DataFusion's planner takes by default. It knows
/// `TEXT[]`, `ARRAY<TEXT>` and `STRUCT<a INT, b TEXT>`.
pub(super) const DIALECT: GenericDialect = GenericDialect;

/// A text in which places can be found.
#[derive(Debug, Clone)]
pub(super) struct Text<'a> {
    text: &'a str,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
}

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a str) -> Text<'a> {
        let ends = memchr::memchr_iter(b'\n', text.as_bytes());
        Text {
            text,
            lines: std::iter::once(0).chain(ends.map(|end| end + 1)).collect(),
        }
    }

    /// The byte at which a place lies; a place outside the text is moved to the nearest inside.
    pub(super) fn offset(&self, at: Location) -> usize {
        let line = usize::try_from(at.line)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        let Some(&start) = self.lines.get(line) else {
            return self.text.len();
        };
        let end = self.lines.get(line + 1).copied().unwrap_or(self.text.len());
        let column = usize::try_from(at.column)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        let line_text = &self.text[start..end];
        start
            + line_text
                .char_indices()
                .nth(column)
                .map_or(line_text.len(), |(byte, _)| byte)
    }

    /// The bytes that a span covers.
    pub(super) fn range(&self, span: Span) -> Range<usize> {
        let start = self.offset(span.start);
        start..self.offset(span.end).max(start)
    }

    /// What a span covers.
    pub(super) fn slice(&self, span: Span) -> &'a str {
        &self.text[self.range(span)]
    }

    /// How many characters a span covers, at least one.
    pub(super) fn length(&self, span: Span) -> usize {
        self.slice(span).chars().count().max(1)
    }

    /// How many characters an expression covers. The parser's spans of calls leave out the closing
    /// parenthesis; it is counted.
    pub(super) fn length_of_expression(&self, span: Span) -> usize {
        let range = self.range(span);
        let (inside, after) = (&self.text[range.clone()], &self.text[range.end..]);
        let count = |letter| inside.matches(letter).count();
        let open = count('(').saturating_sub(count(')'));
        let mut length = inside.chars().count();
        let closing = after
            .char_indices()
            .filter(|(_, letter)| !letter.is_whitespace());
        if let Some((byte, _)) = closing
            .take_while(|(_, letter)| *letter == ')')
            .take(open)
            .last()
        {
            length += after[..=byte].chars().count();
        }
        length.max(1)
    }
}

/// A script file.
#[derive(Debug)]
pub(super) struct SourceFile<'a> {
    pub(super) path: &'a Path,
    pub(super) text: Text<'a>,
}

/// The tokens of one statement, without blanks, comments and the closing semicolon.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) tokens: Vec<TokenWithSpan>,
    /// Whether a semicolon or the end of the file follows.
    pub(super) closed: bool,
}

impl<'a> SourceFile<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> SourceFile<'a> {
        SourceFile {
            path,
            text: Text::new(text),
        }
    }

    /// The origin of a place in this file.
    pub(super) fn origin(&self, at: Location) -> Origin {
        Origin {
            file: self.path.to_path_buf(),
            line: at.line,
            column: at.column,
        }
    }

    /// A fault of this file.
    pub(super) fn fault(
        &self,
        span: Span,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Fault {
        Fault {
            origin: self.origin(span.start),
            length: self.text.length(span),
            message: message.into(),
            help,
        }
    }

    /// The statements, and the fault at which the tokenizer stopped if it did not reach the end.
    pub(super) fn pieces(&self) -> (Vec<Piece>, Option<Fault>) {
        let mut tokens = Vec::new();
        let stopped = Tokenizer::new(&DIALECT, self.text.text)
            .tokenize_with_location_into_buf(&mut tokens)
            .map_err(|error| {
                let start = tokens
                    .last()
                    .map_or(Location::new(1, 1), |token| token.span.end);
                self.unreadable(&error, start)
            });
        tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
        let mut pieces = split(tokens);
        if stopped.is_err() && pieces.last().is_some_and(|piece| !piece.tokens.is_empty()) {
            pieces.pop();
        }
        pieces.retain(|piece| !piece.tokens.is_empty());
        for piece in pieces
            .iter_mut()
            .filter(|piece| creates_table(&piece.tokens))
        {
            piece.tokens = split_angles(std::mem::take(&mut piece.tokens));
        }
        (pieces, stopped.err())
    }

    /// The fault of a token that begins at `start` and cannot be read. One that never ends is shown
    /// where it begins.
    fn unreadable(&self, error: &TokenizerError, start: Location) -> Fault {
        let endless = self.text.offset(error.location) == self.text.text.len();
        let at = if endless { start } else { error.location };
        let span = Span::new(at, Location::new(at.line, at.column + 1));
        let help = "close what is opened here: a text with ', a name with \", a comment with */";
        let message = error.message.trim_end_matches('.').to_lowercase();
        self.fault(span, message, Some(help.to_string()))
    }
}

/// Divides tokens at semicolons, and before a line that begins a statement although no semicolon
/// ended the one before it. The last piece is the one that no semicolon follows, perhaps empty.
fn split(tokens: Vec<TokenWithSpan>) -> Vec<Piece> {
    let begins = (0..tokens.len())
        .map(|at| begins_statement(&tokens, at))
        .collect::<Vec<_>>();
    let mut pieces = Vec::new();
    let mut current = Vec::new();
    for (token, begins) in tokens.into_iter().zip(begins) {
        if token.token == Token::SemiColon {
            pieces.push(Piece {
                tokens: std::mem::take(&mut current),
                closed: true,
            });
            continue;
        }
        if begins && !current.is_empty() {
            pieces.push(Piece {
                tokens: std::mem::take(&mut current),
                closed: false,
            });
        }
        current.push(token);
    }
    pieces.push(Piece {
        tokens: current,
        closed: true,
    });
    pieces
}

/// Whether the token is the first of its line and begins a `CREATE` or `COMMENT ON` statement.
fn begins_statement(tokens: &[TokenWithSpan], at: usize) -> bool {
    let keyword = |at: usize| match tokens.get(at).map(|token| &token.token) {
        Some(Token::Word(word)) => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let first_of_line = at == 0 || tokens[at - 1].span.end.line < tokens[at].span.start.line;
    first_of_line
        && match keyword(at) {
            Keyword::CREATE => matches!(
                keyword(at + 1),
                Keyword::TABLE | Keyword::VIEW | Keyword::MATERIALIZED | Keyword::OR
            ),
            Keyword::COMMENT => keyword(at + 1) == Keyword::ON,
            _ => false,
        }
}

fn creates_table(tokens: &[TokenWithSpan]) -> bool {
    let mut words = tokens.iter().map_while(|token| match &token.token {
        Token::Word(word) => Some(word.keyword),
        _ => None,
    });
    words.next() == Some(Keyword::CREATE) && words.any(|word| word == Keyword::TABLE)
}

/// Makes two tokens of each `>>`. In `STRUCT<a ARRAY<TEXT>>[]` the parser would otherwise take the
/// `[]` for the inner type's.
fn split_angles(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut split = Vec::with_capacity(tokens.len());
    for token in tokens {
        if token.token == Token::ShiftRight {
            let Span { start, end } = token.span;
            let middle = Location::new(start.line, start.column + 1);
            split.push(TokenWithSpan::new(Token::Gt, Span::new(start, middle)));
            split.push(TokenWithSpan::new(Token::Gt, Span::new(middle, end)));
        } else {
            split.push(token);
        }
    }
    split
}
