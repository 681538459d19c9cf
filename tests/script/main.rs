//! What scripts say and what is wrong with them: every fault's words, place and help.

mod options;
mod programs;
mod tables;
mod views;

use std::path::PathBuf;
use std::sync::Arc;

use tillrace::script::{Fault, Faults, Origin, Script, Sources, parse};

fn script(text: &str) -> Script {
    parse(text.into()).unwrap_or_else(|faults| panic!("{faults}"))
}

fn faults(text: &str) -> Faults {
    parse(text.into()).expect_err("the script has a fault")
}

fn program(files: &[(&str, &str)]) -> Result<Script, Faults> {
    let mut sources = Sources::default();
    for (file, text) in files {
        sources.insert(PathBuf::from(file), (*text).to_string());
    }
    parse(sources)
}

/// What is underlined, the message and the help of a script's only fault. The script marks with
/// `«` and `»` what should be underlined.
#[track_caller]
fn check_fault(marked: &str, message: &str, help: &str) {
    let start = marked.find('«').expect("the text marks a fault");
    let end = marked.find('»').expect("the text marks a fault");
    let before = &marked[..start];
    let underlined = &marked[start + '«'.len_utf8()..end];
    let text = marked.replace(['«', '»'], "");
    let found = faults(&text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    let expected = Fault {
        origin: Origin {
            file: "<text>".into(),
            line: line as u64,
            column: column as u64,
        },
        length: underlined.chars().count(),
        message: message.to_string(),
        help: (!help.is_empty()).then(|| help.to_string()),
    };
    assert_eq!(found.faults, [expected], "\n{found}");
}

fn names<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
    names.into_iter().map(String::as_str).collect()
}

fn view_names(script: &Script) -> Vec<&str> {
    names(script.views.iter().map(|view| &view.name))
}

#[test]
fn rendering_shows_message_place_text_help_and_count() {
    let text =
        "CREATE TABLE orders (id TEXT);\nCREATE VIEW v AS\n  SELECT * FROM ordesr;\nDROP TABLE x;";
    let expected = "\
error: there is no table or view `ordesr`
 --> <text>:3:17
  |
3 |   SELECT * FROM ordesr;
  |                 ^^^^^^
  |
  = help: write `orders`

error: DROP is not a statement of a script
 --> <text>:4:1
  |
4 | DROP TABLE x;
  | ^^^^
  |
  = help: leave it out, and with it the statement that creates the name

2 faults";
    let faults = faults(text);
    assert_eq!(faults.render(false), expected);
    assert_eq!(faults.to_string(), expected);
    let colored = faults.render(true);
    assert!(
        colored.contains("\u{1b}[") && colored.contains("ordesr"),
        "{colored}"
    );
}

#[test]
fn faults_are_ordered_by_place_and_counted_by_file() {
    let faults = program(&[
        ("b.sql", "DROP TABLE x;\nSET a = 1; SELECT 1;"),
        ("a.sql", "INSERT INTO x VALUES (1);"),
    ])
    .unwrap_err();
    let places = faults.faults.iter().map(|fault| {
        let Origin { file, line, column } = &fault.origin;
        format!("{}:{line}:{column}", file.display())
    });
    assert_eq!(
        places.collect::<Vec<_>>(),
        ["a.sql:1:1", "b.sql:1:1", "b.sql:2:1", "b.sql:2:12"]
    );
    assert!(
        faults.to_string().ends_with("4 faults in 2 files"),
        "{faults}"
    );
    let again = Faults::new(
        faults
            .faults
            .iter()
            .rev()
            .chain(&faults.faults)
            .cloned()
            .collect(),
        Arc::clone(&faults.sources),
    );
    assert_eq!(again, faults, "repeated faults are left out");
}
