//! Statements out of lines.
//!
//! Lines flow in, one by one; a statement flows out when a semicolon ends it. A line that begins
//! with a backslash where a statement would begin is a command of the terminal.

use crate::session::split;

/// What a line makes of those before it.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// The statement goes on.
    More,
    /// Statements are complete.
    Statements(String),
    /// A command of the terminal.
    Command(String),
}

/// Puts statements together.
#[derive(Debug, Default)]
pub struct Reader {
    text: String,
}

impl Reader {
    /// Takes a line, without its end.
    pub fn take(&mut self, line: &str) -> Read {
        if self.text.trim().is_empty() && line.trim_start().starts_with('\\') {
            self.text.clear();
            return Read::Command(line.trim().to_owned());
        }
        self.text.push_str(line);
        self.text.push('\n');
        if !is_complete(&self.text) {
            return Read::More;
        }
        match std::mem::take(&mut self.text) {
            text if text.trim().trim_end_matches(';').trim().is_empty() => Read::More,
            text => Read::Statements(text),
        }
    }

    /// What is left at the end of the input; a last statement needs no semicolon.
    pub fn rest(&mut self) -> Option<String> {
        let text = std::mem::take(&mut self.text);
        (!text.trim().is_empty()).then_some(text)
    }
}

/// Whether a text ends with a semicolon that ends a statement.
pub fn is_complete(text: &str) -> bool {
    // What follows a semicolon inside of a text or a comment that is open cannot be read.
    let open = format!("{text} x");
    match (split(text), split(&open)) {
        (Ok(pieces), Ok(with_more)) => !pieces.is_empty() && with_more.len() > pieces.len(),
        _ => false,
    }
}
