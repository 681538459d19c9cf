//! Cases chosen by hand, where engines are known to go wrong.
//!
//! Events are lines `table + {json}` or `table - {json}`; `now TIME` sets the clock; a blank line
//! closes an epoch.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use tillrace::catalog::Snapshot;
use tillrace::decode::Decoder;
use tillrace::engine::{Config, Engine};
use tillrace::oracle;
use tillrace::script::{Script, Table};
use tillrace::source::{Block, Format, OpenInput};

use crate::trial::planned;

/// What there is after an epoch.
struct Epoch<'a> {
    number: usize,
    script: &'a Script,
    snapshot: &'a Snapshot,
    contents: &'a [RecordBatch],
    now: Option<i64>,
}

/// Plays events on one and on four workers and hands each epoch's answers and the tables' contents
/// to `look`.
#[track_caller]
fn play(sql: &str, events: &str, mut look: impl FnMut(&Epoch<'_>)) {
    let plan = planned(sql).unwrap_or_else(|faults| panic!("{faults}"));
    let script = plan.script.clone();
    for workers in [1, 4] {
        let config = Config {
            workers,
            ..Config::default()
        };
        let engine = Engine::start(plan.clone(), config).expect("the engine starts");
        let mut now = None;
        let mut arrived: Vec<Vec<&str>> = vec![Vec::new(); script.tables.len()];
        for (number, epoch) in events.trim().split("\n\n").enumerate() {
            for line in epoch.lines().map(str::trim).filter(|line| !line.is_empty()) {
                match line.strip_prefix("now ") {
                    Some(time) => now = Some(string_to_timestamp_nanos(time).expect("a time")),
                    None => push(&engine, &script, &mut arrived, line),
                }
            }
            let snapshot = match now {
                Some(now) => engine.advance_to(now),
                None => engine.advance(),
            };
            let snapshot = snapshot.expect("the epoch closes");
            let tables = script.tables.iter().zip(&arrived);
            let contents: Vec<RecordBatch> = tables
                .map(|(table, lines)| {
                    oracle::contents(table, &[rows(table, lines)]).expect("rows compare")
                })
                .collect();
            look(&Epoch {
                number,
                script: &script,
                snapshot: &snapshot,
                contents: &contents,
                now,
            });
        }
        engine.stop().expect("the engine stops");
    }
}

fn push<'a>(engine: &Engine, script: &Script, arrived: &mut [Vec<&'a str>], line: &'a str) {
    let (name, rest) = line.split_once(' ').expect("a line begins with a table");
    let (sign, record) = rest.split_once(' ').expect("then comes a sign");
    let (position, table) = script.table(name).expect("the table exists");
    let batch = rows(table, &[record]);
    match sign {
        "+" => {
            arrived[position].push(record);
            engine.insert(name, batch).expect("the row fits");
        }
        "-" => {
            let there = arrived[position].iter().position(|row| *row == record);
            arrived[position].remove(there.expect("only rows that are there are taken back"));
            engine.update(name, batch, vec![-1]).expect("the row fits");
        }
        _ => panic!("neither + nor -: {line}"),
    }
}

/// Records as rows with all of a table's columns.
fn rows(table: &Table, records: &[&str]) -> RecordBatch {
    let columns: Vec<usize> = (0..table.columns.len()).collect();
    let input = OpenInput::pushed("case", &table.name, Format::Json);
    let mut decoder = Decoder::new(table, &columns, &input, 0).expect("the table can be decoded");
    let text = records.join("\n").into_bytes();
    let block = Block::pushed(0, Arc::new(PathBuf::from("case")), 0, text);
    let decoded = decoder.decode(&block).expect("the records can be decoded");
    assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
    concat_batches(&table.schema(), &[decoded.batch]).expect("the rows fit the table")
}

/// After every epoch every view equals the batch answer.
#[track_caller]
pub fn agrees(sql: &str, events: &str) {
    play(sql, events, |epoch| {
        let answers = oracle::answers_at(epoch.script, epoch.contents, epoch.now);
        let answers = answers.expect("the tables can be registered");
        for (view, expected) in answers {
            let expected = expected.unwrap_or_else(|error| panic!("{view}: {error}"));
            let Some(found) = epoch.snapshot.rows(&view) else {
                continue;
            };
            if let Some(difference) = oracle::compare(&expected, &found).expect("rows compare") {
                panic!("{view} after epoch {}:\n{difference}", epoch.number);
            }
        }
    });
}

