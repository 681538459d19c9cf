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
