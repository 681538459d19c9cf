//! The engine handle: what a program that embeds Tillrace relies on.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches;
use tillrace::catalog::Snapshot;
use tillrace::engine::{Config, Engine};
use tillrace::plan;
use tillrace::script::{self, Sources};
use tillrace::source::Format;

fn engine(sql: &str, workers: usize) -> Engine {
    let mut sources = Sources::default();
    sources.insert(PathBuf::from("test.sql"), sql.to_owned());
    let script = script::parse(sources).unwrap_or_else(|faults| panic!("{faults}"));
    let plan = plan::plan(Arc::new(script)).unwrap_or_else(|faults| panic!("{faults}"));
    Engine::start(
        Arc::new(plan),
        Config {
            workers,
            ..Config::default()
        },
    )
    .expect("engine")
}

fn shown(snapshot: &Snapshot, view: &str) -> String {
    let rows = snapshot.rows(view).expect("the view is there");
    pretty_format_batches(&[rows])
        .expect("rows can be shown")
        .to_string()
}

fn json(engine: &Engine, table: &str, lines: &str) {
    engine
        .ingest("test", table, &Format::Json, lines.as_bytes().to_vec())
        .expect("ingest");
}

const SHOP: &str = "
    CREATE TABLE products (product_id TEXT PRIMARY KEY, category TEXT NOT NULL, price DECIMAL(18,2));
    CREATE TABLE sales (product_id TEXT, quantity INT, amount DECIMAL(18,2), weight DOUBLE);
    CREATE MATERIALIZED VIEW by_category AS
        SELECT category, sum(amount) AS revenue, count(*) AS sales, min(amount) AS least,
               max(amount) AS most, count(DISTINCT s.product_id) AS products,
               median(quantity) AS median, avg(weight) AS weight
        FROM sales s JOIN products p ON s.product_id = p.product_id
        GROUP BY category;
    CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n, sum(quantity) AS units FROM sales;
    CREATE MATERIALIZED VIEW unsold AS
        SELECT p.product_id, s.amount FROM products p LEFT JOIN sales s ON p.product_id = s.product_id;
    CREATE MATERIALIZED VIEW top AS
        SELECT product_id, amount FROM (
            SELECT product_id, amount,
                   row_number() OVER (PARTITION BY product_id ORDER BY amount DESC) AS n FROM sales)
        WHERE n <= 2;
    CREATE MATERIALIZED VIEW ratios AS SELECT product_id, 100 / quantity AS r FROM sales;
";

#[test]
fn views_follow_their_tables() {
    for workers in [1, 2, 4] {
        let engine = engine(SHOP, workers);
        let snapshot = engine.advance().expect("epoch");
        assert!(
            shown(&snapshot, "totals").contains("| 0 |"),
            "{}",
            shown(&snapshot, "totals")
        );
        json(
            &engine,
            "products",
            "{\"product_id\":\"a\",\"category\":\"shoes\",\"price\":1}\n{\"product_id\":\"b\",\"category\":\"hats\",\"price\":2}\n{\"product_id\":\"c\",\"category\":\"hats\",\"price\":2}",
        );
        json(
            &engine,
            "sales",
            "{\"product_id\":\"a\",\"quantity\":1,\"amount\":10.50,\"weight\":0.1}\n{\"product_id\":\"b\",\"quantity\":2,\"amount\":3,\"weight\":0.2}\n{\"product_id\":\"a\",\"quantity\":0,\"amount\":7,\"weight\":0.7}\nnonsense\n",
        );
        let snapshot = engine.advance().expect("epoch");
        for view in [
            "by_category",
            "totals",
            "unsold",
            "top",
            "ratios",
            "tillrace.rejects",
            "tillrace.inputs",
        ] {
            eprintln!("{view}\n{}", shown(&snapshot, view));
        }
        json(
            &engine,
            "products",
            "{\"product_id\":\"a\",\"category\":\"hats\",\"price\":1}",
        );
        let snapshot = engine.advance().expect("epoch");
        eprintln!("{}", shown(&snapshot, "by_category"));
        let (rows, diffs) = snapshot.changes("by_category").expect("view");
        eprintln!(
            "{}\n{diffs:?}",
            pretty_format_batches(&[rows]).expect("shown")
        );
        engine.stop().expect("stop");
    }
}
