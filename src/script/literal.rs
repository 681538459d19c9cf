//! Texts in single quotes that have a grammar of their own.
//!
//! A quoted text of the script flows in; its parts flow out, each with its place in the file, so
//! that a fault points at the character inside the quotes.

use std::iter::Peekable;
use std::ops::Range;
use std::str::Chars;

use datafusion::sql::sqlparser::tokenizer::{Location, Span};

use super::fault::Problem;
use super::reader::Name;

/// A text, and where each of its characters stands in the file.
#[derive(Debug, Clone)]
pub(super) struct Literal {
    pub(super) text: String,
    /// The whole of it, with its quotes.
    pub(super) span: Span,
    characters: Vec<(char, Span)>,
}

impl Literal {
    /// A text in single quotes, `written` as in the file, quotes included.
    pub(super) fn quoted(written: &str, span: Span) -> Literal {
        let mut place = Places {
            letters: written.chars().peekable(),
            at: span.start,
        };
        let mut characters = Vec::new();
        place.next();
        while let Some((letter, start)) = place.next() {
            if letter == '\'' && !place.skip_quote() {
                break;
            }
            characters.push((letter, Span::new(start, place.at)));
        }
        let text = characters.iter().map(|(letter, _)| letter).collect();
        Literal {
            text,
            span,
            characters,
        }
    }

    /// A text that was written without quotes.
    pub(super) fn bare(written: String, span: Span) -> Literal {
        Literal {
            text: written,
            span,
            characters: Vec::new(),
        }
    }

    /// Where some of its characters stand; the whole of it if there are none at those positions.
    pub(super) fn span_of(&self, characters: Range<usize>) -> Span {
        match self.characters.get(characters) {
            Some([(_, first), .., (_, last)]) => Span::new(first.start, last.end),
            Some([(_, only)]) => *only,
            _ => self.span,
        }
    }
}

/// Walks over a text and keeps the place.
struct Places<'a> {
    letters: Peekable<Chars<'a>>,
    at: Location,
}

impl Places<'_> {
    fn next(&mut self) -> Option<(char, Location)> {
        let letter = self.letters.next()?;
        let start = self.at;
        self.at = match letter {
            '\n' => Location::new(start.line + 1, 1),
            _ => Location::new(start.line, start.column + 1),
        };
        Some((letter, start))
    }

    /// Passes over a quote, and says whether there was one.
    fn skip_quote(&mut self) -> bool {
        let quote = self.letters.peek() == Some(&'\'');
        if quote {
            self.next();
        }
        quote
    }
}

/// A piece of a text: a bare word or one in double quotes.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) text: String,
    pub(super) quoted: bool,
    pub(super) span: Span,
}

impl Segment {
    /// The segment as a name in SQL.
    pub(super) fn name(&self) -> Name {
        let text = if self.quoted {
            self.text.clone()
        } else {
            self.text.to_ascii_lowercase()
        };
        Name {
            text,
            span: self.span,
        }
    }
}

/// Reads a text character by character.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    literal: &'a Literal,
    letters: Vec<char>,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(literal: &'a Literal) -> Scanner<'a> {
        Scanner {
            literal,
            letters: literal.text.chars().collect(),
            at: 0,
        }
    }

    /// Passes over blanks, and says whether the text ends there.
    pub(super) fn at_end(&mut self) -> bool {
        while self
            .letters
            .get(self.at)
            .is_some_and(|letter| letter.is_whitespace())
        {
            self.at += 1;
        }
        self.at == self.letters.len()
    }

    /// Passes over blanks, and takes the character after them if it is this one.
    pub(super) fn eat(&mut self, letter: char) -> bool {
        let met = !self.at_end() && self.letters[self.at] == letter;
        if met {
            self.at += 1;
        }
        met
    }

    /// Passes over blanks, and takes the characters after them that meet a condition.
    pub(super) fn take_while(&mut self, condition: impl Fn(char) -> bool) -> (String, Span) {
        self.at_end();
        let start = self.at;
        while self
            .letters
            .get(self.at)
            .is_some_and(|letter| condition(*letter))
        {
            self.at += 1;
        }
        (
            self.letters[start..self.at].iter().collect(),
            self.literal.span_of(start..self.at),
        )
    }

    /// Passes over blanks, and takes a word, or anything in double quotes. A word ends before a
    /// blank or one of `,` `|` `.` `=` `"`.
    pub(super) fn segment(&mut self, what: &str) -> Result<Segment, Problem> {
        if self.eat('"') {
            return self.quoted_segment();
        }
        let (text, span) =
            self.take_while(|letter| !letter.is_whitespace() && !",|.=\"".contains(letter));
        if text.is_empty() {
            return Err(self.expected(
                what,
                "write a name, in double quotes if it holds blanks or one of , | . =",
            ));
        }
        Ok(Segment {
            text,
            quoted: false,
            span,
        })
    }

    /// Takes what follows an opening double quote, up to the closing one.
    fn quoted_segment(&mut self) -> Result<Segment, Problem> {
        let start = self.at - 1;
        let mut text = String::new();
        while let Some(&letter) = self.letters.get(self.at) {
            self.at += 1;
            if letter == '"' {
                if self.letters.get(self.at) != Some(&'"') {
                    let span = self.literal.span_of(start..self.at);
                    return Ok(Segment {
                        text,
                        quoted: true,
                        span,
                    });
                }
                self.at += 1;
            }
            text.push(letter);
        }
        Err(Problem {
            span: self.literal.span_of(start..self.at),
            message: "a double quote is opened but not closed".to_string(),
            help: "write `\"` after the name".to_string(),
        })
    }

    /// The fault that something else was expected at the next character.
    pub(super) fn expected(&mut self, what: &str, help: &str) -> Problem {
        let (found, span) = if self.at_end() {
            let last = self.at.saturating_sub(1);
            (
                "the end of the text".to_string(),
                self.literal.span_of(last..self.at),
            )
        } else {
            (
                format!("`{}`", self.letters[self.at]),
                self.literal.span_of(self.at..self.at + 1),
            )
        };
        Problem {
            span,
            message: format!("expected {what}, found {found}"),
            help: help.to_string(),
        }
    }
}
