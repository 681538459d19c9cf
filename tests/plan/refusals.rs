//! What is refused: the place, the reason and what to write instead.

use std::sync::Arc;

use tillrace::plan::plan;
use tillrace::script::{Fault, Sources, parse};

use super::TABLES;

fn faults(views: &str) -> Vec<Fault> {
    let script = parse(Sources::from(format!("{TABLES}{views}").as_str())).unwrap();
    plan(Arc::new(script))
        .expect_err("the plan is refused")
        .faults
}

/// Each fault of one query as what it underlines, its message and its help.
fn refused(query: &str) -> Vec<(String, String, String)> {
    let lines = TABLES.lines().count() as u64;
    let before = "CREATE MATERIALIZED VIEW v AS ";
    let tell = |fault: Fault| {
        assert_eq!(fault.origin.line, lines + 1, "{}", fault.message);
        let text = format!("{before}{query};");
        let start = fault.origin.column as usize - 1;
        let underlined: String = text.chars().skip(start).take(fault.length).collect();
        (underlined, fault.message, fault.help.unwrap_or_default())
    };
    faults(&format!("{before}{query};"))
        .into_iter()
        .map(tell)
        .collect()
}

/// One fault: the text underlined, and parts of its message and help.
fn check(query: &str, underlined: &str, message: &str, help: &str) {
    let found = refused(query);
    let [(found_underlined, found_message, found_help)] = found.as_slice() else {
        panic!("{} faults in {query}", found.len());
    };
    assert_eq!(found_underlined, underlined, "{query}");
    assert!(found_message.contains(message), "{found_message}");
    assert!(found_help.contains(help), "{found_help}");
}

#[test]
fn an_unknown_column_suggests_a_near_one() {
    check(
        "SELECT categry FROM sales",
        "categry",
        "column `categry` not found",
        "mean `category`?",
    );
    check(
        "SELECT s.prise FROM sales s",
        "s.prise",
        "column `s.prise` not found",
        "mean `price`?",
    );
    check(
        "SELECT q FROM visits",
        "q",
        "not found",
        "the columns are `page`, `seconds`, `user_id`",
    );
}

#[test]
fn a_column_of_two_relations_is_ambiguous() {
    check(
        "SELECT product_id FROM sales s JOIN products p ON s.product_id = p.product_id",
        "product_id",
        "is in several of the relations",
        "t.product_id",
    );
}

#[test]
fn an_unknown_function_suggests_a_near_one() {
    check(
        "SELECT uper(category) AS u FROM sales",
        "uper",
        "function uper() not found",
        "upper()",
    );
    check(
        "SELECT sum(category) AS s FROM sales",
        "sum",
        "does not take arguments",
        "CAST",
    );
}

#[test]
fn types_that_do_not_go_together_are_named() {
    check(
        "SELECT price + category AS x FROM sales",
        "price + category",
        "incompatible types",
        "the left side is Decimal128(18, 2), the right side is Utf8",
    );
}

#[test]
fn a_clock_and_chance_are_refused_by_name() {
    let found = refused("SELECT current_time() AS t, random() AS r FROM sales WHERE at < now()");
    let underlined: Vec<_> = found.iter().map(|(text, _, _)| text.as_str()).collect();
    assert_eq!(underlined, ["current_time", "random"]);
    assert_eq!(found[0].1, "current_time() is not kept up to date");
    assert_eq!(found[1].1, "random() differs each time that it is asked");
}

#[test]
fn the_clock_is_refused_where_it_bounds_no_rows() {
    let message = "now() is kept up to date only where it bounds rows in WHERE";
    let instead = "join tillrace.clock";
    check("SELECT now() AS t FROM sales", "now", message, instead);
    check(
        "SELECT sale_id FROM sales WHERE at < now() OR price > 1",
        "now",
        message,
        instead,
    );
    check(
        "SELECT count(*) FILTER (WHERE at > current_timestamp) AS n FROM sales",
        "current_timestamp",
        message,
        instead,
    );
    check(
        "SELECT sale_id FROM sales WHERE now() - at > INTERVAL '5 minutes'",
        "now",
        "a length of time",
        "at < now() - INTERVAL",
    );
    check(
        "SELECT sale_id FROM sales WHERE now() > now() - INTERVAL '5 minutes' AND price > 1",
        "now",
        "on both sides",
        "on one side",
    );
}

#[test]
fn what_has_no_node_yet_is_refused_by_name() {
    check(
        "SELECT s.sale_id, t.tag FROM sales s CROSS JOIN UNNEST(s.tags) AS t(tag)",
        "s.tags",
        "UNNEST of a column in FROM",
        "LATERAL (SELECT unnest(column) AS element)",
    );
    check(
        "SELECT sale_id, category -> 'a' AS a FROM sales",
        "category -> 'a'",
        "column `a` has no type",
        "cast it, or ask by ->>",
    );
    check(
        "SELECT json_get(category, 'a') AS a FROM sales",
        "json_get",
        "column `a` has no type",
        "cast it, or ask by ->>",
    );
}

#[test]
fn a_recursion_finds_more_from_more() {
    let over_found = |step: &str| {
        let query = format!("WITH RECURSIVE t AS (SELECT 1 AS n UNION {step}) SELECT n FROM t");
        refused(&query)[0].1.clone()
    };
    let aggregate = over_found("SELECT max(n) + 1 AS n FROM t");
    assert!(
        aggregate.starts_with("an aggregate over the rows that"),
        "{aggregate}"
    );
    let outer = over_found(
        "SELECT n + 1 AS n FROM t WHERE NOT EXISTS (SELECT 1 FROM sales WHERE quantity = t.n)",
    );
    assert!(
        outer.starts_with("an outer join, EXCEPT or NOT EXISTS"),
        "{outer}"
    );
    let itself = over_found("SELECT a.n + b.n AS n FROM t a JOIN t b ON a.n = b.n");
    assert_eq!(itself, "`t` is joined with itself in its recursive part");
}

#[test]
fn a_subquery_for_one_value_must_have_one() {
    check(
        "SELECT sale_id FROM sales WHERE quantity > (SELECT seconds FROM visits)",
        "SELECT seconds FROM visits",
        "stands for one value but may yield several",
        "LIMIT 1",
    );
}

#[test]
fn two_columns_of_one_name_are_refused() {
    check(
        "SELECT s.product_id, p.product_id FROM sales s
         JOIN products p ON s.product_id = p.product_id",
        "SELECT",
        "two columns of this query are named `product_id`",
        "AS",
    );
}

#[test]
fn all_faults_are_found_and_none_is_told_twice() {
    let found = faults(
        "CREATE VIEW a AS SELECT categry FROM sales;
         CREATE MATERIALIZED VIEW b AS SELECT * FROM a;
         CREATE MATERIALIZED VIEW c AS SELECT count(*) AS n FROM b;
         CREATE MATERIALIZED VIEW d AS
           WITH x AS (SELECT sale_ad FROM sales) SELECT * FROM x JOIN x AS y USING (sale_ad);
         CREATE VIEW e AS SELECT uuid() AS u FROM sales;",
    );
    let messages: Vec<_> = found.iter().map(|fault| fault.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "column `categry` not found",
            "column `sale_ad` not found",
            "uuid() differs each time that it is asked"
        ]
    );
}
