//! Completion in the terminal: keywords, tables, views and columns.

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::reader::is_complete;

/// What statements are made of.
const KEYWORDS: [&str; 62] = [
    "ALL",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "COPY",
    "COUNT",
    "CREATE",
    "CROSS",
    "DECLARE",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FETCH",
    "FILTER",
    "FLUSH",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "MATERIALIZED",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "PARTITION",
    "RIGHT",
    "SELECT",
    "SET",
    "SHOW",
    "SUBSCRIBE",
    "TABLE",
    "TABLES",
    "THEN",
    "TRUNCATE",
    "UNION",
    "UPDATE",
    "VALUES",
    "VIEW",
    "WHERE",
];

/// The commands of the terminal.
pub const COMMANDS: [&str; 9] = [
    "\\d", "\\dt", "\\dv", "\\dm", "\\timing", "\\i", "\\copy", "\\?", "\\q",
];

/// Completes words and waits for the end of statements.
#[derive(Default)]
pub struct Assistant {
    /// Names of relations and columns, sorted.
    pub names: Vec<String>,
}

impl Helper for Assistant {}
impl Highlighter for Assistant {}

impl Hinter for Assistant {
    type Hint = String;
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let is_command = text.trim_start().starts_with('\\') || text.trim().is_empty();
        Ok(match is_command || is_complete(text) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> Result<(usize, Vec<Pair>), ReadlineError> {
        let before = &line[..position];
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '\\' | '?');
        let start = before
            .char_indices()
            .rev()
            .take_while(|(_, c)| is_part(*c))
            .last()
            .map_or(position, |(start, _)| start);
        Ok((start, self.candidates(&before[start..])))
    }
}

impl Assistant {
    fn candidates(&self, begun: &str) -> Vec<Pair> {
        if begun.starts_with('\\') {
            let commands = COMMANDS.iter().filter(|c| c.starts_with(begun));
            return commands.map(|command| pair(command)).collect();
        }
        // Behind a dot stands a column, whatever the relation is called there.
        let (kept, begun) = match begun.rsplit_once('.') {
            Some((relation, column)) if !self.names.iter().any(|n| n.starts_with(begun)) => {
                (format!("{relation}."), column)
            }
            _ => (String::new(), begun),
        };
        let folded = begun.to_lowercase();
        let names = self.names.iter().filter(|name| name.starts_with(&folded));
        let mut found: Vec<Pair> = names.map(|name| pair(&format!("{kept}{name}"))).collect();
        if kept.is_empty() && !begun.is_empty() {
            let upper = begun.to_uppercase();
            let words = KEYWORDS.iter().filter(|word| word.starts_with(&upper));
            let lower = begun.chars().all(|c| !c.is_uppercase());
            found.extend(words.map(|word| match lower {
                true => pair(&word.to_lowercase()),
                false => pair(word),
            }));
        }
        found
    }
}

fn pair(text: &str) -> Pair {
    Pair {
        display: text.to_owned(),
        replacement: text.to_owned(),
    }
}
