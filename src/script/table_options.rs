//! What the options of a table mean.
//!
//! The [`Setting`]s of a table flow in; its [`TableOptions`](super::TableOptions) and the paths of
//! its columns flow out, every column resolved.

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::tokenizer::Span;

use super::fault::{Problem, listed, near};
use super::literal::{Literal, Scanner};
use super::options::{self, Setting};
use super::reader::{Name, Reader};
use super::table::TableStatement;
use super::{Dedup, TimeUnit};

const TABLE_OPTIONS: [&str; 7] = [
    "event_time",
    "dedup",
    "dedup_horizon",
    "deleted",
    "time_unit",
    "fields",
    "held",
];

const TIME_UNITS: [(&str, TimeUnit); 4] = [
    ("s", TimeUnit::Seconds),
    ("ms", TimeUnit::Milliseconds),
    ("us", TimeUnit::Microseconds),
    ("ns", TimeUnit::Nanoseconds),
];

/// The units of a horizon: how they are written, and how many milliseconds they have.
const SPANS: [(&[&str], u64); 6] = [
    (&["ms", "millisecond", "milliseconds"], 1),
    (&["s", "sec", "second", "seconds"], 1_000),
    (&["min", "minute", "minutes"], 60_000),
    (&["h", "hour", "hours"], 3_600_000),
    (&["d", "day", "days"], 86_400_000),
    (&["w", "week", "weeks"], 604_800_000),
];

/// The longest horizon: what the engine's clock of nanoseconds can span.
const MAX_HORIZON_MS: u64 = i64::MAX as u64 / 1_000_000;

/// Sets the options of a table whose columns and key are known.
pub(super) fn apply(reader: &mut Reader, statement: &mut TableStatement, settings: &[Setting]) {
    for setting in settings {
        match setting.name.text.as_str() {
            "event_time" => event_time(reader, statement, setting),
            "dedup" => dedup(reader, statement, setting),
            "deleted" => deleted(reader, statement, setting),
            "time_unit" => time_unit(reader, statement, &setting.value),
            "fields" => fields(reader, statement, &setting.value),
            "held" => held(reader, statement, &setting.value),
            "dedup_horizon" => {}
            _ => options::unknown(reader, &setting.name, "table", &TABLE_OPTIONS),
        }
    }
    if let Some(setting) = settings
        .iter()
        .find(|setting| setting.name.text == "dedup_horizon")
    {
        horizon(reader, statement, setting, settings);
    }
}

fn note(reader: &mut Reader, problem: Problem) {
    reader.fault(problem.span, problem.message, Some(problem.help));
}

/// The one column that an option names.
fn one_column(
    reader: &mut Reader,
    statement: &TableStatement,
    value: &Literal,
) -> Option<(usize, Name)> {
    let mut scanner = Scanner::new(value);
    let segment = match scanner.segment("a column's name") {
        Ok(segment) => segment,
        Err(fault) => {
            note(reader, fault);
            return None;
        }
    };
    if !scanner.at_end() {
        let fault = scanner.expected("one column only", "write one column's name");
        note(reader, fault);
        return None;
    }
    let name = segment.name();
    statement
        .column(reader, &name)
        .map(|position| (position, name))
}

fn event_time(reader: &mut Reader, statement: &mut TableStatement, setting: &Setting) {
    let Some((position, name)) = one_column(reader, statement, &setting.value) else {
        return;
    };
    match &statement.table.columns[position].data_type {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Null => {
            statement.table.options.event_time = Some(position);
        }
        _ => reader.fault(
            name.span,
            format!(
                "column `{}` holds no time, so it cannot be the event time",
                name.text
            ),
            Some("give the column the type TIMESTAMP or DATE, or name another one".to_string()),
        ),
    }
}