/// After every epoch each two views have the same rows.
#[track_caller]
pub fn same(sql: &str, events: &str, pairs: &[(&str, &str)]) {
    play(sql, events, |epoch| {
        for (one, other) in pairs {
            assert_eq!(
                shown(epoch.snapshot, one),
                shown(epoch.snapshot, other),
                "{one} and {other} after epoch {}",
                epoch.number
            );
        }
    });
}

/// After the last epoch a view has these rows, and so many records are rejects for this reason.
#[track_caller]
pub fn ends(sql: &str, events: &str, view: &str, expected: &[&str], rejects: usize, reason: &str) {
    let last = events.trim().split("\n\n").count() - 1;
    play(sql, events, |epoch| {
        let snapshot = epoch.snapshot;
        if epoch.number < last {
            return;
        }
        assert_eq!(shown(snapshot, view), expected);
        let told = shown(snapshot, "tillrace.rejects");
        assert_eq!(told.len(), rejects, "{told:?}");
        assert!(
            told.iter().all(|row| row.contains(reason)),
            "no {reason:?} in {told:?}"
        );
    });
}

fn shown(snapshot: &Snapshot, view: &str) -> Vec<String> {
    let rows = snapshot.rows(view).expect("the view exists");
    let show = |row| oracle::show_row(&rows, row).expect("rows can be shown");
    (0..rows.num_rows()).map(show).collect()
}

#[test]
fn null_keys() {
    agrees(
        "CREATE TABLE t (k TEXT, n BIGINT);
         CREATE TABLE u (k TEXT, m BIGINT);
         CREATE MATERIALIZED VIEW grouped AS SELECT k, count(*) AS c, sum(n) AS s FROM t GROUP BY k;
         CREATE MATERIALIZED VIEW joined AS SELECT t.k, n, m FROM t JOIN u ON t.k = u.k;
         CREATE MATERIALIZED VIEW kept AS SELECT t.k, n, m FROM t LEFT JOIN u ON t.k = u.k;
         CREATE MATERIALIZED VIEW either AS SELECT t.k AS a, u.k AS b FROM t FULL JOIN u ON t.k = u.k;
         CREATE MATERIALIZED VIEW same AS
           SELECT t.k, n, m FROM t JOIN u ON t.k IS NOT DISTINCT FROM u.k;
         CREATE MATERIALIZED VIEW semi AS SELECT k, n FROM t WHERE k IN (SELECT k FROM u);
         CREATE MATERIALIZED VIEW absent AS
           SELECT k, n FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.k = t.k);
         CREATE MATERIALIZED VIEW once AS SELECT DISTINCT k FROM t;
         CREATE MATERIALIZED VIEW rest AS SELECT k FROM t EXCEPT SELECT k FROM u;",
        r#"
        t + {"k": null, "n": 1}
        t + {"k": null, "n": null}
        t + {"k": "a", "n": null}
        u + {"k": "a", "m": 1}

        u + {"k": null, "m": 2}

        u + {"k": null, "m": 2}
        t - {"k": null, "n": 1}

        t - {"k": null, "n": null}
        t - {"k": "a", "n": null}"#,
    );
}

#[test]
fn not_a_number_and_negative_zero() {
    agrees(
        "CREATE TABLE t (x TEXT, k BIGINT);
         CREATE VIEW d AS SELECT k, CAST(x AS DOUBLE) AS x FROM t;
         CREATE MATERIALIZED VIEW grouped AS SELECT x, count(*) AS c FROM d GROUP BY x;
         CREATE MATERIALIZED VIEW extremes AS
           SELECT min(x) AS least, max(x) AS most, sum(x) AS s, avg(x) AS m FROM d;
         CREATE MATERIALIZED VIEW sums AS SELECT k, sum(x) AS s, avg(x) AS m FROM d GROUP BY k;
         CREATE MATERIALIZED VIEW different AS SELECT count(DISTINCT x) AS c FROM d;
         CREATE MATERIALIZED VIEW pairs AS
           SELECT a.k AS a, b.k AS b FROM d AS a JOIN d AS b ON a.x = b.x;
         CREATE MATERIALIZED VIEW best AS SELECT x, k FROM d ORDER BY x DESC, k LIMIT 2;",
        r#"
        t + {"x": "NaN", "k": 1}
        t + {"x": "NaN", "k": 2}
        t + {"x": "1", "k": 1}

        t + {"x": "-0.0", "k": 3}
        t + {"x": "inf", "k": 1}
        t + {"x": "-inf", "k": 1}

        t - {"x": "NaN", "k": 1}

        t - {"x": "-inf", "k": 1}

        t - {"x": "inf", "k": 1}
        t - {"x": "NaN", "k": 2}"#,
    );
}

