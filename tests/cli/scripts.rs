//! What it says of scripts: faults, state, plans, and whether answers are right.

use crate::shop::{SHOP, Shop};

#[test]
fn every_fault_of_a_script_is_shown_with_its_place() {
    let shop = Shop::new();
    let broken = format!(
        "{SHOP}CREATE MATERIALIZED VIEW a AS SELECT categry FROM orders;\n\
         CREATE MATERIALIZED VIEW b AS SELECT idd FROM orders;\n"
    );
    shop.write("broken.sql", broken);
    let line = SHOP.lines().count() + 1;
    for subcommand in ["check", "explain"] {
        shop.run(&[subcommand, "broken.sql"]).status(1).says(&[
            &format!("broken.sql:{line}:"),
            "categry",
            "category",
            &format!("broken.sql:{}:", line + 1),
        ]);
    }
    let arguments = ["replay", "broken.sql", "-i", "orders=orders.jsonl"];
    let run = shop.run(&arguments).status(1).says(&["categry"]);
    assert_eq!(run.out(), "", "nothing runs");
}

#[test]
fn check_says_what_views_keep() {
    let shop = Shop::new();
    shop.run(&["check", "shop.sql"])
        .status(0)
        .prints(&["sales\n", "grows with", "all_orders\n"]);
}

#[test]
fn explain_has_three_forms() {
    let shop = Shop::new();
    shop.run(&["explain", "shop.sql"])
        .status(0)
        .prints(&["sales", "all_orders"]);
    shop.run(&["explain", "shop.sql", "--dot"])
        .status(0)
        .prints(&["digraph"]);
    shop.run(&["explain", "shop.sql", "--mermaid"])
        .status(0)
        .prints(&["flowchart"]);
    let one = shop
        .run(&["explain", "shop.sql", "--view", "sales"])
        .status(0);
    assert!(!one.out().contains("view all_orders"), "{}", one.out());
    shop.run(&["explain", "shop.sql", "--view", "sail"])
        .status(1)
        .says(&["no view \"sail\""]);
}

#[test]
fn verify_agrees_with_the_batch_answers() {
    let shop = Shop::new();
    let arguments = [
        "verify",
        "shop.sql",
        "-i",
        "orders=orders.jsonl",
        "--seed",
        "7",
    ];
    shop.run(&arguments)
        .status(0)
        .prints(&["2 views equal their batch answers over 4 rows"]);
}

/// Rows that a replay only adds and that come again and again, with few groups and with many, are
/// held back on their way; nothing of them may be missing.
#[test]
fn what_is_distinct_is_so_in_a_replay_too() {
    let shop = Shop::new();
    shop.write(
        "distinct.sql",
        "CREATE TABLE visits (page TEXT, visitor TEXT, score DOUBLE, at BIGINT);
         CREATE MATERIALIZED VIEW visitors_by_page AS
           SELECT page, count(DISTINCT visitor) AS visitors, count(*) AS visits FROM visits GROUP BY page;
         CREATE MATERIALIZED VIEW pages_by_visitor AS
           SELECT visitor, count(DISTINCT page) AS pages, sum(DISTINCT at) AS s FROM visits GROUP BY visitor;
         CREATE MATERIALIZED VIEW overall AS
           SELECT count(DISTINCT visitor) AS visitors, count(DISTINCT score) AS scores FROM visits;
         CREATE MATERIALIZED VIEW pages AS SELECT DISTINCT page FROM visits;
         CREATE MATERIALIZED VIEW both AS
           SELECT page, visitor FROM visits UNION SELECT visitor, page FROM visits;",
    );
    let line = |number: u64| {
        let random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let page = match random % 5 {
            0 => "null".to_owned(),
            few => format!("\"page {}\"", few * (random / 5 % 40)),
        };
        let visitor = match random / 7 % 9 {
            0 => "null".to_owned(),
            1 => format!("\"somebody whose name is long {}\"", random % 50),
            _ => format!("\"v{}\"", random % 300),
        };
        let score = random % 11;
        format!(
            "{{\"page\": {page}, \"visitor\": {visitor}, \"score\": {score}.5, \"at\": {}}}\n",
            random % 13
        )
    };
    shop.write("visits.jsonl", (0..5_000).map(line).collect::<String>());
    shop.run(&["verify", "distinct.sql", "-i", "visits=visits.jsonl"])
        .status(0)
        .prints(&["5 views equal their batch answers over 5,000 rows"]);
}
