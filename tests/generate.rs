//! The event generator: equal bytes for equal seeds, the shipped samples among them, and traffic
//! that holds what it promises.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use serde_json::Value;
use tillrace::source::generate::{
    EventSink, FolderSink, GenerateError, GenerateOptions, Generated, MemorySink, Preset, Table,
    TableSink, generate,
};

fn texts(options: &GenerateOptions) -> (Generated, BTreeMap<Table, Vec<u8>>) {
    let mut sink = MemorySink::default();
    let generated = generate(options, &mut sink).expect("the options are sound");
    (generated, sink.texts)
}

fn records(text: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(text).expect("lines are UTF-8");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("lines are JSON"))
        .collect()
}

fn small_shop() -> GenerateOptions {
    GenerateOptions {
        events: 20_000,
        users: 500,
        products: 100,
        ..GenerateOptions::default()
    }
}

#[test]
fn equal_options_yield_equal_bytes() {
    for preset in [Preset::Shop, Preset::Bench] {
        let options = GenerateOptions {
            preset,
            ..small_shop()
        };
        assert_eq!(texts(&options), texts(&options));
        let other = GenerateOptions {
            seed: 2,
            ..options.clone()
        };
        assert_ne!(texts(&options).1, texts(&other).1);
    }
}

#[test]
fn bytes_do_not_change_between_releases_and_machines() {
    let digest = |options: &GenerateOptions| {
        let all: Vec<u8> = texts(options).1.into_values().flatten().collect();
        xxhash_rust::xxh3::xxh3_64(&all)
    };
    assert_eq!(digest(&small_shop()), SHOP_DIGEST);
    assert_eq!(
        digest(&GenerateOptions {
            preset: Preset::Bench,
            ..small_shop()
        }),
        BENCH_DIGEST
    );
}

const SHOP_DIGEST: u64 = 7_633_424_153_151_538_777;
const BENCH_DIGEST: u64 = 4_032_085_951_532_365_086;

#[test]
fn the_shipped_day_is_what_the_defaults_generate() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/samples/day");
    let (_, texts) = texts(&GenerateOptions::default());
    for (table, text) in texts {
        let path = folder.join(format!("{}.jsonl", table.name()));
        let shipped = fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert!(
            shipped == text,
            "{path:?} differs from what the generator writes"
        );
    }
}

#[test]
fn as_many_lines_as_asked_for() {
    for events in [0, 1, 999] {
        let bench = GenerateOptions {
            preset: Preset::Bench,
            events,
            ..small_shop()
        };
        let lines = texts(&bench)
            .1
            .get(&Table::Events)
            .map_or(0, |text| records(text).len());
        assert_eq!(lines as u64, events);

        let only = Some(vec![Table::Behavior]);
        let shop = GenerateOptions {
            events,
            tables: only,
            ..small_shop()
        };
        let (generated, texts) = texts(&shop);
        assert_eq!(generated.lines, events);
        assert!(texts.keys().all(|&table| table == Table::Behavior));
        assert_eq!(
            texts.values().map(Vec::len).sum::<usize>() as u64,
            generated.bytes
        );
    }
}

#[test]
fn a_day_of_events_takes_about_a_day() {
    let (_, texts) = texts(&GenerateOptions::default());
    let last = records(&texts[&Table::Behavior])
        .pop()
        .expect("there are events");
    let last = last["timestamp"].as_str().expect("a time").to_string();
    assert!(
        ("2026-01-01T20".."2026-01-02T03").contains(&last.as_str()),
        "ends at {last}"
    );
}

