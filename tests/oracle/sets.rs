//! Grouping sets, and clauses that keep some rows, where they are known to go wrong.

use crate::fixed::{agrees, ends};

const TABLE: &str = "CREATE TABLE t (a TEXT, b BIGINT, n BIGINT);";

const EVENTS: &str = r#"

    t + {"a": "x", "b": 1, "n": 5}
    t + {"a": "x", "b": 1, "n": 6}
    t + {"a": null, "b": 1, "n": 7}
    t + {"a": "y", "b": null, "n": null}

    t - {"a": "x", "b": 1, "n": 6}
    t + {"a": "y", "b": 2, "n": 1}

    t - {"a": null, "b": 1, "n": 7}
    t - {"a": "y", "b": 2, "n": 1}"#;

#[test]
fn sets_of_keys_side_by_side() {
    agrees(
        &format!(
            "{TABLE}
             CREATE MATERIALIZED VIEW rolled AS SELECT a, b, sum(n) AS s, count(*) AS c,
               grouping(a) AS ga, grouping(a, b) AS gab FROM t GROUP BY ROLLUP (a, b);
             CREATE MATERIALIZED VIEW cubed AS SELECT a, b, max(n) AS m, median(n) AS d
               FROM t GROUP BY CUBE (a, b) HAVING count(*) > 0;
             CREATE MATERIALIZED VIEW chosen AS SELECT a, b, count(DISTINCT n) AS c
               FROM t GROUP BY GROUPING SETS ((a), (b), (b), (a, b));
             CREATE MATERIALIZED VIEW crossed AS SELECT a, b % 2 AS p, n, count(*) AS c
               FROM t GROUP BY a, ROLLUP (b % 2, n);
             CREATE MATERIALIZED VIEW bare AS SELECT a, b FROM t GROUP BY ROLLUP (a, b);"
        ),
        EVENTS.trim_start(),
    );
}

/// The set of no keys has its row even where there is nothing.
#[test]
fn the_grand_total_of_nothing() {
    let sql = format!(
        "{TABLE}
         CREATE MATERIALIZED VIEW v AS SELECT a, count(*) AS c FROM t GROUP BY ROLLUP (a);"
    );
    let there = r#"t + {"a": "x", "b": 1, "n": 5}"#;
    ends(&sql, there, "v", &["a=NULL, c=1", "a=x, c=1"], 0, "");
    let gone = format!("{there}\n\n{}", there.replace('+', "-"));
    ends(&sql, &gone, "v", &["a=NULL, c=0"], 0, "");
}

#[test]
fn limits_without_an_order() {
    agrees(
        &format!(
            "{TABLE}
             CREATE MATERIALIZED VIEW any_two AS SELECT n, a FROM t LIMIT 2;
             CREATE MATERIALIZED VIEW less AS SELECT a FROM (SELECT b, a FROM t LIMIT 3);
             CREATE MATERIALIZED VIEW tied AS SELECT n, a FROM t ORDER BY b LIMIT 2;
             CREATE MATERIALIZED VIEW hidden AS SELECT a FROM t ORDER BY b DESC, n LIMIT 2 OFFSET 1;
             CREATE MATERIALIZED VIEW fetched AS SELECT a, b FROM t OFFSET 1;
             CREATE MATERIALIZED VIEW once AS SELECT DISTINCT ON (a) a, n, b FROM t;
             CREATE MATERIALIZED VIEW some_b AS
               SELECT DISTINCT ON (b % 2) n, a FROM t ORDER BY b % 2, n DESC;
             CREATE MATERIALIZED VIEW grouped AS
               SELECT count(*) AS c, sum(n) AS s FROM (SELECT * FROM t ORDER BY a LIMIT 2);"
        ),
        EVENTS.trim_start(),
    );
}

#[test]
fn values_as_a_relation_and_sets_that_count() {
    agrees(
        &format!(
            "{TABLE}
             CREATE MATERIALIZED VIEW named AS SELECT t.n, v.name FROM t
               JOIN (VALUES (1, 'one'), (2, 'two')) AS v (b, name) ON t.b = v.b;
             CREATE MATERIALIZED VIEW missing AS
               SELECT column1 AS b FROM (VALUES (1), (2), (3)) AS v EXCEPT SELECT b FROM t;
             CREATE MATERIALIZED VIEW both_all AS
               SELECT a FROM t INTERSECT ALL SELECT a FROM t WHERE n > 5;
             CREATE MATERIALIZED VIEW rest_all AS SELECT b FROM t EXCEPT ALL SELECT b FROM t WHERE n > 5;"
        ),
        EVENTS.trim_start(),
    );
}

