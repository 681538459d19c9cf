//! Sub-queries and lateral joins where they are known to go wrong.
//!
//! What only the rewriting of correlated sub-queries can run is also compared with the same
//! question asked another way.

use crate::fixed::{agrees, same};

const TABLES: &str = "CREATE TABLE t (k BIGINT, n BIGINT);
    CREATE TABLE u (k BIGINT, m BIGINT);
    CREATE TABLE w (m BIGINT, s TEXT);";

const EVENTS: &str = r#"

    t + {"k": 1, "n": 5}
    t + {"k": 1, "n": 5}
    t + {"k": 2, "n": null}
    t + {"k": null, "n": 3}
    u + {"k": 1, "m": 5}
    u + {"k": 1, "m": 7}

    u + {"k": null, "m": 3}
    u + {"k": 2, "m": null}
    w + {"m": 5, "s": "five"}

    u - {"k": 2, "m": null}
    u + {"k": 2, "m": 1}
    w + {"m": 7, "s": "seven"}
    t + {"k": 2, "n": 0}

    u - {"k": 1, "m": 7}
    t - {"k": 1, "n": 5}
    u - {"k": null, "m": 3}"#;

fn events() -> &'static str {
    EVENTS.trim_start()
}

#[test]
fn in_and_exists_with_nulls() {
    agrees(
        &format!(
            "{TABLES}
             CREATE MATERIALIZED VIEW inside AS SELECT k, n FROM t WHERE n IN (SELECT m FROM u);
             CREATE MATERIALIZED VIEW outside AS SELECT k, n FROM t WHERE n NOT IN (SELECT m FROM u);
             CREATE MATERIALIZED VIEW known AS SELECT k, n FROM t
               WHERE n NOT IN (SELECT m FROM u WHERE m IS NOT NULL);
             CREATE MATERIALIZED VIEW pairs AS SELECT k, n FROM t
               WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.m > t.n);
             CREATE MATERIALIZED VIEW lonely AS SELECT k, n FROM t
               WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.m <> t.n);
             CREATE MATERIALIZED VIEW either AS SELECT k, n FROM t
               WHERE n = 0 OR EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND m = n);
             CREATE MATERIALIZED VIEW of_k AS SELECT k, n FROM t
               WHERE n IN (SELECT m FROM u WHERE u.k = t.k);"
        ),
        events(),
    );
}

#[test]
fn not_in_a_correlated_subquery() {
    same(
        &format!(
            "{TABLES}
             CREATE MATERIALIZED VIEW a AS SELECT k, n FROM t
               WHERE n NOT IN (SELECT m FROM u WHERE u.k = t.k);
             CREATE MATERIALIZED VIEW b AS SELECT k, n FROM t WHERE NOT EXISTS
               (SELECT 1 FROM u WHERE u.k = t.k AND (u.m = t.n) IS NOT FALSE);"
        ),
        events(),
        &[("a", "b")],
    );
}

#[test]
fn one_value_of_the_outer_row() {
    agrees(
        &format!(
            "{TABLES}
             CREATE MATERIALIZED VIEW sums AS SELECT k, n,
               (SELECT sum(m) FROM u WHERE u.k = t.k) AS s,
               (SELECT count(*) FROM u WHERE u.k = t.k) AS c FROM t;
             CREATE MATERIALIZED VIEW above AS SELECT k, n FROM t
               WHERE n >= (SELECT avg(m) FROM u WHERE u.k = t.k);
             CREATE MATERIALIZED VIEW had AS SELECT k, sum(n) AS s FROM t GROUP BY k
               HAVING sum(n) > (SELECT min(m) FROM u);
             CREATE MATERIALIZED VIEW less AS SELECT k, n,
               (SELECT count(*) FROM u WHERE u.m < t.n) AS c FROM t;
             CREATE MATERIALIZED VIEW last AS SELECT k, n,
               (SELECT m FROM u WHERE u.k = t.k ORDER BY m DESC LIMIT 1) AS m FROM t;
             CREATE MATERIALIZED VIEW inner_first AS SELECT k, n FROM t
               WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k
                 AND EXISTS (SELECT 1 FROM w WHERE w.m = u.m AND s <> ''));"
        ),
        events(),
    );
}

#[test]
fn two_levels_out() {
    same(
        &format!(
            "{TABLES}
             CREATE MATERIALIZED VIEW a AS SELECT k, n FROM t
               WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k
                 AND EXISTS (SELECT 1 FROM w WHERE w.m = u.m AND w.m >= t.n));
             CREATE MATERIALIZED VIEW a_too AS SELECT k, n FROM t WHERE EXISTS
               (SELECT 1 FROM u JOIN w ON w.m = u.m WHERE u.k = t.k AND w.m >= t.n);
             CREATE MATERIALIZED VIEW b AS SELECT k, n FROM t
               WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k
                 AND NOT EXISTS (SELECT 1 FROM w WHERE w.m >= t.n));
             CREATE MATERIALIZED VIEW b_too AS SELECT k, n FROM t
               WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k)
                 AND NOT EXISTS (SELECT 1 FROM w WHERE w.m >= t.n);"
        ),
        events(),
        &[("a", "a_too"), ("b", "b_too")],
    );
}