#[test]
fn a_shop_has_every_kind_of_trouble() {
    let options = GenerateOptions {
        events: 200_000,
        ..small_shop()
    };
    let (_, texts) = texts(&options);
    let of = |table: Table| records(&texts[&table]);

    let mut ids = BTreeMap::<String, BTreeSet<String>>::new();
    let mut repeated = 0;
    for event in of(Table::Behavior) {
        let payloads = ids.entry(event["event_id"].to_string()).or_default();
        repeated += usize::from(!payloads.insert(event.to_string()));
    }
    assert!(repeated > 100, "equal lines: {repeated}");
    assert!(ids.values().filter(|payloads| payloads.len() > 1).count() > 10);

    let orders = of(Table::Orders);
    let with = |status: &str| orders.iter().filter(|o| o["status"] == status).count();
    assert!(with("created") > 1000 && with("cancelled") > 50 && with("payment_failed") > 10);
    let mut states = BTreeMap::<String, Vec<String>>::new();
    for order in &orders {
        let status = order["status"].as_str().expect("a status").to_string();
        states
            .entry(order["order_id"].to_string())
            .or_default()
            .push(status);
    }
    let after_shipping = |s: &&Vec<String>| s.ends_with(&["shipped".into(), "cancelled".into()]);
    assert!(states.values().filter(after_shipping).count() > 5);

    let refunds = of(Table::Refunds);
    assert!(
        refunds.iter().any(|r| r["product_id"].is_null()),
        "full refunds"
    );
    assert!(
        refunds.iter().any(|r| !r["product_id"].is_null()),
        "partial refunds"
    );

    let stock = of(Table::StockMovements);
    let mut arrivals = BTreeMap::<String, usize>::new();
    for movement in stock.iter().filter(|m| !m["transfer_id"].is_null()) {
        *arrivals
            .entry(movement["transfer_id"].to_string())
            .or_default() += usize::from(movement["change"].as_i64() > Some(0));
    }
    assert!(arrivals.values().any(|&n| n == 0) && arrivals.values().any(|&n| n > 0));

    let products = of(Table::Products);
    assert!(
        products.len() > 100,
        "prices change and products are re-filed"
    );
    let currencies: BTreeSet<_> = orders
        .iter()
        .filter_map(|o| o["currency"].as_str())
        .collect();
    assert_eq!(currencies, BTreeSet::from(["EUR", "GBP", "USD"]));
    for table in Preset::Shop.tables() {
        assert!(
            texts.contains_key(table) || *table == Table::DailySales,
            "{table:?} is empty"
        );
    }
}

/// Remembers in which order tables spoke of orders.
#[derive(Default)]
struct Arrivals(Vec<(Table, String)>);

impl EventSink for Arrivals {
    fn line(&mut self, table: Table, line: &[u8]) -> io::Result<()> {
        if matches!(table, Table::Orders | Table::Refunds) {
            let record: Value = serde_json::from_slice(line)?;
            self.0.push((table, record["order_id"].to_string()));
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_refund_may_arrive_before_its_order() {
    let options = GenerateOptions {
        events: 400_000,
        ..small_shop()
    };
    let mut arrivals = Arrivals::default();
    generate(&options, &mut arrivals).expect("the options are sound");
    let mut known = BTreeSet::new();
    let mut ahead = BTreeSet::new();
    for (table, order) in arrivals.0 {
        if table == Table::Orders {
            known.insert(order);
        } else if !known.contains(&order) {
            ahead.insert(order);
        }
    }
    assert!(
        ahead.intersection(&known).count() > 3,
        "refunds ahead of their orders: {ahead:?}"
    );
}

#[test]
fn sinks_write_the_same_lines() {
    let options = GenerateOptions {
        events: 2_000,
        ..small_shop()
    };
    let (_, texts) = texts(&options);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut sink = FolderSink::create(folder.path()).expect("the folder is there");
    generate(&options, &mut sink).expect("the options are sound");
    for (table, text) in &texts {
        let path = folder.path().join(format!("{}.jsonl", table.name()));
        assert!(
            fs::read(&path).expect("a file a table") == *text,
            "{path:?}"
        );
    }

    let orders = GenerateOptions {
        tables: Some(vec![Table::Orders]),
        ..options
    };
    let mut out = Vec::new();
    generate(&orders, &mut TableSink::new(&mut out)).expect("the options are sound");
    assert_eq!(records(&out).len(), 2_000);
}

#[test]
fn contradictions_are_refused() {
    let refused = |options: GenerateOptions| generate(&options, &mut MemorySink::default()).err();
    assert!(matches!(
        refused(GenerateOptions {
            users: 0,
            ..small_shop()
        }),
        Some(GenerateError::Crowd)
    ));
    let late = GenerateOptions {
        start_ms: -1,
        ..small_shop()
    };
    assert!(matches!(refused(late), Some(GenerateError::Start)));
    let endless = GenerateOptions {
        duration_ms: u64::MAX,
        ..small_shop()
    };
    assert!(matches!(
        refused(endless),
        Some(GenerateError::Duration { .. })
    ));
    let other = GenerateOptions {
        tables: Some(vec![Table::Events]),
        ..small_shop()
    };
    assert!(matches!(
        refused(other),
        Some(GenerateError::NoSuchTable { table: "events" })
    ));
}
