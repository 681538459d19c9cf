//! Every aggregate that DataFusion has, while rows come and go.

use crate::fixed::agrees;

const EVENTS: &str = r#"

    t + {"k": "a", "n": 5, "x": 1.5, "s": "p", "b": true}
    t + {"k": "a", "n": 5, "x": 2.5, "s": "q", "b": false}
    t + {"k": "a", "n": 9, "x": 4.0, "s": "r", "b": null}
    t + {"k": "b", "n": 7, "x": 0.5, "s": null, "b": true}

    t + {"k": "b", "n": 1, "x": 8.0, "s": "s", "b": true}
    t + {"k": null, "n": null, "x": null, "s": "t", "b": false}
    t - {"k": "a", "n": 9, "x": 4.0, "s": "r", "b": null}

    t - {"k": "b", "n": 7, "x": 0.5, "s": null, "b": true}
    t + {"k": "a", "n": 2, "x": 3.0, "s": "p", "b": true}

    t - {"k": "a", "n": 5, "x": 1.5, "s": "p", "b": true}"#;

/// Views of some calls, over groups, over all rows, and with a filter.
fn check(calls: &[&str]) {
    let mut sql = "CREATE TABLE t (k TEXT, n BIGINT, x DOUBLE, s TEXT, b BOOLEAN);".to_owned();
    for (number, call) in calls.iter().enumerate() {
        sql.push_str(&format!(
            "CREATE MATERIALIZED VIEW g{number} AS SELECT k, {call} AS a FROM t GROUP BY k;
             CREATE MATERIALIZED VIEW f{number} AS
               SELECT k, {call} FILTER (WHERE n > 1) AS a FROM t GROUP BY k;
             CREATE MATERIALIZED VIEW w{number} AS SELECT {call} AS a FROM t;"
        ));
    }
    agrees(&sql, EVENTS.trim_start());
}

#[test]
fn that_add_up() {
    check(&[
        "count(*)",
        "count(n, x)",
        "count(DISTINCT s)",
        "sum(n)",
        "sum(DISTINCT n)",
        "avg(x)",
        "min(s)",
        "max(x)",
        "bool_and(b)",
        "bool_or(b)",
        "bit_and(n)",
        "bit_or(n)",
        "bit_xor(n)",
    ]);
}

#[test]
fn of_statistics() {
    check(&[
        "stddev(x)",
        "stddev_pop(n)",
        "var_samp(x)",
        "var_pop(x)",
        "corr(x, n)",
        "covar_samp(x, n)",
        "covar_pop(x, n)",
        "regr_slope(x, n)",
        "regr_intercept(x, n)",
        "regr_count(x, n)",
        "regr_r2(x, n)",
        "regr_avgx(x, n)",
        "regr_avgy(x, n)",
        "regr_sxx(x, n)",
        "regr_syy(x, n)",
        "regr_sxy(x, n)",
    ]);
}

#[test]
fn over_whole_groups() {
    check(&[
        "median(x)",
        "median(DISTINCT n)",
        "array_agg(s ORDER BY s, n)",
        "array_agg(DISTINCT n ORDER BY n)",
        "string_agg(s, '+' ORDER BY s DESC)",
        "first_value(s ORDER BY x)",
        "last_value(s ORDER BY x)",
        "nth_value(s, 2 ORDER BY x)",
        "approx_distinct(s)",
    ]);
}

#[test]
fn of_ordered_groups() {
    check(&[
        "percentile_cont(0.25) WITHIN GROUP (ORDER BY x)",
        "approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY x)",
        "approx_median(x)",
    ]);
}
