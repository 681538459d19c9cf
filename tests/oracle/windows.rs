//! Window functions where they are known to go wrong.

use crate::fixed::{agrees, ends};

const EVENTS: &str = r#"
    t + {"k": "a", "at": 1, "n": 5}
    t + {"k": "a", "at": 2, "n": null}
    t + {"k": "b", "at": 1, "n": 7}

    t + {"k": "a", "at": 2, "n": 3}
    t + {"k": null, "at": 1, "n": 1}
    t + {"k": "b", "at": null, "n": 2}

    t - {"k": "a", "at": 1, "n": 5}
    t + {"k": "a", "at": 2, "n": 3}

    t + {"k": "a", "at": 9, "n": 4}
    t - {"k": "b", "at": 1, "n": 7}

    t - {"k": "b", "at": null, "n": 2}
    t + {"k": "a", "at": 1, "n": 5}"#;

const TABLE: &str = "CREATE TABLE t (k TEXT, at BIGINT, n BIGINT);";

#[test]
fn neighbours_change_with_what_comes_between() {
    agrees(
        &format!(
            "{TABLE}
             CREATE MATERIALIZED VIEW v AS SELECT k, at, n,
               lag(n) OVER w AS before, lag(n, 2, -1) OVER w AS second,
               lead(n) OVER w AS after, lead(n) IGNORE NULLS OVER w AS known
             FROM t WINDOW w AS (PARTITION BY k ORDER BY at);
             CREATE MATERIALIZED VIEW gaps AS
               SELECT k, at - lag(at) OVER (PARTITION BY k ORDER BY at) AS gap FROM t;"
        ),
        EVENTS,
    );
}

#[test]
fn ranks_of_equal_rows() {
    agrees(
        &format!(
            "{TABLE}
             CREATE MATERIALIZED VIEW v AS SELECT k, at, n,
               row_number() OVER w AS number, rank() OVER w AS r, dense_rank() OVER w AS d,
               percent_rank() OVER w AS p, cume_dist() OVER w AS c, ntile(2) OVER w AS tile
             FROM t WINDOW w AS (PARTITION BY k ORDER BY n DESC);
             CREATE MATERIALIZED VIEW best AS SELECT k, n FROM
               (SELECT k, n, rank() OVER (PARTITION BY k ORDER BY n DESC) AS r FROM t) WHERE r <= 2;
             CREATE MATERIALIZED VIEW steps AS SELECT k, n, d FROM
               (SELECT k, n, dense_rank() OVER (ORDER BY n) AS d FROM t) WHERE d < 3;
             CREATE MATERIALIZED VIEW second AS SELECT k, n FROM t
               QUALIFY rank() OVER (PARTITION BY k ORDER BY n) = 2;"
        ),
        EVENTS,
    );
}

#[test]
fn a_bounded_rank_passes_all_that_tie() {
    let sql = "CREATE TABLE t (n BIGINT);
        CREATE MATERIALIZED VIEW best AS SELECT n, r FROM
          (SELECT n, rank() OVER (ORDER BY n) AS r FROM t) WHERE r <= 2;";
    let mut events = String::new();
    for n in 0..100 {
        events.push_str(&format!("t + {{\"n\": {}}}\n", n / 40));
    }
    agrees(sql, &events);
    let taken: String = (0..40).map(|_| "t - {\"n\": 0}\n").collect();
    agrees(sql, &format!("{events}\n{taken}"));
    agrees(sql, &format!("{events}\n{taken}\nt + {{\"n\": 0}}"));
}

#[test]
fn frames_of_every_kind() {
    let frames = [
        "",
        "ROWS 2 PRECEDING",
        "ROWS BETWEEN 3 PRECEDING AND 2 PRECEDING",
        "ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING",
        "RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING",
        "RANGE BETWEEN CURRENT ROW AND CURRENT ROW",
        "GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
    ];
    let mut sql = TABLE.to_owned();
    for (number, frame) in frames.iter().enumerate() {
        sql.push_str(&format!(
            "CREATE MATERIALIZED VIEW v{number} AS SELECT k, at, n, sum(n) OVER w AS s,
               count(*) OVER w AS c, avg(n) OVER w AS m, min(n) OVER w AS least,
               max(at) FILTER (WHERE n > 2) OVER w AS late, first_value(n) OVER w AS f,
               last_value(n) OVER w AS l, nth_value(n, 2) OVER w AS second
             FROM t WINDOW w AS (PARTITION BY k ORDER BY at {frame});"
        ));
    }
    agrees(&sql, EVENTS);
}

#[test]
fn several_partitions_and_groups_below() {
    agrees(
        &format!(
            "{TABLE}
             CREATE MATERIALIZED VIEW shares AS SELECT k, at, n,
               sum(n) OVER (PARTITION BY k) AS of_k, sum(n) OVER () AS of_all,
               row_number() OVER (ORDER BY at, n) AS number,
               sum(n) OVER (PARTITION BY k ORDER BY at) AS running
             FROM t;
             CREATE MATERIALIZED VIEW totals AS SELECT k, sum(n) AS s,
               rank() OVER (ORDER BY sum(n) DESC) AS r,
               sum(sum(n)) OVER (ORDER BY k) AS running
             FROM t GROUP BY k;
             CREATE MATERIALIZED VIEW twice AS SELECT k, max(r) AS r FROM
               (SELECT k, dense_rank() OVER (PARTITION BY k ORDER BY at) AS r FROM t) GROUP BY k;"
        ),
        EVENTS,
    );
}

#[test]
fn without_order_rows_are_numbered_by_their_columns() {
    let sql = format!(
        "{TABLE}
         CREATE MATERIALIZED VIEW v AS SELECT at, n, row_number() OVER () AS r FROM t;"
    );
    agrees(&sql, EVENTS);
    let events = "t + {\"at\": 2, \"n\": 1}\nt + {\"at\": 1, \"n\": 3}\nt + {\"at\": 1}";
    let expected = ["at=1, n=NULL, r=1", "at=1, n=3, r=2", "at=2, n=1, r=3"];
    ends(&sql, events, "v", &expected, 0, "");
}

/// The batch engine refuses these: it cannot take a row out of them.
#[test]
fn frames_that_move_over_any_aggregate() {
    let sql = format!(
        "{TABLE}
         CREATE MATERIALIZED VIEW v AS SELECT at, array_agg(n) OVER w AS ns,
           string_agg(k, ',') OVER w AS ks, median(n) OVER w AS m
         FROM t WINDOW w AS (ORDER BY at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW);"
    );
    let events = r#"
        t + {"k": "a", "at": 1, "n": 1}
        t + {"k": "b", "at": 2, "n": 3}
        t + {"k": "c", "at": 4, "n": 5}

        t + {"k": "d", "at": 3, "n": 4}
        t - {"k": "a", "at": 1, "n": 1}"#;
    let expected = [
        "at=2, ns=[3], ks=b, m=3.0",
        "at=3, ns=[3, 4], ks=b,d, m=3.5",
        "at=4, ns=[4, 5], ks=d,c, m=4.5",
    ];
    ends(&sql, events, "v", &expected, 0, "");
}
