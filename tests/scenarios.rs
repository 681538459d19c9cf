//! Runs the scenarios: Markdown files that say what arrives and what must be answered.
//!
//! Every `tests/scenarios/*.md` is a test on one worker and on four. What a block of a scenario
//! means is written in `tests/scenarios/README.md`; a block that this runner does not know fails the
//! scenario, and so does a scenario that expects nothing.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::DataType;
use libtest_mimic::{Arguments, Failed, Trial};
use tillrace::catalog::Snapshot;
use tillrace::engine::{Config, Engine};
use tillrace::oracle::floats_close;
use tillrace::plan;
use tillrace::present::cell::{self, Column};
use tillrace::script::{self, Script, Sources};
use tillrace::source::{CsvOptions, Format};

const WORKERS: [usize; 2] = [1, 4];

/// What a record without a time is given: 2024-01-01 00:00:00, in nanoseconds.
const READ_TIME: i64 = 1_704_067_200_000_000_000;

/// The column of a `changes` table that says whether a row came or went.
const SIGN_COLUMN: &str = "+/-";

fn main() {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut trials = Vec::new();
    for path in scenario_files(&folder) {
        for workers in WORKERS {
            let stem = path
                .file_stem()
                .expect("a listed file has a name")
                .to_string_lossy();
            let name = format!(
                "{stem} on {workers} worker{}",
                if workers == 1 { "" } else { "s" }
            );
            let path = path.clone();
            trials.push(Trial::test(name, move || {
                run(&path, workers).map_err(Failed::from)
            }));
        }
    }
    trials.extend(own_tests());
    libtest_mimic::run(&arguments, trials).exit();
}

fn scenario_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("the folder can be listed").path());
    let is_scenario = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "md")
            && path.file_name().is_some_and(|name| name != "README.md")
    };
    let mut files: Vec<PathBuf> = paths.filter(is_scenario).collect();
    files.sort();
    files
}

fn run(path: &Path, workers: usize) -> Result<(), String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("could not read {}: {error}", path.display()))?;
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shown = path.strip_prefix(top).unwrap_or(path).display().to_string();
    let blocks = blocks(&text).map_err(|(line, message)| format!("{shown}:{line}: {message}"))?;
    play(&blocks, workers, &shown)
}

/// What a fenced block is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Sql,
    Scripts,
    Records { table: String, format: Format },
    View(String),
    Changes(String),
}

/// A fenced block; `line` is that of its first line of content.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    kind: Kind,
    line: usize,
    text: String,
}

/// The fenced blocks of a Markdown text; an error has its line.
fn blocks(text: &str) -> Result<Vec<Block>, (usize, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let kind = kind(info.trim()).map_err(|message| (index + 1, message))?;
        let mut content = String::new();
        loop {
            match lines.next() {
                Some((_, line)) if line.trim() == "```" => break,
                Some((_, line)) => content.extend([line, "\n"]),
                None => return Err((index + 1, "the block is not closed".to_owned())),
            }
        }
        if let Some(kind) = kind {
            blocks.push(Block {
                kind,
                line: index + 2,
                text: content,
            });
        }
    }
    if !blocks
        .iter()
        .any(|block| matches!(block.kind, Kind::View(_) | Kind::Changes(_)))
    {
        return Err((1, "the scenario expects nothing".to_owned()));
    }
    Ok(blocks)
}

/// The kind of a block by what stands after its fence; none for `text`, which is prose.
fn kind(info: &str) -> Result<Option<Kind>, String> {
    let words: Vec<&str> = info.split_whitespace().collect();
    let csv = Format::Csv(CsvOptions::default());
    let kind = match words[..] {
        ["text"] => return Ok(None),
        ["sql"] => Kind::Sql,
        ["scripts"] => Kind::Scripts,
        ["jsonl", table] => Kind::Records {
            table: table.to_owned(),
            format: Format::Json,
        },
        ["csv", table] => Kind::Records {
            table: table.to_owned(),
            format: csv,
        },
        ["view", view] => Kind::View(view.to_owned()),
        ["changes", view] => Kind::Changes(view.to_owned()),
        _ => return Err(format!("no scenario block begins with \"```{info}\"")),
    };
    Ok(Some(kind))
}

fn play(blocks: &[Block], workers: usize, file: &str) -> Result<(), String> {
    let script = program(blocks, file)?;
    let plan = plan::plan(script).map_err(|faults| format!("{file}:\n{faults}"))?;
    let config = Config {
        workers,
        as_of: None,
        read_time: READ_TIME,
        ..Config::default()
    };
    let engine = Engine::start(Arc::new(plan), config).map_err(|error| error.to_string())?;
    let mut snapshot: Option<Arc<Snapshot>> = None;
    for block in blocks {
        let at = |message: String| format!("{file}:{}: {message}", block.line);
        match &block.kind {
            Kind::Sql | Kind::Scripts => {}
            Kind::Records { table, format } => {
                let text = block.text.clone().into_bytes();
                engine
                    .ingest(table, table, format, text)
                    .map_err(|error| at(error.to_string()))?;
                snapshot = None;
            }
            Kind::View(view) | Kind::Changes(view) => {
                let epoch = match snapshot.take() {
                    Some(epoch) => epoch,
                    None => engine.advance().map_err(|error| at(error.to_string()))?,
                };
                let found = match block.kind {
                    Kind::Changes(_) => changes(&epoch, view),
                    _ => epoch.rows(view).map(|rows| (rows, None)),
                };
                let found = found.ok_or_else(|| at(format!("there is no view \"{view}\"")))?;
                expect(&block.text, &found.0, found.1.as_deref())
                    .map_err(|diff| at(format!("\"{view}\" is not as expected\n{diff}")))?;
                snapshot = Some(epoch);
            }
        }
    }
    engine.stop().map_err(|error| error.to_string())
}

