//! Views posted to a server.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tillrace::sink::SinkError;

use crate::server::{Reaction, Server, changes_of_body};
use crate::support::{SHOP, engine, rows, sell, start, sum, until, until_delivered};

const OK: Reaction = Reaction::Answer(200, "");
const FAILS: Reaction = Reaction::Answer(500, "");

#[test]
fn changes_arrive_in_order_and_add_up() {
    for format in ["json", "ndjson"] {
        let server = Server::start(&[]);
        let engine = engine(SHOP);
        let spec = format!(
            "by_category=http://{}/hook?every_ms=0&format={format}&header.X-Shop=a%26b",
            server.address
        );
        let sink = start(&engine, &spec);
        let mut snapshot = engine.advance().unwrap();
        for amount in 0..20 {
            snapshot = sell(&engine, ["hats", "shoes"][amount % 2], amount as f64);
            if amount % 5 == 0 {
                until_delivered(&sink, &snapshot);
            }
        }
        sink.stop().unwrap();
        let changes = server.taken();
        assert!(changes.is_sorted_by_key(|(epoch, ..)| *epoch));
        assert_eq!(sum(&changes), rows(&snapshot, "by_category"));
        let requests = server.requests();
        assert!(requests.len() >= 4);
        assert!(requests.iter().all(|r| r.headers["x-shop"] == "a&b"));
        let mut keys: Vec<&str> = requests.iter().map(|r| r.key()).collect();
        keys.dedup();
        assert_eq!(keys.len(), requests.len(), "each its own key: {keys:?}");
        assert!(keys[0].starts_with("by_category:"), "{keys:?}");
    }
}

#[test]
fn a_body_is_sent_again_as_it_was_until_it_is_taken() {
    let server = Server::start(&[
        FAILS,
        Reaction::Drop,
        Reaction::Hang,
        Reaction::Answer(503, "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n"),
        Reaction::Answer(429, "Retry-After: 1\r\n"),
        Reaction::Answer(408, ""),
        OK,
    ]);
    let engine = engine(SHOP);
    let spec = format!(
        "by_category=http://{}/?every_ms=0&timeout_seconds=0.2",
        server.address
    );
    let sink = start(&engine, &spec);
    sell(&engine, "hats", 1.0);
    until("it is tried", || !server.requests().is_empty());
    let snapshot = sell(&engine, "hats", 2.0);
    until_delivered(&sink, &snapshot);
    let requests = server.requests();
    assert_eq!(requests.len(), 8, "seven for one body, one for the next");
    for again in &requests[1..7] {
        assert_eq!(again.body, requests[0].body);
        assert_eq!(again.key(), requests[0].key());
    }
    let waited = requests[5].at - requests[4].at;
    assert!(
        waited >= Duration::from_millis(990),
        "the server said 1 s: {waited:?}"
    );
    assert_eq!(sum(&server.taken()), rows(&snapshot, "by_category"));
    assert_eq!(sink.status().retries(), 6);
    assert_eq!(sink.status().dead_letters(), 0);
    assert!(!sink.status().is_failing());
    let fault = sink.status().last_fault().unwrap();
    assert!(
        fault.contains("answered 408") && fault.ends_with(": word"),
        "{fault}"
    );
    sink.stop().unwrap();
}

#[test]
fn what_is_not_taken_goes_to_the_dead_letters_and_the_sink_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let dead = folder.path().join("deep/dead.jsonl");
    // One is refused at once; one fails for too long, however short each pause is.
    let mut script = vec![OK, Reaction::Answer(400, ""), OK];
    script.extend(std::iter::repeat_n(FAILS, 2));
    script.push(Reaction::Answer(429, "Retry-After: 3600\r\n"));
    let server = Server::start(&script);
    let engine = engine(SHOP);
    let spec = format!(
        "by_category=http://{}/?every_ms=0&retry_seconds=30&dead_letters={}",
        server.address,
        dead.display()
    );
    let sink = start(&engine, &spec);
    let mut snapshot = engine.advance().unwrap();
    for amount in 1..=5 {
        snapshot = sell(&engine, "hats", f64::from(amount));
        until_delivered(&sink, &snapshot);
    }
    assert_eq!(sink.status().dead_letters(), 2);
    sink.stop().unwrap();
    let text = fs::read_to_string(&dead).unwrap();
    let letters: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(letters.len(), 2);
    assert!(
        letters[0]["reason"]
            .as_str()
            .unwrap()
            .contains("answered 400")
    );
    assert_eq!(letters[0]["attempts"], 1);
    assert_eq!(letters[1]["attempts"], 3, "longer than it may be retried");
    assert_eq!(letters[1]["idempotency_key"], server.requests()[5].key());
    let mut changes = server.taken();
    changes.extend(
        letters
            .iter()
            .flat_map(|letter| changes_of_body(&letter["body"])),
    );
    assert_eq!(
        sum(&changes),
        rows(&snapshot, "by_category"),
        "what was taken and what was not"
    );
}