/// The batch engine's `max` by group passes over a NaN that is not the first value; in ORDER BY and
/// in `max` without groups NaN is the greatest, and so it is here everywhere.
#[test]
fn nan_is_the_greatest_in_any_order() {
    let sql = "CREATE TABLE t (x TEXT, k BIGINT);
        CREATE MATERIALIZED VIEW extremes AS
          SELECT k, min(CAST(x AS DOUBLE)) AS least, max(CAST(x AS DOUBLE)) AS most
          FROM t GROUP BY k;";
    let events = r#"
        t + {"x": "NaN", "k": 1}
        t + {"x": "2", "k": 1}
        t + {"x": "2", "k": 2}
        t + {"x": "NaN", "k": 2}"#;
    let expected = ["k=1, least=2.0, most=NaN", "k=2, least=2.0, most=NaN"];
    ends(sql, events, "extremes", &expected, 0, "");
    let gone = format!("{events}\n\n        t - {{\"x\": \"NaN\", \"k\": 1}}");
    let expected = ["k=1, least=2.0, most=2.0", "k=2, least=2.0, most=NaN"];
    ends(sql, &gone, "extremes", &expected, 0, "");
}

#[test]
fn empty_groups_and_global_aggregates() {
    agrees(
        "CREATE TABLE t (k TEXT, n BIGINT);
         CREATE MATERIALIZED VIEW by_k AS
           SELECT k, count(*) AS c, min(n) AS a, max(n) AS b, count(DISTINCT n) AS d FROM t GROUP BY k;
         CREATE MATERIALIZED VIEW all_of_it AS
           SELECT count(*) AS c, sum(n) AS s, min(n) AS a, avg(n) AS m, count(DISTINCT n) AS d,
                  max(n) FILTER (WHERE n < 0) AS negative FROM t;
         CREATE MATERIALIZED VIEW many AS SELECT count(*) AS c FROM t HAVING count(*) > 1;
         CREATE MATERIALIZED VIEW over_max AS SELECT k, n FROM t WHERE n >= (SELECT max(n) FROM t);",
        r#"

        t + {"k": "a", "n": 5}

        t + {"k": "a", "n": 7}
        t + {"k": "b", "n": -7}

        t - {"k": "a", "n": 7}

        t - {"k": "a", "n": 5}
        t - {"k": "b", "n": -7}

        t + {"k": "a", "n": 1}
        t - {"k": "a", "n": 1}

        t + {"k": "a", "n": 1}"#,
    );
}

#[test]
fn equal_rows_count_one_by_one() {
    agrees(
        "CREATE TABLE t (n BIGINT);
         CREATE TABLE u (n BIGINT);
         CREATE MATERIALIZED VIEW as_they_are AS SELECT n FROM t;
         CREATE MATERIALIZED VIEW twice AS SELECT n FROM t UNION ALL SELECT n FROM t;
         CREATE MATERIALIZED VIEW once AS SELECT n FROM t UNION SELECT n FROM u;
         CREATE MATERIALIZED VIEW pairs AS SELECT t.n FROM t JOIN u ON t.n = u.n;
         CREATE MATERIALIZED VIEW top AS SELECT n FROM t ORDER BY n LIMIT 3;
         CREATE MATERIALIZED VIEW numbered AS SELECT n FROM
           (SELECT n, row_number() OVER (PARTITION BY n % 2 ORDER BY n) AS r FROM t) WHERE r <= 2;",
        r#"
        t + {"n": 1}
        t + {"n": 1}
        t + {"n": 1}
        t + {"n": 1}
        u + {"n": 1}
        u + {"n": 1}

        t + {"n": 0}
        u - {"n": 1}

        t - {"n": 1}
        t - {"n": 1}

        t - {"n": 1}
        u - {"n": 1}"#,
    );
}