#[test]
fn correlated_subqueries_said_another_way() {
    same(
        &format!(
            "{TABLES}
             CREATE MATERIALIZED VIEW last AS SELECT k, n,
               (SELECT m FROM u WHERE u.k = t.k ORDER BY m DESC NULLS LAST LIMIT 1) AS m FROM t;
             CREATE MATERIALIZED VIEW last_too AS SELECT t.k, n, m FROM t LEFT JOIN
               (SELECT DISTINCT ON (k) k, m FROM u ORDER BY k, m DESC NULLS LAST) v ON v.k = t.k;
             CREATE MATERIALIZED VIEW less AS SELECT k, n,
               (SELECT count(*) FROM u WHERE u.m < t.n) AS c FROM t;
             CREATE MATERIALIZED VIEW less_too AS
               SELECT k, n, c FROM (SELECT DISTINCT k, n, min(i) AS i FROM
                 (SELECT k, n, row_number() OVER (ORDER BY k, n) AS i FROM t) GROUP BY k, n) d
               JOIN (SELECT count(m) AS c, n2 FROM (SELECT DISTINCT n AS n2 FROM t) x
                 LEFT JOIN u ON u.m < x.n2 GROUP BY n2) y ON (d.n IS NOT DISTINCT FROM y.n2)
               JOIN (SELECT k AS k2, n AS n3 FROM t) z
                 ON (z.k2 IS NOT DISTINCT FROM d.k) AND (z.n3 IS NOT DISTINCT FROM d.n);
             CREATE MATERIALIZED VIEW top AS SELECT t.k, n, l.m FROM t
               CROSS JOIN LATERAL (SELECT m FROM u WHERE u.k = t.k ORDER BY m LIMIT 2) l;
             CREATE MATERIALIZED VIEW top_too AS SELECT t.k, n, m FROM t JOIN
               (SELECT k, m, row_number() OVER (PARTITION BY k ORDER BY m) AS r FROM u) v
               ON v.k = t.k WHERE r <= 2;
             CREATE MATERIALIZED VIEW left_top AS SELECT t.k, n, l.m FROM t
               LEFT JOIN LATERAL (SELECT m FROM u WHERE u.k = t.k ORDER BY m LIMIT 1) l ON l.m > 4;
             CREATE MATERIALIZED VIEW left_top_too AS SELECT t.k, n, m FROM t LEFT JOIN
               (SELECT k, m, row_number() OVER (PARTITION BY k ORDER BY m) AS r FROM u) v
               ON v.k = t.k AND r = 1 AND m > 4;
             CREATE MATERIALIZED VIEW both AS SELECT t.k, n, l.v FROM t CROSS JOIN LATERAL
               (SELECT m AS v FROM u WHERE u.k = t.k UNION ALL SELECT m + t.n FROM w) l;
             CREATE MATERIALIZED VIEW both_too AS
               SELECT t.k, n, m AS v FROM t JOIN u ON u.k = t.k
               UNION ALL SELECT k, n, m + n FROM t CROSS JOIN w;"
        ),
        events(),
        &[
            ("last", "last_too"),
            ("less", "less_too"),
            ("top", "top_too"),
            ("left_top", "left_top_too"),
            ("both", "both_too"),
        ],
    );
}

#[test]
fn lateral_and_other_joins() {
    agrees(
        &format!(
            "{TABLES}
             CREATE MATERIALIZED VIEW per_row AS SELECT t.k, n, l.s FROM t
               CROSS JOIN LATERAL (SELECT sum(m) AS s FROM u WHERE u.k = t.k) l;
             CREATE MATERIALIZED VIEW bands AS SELECT t.n, u.m FROM t JOIN u
               ON u.m BETWEEN t.n - 2 AND t.n + 2;
             CREATE MATERIALIZED VIEW left_bands AS SELECT t.n, u.m FROM t LEFT JOIN u ON u.m < t.n;
             CREATE MATERIALIZED VIEW named AS SELECT k, n, m FROM t JOIN u USING (k);
             CREATE MATERIALIZED VIEW natural_too AS SELECT k, m, s FROM u NATURAL JOIN w;
             CREATE MATERIALIZED VIEW own AS SELECT a.n AS x, b.n AS y FROM t a JOIN t b
               ON a.k = b.k AND a.n < b.n;
             CREATE MATERIALIZED VIEW same_k AS SELECT t.n, u.m FROM t FULL JOIN u
               ON t.k IS NOT DISTINCT FROM u.k;"
        ),
        events(),
    );
}