#[test]
fn a_body_that_fails_for_too_long_goes_to_the_dead_letters() {
    let folder = tempfile::tempdir().unwrap();
    let dead = folder.path().join("dead.jsonl");
    let engine = engine(SHOP);
    // Nobody listens there: the port was free a moment ago and is not given out again so soon.
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let spec = format!(
        "by_category=http://{gone}/?every_ms=0&format=ndjson&retry_seconds=0.5&dead_letters={}",
        dead.display()
    );
    let sink = start(&engine, &spec);
    let began = Instant::now();
    let snapshot = sell(&engine, "hats", 1.0);
    until_delivered(&sink, &snapshot);
    assert!(began.elapsed() >= Duration::from_millis(500));
    let letter: Value = serde_json::from_str(&fs::read_to_string(&dead).unwrap()).unwrap();
    assert!(letter["attempts"].as_u64().unwrap() > 1);
    let changes = crate::support::json_changes(letter["body"].as_str().unwrap());
    assert_eq!(sum(&changes), rows(&snapshot, "by_category"));
    sink.stop().unwrap();
}

#[test]
fn a_full_disk_under_the_dead_letters_loses_nothing() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let server = Server::start(&[Reaction::Answer(400, ""), Reaction::Answer(400, ""), OK]);
    let engine = engine(SHOP);
    let spec = format!(
        "by_category=http://{}/?every_ms=0&retry_seconds=1&dead_letters=/dev/full",
        server.address
    );
    let sink = start(&engine, &spec);
    let snapshot = sell(&engine, "hats", 1.0);
    until_delivered(&sink, &snapshot);
    let fault = sink.status().last_fault().unwrap();
    assert!(fault.contains("/dev/full: No space left"), "{fault}");
    assert_eq!(sum(&server.taken()), rows(&snapshot, "by_category"));
    sink.stop().unwrap();
}

#[test]
fn without_dead_letters_nothing_is_given_up() {
    let server = Server::start(&[Reaction::Answer(404, ""), Reaction::Answer(307, ""), OK]);
    let engine = engine(SHOP);
    let spec = format!("by_category=http://{}/?every_ms=0", server.address);
    let sink = start(&engine, &spec);
    let snapshot = sell(&engine, "hats", 1.0);
    until_delivered(&sink, &snapshot);
    assert_eq!(server.requests().len(), 3);
    assert_eq!(sum(&server.taken()), rows(&snapshot, "by_category"));
    sink.stop().unwrap();
}

#[test]
fn a_slow_server_gets_net_changes_and_holds_up_nothing() {
    let server = Server::start(&[Reaction::Hold]);
    let engine = engine(SHOP);
    let spec = format!("by_category=http://{}/?every_ms=0", server.address);
    let sink = start(&engine, &spec);
    let first = sell(&engine, "hats", 1.0);
    until("it is asked", || server.requests().len() == 1);
    let mut snapshot = first;
    for _ in 0..200 {
        snapshot = sell(&engine, "hats", 1.0);
    }
    assert_eq!(server.requests().len(), 1, "the engine went on meanwhile");
    server.let_go();
    until_delivered(&sink, &snapshot);
    sink.stop().unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    let changes: Vec<_> = requests[1]
        .changes()
        .into_iter()
        .map(|c| (c.1, c.2))
        .collect();
    let net = [
        (-1, "hats|1.00|1".to_owned()),
        (1, "hats|201.00|201".to_owned()),
    ];
    assert_eq!(changes, net);
}

#[test]
fn many_changes_go_in_several_parts() {
    let server = Server::start(&[OK, FAILS, OK]);
    let engine = engine(SHOP);
    let spec = format!("by_category=http://{}/?every_ms=0&rows=10", server.address);
    let lines = (0..25).map(|n| format!("{{\"category\":\"c{n}\",\"amount\":1}}\n"));
    let text: String = lines.collect();
    let json = tillrace::source::Format::Json;
    engine
        .ingest("test", "sales", &json, text.into_bytes())
        .unwrap();
    let snapshot = engine.advance().unwrap();
    let sink = start(&engine, &spec);
    sink.stop().unwrap();
    let requests = server.requests();
    let keys: Vec<&str> = requests
        .iter()
        .map(|r| r.key().rsplit(':').next().unwrap())
        .collect();
    assert_eq!(keys, ["1", "2", "2", "3"]);
    let last: Value = serde_json::from_str(&requests[3].body).unwrap();
    assert_eq!((&last["part"], &last["parts"]), (&3.into(), &3.into()));
    assert_eq!(sum(&server.taken()), rows(&snapshot, "by_category"));
}

#[test]
fn a_sink_that_cannot_deliver_stops_all_the_same() {
    for reaction in [Reaction::Hang, FAILS] {
        let server = Server::start(&vec![reaction; 1000]);
        let engine = engine(SHOP);
        let spec = format!(
            "by_category=http://{}/?every_ms=0&stop_seconds=0.3&timeout_seconds=1",
            server.address
        );
        let sink = start(&engine, &spec);
        let snapshot = sell(&engine, "hats", 1.0);
        until("it is tried", || !server.requests().is_empty());
        let status = Arc::clone(sink.status());
        let error = sink.stop().expect_err("it is not delivered");
        let SinkError::Undelivered {
            latest, delivered, ..
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!((*latest, *delivered), (snapshot.epoch(), 0));
        assert_eq!(status.rows(), 0);
        assert!(
            error.to_string().contains("by_category=http://127.0.0.1:"),
            "{error}"
        );
        engine.stop().unwrap();
    }
}
