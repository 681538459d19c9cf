//! The engine handle: what a program that embeds Tillrace relies on.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tillrace::catalog::Snapshot;
use tillrace::engine::{Config, Engine, EngineError};
use tillrace::plan;
use tillrace::script::{self, Sources};
use tillrace::source::Format;

fn engine(sql: &str, workers: usize) -> Engine {
    let mut sources = Sources::default();
    sources.insert(PathBuf::from("test.sql"), sql.to_owned());
    let script = script::parse(sources).unwrap_or_else(|faults| panic!("{faults}"));
    let plan = plan::plan(Arc::new(script)).unwrap_or_else(|faults| panic!("{faults}"));
    let config = Config {
        workers,
        ..Config::default()
    };
    Engine::start(Arc::new(plan), config).expect("the plan runs")
}

/// Rows as lines of fields, NULL as nothing.
fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default();
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).expect("a printable column"))
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            columns
                .iter()
                .map(|c| c.value(row).to_string())
                .collect::<Vec<_>>()
                .join("|")
        })
        .collect()
}

fn rows(snapshot: &Snapshot, view: &str) -> Vec<String> {
    lines(
        &snapshot
            .rows(view)
            .unwrap_or_else(|| panic!("there is a view {view}")),
    )
}

fn changes(snapshot: &Snapshot, view: &str) -> Vec<String> {
    let (batch, diffs) = snapshot
        .changes(view)
        .unwrap_or_else(|| panic!("a view {view}"));
    lines(&batch)
        .into_iter()
        .zip(diffs)
        .map(|(row, diff)| format!("{diff:+} {row}"))
        .collect()
}

fn json(engine: &Engine, table: &str, lines: &[&str]) {
    let text = lines.join("\n").into_bytes();
    engine
        .ingest("test", table, &Format::Json, text)
        .expect("the table is there");
}

const SHOP: &str = "
    CREATE TABLE products (product_id TEXT PRIMARY KEY, category TEXT NOT NULL);
    CREATE TABLE sales (product_id TEXT, quantity INT, amount DECIMAL(18,2));
    CREATE MATERIALIZED VIEW by_category AS
        SELECT category, sum(amount) AS revenue, count(*) AS sales, min(amount) AS least,
               max(amount) AS most, count(DISTINCT s.product_id) AS products,
               array_agg(quantity ORDER BY quantity) AS quantities
        FROM sales s JOIN products p ON s.product_id = p.product_id
        GROUP BY category;
    CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n, sum(quantity) AS units FROM sales;
    CREATE MATERIALIZED VIEW unsold AS
        SELECT p.product_id FROM products p LEFT JOIN sales s ON p.product_id = s.product_id
        WHERE s.product_id IS NULL;
    CREATE MATERIALIZED VIEW best AS
        SELECT product_id, amount FROM (
            SELECT product_id, amount,
                   row_number() OVER (PARTITION BY product_id ORDER BY amount DESC) AS n FROM sales)
        WHERE n <= 1;
    CREATE MATERIALIZED VIEW ratios AS SELECT product_id, 100 / quantity AS ratio FROM sales;
";

