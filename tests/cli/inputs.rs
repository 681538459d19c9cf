//! What it reads: pipes, packed files, lists, and inputs that are broken.

use std::fs;

use crate::shop::{ORDERS, SALES_CSV, Shop, gzip};

#[test]
fn standard_input_and_packed_files_are_read() {
    let shop = Shop::new();
    let arguments = [
        "replay", "shop.sql", "-i", "orders=-", "--view", "sales", "--format", "csv",
    ];
    assert_eq!(
        shop.run_with_input(&arguments, ORDERS.as_bytes())
            .status(0)
            .out(),
        SALES_CSV
    );
    shop.write("packed.gz", gzip(ORDERS));
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=packed.gz",
        "--view",
        "sales",
        "--format",
        "csv",
    ];
    assert_eq!(shop.run(&arguments).status(0).out(), SALES_CSV);
}

#[test]
fn a_list_of_inputs_is_relative_to_itself() {
    let shop = Shop::new();
    fs::create_dir(shop.path("lists")).expect("the folder can be made");
    shop.write(
        "lists/all.inputs",
        "# what there is\n\norders=../orders.jsonl\n",
    );
    let arguments = ["replay", "shop.sql", "--inputs", "lists/all.inputs"];
    shop.run(&arguments).status(0).says(&["4 events"]);
    shop.write("lists/all.inputs", "# what there is\norders\n");
    shop.run(&arguments)
        .status(1)
        .says(&["lists/all.inputs:2", "table=location"]);
    shop.run(&["replay", "shop.sql", "--inputs", "none"])
        .status(1)
        .says(&["list of inputs", "none"]);
}

#[test]
fn an_empty_file_has_no_rows() {
    let shop = Shop::new();
    shop.write("empty.jsonl", "");
    shop.run(&["replay", "shop.sql", "-i", "orders=empty.jsonl", "--strict"])
        .status(0)
        .prints(&["(no rows)"])
        .says(&["0 events", "0 rejects"]);
}

#[test]
fn rejects_are_counted_placed_and_fatal_if_strict() {
    let shop = Shop::new();
    let first = ORDERS.lines().next().expect("there are orders");
    shop.write(
        "bad.jsonl",
        format!("{first}\n{{\"price\": \"x\"}}\nnot json\n{first}\n"),
    );
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=bad.jsonl",
        "--view",
        "sales",
    ];
    let place = format!("bad.jsonl at byte {} (line 2): ", first.len() + 1);
    shop.run(&arguments)
        .status(0)
        .prints(&["toys"])
        .says(&["2 rejects", &place, "(line 3): "]);
    shop.run(&[&arguments[..], &["--strict"]].concat())
        .status(1)
        .says(&["2 rejects"]);
    let quiet = shop
        .run(&[&arguments[..], &["--strict", "--quiet"]].concat())
        .status(1);
    assert_eq!(quiet.err(), "");
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=bad.jsonl",
        "--view",
        "tillrace.rejects",
    ];
    shop.run(&arguments)
        .status(0)
        .prints(&["not json", "bad.jsonl"]);
}

#[test]
fn a_packed_file_that_breaks_off_is_told_of() {
    let shop = Shop::new();
    let line = ORDERS.lines().next().expect("there are orders");
    let packed = gzip(&format!("{line}\n").repeat(20_000));
    shop.write("cut.jsonl.gz", &packed[..packed.len() / 2]);
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=cut.jsonl.gz",
        "--view",
        "sales",
    ];
    shop.run(&arguments)
        .status(0)
        .prints(&["toys"])
        .says(&["1 reject", "cut.jsonl.gz"]);
    shop.run(&[&arguments[..], &["--strict"]].concat())
        .status(1);
}

#[test]
fn a_line_of_ten_megabytes_is_a_line() {
    let shop = Shop::new();
    let first = ORDERS.lines().next().expect("there are orders");
    let long = "x".repeat(10_000_000);
    let lines = format!(
        "{first}\n{{\"id\": 5, \"category\": \"{long}\"}}\n{{\"id\": 6, \"note\": \"{long}\"}}\n{first}\n"
    );
    shop.write("long.jsonl", lines);
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=long.jsonl",
        "--view",
        "sales",
        "--format",
        "csv",
        "--strict",
    ];
    let run = shop.run(&arguments).status(0).says(&["4 events"]);
    assert!(run.out().contains("\ntoys,2,3.00,"));
    assert!(run.out().contains(&format!("\n{long},1,")));
}