#[test]
fn keys_are_replaced_deleted_and_come_again() {
    agrees(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT, gone BOOLEAN) WITH (deleted = 'gone');
         CREATE TABLE e (id BIGINT, n BIGINT);
         CREATE MATERIALIZED VIEW by_v AS SELECT v, count(*) AS c FROM t GROUP BY v;
         CREATE MATERIALIZED VIEW filed AS
           SELECT t.v, sum(e.n) AS n FROM e LEFT JOIN t ON e.id = t.id GROUP BY t.v;
         CREATE MATERIALIZED VIEW newest AS SELECT max(v) AS v FROM t;",
        r#"
        t + {"id": 1, "v": "a"}
        t + {"id": 1, "v": "b"}
        t + {"id": 2, "v": "a", "gone": true}
        e + {"id": 1, "n": 10}
        e + {"id": 2, "n": 20}

        t + {"id": 1, "v": "b"}
        t + {"id": 2, "v": "a"}
        t + {"id": 2, "v": "c"}

        t + {"id": 2, "v": "c", "gone": true}
        t + {"id": 1, "v": null}

        t + {"id": 2, "v": "z"}
        t + {"id": 2, "gone": true}
        t + {"id": 2, "v": "y", "gone": false}

        t + {"id": 1, "gone": true}
        t + {"id": 2, "gone": true}
        t + {"id": 3, "gone": true}"#,
    );
}

#[test]
fn the_first_of_an_id_is_kept_and_rows_without_id_all() {
    agrees(
        "CREATE TABLE t (id TEXT, n BIGINT) WITH (dedup = 'id');
         CREATE MATERIALIZED VIEW total AS SELECT count(*) AS c, sum(n) AS s FROM t;
         CREATE MATERIALIZED VIEW most AS SELECT max(n) AS n FROM t;",
        r#"
        t + {"id": "a", "n": 1}
        t + {"id": "a", "n": 1}
        t + {"id": "a", "n": 9}
        t + {"n": 2}
        t + {"n": 2}

        t + {"id": "b", "n": 3}
        t + {"id": "a", "n": 100}
        t + {"n": 2}"#,
    );
}

#[test]
fn outer_joins_lose_and_find_partners() {
    agrees(
        "CREATE TABLE t (k BIGINT, n BIGINT);
         CREATE TABLE u (k BIGINT, m BIGINT);
         CREATE MATERIALIZED VIEW l AS SELECT t.k, n, m FROM t LEFT JOIN u ON t.k = u.k AND n < m;
         CREATE MATERIALIZED VIEW r AS SELECT t.k, n, m FROM t RIGHT JOIN u ON t.k = u.k AND n < m;
         CREATE MATERIALIZED VIEW f AS SELECT t.k, n, m FROM t FULL JOIN u ON t.k = u.k AND n < m;
         CREATE MATERIALIZED VIEW product AS SELECT n, m FROM t CROSS JOIN u;
         CREATE MATERIALIZED VIEW less AS SELECT n, m FROM t JOIN u ON n < m;",
        r#"
        t + {"k": 1, "n": 1}
        t + {"k": 1, "n": 1}
        t + {"k": 2, "n": 5}

        u + {"k": 1, "m": 2}
        u + {"k": 1, "m": 3}
        u + {"k": 2, "m": 4}

        u - {"k": 1, "m": 2}

        u - {"k": 1, "m": 3}
        t + {"k": 2, "n": 3}

        t - {"k": 1, "n": 1}
        t - {"k": 1, "n": 1}
        t - {"k": 2, "n": 5}
        t - {"k": 2, "n": 3}"#,
    );
}

#[test]
fn lists_are_unnested() {
    agrees(
        "CREATE TABLE t (id BIGINT, tags TEXT[]);
         CREATE MATERIALIZED VIEW tags AS SELECT id, unnest(tags) AS tag FROM t;
         CREATE MATERIALIZED VIEW counts AS
           SELECT tag, count(*) AS c FROM (SELECT unnest(tags) AS tag FROM t) GROUP BY tag;
         CREATE MATERIALIZED VIEW beside AS
           SELECT id, tag FROM t, LATERAL (SELECT unnest(t.tags) AS tag) AS u;
         CREATE MATERIALIZED VIEW or_none AS
           SELECT id, tag FROM t LEFT JOIN LATERAL (SELECT unnest(t.tags) AS tag) AS u ON true;",
        r#"
        t + {"id": 1, "tags": ["a", "b", null]}
        t + {"id": 2, "tags": []}
        t + {"id": 3, "tags": null}

        t + {"id": 1, "tags": ["a", "b", null]}
        t - {"id": 2, "tags": []}

        t - {"id": 1, "tags": ["a", "b", null]}
        t - {"id": 1, "tags": ["a", "b", null]}"#,
    );
}

