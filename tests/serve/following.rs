//! Changes: server-sent events and WebSockets.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;

use crate::support::{Event, Events, SHOP, Shop, local};

/// A view put together from events: rows and how often each is there.
#[derive(Debug, Default, PartialEq)]
struct Mirror {
    rows: BTreeMap<String, i64>,
    epoch: u64,
}

impl Mirror {
    fn take(&mut self, kind: &str, data: &Value) {
        let epoch = data["epoch"].as_u64().expect("an epoch");
        assert!(epoch > self.epoch || kind == "snapshot", "epochs go on");
        self.epoch = epoch;
        match kind {
            "snapshot" => {
                self.rows.clear();
                for row in data["rows"].as_array().expect("rows") {
                    *self.rows.entry(row.to_string()).or_default() += 1;
                }
            }
            "changes" => {
                for change in data["changes"].as_array().expect("changes") {
                    let row = change["row"].to_string();
                    let count = self.rows.entry(row.clone()).or_default();
                    *count += change["diff"].as_i64().expect("a diff");
                    assert!(*count >= 0, "a row goes that was not there: {row}");
                    if *count == 0 {
                        self.rows.remove(&row);
                    }
                }
            }
            "progress" => {}
            other => panic!("an event of kind {other}"),
        }
    }

    fn follow(&mut self, event: &Event) {
        assert_eq!(event.id, event.data["epoch"].to_string());
        self.take(&event.kind, &event.data);
    }

    /// What the view answers at the epoch that the mirror has reached.
    fn check(&self, shop: &Shop, view: &str) {
        let path = format!("/views/{view}?at={}&limit=100000", self.epoch);
        let mut rows: BTreeMap<String, i64> = BTreeMap::new();
        for row in shop.rows(&path) {
            *rows.entry(row).or_default() += 1;
        }
        assert_eq!(rows, self.rows);
    }
}

fn sell(shop: &Shop, number: i64) -> u64 {
    let sales: Vec<_> = (0..7)
        .map(|n| json!({"product_id": if n % 2 == 0 {"p1"} else {"p2"}, "quantity": n, "amount": number, "at": n}))
        .collect();
    let told = shop.push("sales", &json!(sales).to_string());
    told["epoch"].as_u64().expect("an epoch")
}

#[test]
fn tells_a_snapshot_and_then_changes_that_rebuild_the_view() {
    let shop = Shop::stocked();
    for view in ["by_category", "all_sales"] {
        let mut mirror = Mirror::default();
        let mut events = Events::open(&shop, &format!("/views/{view}/changes?every_ms=0"), "");
        assert!(
            events
                .head
                .to_lowercase()
                .contains("content-type: text/event-stream")
        );
        let first = events.next().expect("an event");
        assert_eq!(first.kind, "snapshot");
        assert_eq!(first.data["view"], view);
        mirror.follow(&first);
        for number in 0..20 {
            let epoch = sell(&shop, number);
            while mirror.epoch < epoch {
                mirror.follow(&events.next().expect("an event"));
            }
            mirror.check(&shop, view);
        }
        drop(events);
    }
}

#[test]
fn resumes_after_the_last_event_of_a_dropped_connection() {
    let shop = Shop::stocked();
    let mut mirror = Mirror::default();
    for round in 0..6 {
        let resume = match mirror.epoch {
            0 => String::new(),
            epoch => format!("Last-Event-ID: {epoch}\r\n"),
        };
        let mut events = Events::open(&shop, "/views/by_product/changes?every_ms=0", &resume);
        let first = events.next_news().expect("an event");
        assert_eq!(first.kind, if round == 0 { "snapshot" } else { "changes" });
        mirror.follow(&first);
        let epoch = sell(&shop, round);
        while mirror.epoch < epoch {
            mirror.follow(&events.next().expect("an event"));
        }
        mirror.check(&shop, "by_product");
        drop(events);
        // Missed by the client that has gone.
        sell(&shop, 100 + round);
        sell(&shop, -round);
    }
    // What is forgotten, or of another engine, is told anew.
    for unknown in ["1", "99999999999999", "yesterday"] {
        let head = format!("Last-Event-ID: {unknown}\r\n");
        let mut events = Events::open(&shop, "/views/by_product/changes", &head);
        assert_eq!(events.next().expect("an event").kind, "snapshot");
    }
}

