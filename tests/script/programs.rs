//! Whole programs: order, circles, names, comments, files, and that reading never panics.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use tillrace::script::{LoadError, Script, load, near, parse};

use crate::{check_fault, faults, names, program, script, view_names};

#[test]
fn views_follow_what_they_read_across_files() {
    let script = program(&[
        (
            "1.sql",
            "CREATE MATERIALIZED VIEW top AS SELECT * FROM middle, other; CREATE VIEW alone AS SELECT 1;",
        ),
        ("2.sql", "CREATE VIEW middle AS SELECT * FROM base; CREATE TABLE items (x INT);"),
        (
            "3.sql",
            "CREATE VIEW base AS SELECT * FROM orders; CREATE VIEW other AS SELECT x FROM items
                 WHERE x = (SELECT MAX(x) FROM base);
             CREATE TABLE orders (x INT);",
        ),
    ])
    .unwrap();
    assert_eq!(
        view_names(&script),
        ["base", "middle", "other", "top", "alone"]
    );
    assert_eq!(
        names(script.tables.iter().map(|table| &table.name)),
        ["items", "orders"]
    );
    assert_eq!(
        script
            .view("middle")
            .map(|(at, view)| (at, view.sql.as_str())),
        { Some((1, "SELECT * FROM base")) }
    );
    assert_eq!(
        script.view("middle").unwrap().1.origin.file,
        PathBuf::from("2.sql")
    );
}

#[test]
fn circles_are_named_whole() {
    check_fault(
        "CREATE VIEW a AS SELECT * FROM «b»;
         CREATE VIEW b AS SELECT * FROM c WHERE 1 IN (SELECT 1 FROM d);
         CREATE VIEW c AS SELECT * FROM a;
         CREATE VIEW d AS SELECT 1;",
        "views read each other in a circle: a -> b -> c -> a",
        "let `a` or another of them read something else",
    );
    check_fault(
        "CREATE VIEW a AS SELECT * FROM «a»;",
        "view `a` reads itself",
        "write WITH RECURSIVE inside the query, or read a table",
    );
    let found = faults(
        "CREATE VIEW x AS SELECT * FROM y, z; CREATE VIEW y AS SELECT * FROM x;
         CREATE VIEW z AS SELECT * FROM x;",
    );
    let messages = names(found.faults.iter().map(|fault| &fault.message));
    assert_eq!(
        messages,
        [
            "views read each other in a circle: x -> y -> x",
            "views read each other in a circle: x -> z -> x"
        ]
    );
}

#[test]
fn a_name_is_created_once() {
    let found = program(&[
        ("shop/a.sql", "CREATE TABLE orders (x INT);"),
        ("shop/b.sql", "\nCREATE VIEW Orders AS SELECT 1;"),
    ])
    .unwrap_err();
    assert_eq!(
        found.to_string(),
        "\
error: `orders` is created twice
 --> shop/b.sql:2:13
  |
2 | CREATE VIEW Orders AS SELECT 1;
  |             ^^^^^^
  |
  = help: it is created first at shop/a.sql:1:14; rename one of them or leave it out

1 fault"
    );
    let script = script("CREATE TABLE orders (x INT); CREATE TABLE \"Orders\" (x INT);");
    assert_eq!(script.tables.len(), 2, "a quoted name is kept as it is");
}