/// The program of a scenario: its `sql` blocks, each at its place in the file, and the scripts it
/// names.
fn program(blocks: &[Block], file: &str) -> Result<Arc<Script>, String> {
    let mut sources = Sources::default();
    let mut sql = String::new();
    for block in blocks {
        match block.kind {
            Kind::Sql => {
                // Blank lines keep the line numbers of faults those of the scenario.
                let lines = sql.matches('\n').count();
                sql.push_str(&"\n".repeat((block.line - 1).saturating_sub(lines)));
                sql.push_str(&block.text);
            }
            Kind::Scripts => {
                for path in block
                    .text
                    .lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty())
                {
                    for (path, text) in script_files(Path::new(path))? {
                        sources.insert(path, text);
                    }
                }
            }
            _ => {}
        }
    }
    sources.insert(PathBuf::from(file), sql);
    script::parse(sources)
        .map(Arc::new)
        .map_err(|faults| faults.to_string())
}

/// A script file, or every one below a folder; paths are relative to the top.
fn script_files(path: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let full = top.join(path);
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let files: Vec<PathBuf> = match full.is_dir() {
        true => {
            let pattern = full.join("**/*.sql");
            let files = glob::glob(&pattern.to_string_lossy()).map_err(|error| failed(&error))?;
            files
                .collect::<Result<_, _>>()
                .map_err(|error| failed(&error))?
        }
        false => vec![full],
    };
    let read = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
        Ok((file.strip_prefix(top).unwrap_or(file).to_owned(), text))
    };
    files.iter().map(read).collect()
}

/// The changes of an epoch as rows, each as often as it changed, with a sign each.
fn changes(snapshot: &Snapshot, view: &str) -> Option<(RecordBatch, Option<Vec<&'static str>>)> {
    let (rows, diffs) = snapshot.changes(view)?;
    let (mut indices, mut signs) = (Vec::new(), Vec::new());
    for (row, diff) in diffs.iter().enumerate() {
        for _ in 0..diff.unsigned_abs() {
            indices.push(row as u64);
            signs.push(if *diff > 0 { "+" } else { "-" });
        }
    }
    let rows = take_record_batch(&rows, &UInt64Array::from(indices)).expect("indices are in range");
    Some((rows, Some(signs)))
}

/// Compares a Markdown table with rows; the error shows both as one diff.
fn expect(table: &str, found: &RecordBatch, signs: Option<&[&str]>) -> Result<(), String> {
    let mut lines = table.lines().filter(|line| !line.trim().is_empty());
    let header = split_row(lines.next().ok_or("the table has no header")?)?;
    let rule = split_row(
        lines
            .next()
            .ok_or("the table has no rule under its header")?,
    )?;
    if !rule
        .iter()
        .all(|cell| cell.contains('-') && cell.chars().all(|c| "-: ".contains(c)))
    {
        return Err("the table's second line is not a rule like |---|---|".to_owned());
    }
    let expected: Vec<Vec<String>> = lines.map(split_row).collect::<Result<_, _>>()?;
    if let Some(row) = expected.iter().find(|row| row.len() != header.len()) {
        return Err(format!(
            "a row has {} cells, the header {}",
            row.len(),
            header.len()
        ));
    }
    let columns: Vec<Cells> = header
        .iter()
        .enumerate()
        .map(|(index, name)| Cells::new(name, index, found, signs))
        .collect::<Result<_, _>>()?;

    let mut unmatched: Vec<usize> = (0..found.num_rows()).collect();
    let mut diff = String::new();
    let mut same = true;
    for row in &expected {
        let equal = |found: &usize| {
            columns
                .iter()
                .zip(row)
                .all(|(column, cell)| column.matches(*found, cell))
        };
        match unmatched.iter().position(equal) {
            Some(partner) => {
                unmatched.remove(partner);
                push_row(&mut diff, ' ', row);
            }
            None => {
                same = false;
                push_row(&mut diff, '-', row);
            }
        }
    }
    for row in &unmatched {
        same = false;
        let cells: Vec<String> = columns
            .iter()
            .map(|column| column.texts[*row].clone())
            .collect();
        push_row(&mut diff, '+', &cells);
    }
    if same {
        return Ok(());
    }
    let mut shown = "(- expected, + found)\n".to_owned();
    push_row(&mut shown, ' ', &header);
    push_row(&mut shown, ' ', &vec!["---".to_owned(); header.len()]);
    Err(shown + &diff)
}

