//! All views change together: what is equal at every epoch is equal whenever it is asked.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Int64Type};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tillrace::catalog::Snapshot;
use tillrace::engine::Live;
use tillrace::serve::{ServeConfig, Server};
use tillrace::source::Format;
use tillrace::source::live::Piece;

use crate::process::agent;
use crate::support::{DEADLINE, plan_of, start};

const SCRIPT: &str = "
CREATE TABLE products (product_id BIGINT PRIMARY KEY, category TEXT NOT NULL);
CREATE TABLE sales (product_id BIGINT NOT NULL, amount DECIMAL(18, 2) NOT NULL);
CREATE MATERIALIZED VIEW by_category AS
  SELECT p.category, count(*) AS sales, sum(s.amount) AS amount
  FROM sales s JOIN products p ON p.product_id = s.product_id GROUP BY p.category;
CREATE MATERIALIZED VIEW by_product AS
  SELECT product_id, count(*) AS sales, sum(amount) AS amount FROM sales GROUP BY product_id;
";
const PRODUCTS: u32 = 200;
const ASKED: usize = 10_000;
const ASKED_OVER_HTTP: usize = 400;
/// At least so many epochs are to go by meanwhile.
const EPOCHS: u64 = 50;

fn push(live: &Live, table: &str, text: String) {
    let outlet = live
        .outlet("test", table, &Format::Json)
        .expect("the table is there");
    let piece = Piece::of_text(Arc::new(PathBuf::from("test")), 0, text.into_bytes());
    // The run may stop meanwhile.
    let _is_taken = outlet.send(piece);
}

fn product(id: u32, category: u32) -> String {
    format!("{{\"product_id\":{id},\"category\":\"c{category}\"}}\n")
}

/// Sells, and files products elsewhere, until it is over.
fn trade(live: &Live, seed: u64, is_over: &AtomicBool) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    while !is_over.load(Ordering::Relaxed) {
        let sales = (0..50).map(|_| {
            let (id, cents) = (random.random_range(0..PRODUCTS), random.random_range(1..99));
            format!(
                "{{\"product_id\":{id},\"amount\":\"{}.{cents:02}\"}}\n",
                random.random_range(1..500)
            )
        });
        let sales = sales.collect();
        push(live, "sales", sales);
        let (id, category) = (random.random_range(0..PRODUCTS), random.random_range(0..9));
        push(live, "products", product(id, category));
    }
}

/// How many sales there are, and for how much.
fn total(rows: &RecordBatch) -> (i64, i128) {
    let sales = rows.column_by_name("sales").expect("it is there");
    let amounts = rows.column_by_name("amount").expect("it is there");
    let sales = sales.as_primitive::<Int64Type>().iter().flatten().sum();
    let amounts = amounts
        .as_primitive::<Decimal128Type>()
        .iter()
        .flatten()
        .sum();
    (sales, amounts)
}

fn totals(snapshot: &Snapshot) -> [(i64, i128); 2] {
    ["by_category", "by_product"].map(|view| total(&snapshot.rows(view).expect("it is there")))
}

fn ask(live: &Live) {
    let (mut asked, mut epochs, mut last) = (0, 0, (0, 0));
    let end = Instant::now() + DEADLINE;
    while asked < ASKED || epochs < EPOCHS {
        asked += 1;
        if asked > ASKED {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(
            Instant::now() < end,
            "{epochs} epochs went by in {asked} answers"
        );
        let snapshot = live.catalog().latest();
        let [by_category, by_product] = totals(&snapshot);
        assert_eq!(by_category, by_product, "at epoch {}", snapshot.epoch());
        assert!(
            snapshot.epoch() >= last.0 && by_product.0 >= last.1,
            "time goes on"
        );
        epochs += u64::from(snapshot.epoch() > last.0);
        last = (snapshot.epoch(), by_product.0);
    }
    eprintln!("{asked} answers over {epochs} epochs, {} sales", last.1);
}

fn ask_over_http(server: &Server) {
    let agent = agent();
    let address = server.addresses()[0];
    let get = |path: String| -> Value {
        let mut response = agent
            .get(format!("http://{address}{path}"))
            .call()
            .expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        serde_json::from_str(&response.body_mut().read_to_string().expect("text")).expect("JSON")
    };
    let sum = |answer: &Value| -> (u64, i128) {
        let rows = answer["rows"].as_array().expect("rows");
        let sales = rows.iter().filter_map(|row| row["sales"].as_u64()).sum();
        let amounts = rows.iter().filter_map(|row| row["amount"].as_str());
        let cents = amounts.map(|amount| amount.replace('.', "").parse::<i128>().expect("cents"));
        (sales, cents.sum())
    };
    let mut seen = std::collections::HashSet::new();
    for asked in 0..ASKED_OVER_HTTP {
        let (first, second) = match asked % 2 {
            0 => ("by_category", "by_product"),
            _ => ("by_product", "by_category"),
        };
        let one = get(format!("/views/{first}?limit=1000"));
        let epoch = one["epoch"].as_u64().expect("an epoch");
        let other = get(format!("/views/{second}?limit=1000&at={epoch}"));
        assert_eq!(other["epoch"], epoch);
        assert_eq!(sum(&one), sum(&other), "at epoch {epoch}");
        seen.insert(epoch);
    }
    assert!(
        seen.len() > 10,
        "the run went on meanwhile: {} epochs",
        seen.len()
    );
}

#[test]
fn sums_agree_at_every_epoch_while_four_workers_run() {
    let live = start(&plan_of(SCRIPT), 4, &[], Vec::new());
    push(
        &live,
        "products",
        (0..PRODUCTS).map(|id| product(id, id % 9)).collect(),
    );
    let server = Server::start(
        ServeConfig::on(([127, 0, 0, 1], 0).into()),
        Arc::clone(&live),
    );
    let server = server.expect("a port is free");
    // The products come first: a sale of none has no category.
    crate::support::when_taken(&live, u64::from(PRODUCTS));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..2 {
            let (live, is_over) = (&live, &is_over);
            scope.spawn(move || trade(live, seed, is_over));
        }
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            thread::scope(|scope| {
                scope.spawn(|| ask_over_http(&server));
                ask(&live);
            });
        }));
        is_over.store(true, Ordering::Relaxed);
        if let Err(panic) = asked {
            std::panic::resume_unwind(panic);
        }
    });
    server.stop();
    live.stop().expect("the workers end well");
}
