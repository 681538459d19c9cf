//! What is wrong with a script, and where.
//!
//! Faults flow in from every part of this room and from `plan`; text for people flows out, with the
//! place underlined and what to write instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, normalize_untrusted_str};
use datafusion::sql::sqlparser::tokenizer::{Location, Span};

use super::Origin;
use super::text::Text;

/// The texts of a script's files, by the name that the user gave them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<PathBuf, String>);

impl Sources {
    /// Adds a file's text.
    pub fn insert(&mut self, file: PathBuf, text: String) {
        self.0.insert(file, text);
    }

    /// The text of a file.
    pub fn text(&self, file: &Path) -> Option<&str> {
        self.0.get(file).map(String::as_str)
    }

    /// The files and their texts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.0
            .iter()
            .map(|(file, text)| (file.as_path(), text.as_str()))
    }
}

impl From<&str> for Sources {
    /// A script that does not come from a file; messages call it `<text>`.
    fn from(text: &str) -> Sources {
        Sources(BTreeMap::from([(
            PathBuf::from("<text>"),
            text.to_string(),
        )]))
    }
}

/// One thing that is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The first character at fault.
    pub origin: Origin,
    /// How many characters are at fault; at least one.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// A fault of a file that the caller knows.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) help: String,
}

impl Problem {
    pub(super) fn new(span: Span, message: impl Into<String>, help: impl Into<String>) -> Problem {
        Problem {
            span,
            message: message.into(),
            help: help.into(),
        }
    }
}

/// Everything that is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// The faults, by place; see [`Faults::new`].
    pub faults: Vec<Fault>,
    /// The texts that they lie in.
    pub sources: Arc<Sources>,
}

impl Faults {
    /// Orders faults by file, line and column, and leaves out the repeated ones.
    pub fn new(mut faults: Vec<Fault>, sources: Arc<Sources>) -> Faults {
        faults.sort_by(|a, b| {
            (&a.origin, &a.message, a.length, &a.help)
                .cmp(&(&b.origin, &b.message, b.length, &b.help))
        });
        faults.dedup();
        Faults { faults, sources }
    }

    /// Every fault with its place, its text underlined and what to write instead, then their
    /// number. `color` asks for terminal escapes.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color {
            Renderer::styled().hyperlink(false)
        } else {
            Renderer::plain()
        };
        let mut shown = String::new();
        for fault in &self.faults {
            shown.push_str(&self.render_fault(fault, &renderer));
            shown.push_str("\n\n");
        }
        shown.push_str(&self.count());
        shown
    }

    fn render_fault(&self, fault: &Fault, renderer: &Renderer) -> String {
        let source = self.sources.text(&fault.origin.file).unwrap_or_default();
        let start = Text::new(source).offset(Location::new(fault.origin.line, fault.origin.column));
        let end = source[start..]
            .char_indices()
            .nth(fault.length)
            .map_or(source.len(), |(byte, _)| start + byte);
        let snippet = Snippet::source(source)
            .path(fault.origin.file.display().to_string())
            .annotation(AnnotationKind::Primary.span(start..end));
        let mut group = Level::ERROR.primary_title(&fault.message).element(snippet);
        if let Some(help) = &fault.help {
            group = group.element(Level::HELP.message(normalize_untrusted_str(help)));
        }
        renderer.render(&[group])
    }

    /// How many faults there are, in how many files.
    fn count(&self) -> String {
        let files = self
            .faults
            .iter()
            .map(|fault| &fault.origin.file)
            .collect::<BTreeSet<_>>();
        let faults = match self.faults.len() {
            1 => "1 fault".to_string(),
            several => format!("{several} faults"),
        };
        match files.len() {
            0 | 1 => faults,
            several => format!("{faults} in {several} files"),
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Faults {}

/// The candidate that `name` is most likely meant for, if any is near enough: one that is no more
/// than one edit in three characters away, letter case aside; otherwise one that has all of its
/// words, or of whose words it has all. Of equally near ones the first.
pub fn near<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str, IntoIter: Clone>,
) -> Option<String> {
    let folded = name.to_lowercase();
    let letters = folded.chars().count();
    let allowed = (letters / 3).max(1).min(letters.saturating_sub(1));
    let candidates = candidates.into_iter();
    let misspelt = candidates
        .clone()
        .map(|candidate| {
            (
                strsim::osa_distance(&folded, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate);
    let has_words_of = |long: &str, short: &str| {
        short
            .split('_')
            .all(|word| long.split('_').any(|other| other == word))
    };
    let mut partial = candidates.filter(|candidate| {
        let candidate = candidate.to_lowercase();
        has_words_of(&candidate, &folded) || has_words_of(&folded, &candidate)
    });
    misspelt.or_else(|| partial.next()).map(str::to_string)
}

/// A list of names for people, each in backquotes: `` `a`, `b` and `c` ``.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names
        .into_iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>();
    let Some(last) = names.pop() else {
        return "none".to_string();
    };
    if names.is_empty() {
        last
    } else {
        format!("{} and {last}", names.join(", "))
    }
}