fn push_row(text: &mut String, mark: char, cells: &[String]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    writeln!(text, "{mark} | {} |", cells.join(" | ")).expect("a String takes any text");
}

/// The cells of a row of a Markdown table; `\|` is a bar that does not end a cell.
fn split_row(line: &str) -> Result<Vec<String>, String> {
    let inner = line
        .trim()
        .strip_prefix('|')
        .and_then(|line| line.strip_suffix('|'));
    let inner = inner.ok_or_else(|| format!("not a row of a table: {line}"))?;
    let mut cells = vec![String::new()];
    let mut characters = inner.chars().peekable();
    while let Some(character) = characters.next() {
        let cell = cells.last_mut().expect("there is always a cell");
        match character {
            '\\' if characters.next_if_eq(&'|').is_some() => cell.push('|'),
            '|' => cells.push(String::new()),
            other => cell.push(other),
        }
    }
    Ok(cells.iter().map(|cell| cell.trim().to_owned()).collect())
}

/// A column of found values as the `table` output prints them.
struct Cells {
    data_type: DataType,
    texts: Vec<String>,
}

impl Cells {
    fn new(
        name: &str,
        index: usize,
        found: &RecordBatch,
        signs: Option<&[&str]>,
    ) -> Result<Self, String> {
        if let (SIGN_COLUMN, 0, Some(signs)) = (name, index, signs) {
            let texts = signs.iter().map(|sign| (*sign).to_owned()).collect();
            return Ok(Self {
                data_type: DataType::Utf8,
                texts,
            });
        }
        if index == 0 && signs.is_some() {
            return Err(format!("the first column of changes is \"{SIGN_COLUMN}\""));
        }
        let column: &ArrayRef = found.column_by_name(name).ok_or_else(|| {
            let schema = found.schema();
            let names: Vec<&str> = schema
                .fields()
                .iter()
                .map(|field| &**field.name())
                .collect();
            format!("there is no column \"{name}\" among {}", names.join(", "))
        })?;
        let values = Column::new(column.as_ref()).map_err(|error| error.to_string())?;
        let text = |row| cell::escape_controls(&values.text(row)).trim().to_owned();
        let texts = (0..found.num_rows()).map(text).collect();
        Ok(Self {
            data_type: column.data_type().clone(),
            texts,
        })
    }

    /// Whether a found value is what a cell says. Numbers may be written with more or fewer zeros
    /// at their end, and floats with rounding.
    fn matches(&self, row: usize, cell: &str) -> bool {
        let found = self.texts[row].as_str();
        if found == cell {
            return true;
        }
        if found.is_empty() || cell.is_empty() {
            return false;
        }
        if self.data_type.is_floating() {
            let pair = (found.parse::<f64>(), cell.parse::<f64>());
            return matches!(pair, (Ok(found), Ok(cell)) if floats_close(found, cell));
        }
        self.data_type.is_numeric() && without_end_zeros(found) == without_end_zeros(cell)
    }
}

fn without_end_zeros(number: &str) -> &str {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    }
}

/// That a scenario which is wrong fails.
fn own_tests() -> Vec<Trial> {
    let program = "```sql\nCREATE TABLE t (a BIGINT, b TEXT);\n\
        CREATE MATERIALIZED VIEW v AS SELECT a, b FROM t;\n```\n\
        ```jsonl t\n{\"a\": 1, \"b\": \"x\"}\n{\"a\": 2}\n```\n";
    let case = |name: &str, expectation: &str, diff: Option<&'static str>| {
        let text = format!("{program}{expectation}");
        Trial::test(format!("runner: {name}"), move || {
            let outcome = blocks(&text)
                .map_err(|(line, message)| format!("{line}: {message}"))
                .and_then(|blocks| play(&blocks, 1, "own.md"));
            match (diff, outcome) {
                (None, outcome) => outcome.map_err(Failed::from),
                (Some(part), Err(message)) if message.contains(part) => Ok(()),
                (Some(part), outcome) => Err(format!("no {part:?} in {outcome:?}").into()),
            }
        })
    };
    vec![
        case(
            "right",
            "```view v\n| b | a |\n|---|---|\n| | 2 |\n| x | 1 |\n```\n",
            None,
        ),
        case(
            "changes",
            "```changes v\n| +/- | a |\n|---|---|\n| + | 2 |\n| + | 1 |\n```\n",
            None,
        ),
        case(
            "wrong value",
            "```view v\n| a |\n|---|\n| 1 |\n| 3 |\n```\n",
            Some("- | 3 |\n+ | 2 |"),
        ),
        case(
            "row too many",
            "```view v\n| a |\n|---|\n| 1 |\n| 2 |\n| 2 |\n```\n",
            Some("- | 2 |"),
        ),
        case(
            "no such column",
            "```view v\n| c |\n|---|\n```\n",
            Some("no column \"c\""),
        ),
        case(
            "no such view",
            "```view w\n| c |\n|---|\n```\n",
            Some("no view \"w\""),
        ),
        case("nothing expected", "", Some("expects nothing")),
        case(
            "unknown block",
            "```views v\n```\n",
            Some("no scenario block"),
        ),
    ]
}