const SALES: &str =
    "CREATE TABLE sales (item TEXT, n BIGINT); CREATE TABLE items (name TEXT, n BIGINT);";

/// pen x 4, cup x 3, hat and two rows of nothing sold; pen, cup x 2, ink and one of nothing held.
fn sales() -> String {
    let sold = ["pen", "pen", "pen", "pen", "cup", "cup", "cup", "hat"];
    let held = ["pen", "cup", "cup", "ink"];
    let line = |table: &str, column: &str, name: &str| {
        format!(r#"{table} + {{"{column}": "{name}", "n": 1}}"#)
    };
    let mut lines: Vec<String> = sold.map(|item| line("sales", "item", item)).into();
    lines.extend(held.map(|name| line("items", "name", name)));
    lines.extend(vec![r#"sales + {"item": null, "n": 1}"#.to_owned(); 2]);
    lines.push(r#"items + {"name": null, "n": 1}"#.to_owned());
    lines.join("\n")
}

/// How often a row occurs counts, nulls are equal, and both sides may change.
#[test]
fn rest_of_all_occurrences() {
    let sql = format!(
        "{SALES} CREATE MATERIALIZED VIEW v AS
           SELECT item, n FROM sales EXCEPT ALL SELECT name, n FROM items;"
    );
    let before = [
        "item=NULL, n=1",
        "item=cup, n=1",
        "item=hat, n=1",
        "item=pen, n=1",
        "item=pen, n=1",
        "item=pen, n=1",
    ];
    ends(&sql, &sales(), "v", &before, 0, "");
    let changed = format!(
        "{}\n\n{}\n\n{}",
        sales(),
        r#"items - {"name": "cup", "n": 1}"#,
        r#"sales - {"item": "pen", "n": 1}
           items + {"name": "pen", "n": 1}
           items + {"name": "hat", "n": 1}
           items + {"name": "hat", "n": 1}"#
    );
    let after = [
        "item=NULL, n=1",
        "item=cup, n=1",
        "item=cup, n=1",
        "item=pen, n=1",
    ];
    ends(&sql, &changed, "v", &after, 0, "");
}

#[test]
fn common_to_all_occurrences() {
    let sql = format!(
        "{SALES} CREATE MATERIALIZED VIEW v AS
           SELECT item FROM sales INTERSECT ALL SELECT name FROM items;"
    );
    let before = ["item=NULL", "item=cup", "item=cup", "item=pen"];
    ends(&sql, &sales(), "v", &before, 0, "");
    let more = r#"items + {"name": "pen", "n": 2}
        items + {"name": "pen", "n": 3}
        items + {"name": "hat", "n": 3}
        items + {"name": "hat", "n": 3}
        sales - {"item": "cup", "n": 1}
        sales - {"item": "cup", "n": 1}"#;
    let after = [
        "item=NULL",
        "item=cup",
        "item=hat",
        "item=pen",
        "item=pen",
        "item=pen",
    ];
    ends(&sql, &format!("{}\n\n{more}", sales()), "v", &after, 0, "");
}

/// One in another, with a cast between them, of distinct rows, and where a sub-query looks outward.
#[test]
fn sets_that_count_within_others() {
    agrees(
        &format!(
            "{SALES}
             CREATE MATERIALIZED VIEW chain AS SELECT item FROM sales EXCEPT ALL SELECT name FROM items
               EXCEPT ALL (SELECT item FROM sales INTERSECT ALL SELECT name FROM items);
             CREATE MATERIALIZED VIEW same AS SELECT n FROM sales EXCEPT ALL SELECT n FROM sales WHERE item > 'd';
             CREATE MATERIALIZED VIEW few AS SELECT DISTINCT item FROM sales EXCEPT ALL SELECT name FROM items;
             CREATE MATERIALIZED VIEW typed AS SELECT n FROM sales EXCEPT ALL SELECT CAST(n AS INT) FROM items;
             CREATE MATERIALIZED VIEW read AS WITH rest AS
               (SELECT item FROM sales EXCEPT ALL SELECT name FROM items)
               SELECT item, count(*) AS c FROM rest GROUP BY item;
             CREATE MATERIALIZED VIEW asked AS SELECT name, (SELECT count(*) FROM
               (SELECT n FROM sales WHERE item = name EXCEPT ALL SELECT n FROM items AS i WHERE i.name = o.name)) AS c
               FROM items AS o;"
        ),
        &format!("{}\n\nsales - {{\"item\": \"pen\", \"n\": 1}}", sales()),
    );
}
