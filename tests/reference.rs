//! Replays whole public data sets through the binary and compares its answers with those that
//! others computed; `tests/reference/README.md` says which views, which files and how.
//!
//! The data is not part of the repository. Without it the tests say that they skip.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn online_retail() {
    let scripts = [
        "dataflows/adapters/online_retail.sql",
        "tests/reference/online_retail.sql",
    ];
    check("online_retail", &scripts);
}

#[test]
fn foodmart() {
    check("foodmart", &["tests/reference/foodmart.sql"]);
}

/// Through the adapter, with all of the pack's views over it.
#[test]
fn rees46_sample() {
    check(
        "rees46_sample",
        &["dataflows", "tests/reference/rees46.sql"],
    );
}

#[test]
fn retentioneering_ecom() {
    let scripts = ["dataflows", "tests/reference/retentioneering.sql"];
    check("retentioneering_ecom", &scripts);
}

/// Rows and how often each occurs, each row's cells in the order of some columns.
type Rows = BTreeMap<Vec<String>, usize>;

fn check(set: &str, scripts: &[&str]) {
    let Some(data) = data_folder(set) else {
        eprintln!("skipped {set}: neither TILLRACE_REFERENCE_DATA nor ../shared/data has it");
        return;
    };
    let (inputs, answers) = section(set);
    assert!(
        !inputs.is_empty() && !answers.is_empty(),
        "the README lists inputs and answers"
    );
    let out = tempfile::tempdir().expect("a temporary folder");
    replay(scripts, &inputs, &data, out.path());

    let mut wrong = Vec::new();
    for (view, answer) in &answers {
        let expected = records(&read(&data.join(answer)));
        let found = records(&read(&out.path().join(format!("{view}.csv"))));
        assert!(expected.len() > 1, "{answer} has no rows");
        if let Some(difference) = difference(&expected, &found) {
            wrong.push(format!("{view} is not {answer}\n{difference}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ\n{}",
        wrong.len(),
        answers.len(),
        wrong.join("\n")
    );
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn data_folder(set: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("TILLRACE_REFERENCE_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => top().join("../shared/data"),
    };
    Some(folder.join(set)).filter(|folder| folder.is_dir())
}

/// Names, each with a file.
type Files = Vec<(String, String)>;

/// The two tables of a data set's section in the README: inputs by table, answers by view.
fn section(set: &str) -> (Files, Files) {
    let text = fs::read_to_string(top().join("tests/reference/README.md")).expect("the README");
    let section = text.split("\n## ").find(|section| section.starts_with(set));
    let (mut inputs, mut answers) = (Vec::new(), Vec::new());
    let mut of_answers = false;
    for line in section.expect("a section a data set").lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match cells[..] {
            ["table", "file"] => of_answers = false,
            ["view", "answer"] => of_answers = true,
            [name, file] if line.starts_with('|') && !name.starts_with("---") => {
                let rows = if of_answers {
                    &mut answers
                } else {
                    &mut inputs
                };
                rows.push((name.to_owned(), file.to_owned()));
            }
            _ => {}
        }
    }
    (inputs, answers)
}

fn replay(scripts: &[&str], inputs: &[(String, String)], data: &Path, out: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tillrace"));
    command
        .current_dir(top())
        .arg("replay")
        .args(scripts)
        .args(["--format", "csv", "--strict"]);
    command.arg("--out").arg(out);
    for (table, file) in inputs {
        command
            .arg("--input")
            .arg(format!("{table}={}", data.join(file).display()));
    }
    let output = command.output().expect("the binary runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn read(path: &Path) -> String {
    read_text(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?;
    if path.extension().is_some_and(|extension| extension == "zst") {
        zstd::Decoder::new(file)?.read_to_string(&mut text)?;
    } else {
        file.read_to_string(&mut text)?;
    }
    Ok(text)
}

/// The records of a CSV text, that of the names first.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            other => field.push(other),
        }
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    records
}

/// What distinguishes the found records from the expected ones, as far as the columns of those go.
fn difference(expected: &[Vec<String>], found: &[Vec<String>]) -> Option<String> {
    let plain = |name: &String| name.to_lowercase().replace('_', "");
    let names: Vec<String> = found[0].iter().map(plain).collect();
    let mut columns = Vec::new();
    for name in &expected[0] {
        match names.iter().position(|found| *found == plain(name)) {
            Some(column) => columns.push(column),
            None => return Some(format!("  there is no column {name}")),
        }
    }
    let all: Vec<usize> = (0..columns.len()).collect();
    let (expected, found) = (rows(&expected[1..], &all), rows(&found[1..], &columns));
    let only_in = |one: &Rows, other: &Rows, mark: char| -> Vec<String> {
        let missing = one
            .iter()
            .filter(|(row, count)| other.get(*row) != Some(count));
        missing
            .take(5)
            .map(|(row, count)| format!("  {mark} {} x{count}", row.join(" | ")))
            .collect()
    };
    let mut lines = only_in(&expected, &found, '-');
    lines.extend(only_in(&found, &expected, '+'));
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn rows(records: &[Vec<String>], columns: &[usize]) -> Rows {
    let mut rows = Rows::new();
    for record in records {
        let row = columns
            .iter()
            .map(|&column| value(&record[column]))
            .collect();
        *rows.entry(row).or_default() += 1;
    }
    rows
}

/// A cell so that equal values have equal texts: a decimal number without zeros at its end.
fn value(cell: &str) -> String {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    let decimal = digits
        .split_once('.')
        .is_some_and(|(whole, rest)| [whole, rest].iter().all(|part| is_digits(part)));
    if !decimal {
        return cell.to_owned();
    }
    cell.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