fn deleted(reader: &mut Reader, statement: &mut TableStatement, setting: &Setting) {
    let Some((position, name)) = one_column(reader, statement, &setting.value) else {
        return;
    };
    let table = &mut statement.table;
    if !matches!(
        table.columns[position].data_type,
        DataType::Boolean | DataType::Null
    ) {
        let message = format!(
            "column `{}` is not BOOLEAN, so it cannot mark a deletion",
            name.text
        );
        let help = "give the column the type BOOLEAN, or name another one";
        reader.fault(name.span, message, Some(help.to_string()));
    } else if table.primary_key.contains(&position) {
        let message = format!("column `{}` is part of the primary key", name.text);
        let help = "name a column outside the key: the key says which row is deleted";
        reader.fault(name.span, message, Some(help.to_string()));
    } else {
        table.options.deleted = Some(position);
    }
    if table.primary_key.is_empty() && statement.complete {
        let help = "give the table a PRIMARY KEY, which says what row is deleted";
        let message = format!("table `{}` has no primary key to delete by", table.name);
        reader.fault(setting.name.span, message, Some(help.to_string()));
    }
}

fn dedup(reader: &mut Reader, statement: &mut TableStatement, setting: &Setting) {
    let mut scanner = Scanner::new(&setting.value);
    let mut columns = Vec::new();
    loop {
        let name = match scanner.segment("a column's name") {
            Ok(segment) => segment.name(),
            Err(fault) => return note(reader, fault),
        };
        match statement.column(reader, &name) {
            Some(position) if columns.contains(&position) => {
                let message = format!("column `{}` is named twice", name.text);
                reader.fault(name.span, message, Some("leave it out once".to_string()));
            }
            Some(position) => columns.push(position),
            None => {}
        }
        if scanner.at_end() {
            break;
        }
        if !scanner.eat(',') {
            let help = "write the columns with commas between them: 'a, b'";
            let fault = scanner.expected("`,`", help);
            return note(reader, fault);
        }
    }
    if !statement.table.primary_key.is_empty() {
        let message = format!("table `{}` has a primary key", statement.table.name);
        let help = "leave dedup out: a row that repeats an earlier one replaces it, which changes \
                    nothing";
        reader.fault(setting.name.span, message, Some(help.to_string()));
    } else if !columns.is_empty() {
        statement.table.options.dedup = Some(Dedup {
            columns,
            horizon_ms: None,
        });
    }
}

fn horizon(
    reader: &mut Reader,
    statement: &mut TableStatement,
    setting: &Setting,
    settings: &[Setting],
) {
    let parsed = duration_ms(&setting.value);
    let given = |name: &str| settings.iter().any(|setting| setting.name.text == name);
    if !given("dedup") {
        let help = "add dedup = 'column', or leave the horizon out".to_string();
        reader.fault(
            setting.name.span,
            "there is no dedup for this horizon",
            Some(help),
        );
    } else if !given("event_time") {
        let help =
            "add event_time = 'column': a horizon is counted back from the newest event time";
        reader.fault(
            setting.name.span,
            "a horizon needs the time of events",
            Some(help.to_string()),
        );
    }
    match parsed {
        Ok(horizon_ms) => {
            if let Some(dedup) = &mut statement.table.options.dedup {
                dedup.horizon_ms = Some(horizon_ms);
            }
        }
        Err(fault) => note(reader, fault),
    }
}

/// A length of time in milliseconds: `7 days`, `1 day 12 hours`, `90s`.
fn duration_ms(value: &Literal) -> Result<u64, Problem> {
    const HELP: &str = "write it like '7 days', '12 hours' or '90 seconds'";
    let whole = |message: &str, help: &str| Problem {
        span: value.span,
        message: message.to_string(),
        help: help.to_string(),
    };
    let mut scanner = Scanner::new(value);
    let mut total = 0_u64;
    loop {
        let (digits, _) = scanner.take_while(|letter| letter.is_ascii_digit());
        if digits.is_empty() {
            return Err(scanner.expected("a whole number", HELP));
        }
        let (unit, span) = scanner.take_while(char::is_alphabetic);
        let unit_ms = unit_ms(&unit, span)?;
        let part = digits
            .parse::<u64>()
            .ok()
            .and_then(|count| count.checked_mul(unit_ms));
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= MAX_HORIZON_MS)
            .ok_or_else(|| {
                whole(
                    "the horizon is too long",
                    "leave it out to remember ids for ever",
                )
            })?;
        if scanner.at_end() {
            break;
        }
    }
    match total {
        0 => Err(whole(
            "the horizon is zero, so nothing would be remembered",
            HELP,
        )),
        total => Ok(total),
    }
}

