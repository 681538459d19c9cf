//! What sessions tell: plans, names, changes.

use tillrace::session::{Outcome, split};

use crate::support::{Desk, lines};

const SHOP: &str = "
    CREATE TABLE sales (id BIGINT PRIMARY KEY, amount BIGINT);
    COMMENT ON TABLE sales IS 'what was sold';
    CREATE MATERIALIZED VIEW total AS SELECT sum(amount) AS total FROM sales;
    CREATE VIEW large AS SELECT * FROM sales WHERE amount > 100;
";

#[test]
fn names_and_plans_are_told() {
    let desk = Desk::open(SHOP, 1);
    let mut client = desk.client();
    assert_eq!(client.rows("SHOW TABLES"), ["sales|table|what was sold"]);
    let views = client.rows("SHOW VIEWS");
    assert!(
        views.contains(&"total|materialized view|null".to_owned()),
        "{views:?}"
    );
    assert!(views.contains(&"large|view|null".to_owned()), "{views:?}");
    assert_eq!(
        client.rows("DESCRIBE sales"),
        ["id|BIGINT|false|true", "amount|BIGINT|true|false"]
    );
    assert_eq!(
        client.rows("SHOW CREATE TABLE sales"),
        ["sales|CREATE TABLE sales (id BIGINT NOT NULL, amount BIGINT, PRIMARY KEY (id))"]
    );
    client.does("COMMENT ON VIEW total IS 'all of it'");
    let views = client.rows("SHOW MATERIALIZED VIEWS");
    assert!(
        views.contains(&"total|materialized view|all of it".to_owned()),
        "{views:?}"
    );
    let plan = client.rows("EXPLAIN VIEW total").join("\n");
    assert!(plan.contains("view total"), "{plan}");
    let plan = client.rows("EXPLAIN SELECT count(*) FROM large").join("\n");
    assert!(plan.contains("state:"), "{plan}");
    client.does("INSERT INTO sales VALUES (1, 50), (2, 500)");
    assert_eq!(client.rows("SELECT id FROM large"), ["2"]);
}

#[test]
fn a_fault_has_its_place() {
    let desk = Desk::open(SHOP, 1);
    let mut client = desk.client();
    let mut place = |sql: &'static str| {
        let error = client.outcome(sql).expect_err("it fails");
        error.position().map(|position| &sql[position - 1..])
    };
    assert_eq!(place("SELECT amont FROM sales"), Some("amont FROM sales"));
    assert_eq!(place("SELECT * FROM seles"), Some("seles"));
    // A column is called so as well.
    assert_eq!(place("SELECT total\n FROM tota"), Some("tota"));
    assert_eq!(
        place("CREATE VIEW v AS\n  SELECT * FROM seles"),
        Some("seles")
    );
    assert_eq!(
        place("CREATE MATERIALIZED VIEW v AS\n  SELECT amont FROM sales"),
        Some("amont FROM sales")
    );
    assert_eq!(place("SUBSCRIBE TO total WITH nothing"), Some("nothing"));
    assert_eq!(
        place("EXPLAIN SELECT\n amont FROM sales"),
        Some("amont FROM sales")
    );
}

#[test]
fn changes_are_followed() {
    let desk = Desk::open(SHOP, 2);
    let mut client = desk.client();
    client.does("INSERT INTO sales VALUES (1, 5)");
    let Ok(Outcome::Subscription(mut all)) = client.outcome("SUBSCRIBE TO total") else {
        panic!("a view can be followed");
    };
    let sql = "SUBSCRIBE total WITH (SNAPSHOT = false)";
    let Ok(Outcome::Subscription(mut later)) = client.outcome(sql) else {
        panic!("a view can be followed");
    };
    let without_epoch = |lines: Vec<String>| -> Vec<String> {
        let rest = |line: &String| line.split_once('|').map(|(_, rest)| rest.to_owned());
        lines.iter().filter_map(rest).collect()
    };
    let first = desk
        .wait(all.next())
        .expect("it goes on")
        .expect("there are rows");
    assert_eq!(without_epoch(lines(&first)), ["1|5"]);
    client.does("INSERT INTO sales VALUES (2, 7)");
    for changes in [&mut all, &mut later] {
        let next = desk
            .wait(changes.next())
            .expect("it goes on")
            .expect("there are changes");
        assert_eq!(without_epoch(lines(&next)), ["-1|5", "1|12"]);
    }
}

#[test]
fn a_text_is_split_into_statements() {
    let pieces = split("SELECT 1; -- one; two\n SELECT ';' ;\n;SELECT 2").expect("it can be read");
    let texts: Vec<(&str, usize)> = pieces.iter().map(|p| (p.text.as_str(), p.before)).collect();
    assert_eq!(
        texts,
        [("SELECT 1", 0), ("SELECT ';'", 23), ("SELECT 2", 37)]
    );
    assert!(split("SELECT 'x").is_err());
}