#[test]
fn comments_are_attached() {
    let script = script(
        "COMMENT ON COLUMN t.\"Price\" IS 'net';
         COMMENT ON TABLE t IS 'it''s a table';
         CREATE TABLE t (x INT, \"Price\" INT);
         CREATE VIEW v AS SELECT x, \"Price\" AS p FROM t;
         COMMENT ON VIEW v IS 'a view'; COMMENT ON COLUMN v.p IS 'price';
         CREATE MATERIALIZED VIEW m (a) AS SELECT * FROM t;
         COMMENT ON MATERIALIZED VIEW m IS 'kept'; COMMENT ON COLUMN m.a IS 'renamed';
         CREATE MATERIALIZED VIEW w AS SELECT * FROM t;
         COMMENT ON VIEW w IS 'also kept'; COMMENT ON COLUMN w.any IS 'known when it is planned';",
    );
    let (_, table) = script.table("t").unwrap();
    assert_eq!(table.comment.as_deref(), Some("it's a table"));
    assert_eq!(table.columns[1].comment.as_deref(), Some("net"));
    let comments = |name: &str| {
        let (_, view) = script.view(name).unwrap();
        let columns = view
            .column_comments
            .iter()
            .map(|(name, text)| format!("{name}: {text}"));
        (
            view.comment.clone().unwrap_or_default(),
            columns.collect::<Vec<_>>().join(", "),
        )
    };
    assert_eq!(comments("v"), ("a view".into(), "p: price".into()));
    assert_eq!(comments("m"), ("kept".into(), "a: renamed".into()));
    assert_eq!(
        comments("w"),
        ("also kept".into(), "any: known when it is planned".into())
    );
}

#[test]
fn comments_on_what_is_not_there_are_refused() {
    const START: &str =
        "CREATE TABLE orders (price INT); CREATE VIEW v AS SELECT price AS p FROM orders;
        COMMENT ON TABLE orders IS 'the first';\n";
    let check = |comment: &str, message: &str, help: &str| {
        check_fault(&format!("{START}COMMENT ON {comment};"), message, help);
    };
    check(
        "TABLE «ordres» IS 'x'",
        "there is no table or view `ordres`",
        "write `orders`",
    );
    check(
        "VIEW «orders» IS 'x'",
        "`orders` is a table",
        "write COMMENT ON TABLE orders",
    );
    check(
        "TABLE «v» IS 'x'",
        "`v` is a view",
        "write COMMENT ON VIEW v",
    );
    check(
        "MATERIALIZED VIEW «v» IS 'x'",
        "`v` is a view",
        "write COMMENT ON VIEW v",
    );
    check(
        "COLUMN orders.«prize» IS 'x'",
        "table `orders` has no column `prize`",
        "write `price`",
    );
    check(
        "COLUMN v.«price» IS 'x'",
        "view `v` has no column `price`",
        "its columns are `p`",
    );
    check(
        "TABLE «orders» IS 'x'",
        "`orders` has a comment already",
        "leave one of the comments out",
    );
    check(
        "COLUMN «price» IS 'x'",
        "this does not name one thing",
        "write COMMENT ON COLUMN table.column IS '...'",
    );
    check(
        "«INDEX» i IS 'x'",
        "expected `TABLE`, `VIEW`, `MATERIALIZED VIEW` or `COLUMN`, found `INDEX`",
        "",
    );
}

#[test]
fn files_and_folders_make_one_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("metrics/deep")).unwrap();
    fs::create_dir_all(path("empty")).unwrap();
    fs::write(path("tables.sql"), "\u{feff}CREATE TABLE orders (x INT);").unwrap();
    fs::write(path("metrics/b.sql"), "CREATE VIEW b AS SELECT x FROM a;").unwrap();
    fs::write(
        path("metrics/deep/a.SQL"),
        "CREATE VIEW a AS SELECT x FROM orders;",
    )
    .unwrap();
    fs::write(path("metrics/README.md"), "not a script").unwrap();
    fs::write(path("metrics/.hidden.sql"), "not read").unwrap();
    let script = load(&[path("tables.sql"), path("metrics"), path("metrics/b.sql")]).unwrap();
    assert_eq!(view_names(&script), ["a", "b"]);
    assert_eq!(script.sources.iter().count(), 3);
    assert!(matches!(load(&[]), Ok(Script { .. })));

    let refused = |name: &str| load(&[path(name)]).unwrap_err();
    let missing = refused("missing.sql");
    assert!(
        missing.to_string().starts_with("could not read script"),
        "{missing}"
    );
    assert!(missing.to_string().contains("missing.sql"), "{missing}");
    let empty = refused("empty");
    assert!(
        matches!(&empty, LoadError::NoScripts { path } if path.ends_with("empty")),
        "{empty}"
    );
    fs::write(path("bytes.sql"), b"SELECT \xff").unwrap();
    assert!(matches!(refused("bytes.sql"), LoadError::Io { .. }));
    let alone = refused("metrics/b.sql");
    assert!(
        matches!(&alone, LoadError::Faults(faults) if faults.faults.len() == 1),
        "{alone}"
    );
    assert!(
        alone.to_string().contains("there is no table or view `a`"),
        "{alone}"
    );
}

#[test]
fn near_names_are_found() {
    let columns = ["order_id", "product_id", "event_time", "unit_price", "at"];
    assert_eq!(near("product_idd", columns).as_deref(), Some("product_id"));
    assert_eq!(near("ORDERID", columns).as_deref(), Some("order_id"));
    assert_eq!(near("oredr_id", columns).as_deref(), Some("order_id"));
    assert_eq!(near("price", columns).as_deref(), Some("unit_price"));
    assert_eq!(
        near("event_time_utc", columns).as_deref(),
        Some("event_time")
    );
    assert_eq!(near("customer", columns), None);
    assert_eq!(near("x", columns), None);
    assert_eq!(near("", columns), None);
}