fn unit_ms(unit: &str, span: Span) -> Result<u64, Problem> {
    let folded = unit.to_lowercase();
    let known = SPANS
        .iter()
        .find(|(spellings, _)| spellings.contains(&folded.as_str()));
    if let Some((_, unit_ms)) = known {
        return Ok(*unit_ms);
    }
    let long = SPANS
        .iter()
        .filter_map(|(spellings, _)| spellings.last().copied());
    let help = match (near(&folded, long.clone()), folded.as_str()) {
        (_, "month" | "months" | "year" | "years") => {
            "months and years differ in length: write days".to_string()
        }
        (Some(near), _) => format!("write {near}"),
        (None, _) => format!("the units are {}", listed(long)),
    };
    Err(Problem {
        span,
        message: format!("`{unit}` is no unit of time"),
        help,
    })
}

fn time_unit(reader: &mut Reader, statement: &mut TableStatement, value: &Literal) {
    let text = value.text.trim().to_lowercase();
    match TIME_UNITS.iter().find(|(spelling, _)| *spelling == text) {
        Some((_, unit)) => statement.table.options.time_unit = *unit,
        None => {
            let names = TIME_UNITS.iter().map(|(spelling, _)| *spelling);
            let help = format!("the units are {}", listed(names));
            reader.fault(
                value.span,
                format!("`{}` is no unit of time", value.text),
                Some(help),
            );
        }
    }
}

fn held(reader: &mut Reader, statement: &mut TableStatement, value: &Literal) {
    match value.text.trim().to_lowercase().as_str() {
        "true" => statement.table.options.held = Some(true),
        "false" => statement.table.options.held = Some(false),
        _ => reader.fault(
            value.span,
            format!("`{}` is neither true nor false", value.text),
            Some("write held = true: the table's rows can then be read and changed".to_string()),
        ),
    }
}

const FIELDS_HELP: &str = "write 'column = field, column = outer.inner | other'; a field's name \
                           stands in double quotes if it holds blanks or one of , | . =";

fn fields(reader: &mut Reader, statement: &mut TableStatement, value: &Literal) {
    let mut scanner = Scanner::new(value);
    let mut seen: Vec<usize> = Vec::new();
    loop {
        let (name, paths) = match field(&mut scanner) {
            Ok(field) => field,
            Err(fault) => return note(reader, fault),
        };
        match statement.column(reader, &name) {
            Some(position) if seen.contains(&position) => {
                let message = format!("column `{}` is found twice", name.text);
                let help = "write its alternatives together: column = a | b".to_string();
                reader.fault(name.span, message, Some(help));
            }
            Some(position) => {
                seen.push(position);
                statement.table.columns[position].paths = paths;
            }
            None => {}
        }
        if scanner.at_end() {
            return;
        }
        if !scanner.eat(',') {
            let fault = scanner.expected("`,`, `|` or `.`", FIELDS_HELP);
            return note(reader, fault);
        }
    }
}

/// Reads `column = path | path ...`.
fn field(scanner: &mut Scanner) -> Result<(Name, Vec<Vec<String>>), Problem> {
    let column = scanner.segment("a column's name")?.name();
    if !scanner.eat('=') {
        return Err(scanner.expected("`=`", FIELDS_HELP));
    }
    let mut paths = Vec::new();
    loop {
        let mut path = vec![scanner.segment("a field's name")?.text];
        while scanner.eat('.') {
            path.push(scanner.segment("a field's name")?.text);
        }
        paths.push(path);
        if !scanner.eat('|') {
            return Ok((column, paths));
        }
    }
}
