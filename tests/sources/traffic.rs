//! Generated traffic: one shop for all tables, at the pace of the wall clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use serde_json::Value;
use tillrace::source::live::{LiveOptions, generated_tables};

use super::support::{DEADLINE, Running, lines_of, start_opened, start_with, try_open, wait_until};

/// Opens tables of one shop.
fn open_shop(tables: &[&str], options: &str) -> BTreeMap<String, Running> {
    let shared = LiveOptions::default();
    let open = |table: &&str| {
        let text = format!("{table}=generate:{table}?{options}");
        let live = try_open(&text, &shared).expect("it is opened");
        (table.to_string(), live)
    };
    // All are opened before any runs, so that none misses how the shop begins.
    let opened: Vec<_> = tables.iter().map(open).collect();
    let opened = opened.into_iter();
    opened
        .map(|(table, live)| (table, start_opened(live)))
        .collect()
}

/// Takes all records until those of two tables are well within the present.
fn take_history(shop: &BTreeMap<String, Running>) -> BTreeMap<String, Vec<Value>> {
    let present_ms = now_ms() + 500;
    let end = Instant::now() + DEADLINE;
    let mut records = BTreeMap::<String, Vec<Value>>::new();
    loop {
        assert!(Instant::now() < end, "the present does not come");
        for (table, running) in shop {
            while let Some(piece) = running.inlet.try_next().expect("the shop is open") {
                let lines = lines_of(&piece);
                let parsed = lines.iter().map(|line| serde_json::from_str(line));
                let parsed: Result<Vec<Value>, _> = parsed.collect();
                let taken = records.entry(table.clone()).or_default();
                taken.extend(parsed.expect("lines are JSON"));
            }
        }
        let is_present = |table: &str| {
            let last = records.get(table).and_then(|records| records.last());
            last.is_some_and(|record| at_ms(record) >= present_ms)
        };
        if is_present("behavior") && is_present("stock_movements") {
            return records;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn at_ms(record: &Value) -> i64 {
    let text = record["timestamp"].as_str().expect("it has a time");
    let time = DateTime::parse_from_rfc3339(text).expect("the time is one");
    time.timestamp_millis()
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is after 1970").as_millis() as i64
}

fn ids<'a>(records: &'a [Value], field: &str) -> BTreeSet<&'a str> {
    let ids = records.iter().filter_map(|record| record[field].as_str());
    ids.collect()
}

#[test]
fn all_tables_are_of_one_shop() {
    let names: Vec<&str> = tillrace::source::generate::Preset::Shop
        .tables()
        .iter()
        .map(|table| table.name())
        .collect();
    let shop = open_shop(&names, "rate=200&seed=7&history=900");
    let records = take_history(&shop);
    let of = |table: &str| records.get(table).map_or(&[][..], Vec::as_slice);
    let products = ids(of("products"), "product_id");
    assert_eq!(products.len(), 240);
    let orders = of("orders");
    let created: Vec<&Value> = orders.iter().filter(|o| o["status"] == "created").collect();
    assert!(created.len() > 1000, "{} orders", created.len());
    let items = created.iter().flat_map(|order| order["items"].as_array());
    for item in items.flatten() {
        assert!(products.contains(item["product_id"].as_str().expect("it has a product")));
    }
    // Who orders on the site was there, but for those who were not signed in.
    let seen = ids(of("behavior"), "user_id");
    let online = created.iter().filter(|order| order["channel"] != "store");
    let (known, unknown): (Vec<&Value>, _) =
        online.partition(|order| seen.contains(order["user_id"].as_str().unwrap_or_default()));
    assert!(known.len() > 4 * unknown.len());
    let order_ids = ids(orders, "order_id");
    let refunds = of("refunds");
    assert!(refunds.len() > 20, "{} refunds", refunds.len());
    let known = refunds
        .iter()
        .filter(|r| order_ids.contains(r["order_id"].as_str().unwrap_or("")));
    assert!(known.count() * 10 > refunds.len() * 9);
    // Everything that happens to orders happens within a quarter of an hour.
    for status in [
        "paid",
        "payment_failed",
        "shipped",
        "delivered",
        "cancelled",
    ] {
        let count = orders
            .iter()
            .filter(|order| order["status"] == status)
            .count();
        assert!(count > 20, "{count} orders are {status}");
    }
    for table in [
        "ratings",
        "metrics",
        "stock_movements",
        "channel_stock",
        "identities",
    ] {
        assert!(of(table).len() > 20, "{} {table}", of(table).len());
    }
    // The rate is that of all tables together, but for the catalogue and the opening stock.
    let lines: usize = records.values().map(Vec::len).sum();
    let expected = 200 * 900;
    assert!(
        (expected * 3 / 4..expected * 5 / 4).contains(&lines),
        "{lines} lines"
    );
    shop.into_values().for_each(Running::abandon);
}

#[test]
fn events_happen_now() {
    let shop = open_shop(&["behavior", "products"], "rate=500");
    let products = shop["products"].lines_of_first(240);
    assert!(products.iter().all(|line| line.contains("\"price\":")));
    let started = Instant::now();
    let mut lines = 0;
    while lines < 300 {
        for line in lines_of(&shop["behavior"].next()) {
            let record: Value = serde_json::from_str(&line).expect("lines are JSON");
            lines += 1;
            let late_ms = now_ms() - at_ms(&record);
            // Nothing is of the future; what is late is minutes late.
            assert!(late_ms >= 0, "{late_ms}");
            assert!(!(20_000..60_000).contains(&late_ms), "{late_ms}");
        }
    }
    // Nothing like 300 lines can come at once, for they are spread over time.
    assert!(started.elapsed() > Duration::from_millis(200));
    shop.into_values().for_each(Running::abandon);
}

#[test]
fn equal_seeds_make_equal_shops_and_others_make_others() {
    let catalogue = |seed: u32| {
        let shop = open_shop(&["products"], &format!("seed={seed}"));
        let lines = shop["products"].lines_of_first(240);
        shop.into_values().for_each(Running::abandon);
        let without_time = |line: String| line.split(",\"timestamp\"").next().map(str::to_owned);
        lines.into_iter().map(without_time).collect::<Vec<_>>()
    };
    assert_eq!(catalogue(1), catalogue(1));
    assert_ne!(catalogue(1), catalogue(2));
}

#[test]
fn a_table_may_be_read_twice_and_inputs_may_end() {
    let options = LiveOptions::default();
    let open = |table: &str| {
        let text = format!("{table}=generate:products?rate=1000");
        try_open(&text, &options).expect("it is opened")
    };
    let (one, two) = (open("products"), open("product_history"));
    let (one, two) = (start_opened(one), start_opened(two));
    assert_eq!(
        one.lines_of_first(200)[..200],
        two.lines_of_first(200)[..200]
    );
    one.abandon();
    let behavior = start_with("behavior=generate:behavior?rate=1000", &options);
    assert!(!behavior.next().text.is_empty());
    two.abandon();
    assert!(!behavior.next().text.is_empty());
    behavior.abandon();
}

#[test]
fn a_shop_waits_for_the_engine() {
    let shop = open_shop(&["behavior"], "rate=2000000&history=3600");
    let behavior = &shop["behavior"];
    wait_until("the queue is full", || behavior.inlet.waiting() == 64);
    let mut next = 0;
    for _ in 0..200 {
        let piece = behavior.next();
        assert_eq!(piece.start, next);
        next += piece.text.len() as u64;
    }
    shop.into_values().for_each(Running::abandon);
}

#[test]
fn the_flat_events_of_the_benchmark_can_be_had_live() {
    let options = LiveOptions::default();
    let open = |text: &str| try_open(text, &options).expect("it is opened");
    let events = open("events=generate:events?rate=1000&products=50");
    let products = open("p=generate:products?preset=bench&rate=1000&products=50");
    let (events, products) = (start_opened(events), start_opened(products));
    assert_eq!(products.lines_of_first(50).len(), 50);
    assert!(lines_of(&events.next())[0].starts_with("{\"event\":\""));
    events.abandon();
    products.abandon();
}

#[test]
fn what_contradicts_itself_is_refused() {
    let options = LiveOptions::default();
    let _first = try_open("orders=generate:orders?rate=50", &options).expect("it is opened");
    for (text, reason) in [
        (
            "products=generate:products?rate=60",
            "input \"products\" at generate:products has rate=60, but another input of the same \
             traffic has rate=50",
        ),
        (
            "o=generate:orders?rate=0",
            "input \"o=generate:orders\" has rate=0, but rate is a whole number of at least one",
        ),
        (
            "o=generate:orders?preset=mall",
            "input \"o=generate:orders\" has preset=mall, but preset is shop or bench",
        ),
    ] {
        assert_eq!(try_open(text, &options).err().as_deref(), Some(reason));
    }
    for text in ["o=generate:unicorns", "o=generate:orders?preset=bench"] {
        let error = try_open(text, &options).err().unwrap_or_default();
        assert!(
            error.contains("the kinds are products, behavior"),
            "{error}"
        );
    }
    assert!(try_open("o=generate:orders?seed=2&rate=60", &options).is_ok());
    assert!(try_open("o=generate:orders?seed=3&users=9999999999", &options).is_err());
}

#[test]
fn the_tables_that_traffic_feeds_are_listed() {
    let tables: BTreeMap<&str, String> = generated_tables().collect();
    assert_eq!(tables["orders"], "generate:orders");
    assert_eq!(tables["product_history"], "generate:products");
    assert_eq!(tables.len(), 16);
    let options = LiveOptions::default();
    for (table, location) in tables {
        assert!(try_open(&format!("{table}={location}"), &options).is_ok());
    }
}

impl Running {
    /// Lines until there are `count` at least.
    fn lines_of_first(&self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            lines.extend(lines_of(&self.next()));
        }
        lines
    }
}
