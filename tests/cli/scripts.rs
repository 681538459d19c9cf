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