#[test]
fn aggregates_with_constant_arguments() {
    agrees(
        "CREATE TABLE t (k TEXT, x DOUBLE);
         CREATE MATERIALIZED VIEW texts AS
           SELECT string_agg(k, '; ' ORDER BY k DESC, x) AS ks, string_agg('a', '') AS marks FROM t;
         CREATE MATERIALIZED VIEW shares AS
           SELECT k, percentile_cont(0.25) WITHIN GROUP (ORDER BY x) AS low FROM t GROUP BY k;",
        r#"
        t + {"k": "a", "x": 1}
        t + {"k": "a", "x": 2}
        t + {"k": "b", "x": null}

        t + {"k": "a", "x": 4}
        t + {"k": null, "x": 4}

        t - {"k": "a", "x": 1}
        t - {"k": "b", "x": null}"#,
    );
}

#[test]
fn views_over_views_change_together() {
    agrees(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, k TEXT, n BIGINT);
         CREATE MATERIALIZED VIEW sums AS SELECT k, sum(n) AS s FROM t GROUP BY k;
         CREATE MATERIALIZED VIEW best AS SELECT k, s FROM sums ORDER BY s DESC, k LIMIT 1;
         CREATE MATERIALIZED VIEW share AS
           SELECT sums.k, sums.s, total.s AS of
           FROM sums CROSS JOIN (SELECT sum(s) AS s FROM sums) AS total;
         CREATE MATERIALIZED VIEW others AS SELECT k FROM sums EXCEPT SELECT k FROM best;",
        r#"
        t + {"id": 1, "k": "a", "n": 1}
        t + {"id": 2, "k": "b", "n": 2}

        t + {"id": 1, "k": "a", "n": 10}

        t + {"id": 1, "k": "b", "n": 10}

        t + {"id": 2, "k": "c", "n": -2}"#,
    );
}

#[test]
fn a_sum_that_overflows_is_a_reject_until_it_fits_again() {
    let sql = "CREATE TABLE t (k TEXT, n BIGINT);
        CREATE MATERIALIZED VIEW sums AS SELECT k, sum(n) AS s FROM t GROUP BY k;";
    let events = r#"
        t + {"k": "a", "n": 9223372036854775807}
        t + {"k": "a", "n": 1}
        t + {"k": "b", "n": 1}"#;
    ends(sql, events, "sums", &["k=b, s=1"], 1, "overflow");
    let again = format!("{events}\n\n        t - {{\"k\": \"a\", \"n\": 1}}");
    ends(
        sql,
        &again,
        "sums",
        &["k=a, s=9223372036854775807", "k=b, s=1"],
        0,
        "",
    );
    let later = format!("{events}\n        t + {{\"k\": \"a\", \"n\": -1}}");
    ends(
        sql,
        &later,
        "sums",
        &["k=a, s=9223372036854775807", "k=b, s=1"],
        0,
        "",
    );
}

#[test]
fn a_row_that_fails_is_a_reject_and_leaves_the_others() {
    let sql = "CREATE TABLE t (a BIGINT, b BIGINT);
        CREATE MATERIALIZED VIEW ratios AS SELECT a, a / b AS r FROM t;";
    let events = r#"
        t + {"a": 6, "b": 2}
        t + {"a": 1, "b": 0}
        t + {"a": 1, "b": null}"#;
    ends(
        sql,
        events,
        "ratios",
        &["a=1, r=NULL", "a=6, r=3"],
        1,
        "ivide by zero",
    );
    let gone = format!("{events}\n\n        t - {{\"a\": 1, \"b\": 0}}");
    ends(sql, &gone, "ratios", &["a=1, r=NULL", "a=6, r=3"], 0, "");

    let sql = "CREATE TABLE t (a BIGINT, b BIGINT);
        CREATE MATERIALIZED VIEW products AS SELECT a * b + 1 AS p FROM t;";
    let events = r#"
        t + {"a": 9223372036854775807, "b": 2}
        t + {"a": 3, "b": 2}"#;
    ends(sql, events, "products", &["p=7"], 1, "verflow");

    let sql = "CREATE TABLE t (x TEXT);
        CREATE MATERIALIZED VIEW numbers AS SELECT CAST(x AS BIGINT) AS n FROM t;";
    let events = "t + {\"x\": \"12\"}\nt + {\"x\": \"twelve\"}";
    ends(sql, events, "numbers", &["n=12"], 1, "twelve");
}
