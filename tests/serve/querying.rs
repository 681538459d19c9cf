//! Ad hoc SQL.

use std::time::Duration;

use serde_json::json;
use tillrace::serve::Token;

use crate::support::{Answer, SHOP, Shop, local};

fn ask(shop: &Shop, sql: &str) -> Answer {
    shop.post("/sql", &[("content-type", "text/plain")], sql.as_bytes())
}

#[test]
fn answers_over_views_of_one_epoch() {
    let shop = Shop::stocked();
    shop.push("sales", r#"[{"product_id":"p1","quantity":2,"amount":"25.00"},{"product_id":"p2","quantity":1,"amount":"8.00"}]"#);
    let body = json!({"sql": "SELECT c.category, c.revenue, (SELECT sum(units) FROM by_product) AS units FROM by_category c ORDER BY 1"});
    let headers = [("content-type", "application/json")];
    let answer = shop.post("/sql", &headers, body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(
        answer["rows"],
        json!([
            {"category": "books", "revenue": "8.00", "units": 3},
            {"category": "toys", "revenue": "25.00", "units": 3},
        ])
    );
    assert_eq!(
        answer["columns"][0],
        json!({"name": "category", "type": "TEXT"})
    );
    assert!(answer["epoch"].is_u64() && answer["closed_at"].is_string());
    let inputs = ask(&shop, "SELECT sum(rows) AS n FROM tillrace.inputs").json();
    assert_eq!(inputs["rows"], json!([{"n": 4}]));
    let with = ask(
        &shop,
        "WITH t AS (SELECT * FROM by_product) SELECT count(*) AS n FROM t",
    )
    .json();
    assert_eq!(with["rows"], json!([{"n": 2}]));
    assert_eq!(
        ask(&shop, "SELECT 1 AS one").json()["rows"],
        json!([{"one": 1}])
    );
}

#[test]
fn changes_what_may_be_changed() {
    let shop = Shop::stocked();
    for sql in [
        "DROP MATERIALIZED VIEW by_category",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "COPY by_category TO '/tmp/x.csv'",
        "INSERT INTO by_category VALUES ('a', 1, 1)",
        "DELETE FROM by_category",
        "SUBSCRIBE by_category",
        "",
    ] {
        let answer = ask(&shop, sql);
        assert_eq!(answer.status, 400, "{sql}: {}", answer.text());
    }
    for sql in [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM sales",
        "SELECT * FROM information_schema.tables",
    ] {
        let answer = ask(&shop, sql);
        assert_eq!(
            (answer.status, answer.code()),
            (400, "unknown_view".to_owned()),
            "{sql}"
        );
    }
    let answer = ask(&shop, "SELECT 1; SELECT 2");
    assert_eq!(answer.status, 400);
    for (sql, done) in [
        (
            "CREATE TABLE notes (id BIGINT PRIMARY KEY, note TEXT)",
            "CREATE TABLE",
        ),
        ("INSERT INTO notes VALUES (1, 'a'), (2, 'b')", "INSERT 0 2"),
        (
            "CREATE MATERIALIZED VIEW noted AS SELECT count(*) AS n FROM notes",
            "CREATE MATERIALIZED VIEW",
        ),
        ("DELETE FROM notes WHERE id = 1", "DELETE 1"),
    ] {
        let answer = ask(&shop, sql);
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
        assert_eq!(answer.json(), json!({ "done": done }), "{sql}");
    }
    let rows = shop.get("/views/noted").json();
    assert_eq!(rows["rows"], json!([{"n": 1}]), "{rows}");
    assert_eq!(ask(&shop, "DROP TABLE notes").code(), "refused");
    assert_eq!(ask(&shop, "DROP TABLE notes CASCADE").status, 200);
    let gone = shop.get("/views/noted");
    assert_eq!((gone.status, gone.code()), (410, "dropped".to_owned()));
}

#[test]
fn only_writers_change_anything() {
    let mut config = local();
    config.tokens = vec![
        Token::new("reads", true, false),
        Token::new("writes", true, true),
    ];
    let shop = Shop::with(SHOP, 1, config);
    let ask = |token: &str, sql: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "text/plain"),
        ];
        shop.post("/sql", &headers, sql.as_bytes())
    };
    assert_eq!(ask("reads", "SELECT 1 AS one").status, 200);
    for sql in [
        "CREATE TABLE t (a BIGINT)",
        "INSERT INTO sales VALUES (1)",
        "TRUNCATE sales",
    ] {
        let answer = ask("reads", sql);
        assert_eq!(
            (answer.status, answer.code()),
            (403, "no_right".to_owned()),
            "{sql}"
        );
    }
    assert_eq!(ask("writes", "CREATE TABLE t (a BIGINT)").status, 200);
}

#[test]
fn points_at_what_is_wrong() {
    let shop = Shop::stocked();
    let answer = ask(&shop, "SELECT category\n  FROM by_category GROUP HAVING");
    let error = answer.json()["error"].clone();
    assert_eq!(
        (answer.status, &error["code"]),
        (400, &json!("bad_sql")),
        "{error}"
    );
    assert_eq!(error["line"], 2, "{error}");
    let answer = ask(&shop, "SELECT\n  nothing FROM by_category");
    let error = answer.json()["error"].clone();
    assert_eq!(
        (&error["line"], &error["column"]),
        (&json!(2), &json!(3)),
        "{error}"
    );
    let answer = ask(&shop, "SELECT * FROM by_categry");
    assert_eq!(
        answer.message(),
        "there is no view \"by_categry\"; did you mean \"by_category\"?"
    );
    let answer = ask(&shop, "SELECT 1 / 0 FROM by_category");
    assert!([200, 400].contains(&answer.status), "{}", answer.text());
    let answer = shop.post("/sql", &[("content-type", "application/json")], b"{}");
    assert_eq!((answer.status, answer.code()), (400, "bad_json".to_owned()));
    let answer = shop.post("/sql", &[("content-type", "image/png")], b"SELECT 1");
    assert_eq!(answer.status, 415);
}

#[test]
fn bounds_what_a_query_takes() {
    let mut config = local();
    config.limits.query = Duration::from_millis(300);
    config.limits.query_bytes = 1 << 20;
    let shop = Shop::with(SHOP, 1, config);
    let slow = ask(
        &shop,
        "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value + b.value = 3",
    );
    assert_eq!(slow.status, 503, "{}", slow.text());
    assert!(["query_too_slow", "query_too_large"].contains(&slow.code().as_str()));
    let large = ask(
        &shop,
        "SELECT value * 7919 % 1000003 AS v, count(*) FROM generate_series(1, 1000000) GROUP BY v ORDER BY 2, 1 LIMIT 1",
    );
    assert_eq!(
        (large.status, large.code()),
        (503, "query_too_large".to_owned()),
        "{}",
        large.text()
    );
    let long = ask(&shop, "SELECT * FROM generate_series(1, 200000)");
    assert_eq!(
        (long.status, long.code()),
        (400, "too_many_rows".to_owned())
    );
    // The server is none the worse for it.
    assert_eq!(ask(&shop, "SELECT 1 AS one").status, 200);
}
