//! Cases that random scripts came upon, each made small.

use crate::fixed::{agrees, ends};

/// The optimiser makes `0 * n` to a nought of fewer digits than the product had; compared with
/// what was given the product's type, every row was a reject.
#[test]
fn a_product_with_nought_keeps_its_type() {
    agrees(
        "CREATE TABLE t (n DECIMAL(10, 2) NOT NULL, i BIGINT NOT NULL);
         CREATE MATERIALIZED VIEW kept AS SELECT n FROM t
           WHERE (CAST(0 AS DECIMAL(6,3)) * n)
             BETWEEN CAST(0 AS DECIMAL(6,3)) AND CAST(1 AS DECIMAL(10,2));
         CREATE MATERIALIZED VIEW wider AS SELECT n FROM t
           WHERE (CAST(0 AS DECIMAL(6,3)) * n) * i >= CAST(0 AS DECIMAL(20,5));
         CREATE MATERIALIZED VIEW rest AS SELECT n FROM t
           WHERE n % CAST(1 AS DECIMAL(6,4)) < CAST(0.5 AS DECIMAL(12,6));
         CREATE VIEW noughts AS SELECT n * CAST(0 AS DECIMAL(6,3)) AS z, i FROM t;
         CREATE MATERIALIZED VIEW together AS
           SELECT z, i FROM noughts UNION ALL SELECT CAST(1 AS DECIMAL(17,5)) AS z, i FROM t;
         CREATE MATERIALIZED VIEW summed AS SELECT i, sum(z) AS s, max(z) AS m FROM noughts GROUP BY i;",
        r#"
        t + {"n": 1.25, "i": 1}
        t + {"n": 0, "i": 2}

        t + {"n": -1.75, "i": 1}
        t - {"n": 1.25, "i": 1}"#,
    );
}

/// A cast is named as what it casts, so the two keys have one name.
#[test]
fn groups_by_a_column_and_a_cast_of_it() {
    agrees(
        "CREATE TABLE t (k BIGINT, n BIGINT);
         CREATE MATERIALIZED VIEW pairs AS
           SELECT CAST(b.n AS INT) AS x, b.n AS y, count(*) AS c
           FROM t AS a JOIN t AS b ON a.k = b.k GROUP BY 1, 2;
         CREATE MATERIALIZED VIEW alone AS
           SELECT CAST(n AS INT) AS x, n AS y, k + 1 AS z, sum(k) AS s FROM t GROUP BY 1, 2, k, 3;",
        r#"
        t + {"k": 1, "n": 5}
        t + {"k": 1, "n": 6}
        t + {"k": 2, "n": null}

        t - {"k": 1, "n": 6}
        t + {"k": null, "n": 7}"#,
    );
}

/// Batch engines keep a heap of no rows here, and may fall over it.
#[test]
fn the_first_no_rows() {
    let sql = "CREATE TABLE t (n BIGINT);
        CREATE MATERIALIZED VIEW none AS SELECT n FROM t ORDER BY n LIMIT 0;
        CREATE MATERIALIZED VIEW past AS SELECT n FROM t ORDER BY n LIMIT 0 OFFSET 1;
        CREATE MATERIALIZED VIEW counted AS
          SELECT count(*) AS c FROM (SELECT n FROM t ORDER BY n LIMIT 0);
        CREATE MATERIALIZED VIEW numbered AS SELECT n FROM
          (SELECT n, row_number() OVER (ORDER BY n) AS r FROM t) WHERE r <= 0;";
    let events = "t + {\"n\": 1}\nt + {\"n\": 2}\n\nt - {\"n\": 1}";
    for view in ["none", "past", "numbered"] {
        ends(sql, events, view, &[], 0, "");
    }
    ends(sql, events, "counted", &["c=0"], 0, "");
    agrees(sql, events);
}

/// A null list is not an empty one, however the rows come.
#[test]
fn null_and_empty_lists_are_groups_of_their_own() {
    agrees(
        "CREATE TABLE t (tags TEXT[], n INT);
         CREATE MATERIALIZED VIEW twice AS SELECT DISTINCT tags AS a, tags AS b, 'x' AS c FROM t;
         CREATE MATERIALIZED VIEW counted AS SELECT tags, count(*) AS c, sum(n) AS s FROM t GROUP BY tags;
         CREATE MATERIALIZED VIEW kinds AS SELECT n, count(DISTINCT tags) AS c FROM t GROUP BY n;",
        r#"
        t + {"tags": null, "n": 1}
        t + {"tags": [], "n": 2}
        t + {"tags": ["a"], "n": 1}
        t + {"tags": [null], "n": 1}

        t - {"tags": [], "n": 2}
        t + {"tags": [], "n": 1}

        t - {"tags": null, "n": 1}"#,
    );
}

/// A key of columns of three relations fits no join of two of them, and was forgotten when joins
/// were put in another order.
#[test]
fn a_key_of_three_relations() {
    agrees(
        "CREATE TABLE p (who TEXT, n BIGINT);
         CREATE TABLE r (id TEXT, back BIGINT);
         CREATE MATERIALIZED VIEW before AS
           SELECT p.who, p.n, b.n AS earlier, r.id
           FROM p CROSS JOIN r JOIN p b ON b.who = p.who AND b.n = p.n - r.back;",
        r#"
        p + {"who": "a", "n": 1}
        p + {"who": "a", "n": 2}
        r + {"id": "x", "back": 1}

        p + {"who": "b", "n": 1}
        r + {"id": "y", "back": 5}

        p - {"who": "a", "n": 1}"#,
    );
}
