//! How it is asked: help, wrong arguments, names that do not exist.

use std::fs;
use std::process::Command;

use crate::shop::{Run, Shop, top};

const SUBCOMMANDS: [&str; 9] = [
    "replay",
    "sql",
    "check",
    "explain",
    "verify",
    "generate",
    "completions",
    "why",
    "backtest",
];

#[test]
fn help_teaches_with_examples() {
    let shop = Shop::new();
    shop.run(&["--help"])
        .status(0)
        .prints(&["Examples:", "tillrace replay", "--version"]);
    for subcommand in SUBCOMMANDS {
        let example = format!("tillrace {subcommand} ");
        shop.run(&[subcommand, "--help"])
            .status(0)
            .prints(&["Examples:", &example]);
        shop.run(&[subcommand, "-h"])
            .status(0)
            .prints(&["Examples:"]);
    }
    shop.run(&["--version"])
        .status(0)
        .prints(&[env!("CARGO_PKG_VERSION")]);
}

#[test]
fn without_arguments_the_samples_are_replayed() {
    if !top().join("dataflows").exists() {
        eprintln!("skipped: there are no samples here");
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_tillrace"));
    let run = Run(command
        .current_dir(top())
        .output()
        .expect("the binary starts"));
    run.status(0)
        .prints(&["sales_by_category\n", "tillrace replay dataflows"])
        .says(&["events/s", " 0 rejects"]);
}

#[test]
fn without_arguments_and_samples_it_says_where_to_start() {
    let shop = Shop::new();
    shop.run(&[])
        .status(1)
        .says(&["\"dataflows\"", "top of its source tree", "tillrace --help"]);
}

#[test]
fn wrong_usage_ends_in_status_2() {
    let shop = Shop::new();
    let input = "orders=orders.jsonl";
    shop.run(&["rewind"]).status(2).says(&["rewind"]);
    shop.run(&["replay", "--input", "orders"])
        .status(2)
        .says(&["table=location"]);
    shop.run(&["replay", "--input", "orders=o.txt?format=xml"])
        .status(2)
        .says(&["xml"]);
    shop.run(&["replay", "shop.sql"])
        .status(2)
        .says(&["no inputs", "--input table=path"]);
    shop.run(&["replay", "shop.sql", "-i", input, "--workers", "0"])
        .status(2);
    shop.run(&["replay", "shop.sql", "-i", input, "--as-of", "noon"])
        .status(2)
        .says(&["not a time"]);
    shop.run(&["replay", "shop.sql", "-i", input, "--format", "csv"])
        .status(2)
        .says(&["--view"]);
    shop.run(&["replay", "shop.sql", "-i", input, "--format", "parquet"])
        .status(2)
        .says(&["--out"]);
    shop.run(&["verify", "shop.sql", "-i", "orders=-"])
        .status(2)
        .says(&["several times"]);
    shop.run(&["explain", "shop.sql", "--dot", "--mermaid"])
        .status(2);
    shop.run(&["completions", "cobol"]).status(2);
}

#[test]
fn what_is_missing_is_named() {
    let shop = Shop::new();
    let missing = shop
        .run(&["replay", "shop.sql", "-i", "orders=gone.jsonl"])
        .status(1);
    assert_eq!(
        missing.err().matches("gone.jsonl").count(),
        1,
        "{}",
        missing.err()
    );
    shop.run(&["replay", "gone.sql", "-i", "orders=orders.jsonl"])
        .status(1)
        .says(&["gone.sql"]);
    shop.run(&["replay", "shop.sql", "-i", "order=orders.jsonl"])
        .status(1)
        .says(&["no table \"order\"", "did you mean \"orders\"?"]);
    shop.run(&[
        "replay",
        "shop.sql",
        "-i",
        "orders=orders.jsonl",
        "--view",
        "sale",
    ])
    .status(1)
    .says(&["no view \"sale\"", "did you mean \"sales\"?"]);
    fs::create_dir(shop.path("empty")).expect("the folder can be made");
    shop.run(&["replay", "shop.sql", "-i", "orders=empty"])
        .status(1)
        .says(&["empty"]);
    shop.run(&["check", "empty"]).status(1).says(&["empty"]);
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_before_the_run() {
    let shop = Shop::new();
    shop.write("file", "");
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=orders.jsonl",
        "--out",
        "file/answers",
    ];
    shop.run(&arguments)
        .status(1)
        .says(&["could not write", "file/answers"]);
}

#[test]
fn completions_are_printed() {
    let shop = Shop::new();
    for shell in ["bash", "zsh", "fish"] {
        shop.run(&["completions", shell])
            .status(0)
            .prints(&["tillrace", "replay"]);
    }
}