#[test]
fn tells_changes_of_chosen_rows_and_columns_only() {
    let shop = Shop::stocked();
    let path = "/views/by_product/changes?product_id=p2&columns=product_id,units&every_ms=0";
    let mut events = Events::open(&shop, path, "");
    assert_eq!(events.next().expect("an event").data["rows"], json!([]));
    shop.push("sales", r#"{"product_id":"p1","quantity":1}"#);
    shop.push("sales", r#"{"product_id":"p2","quantity":5}"#);
    let changes = events.next_news().expect("an event");
    assert_eq!(
        changes.data["changes"],
        json!([{"diff": 1, "row": {"product_id": "p2", "units": 5}}])
    );
}

#[test]
fn tells_that_nothing_has_changed() {
    let shop = Shop::stocked();
    let mut events = Events::open(&shop, "/views/by_product/changes", "");
    assert_eq!(events.next().expect("an event").kind, "snapshot");
    let progress = events.next().expect("an event");
    assert_eq!(progress.kind, "progress");
    assert!(progress.data["closed_at"].is_string());
    // Never packed: a packer would hold events back.
    let path = "/views/by_product/changes";
    let packed = Events::open(&shop, path, "Accept-Encoding: gzip\r\n");
    assert!(!packed.head.contains("content-encoding"), "{}", packed.head);
}

#[test]
fn gives_a_slow_client_a_fresh_snapshot() {
    // Nothing of the past is kept, so that being slow takes no time.
    let shop = Shop::stocked();
    let path = "/views/all_sales/changes?every_ms=0&limit=100000";
    let mut events = Events::open(&shop, path, "");
    let mut mirror = Mirror::default();
    mirror.follow(&events.next().expect("an event"));
    let name = "x".repeat(200);
    let mut last = 0;
    // More rows than the catalog remembers changes of, and more bytes than a connection buffers.
    for number in 0..12 {
        let sales: Vec<_> = (0..12_000)
            .map(|n| json!({"product_id": format!("{name}{n}"), "quantity": number}))
            .collect();
        let told = shop.push("sales", &json!(sales).to_string());
        last = told["epoch"].as_u64().expect("an epoch");
    }
    let mut kinds = Vec::new();
    while mirror.epoch < last {
        let event = events.next().expect("an event");
        mirror.follow_loosely(&event);
        kinds.push(event.kind);
    }
    assert!(kinds.iter().any(|kind| kind == "snapshot"), "{kinds:?}");
    assert!(
        kinds.len() < 12,
        "what was missed is told together: {kinds:?}"
    );
}

impl Mirror {
    /// For snapshots that do not have all rows.
    fn follow_loosely(&mut self, event: &Event) {
        self.epoch = event.data["epoch"].as_u64().expect("an epoch");
    }
}

#[test]
fn speaks_over_a_websocket_too() {
    let shop = Shop::stocked();
    let url = format!("ws://{}/views/by_product/changes?every_ms=0", shop.address);
    let (mut socket, response) = tungstenite::connect(url).expect("an upgrade");
    assert_eq!(response.status(), 101);
    let mut mirror = Mirror::default();
    let mut take = |mirror: &mut Mirror| loop {
        if let tungstenite::Message::Text(text) = socket.read().expect("a message") {
            let data: Value = serde_json::from_str(&text).expect("JSON");
            let kind = data["type"].as_str().expect("a type").to_owned();
            return mirror.take(&kind, &data);
        }
    };
    take(&mut mirror);
    for number in 0..10 {
        let epoch = sell(&shop, number);
        while mirror.epoch < epoch {
            take(&mut mirror);
        }
        mirror.check(&shop, "by_product");
    }
    shop.close();
    // The server says good-bye.
    loop {
        match socket.read() {
            Ok(tungstenite::Message::Close(_)) => break,
            Ok(_) => {}
            Err(error) => panic!("no good-bye: {error}"),
        }
    }
}

#[test]
fn ends_followers_when_it_stops() {
    let shop = Shop::stocked();
    let mut events = Events::open(&shop, "/views/by_product/changes", "");
    assert_eq!(events.next().expect("an event").kind, "snapshot");
    shop.close();
    while let Some(event) = events.next() {
        assert_eq!(event.kind, "progress");
    }
}

#[test]
fn bounds_the_number_of_followers() {
    let mut config = local();
    config.limits.followers = 1;
    let shop = Shop::with(SHOP, 1, config);
    let mut first = Events::open(&shop, "/views/by_product/changes", "");
    assert_eq!(first.next().expect("an event").kind, "snapshot");
    let second = shop.get("/views/by_product/changes");
    assert_eq!(
        (second.status, second.code()),
        (503, "too_many_followers".to_owned())
    );
    assert!(second.header("retry-after").is_some());
    drop(first);
    // The place is free again once the server has noticed.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let request = format!("ws://{}/views/by_product/changes", shop.address);
        if tungstenite::connect(request.into_client_request().expect("a request")).is_ok() {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the place stays taken"
        );
    }
}