#[test]
fn deep_nesting_is_a_fault() {
    let text = format!(
        "CREATE VIEW v AS SELECT {}1{};",
        "(".repeat(500),
        ")".repeat(500)
    );
    let found = faults(&text);
    assert_eq!(found.faults[0].message, "this is nested too deeply");
}

#[test]
fn long_chains_of_operators_are_a_fault() {
    let chain = |operators: usize| format!("CREATE VIEW v AS SELECT 1{}", " + 1".repeat(operators));
    assert_eq!(view_names(&script(&chain(1_000))), ["v"]);
    check_fault(
        &format!("{} «+» 1 + 1", chain(1_000)),
        "a query has at most 1000 operators",
        "give parts of it names of their own with CREATE VIEW, or write IN (...)",
    );
}

/// A script that uses every part of the language.
const WHOLE: &str = r#"CREATE TABLE orders (id TEXT PRIMARY KEY, "Größe" DECIMAL(9, 2) NOT NULL COMMENT 'it''s',
  lines STRUCT<sku TEXT, tags ARRAY<TEXT>>[], at TIMESTAMP, gone BOOLEAN)
  WITH (event_time = 'at', deleted = 'gone', time_unit = 's', fields = 'id = a.b | "c d", at = ts');
CREATE TABLE seen (id TEXT, at DATE) WITH (dedup = 'id', event_time = 'at', dedup_horizon = '7 days');
/* a comment */ COMMENT ON TABLE orders IS 'texts'; COMMENT ON COLUMN seen.id IS NULL;
CREATE VIEW big (a, b) AS WITH o AS (SELECT * FROM orders WHERE "Größe" > 1e3) -- why
  SELECT id, COUNT(*) FROM o GROUP BY id HAVING COUNT(*) > 1;
CREATE MATERIALIZED VIEW shown WITH (chart = 'bar', threshold = -1.5) AS
  SELECT b.a, s.at FROM big b LEFT JOIN seen s ON s.id = b.a, tillrace.inputs ORDER BY 1 LIMIT 3;
"#;

/// Bits of text that scripts are mutated with.
const BITS: [&str; 24] = [
    "'",
    "\"",
    "`",
    ";",
    "(",
    ")",
    ",",
    "--",
    "/*",
    "*/",
    "$$",
    "<",
    ">>",
    "[",
    "]",
    ".",
    "\n",
    "CREATE ",
    "VIEW ",
    "WITH ",
    " AS ",
    "é",
    "\u{0}",
    "COMMENT ON ",
];

/// A change to a text: where, how many characters go, and which bit comes.
fn mutations() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, usize)>> {
    prop::collection::vec(
        (any::<prop::sample::Index>(), 0..12_usize, 0..=BITS.len()),
        1..6,
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn mutated_scripts_never_panic(mutations in mutations()) {
        let mut letters = WHOLE.chars().collect::<Vec<_>>();
        for (at, gone, bit) in mutations {
            let at = at.index(letters.len() + 1);
            let end = (at + gone).min(letters.len());
            letters.splice(at..end, BITS.get(bit).copied().unwrap_or_default().chars());
        }
        let text = letters.into_iter().collect::<String>();
        check_never_silent(&text)?;
    }

    #[test]
    fn any_text_never_panics(text in "\\PC*") {
        check_never_silent(&text)?;
    }
}

/// Reads a text; faults must lie inside it and be shown with it.
fn check_never_silent(text: &str) -> Result<(), TestCaseError> {
    if let Err(found) = parse(text.into()) {
        prop_assert!(!found.faults.is_empty());
        let shown = found.render(false);
        for fault in &found.faults {
            prop_assert!(fault.length > 0 && fault.origin.line > 0 && fault.origin.column > 0);
            prop_assert!(
                fault.origin.line <= text.lines().count() as u64 + 1,
                "{fault:?}"
            );
            prop_assert!(
                shown.contains(&format!("<text>:{}:", fault.origin.line)),
                "{shown}"
            );
        }
    }
    Ok(())
}

#[test]
fn the_whole_language_is_accepted() {
    assert_eq!(view_names(&script(WHOLE)), ["big", "shown"]);
}