#[test]
fn views_follow_their_tables_on_any_number_of_workers() {
    for workers in [1, 2, 4] {
        let engine = engine(SHOP, workers);
        let snapshot = engine.advance().expect("an epoch");
        assert_eq!(
            rows(&snapshot, "totals"),
            ["0|"],
            "a total of nothing is there from the start"
        );

        json(
            &engine,
            "products",
            &[
                r#"{"product_id":"a","category":"shoes"}"#,
                r#"{"product_id":"b","category":"hats"}"#,
                r#"{"product_id":"c","category":"hats"}"#,
            ],
        );
        json(
            &engine,
            "sales",
            &[
                r#"{"product_id":"a","quantity":1,"amount":10.50}"#,
                r#"{"product_id":"b","quantity":2,"amount":3}"#,
                r#"{"product_id":"a","quantity":0,"amount":7}"#,
                "nonsense",
            ],
        );
        let snapshot = engine.advance().expect("an epoch");
        let by_category = [
            "hats|3.00|1|3.00|3.00|1|[2]",
            "shoes|17.50|2|7.00|10.50|1|[0, 1]",
        ];
        assert_eq!(rows(&snapshot, "by_category"), by_category);
        assert_eq!(rows(&snapshot, "totals"), ["3|3"]);
        assert_eq!(rows(&snapshot, "unsold"), ["c"]);
        assert_eq!(rows(&snapshot, "best"), ["a|10.50", "b|3.00"]);
        assert_eq!(rows(&snapshot, "ratios"), ["a|100", "b|50"]);
        assert_eq!(
            rows(&snapshot, "tillrace.rejects").len(),
            2,
            "the record and the division"
        );

        json(
            &engine,
            "products",
            &[r#"{"product_id":"a","category":"hats"}"#],
        );
        let snapshot = engine.advance().expect("an epoch");
        assert_eq!(
            changes(&snapshot, "by_category"),
            [
                "-1 hats|3.00|1|3.00|3.00|1|[2]",
                "+1 hats|20.50|3|3.00|10.50|2|[0, 1, 2]",
                "-1 shoes|17.50|2|7.00|10.50|1|[0, 1]"
            ],
            "a product that is filed elsewhere takes its history along"
        );
        assert!(changes(&snapshot, "totals").is_empty());
        engine.stop().expect("the workers end");
    }
}

#[test]
fn rows_are_taken_back_only_where_no_key_says_which_stand() {
    let engine = engine(SHOP, 2);
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let number: ArrayRef = Arc::new(Int32Array::from(vec![4]));
    let amount = arrow::array::Decimal128Array::from(vec![500]).with_precision_and_scale(18, 2);
    let amount: ArrayRef = Arc::new(amount.expect("a DECIMAL(18,2)"));
    let sale = RecordBatch::try_from_iter([
        ("product_id", text("a")),
        ("quantity", number),
        ("amount", amount),
    ])
    .expect("a batch");
    engine
        .update("sales", sale.clone(), vec![2])
        .expect("added twice");
    assert_eq!(
        rows(&engine.advance().expect("an epoch"), "totals"),
        ["2|8"]
    );
    engine
        .update("sales", sale.clone(), vec![-1])
        .expect("taken back once");
    assert_eq!(
        rows(&engine.advance().expect("an epoch"), "totals"),
        ["1|4"]
    );

    let product = RecordBatch::try_from_iter([("product_id", text("a")), ("category", text("x"))]);
    let product = product.expect("a batch");
    let refused = engine.update("products", product.clone(), vec![-1]);
    assert!(matches!(refused, Err(EngineError::Identified(table)) if table == "products"));
    let refused = engine.insert("sales", product);
    assert!(matches!(refused, Err(EngineError::WrongColumns(table)) if table == "sales"));
    let refused = engine.insert("nowhere", sale);
    assert!(matches!(refused, Err(EngineError::NoTable(table)) if table == "nowhere"));
}

#[test]
fn records_without_an_id_are_kept_however_short_they_are() {
    let sql = "CREATE TABLE t (id TEXT, n INT) WITH (dedup = 'id');
        CREATE MATERIALIZED VIEW all_of_t AS SELECT id, n FROM t;";
    let engine = engine(sql, 4);
    json(
        &engine,
        "t",
        &[
            r#"{"n":1}"#,
            r#"{"n":1}"#,
            r#"{"id":"a","n":1}"#,
            r#"{"id":"a","n":2}"#,
        ],
    );
    assert_eq!(
        rows(&engine.advance().expect("an epoch"), "all_of_t"),
        ["|1", "|1", "a|1"]
    );
}

#[test]
fn rows_are_grouped_by_three_columns_with_nulls() {
    let sql = "CREATE TABLE t (a TEXT, b INT, c TEXT);
        CREATE MATERIALIZED VIEW groups AS SELECT a, b, c, count(*) AS n FROM t GROUP BY a, b, c;";
    for workers in [1, 2] {
        let engine = engine(sql, workers);
        let records = [
            r#"{"a":"x","b":1,"c":"p"}"#,
            r#"{"b":1,"c":"p"}"#,
            r#"{"a":"x","c":"p"}"#,
            r#"{"a":"x","b":1,"c":"q"}"#,
            r#"{"b":1,"c":"p"}"#,
        ];
        json(&engine, "t", &records);
        let snapshot = engine.advance().expect("an epoch");
        assert_eq!(
            rows(&snapshot, "groups"),
            ["|1|p|2", "x||p|1", "x|1|p|1", "x|1|q|1"]
        );
    }
}

#[test]
fn nodes_tell_what_they_did_and_hold() {
    for workers in [1, 2] {
        let engine = engine(SHOP, workers);
        let product = |n: usize| format!(r#"{{"product_id":"p{n}","category":"c{}"}}"#, n % 3);
        let products: Vec<String> = (0..9).map(product).collect();
        let products: Vec<&str> = products.iter().map(String::as_str).collect();
        json(&engine, "products", &products);
        json(&engine, "products", &products[..4]);
        let sale = |n: usize| format!(r#"{{"product_id":"p{}","quantity":1,"amount":{n}}}"#, n % 9);
        let sales: Vec<String> = (0..90).map(sale).collect();
        let sales: Vec<&str> = sales.iter().map(String::as_str).collect();
        json(&engine, "sales", &sales);
        engine.advance().expect("an epoch");
        // What an epoch costs is in the log when the next one is under way.
        engine.advance().expect("an epoch");
        let plan = Arc::clone(engine.plan());
        let reports = engine.operators();
        assert_eq!(reports.len(), plan.nodes.len());
        let label = |node: usize| tillrace::plan::explain::describe(&plan, &plan.nodes[node].op);
        let all: Vec<String> = reports
            .iter()
            .map(|report| format!("{} {report:?}", label(report.node)))
            .collect();
        let all = all.join("\n");
        let of = |table: &str| {
            let is_input =
                |report: &&tillrace::engine::NodeReport| label(report.node).starts_with(table);
            *reports
                .iter()
                .find(is_input)
                .unwrap_or_else(|| panic!("{all}"))
        };
        let products = of("input products");
        let (given, kept) = (products.records_in, products.held_records);
        assert_eq!((given, products.records_out, kept), (13, 9, 9), "{all}");
        let sales = of("input sales");
        assert_eq!(
            (sales.records_in, sales.records_out, sales.held_records),
            (90, 90, 0)
        );
        let is_join = |report: &&tillrace::engine::NodeReport| {
            plan.nodes[report.node].op.inputs().len() == 2 && report.records_out == 90
        };
        let join = *reports
            .iter()
            .find(is_join)
            .unwrap_or_else(|| panic!("{all}"));
        assert_eq!(join.records_in, 99, "{all}");
        assert_eq!(join.held_records, 99, "{all}");
        assert!(join.held_batches > 0 && join.time_ns > 0, "{all}");
        let busy = reports.iter().filter(|report| report.time_ns > 0).count();
        assert!(busy * 2 > reports.len(), "{all}");
        engine.stop().expect("the workers end");
    }
}
