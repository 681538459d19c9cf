//! `WITH (name = 'value', ...)`: how options are written, and which ones views have.
//!
//! A reader that stands behind `WITH` flows in; [`Setting`]s flow out, each with its place.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::fault::{listed, near};
use super::literal::Literal;
use super::reader::{Name, Reader, Stop};

/// The hints that a materialized view gives to a dashboard, and by which key it answers decisions.
const VIEW_OPTIONS: [&str; 8] = [
    "chart",
    "x",
    "y",
    "title",
    "unit",
    "threshold",
    DECISION_KEY,
    FALLBACK_KEY,
];

/// The column by whose values a view's rows are decisions.
pub(super) const DECISION_KEY: &str = "decision_key";
/// The value of that column in the row that stands for all others.
pub(super) const FALLBACK_KEY: &str = "fallback_key";

/// One option and its value.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) name: Name,
    pub(super) value: Literal,
}

/// Reads the options after `WITH`.
pub(super) fn read(reader: &mut Reader) -> Result<Vec<Setting>, Stop> {
    reader.expect(&Token::LParen)?;
    let mut settings: Vec<Setting> = Vec::new();
    if reader.eat(&Token::RParen) {
        return Ok(settings);
    }
    loop {
        match setting(reader) {
            Ok(setting) => {
                let repeated = settings
                    .iter()
                    .any(|other| other.name.text == setting.name.text);
                if repeated {
                    reader.fault(
                        setting.name.span,
                        format!("option `{}` is given twice", setting.name.text),
                        Some("leave one of them out".to_string()),
                    );
                } else {
                    settings.push(setting);
                }
            }
            Err(Stop) => reader.skip_element(),
        }
        if reader.eat(&Token::RParen) {
            return Ok(settings);
        }
        if !reader.eat(&Token::Comma) {
            let fault = reader.expected("`,` or `)` after the option", None);
            reader.skip_element();
            if reader.at_end() {
                return Err(fault);
            }
            reader.advance();
        }
    }
}

fn setting(reader: &mut Reader) -> Result<Setting, Stop> {
    let name = reader.name("an option's name")?;
    if !reader.eat(&Token::Eq) {
        return Err(reader.expected("`=`", Some(format!("write {} = '...'", name.text))));
    }
    Ok(Setting {
        name,
        value: value(reader)?,
    })
}

/// A text in single quotes, or a number.
fn value(reader: &mut Reader) -> Result<Literal, Stop> {
    let start = reader.span();
    let negative = reader.eat(&Token::Minus);
    let number = match reader.peek() {
        Some(Token::Number(digits, _)) => digits,
        Some(Token::SingleQuotedString(_)) if !negative => {
            reader.advance();
            return Ok(Literal::quoted(reader.file.text.slice(start), start));
        }
        Some(Token::Word(word)) if matches!(word.keyword, Keyword::TRUE | Keyword::FALSE) => {
            let text = word.value.to_lowercase();
            reader.advance();
            return Ok(Literal::bare(text, start));
        }
        Some(Token::Word(word)) => {
            let help = format!("write it in single quotes: '{}'", word.value);
            return Err(reader.expected("a value in single quotes", Some(help)));
        }
        _ => return Err(reader.expected("a value in single quotes", None)),
    };
    let sign = if negative { "-" } else { "" };
    reader.advance();
    Ok(Literal::bare(
        format!("{sign}{number}"),
        reader.span_since(start),
    ))
}

/// Notes an option that does not exist.
pub(super) fn unknown(reader: &mut Reader, name: &Name, of: &str, known: &[&str]) {
    let help = match near(&name.text, known.iter().copied()) {
        Some(near) => format!("write `{near}`"),
        None => format!(
            "the options of a {of} are {}",
            listed(known.iter().copied())
        ),
    };
    reader.fault(
        name.span,
        format!("a {of} has no option `{}`", name.text),
        Some(help),
    );
}

/// Notes options that a view does not have, and a fallback for decisions where none are answered.
pub(super) fn check_view_options(reader: &mut Reader, settings: &[Setting]) {
    let given = |name: &str| settings.iter().find(|setting| setting.name.text == name);
    if let (Some(fallback), None) = (given(FALLBACK_KEY), given(DECISION_KEY)) {
        reader.fault(
            fallback.name.span,
            format!("there is no {DECISION_KEY} for this fallback"),
            Some(format!("add {DECISION_KEY} = 'column', or leave it out")),
        );
    }
    for setting in settings {
        if !VIEW_OPTIONS.contains(&setting.name.text.as_str()) {
            unknown(reader, &setting.name, "view", &VIEW_OPTIONS);
        }
    }
}
