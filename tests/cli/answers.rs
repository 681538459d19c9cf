//! What it answers: tables on the terminal, files in every format.

use std::fs::{self, File};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Decimal128Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::shop::{SALES_CSV, Shop};

#[test]
fn a_table_is_aligned_and_sums_are_exact() {
    let shop = Shop::new();
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=orders.jsonl",
        "--view",
        "sales",
    ];
    let run = shop
        .run(&arguments)
        .status(0)
        .says(&["4 events in ", "events/s", "0 rejects"]);
    let expected = "\
sales
category     orders  revenue  newest
───────────  ──────  ───────  ───────────────────────
books, used       1    20.00  2023-10-01 12:34:56.500
toys              2     1.75  2023-10-01 12:34:56
                  1           2023-10-02 00:00:00
";
    assert_eq!(run.out(), expected);
}

#[test]
fn a_long_table_is_cut_and_says_so() {
    let shop = Shop::new();
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=orders.jsonl",
        "--view",
        "all_orders",
    ];
    let cut = shop
        .run(&[&arguments[..], &["--limit", "1"]].concat())
        .status(0);
    cut.prints(&["(1 of 4 rows)"]);
    let whole = shop
        .run(&[&arguments[..], &["--limit", "0"]].concat())
        .status(0);
    assert_eq!(whole.out().lines().count(), 3 + 4, "{}", whole.out());
}

#[test]
fn views_are_answered_on_any_number_of_workers_alike() {
    let shop = Shop::new();
    for workers in ["1", "2", "4", "7"] {
        let arguments = [
            "replay",
            "shop.sql",
            "-i",
            "orders=orders.jsonl",
            "--view",
            "sales",
            "--format",
            "csv",
            "--workers",
            workers,
        ];
        assert_eq!(shop.run(&arguments).status(0).out(), SALES_CSV);
    }
}

#[test]
fn answers_are_written_whole_in_every_format() {
    let shop = Shop::new();
    let replay = [
        "replay",
        "shop.sql",
        "-i",
        "orders=orders.jsonl",
        "--out",
        "answers",
    ];
    let write = |format: &str| {
        shop.run(&[&replay[..], &["--format", format]].concat())
            .status(0)
    };
    for format in ["csv", "jsonl", "parquet", "table"] {
        assert_eq!(write(format).out(), "");
    }
    assert_eq!(shop.read("answers/sales.csv"), SALES_CSV);
    assert!(
        shop.read("answers/sales.txt")
            .contains("books, used       1    20.00")
    );

    let lines: Vec<serde_json::Value> = shop
        .read("answers/sales.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["category"], "books, used");
    assert_eq!(lines[0]["newest"], "2023-10-01T12:34:56.5Z");
    assert_eq!(lines[2]["category"], serde_json::Value::Null);
    assert!(
        shop.read("answers/sales.jsonl")
            .contains("\"revenue\":\"1.75\","),
        "money keeps its text"
    );

    let file = File::open(shop.path("answers/sales.parquet")).expect("it was written");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|reader| reader.build());
    let batches: Vec<RecordBatch> = reader
        .expect("it is Parquet")
        .map(|batch| batch.expect("it is whole"))
        .collect();
    let revenue = batches[0]
        .column_by_name("revenue")
        .expect("there is revenue")
        .clone();
    assert_eq!(revenue.as_primitive::<Decimal128Type>().value(1), 175);

    let files = fs::read_dir(shop.path("answers")).expect("it can be listed");
    assert_eq!(files.count(), 2 * 4, "only whole files are left");
}

#[test]
fn answers_can_be_read_again_as_inputs() {
    let shop = Shop::new();
    shop.write(
        "again.sql",
        "CREATE TABLE sales (category TEXT, orders BIGINT, revenue DECIMAL(20, 2), newest TIMESTAMP);
         CREATE MATERIALIZED VIEW sales_again AS SELECT * FROM sales ORDER BY category;",
    );
    for format in ["csv", "jsonl", "parquet"] {
        let arguments = [
            "replay",
            "shop.sql",
            "-i",
            "orders=orders.jsonl",
            "--out",
            format,
            "--format",
            format,
        ];
        shop.run(&arguments).status(0);
        let input = format!("sales={format}/sales.{format}");
        let arguments = [
            "replay",
            "again.sql",
            "-i",
            &input,
            "--view",
            "sales_again",
            "--format",
            "csv",
        ];
        assert_eq!(shop.run(&arguments).status(0).out(), SALES_CSV, "{format}");
    }
}

#[test]
fn the_clock_can_be_stopped() {
    let shop = Shop::new();
    for time in [
        "2023-10-01",
        "2023-10-01 12:30:00",
        "2023-10-01T12:30:00+02:00",
    ] {
        let arguments = [
            "replay",
            "shop.sql",
            "-i",
            "orders=orders.jsonl",
            "--as-of",
            time,
        ];
        shop.run(&arguments).status(0);
    }
}
