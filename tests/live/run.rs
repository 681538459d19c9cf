//! `tillrace run` from its first line to its last: sources of every kind at once, signals, and what
//! it says.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;

use crate::process::{Process, Shop, events, folder_holds, send};
use crate::support::wait_until;

#[test]
fn every_kind_of_source_feeds_one_run() {
    let shop = Shop::new();
    fs::create_dir(shop.path("logs")).expect("there is room");
    shop.write("logs/old.jsonl", events("tail", 0..3));
    shop.write("history.jsonl", events("history", 0..10));
    let mut run = shop
        .run_wiring(
            r#"
            scripts = "shop.sql"
            [[input]]
            table = "events"
            from = ["history.jsonl", "tail:logs/*.jsonl", "tcp://127.0.0.1:0", "unix:events.sock", "-"]
            [[sink]]
            view = "by_source"
            to = "out/by_source.csv"
            mode = "snapshot"
            every_ms = 50
            "#,
        )
        .runs();
    let said = run.said();
    for line in [
        "2 views over 2 tables",
        "history  events=",
        "live     events=-",
        "sink     by_source=",
    ] {
        assert!(said.contains(line), "no {line:?} in:\n{said}");
    }
    assert!(
        !said.contains(":0\n") && !said.contains(":0/"),
        "a port that nobody has:\n{said}"
    );
    send(&run.listens("live     events"), &events("tcp", 0..4));
    let mut socket = UnixStream::connect(shop.path("events.sock")).expect("it listens");
    socket
        .write_all(events("unix", 0..5).as_bytes())
        .expect("it is taken");
    run.feed(&events("stdin", 0..6));
    let log = OpenOptions::new()
        .append(true)
        .open(shop.path("logs/old.jsonl"));
    write!(log.expect("it is there"), "{}", events("tail", 3..5)).expect("there is room");
    shop.write("logs/new.jsonl", events("tail", 5..7));
    let (status, body) = run.post("/ingest/events", &events("http", 0..8));
    assert_eq!(status, 200, "{body}");
    run.counts("history=10 http=8 stdin=6 tail=7 tcp=4 unix=5");
    // Once more, and one that is no event.
    send(&run.listens("live     events"), &events("tcp", 0..4));
    run.feed("no event\n");
    wait_until("the reject is listed", || {
        run.json("/views/tillrace.rejects")["total"] == 1
    });
    run.counts("history=10 http=8 stdin=6 tail=7 tcp=4 unix=5");
    folder_holds(&shop.path("out"), "unix,5,");
    let summary = run.stop("TERM");
    assert!(summary.contains("44 events, 1 reject, "), "{summary}");
    let last = fs::read_to_string(shop.path("out/by_source.csv")).expect("it is there");
    assert!(last.contains("tcp,4,8.00"), "{last}");
}

#[test]
fn what_is_in_the_queues_is_published_before_it_ends() {
    for signal in ["INT", "TERM"] {
        let shop = Shop::new();
        let mut run = shop
            .run(&[
                "-i",
                "events=-",
                "--tick",
                "20000",
                "--sink",
                "by_source=out/changes.jsonl",
            ])
            .runs();
        run.feed(&events("stdin", 0..100));
        wait_until("they wait for the epoch", || {
            run.json("/status")["inputs"][0]["waiting"].as_u64() > Some(0)
        });
        assert_eq!(
            run.json("/views/by_source")["total"],
            0,
            "the epoch is open for long"
        );
        let summary = run.stop(signal);
        assert!(summary.contains("100 events, 0 rejects, "), "{summary}");
        folder_holds(&shop.path("out"), "\"events\":100");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let shop = Shop::new();
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = silent.local_addr().expect("it is bound");
    let sink = format!("by_source=http://{address}/?timeout_seconds=60&stop_seconds=60");
    let mut run = shop.run(&["-i", "events=-", "--sink", &sink]).runs();
    run.feed(&events("stdin", 0..1));
    let (_asked, _) = silent.accept().expect("the sink calls");
    run.signal("INT");
    run.signal("TERM");
    assert_eq!(run.ends(), 130, "{}", run.said());
}

#[test]
fn it_goes_on_when_its_inputs_have_ended() {
    let shop = Shop::new();
    shop.write("history.jsonl", events("history", 0..10));
    let mut run = shop
        .run(&["-i", "events=history.jsonl", "-i", "events=-"])
        .runs();
    run.feed_no_more();
    wait_until("all inputs have ended", || {
        let status = run.json("/status");
        let inputs = status["inputs"].as_array().expect("inputs").clone();
        inputs.iter().all(|input| input["state"] == "ended")
    });
    run.counts("history=10");
    assert_eq!(run.json("/status")["state"], "live");
    wait_until("it is ready", || run.get("/readyz").0 == 200);
    run.stop("TERM");
}

#[test]
fn nothing_is_served_if_so_wished() {
    let shop = Shop::new();
    let arguments = [
        "run",
        "shop.sql",
        "--no-server",
        "-i",
        "events=-",
        "--sink",
        "by_source=stdout:",
    ];
    let mut run = Process::start(shop.command(&arguments)).runs();
    run.says("nothing is served");
    run.feed(&events("stdin", 0..3));
    wait_until("the sink prints", || run.printed().contains("\"events\":3"));
    run.stop("INT");
}

#[test]
fn quiet_it_says_nothing() {
    let shop = Shop::new();
    let arguments = [
        "run",
        "shop.sql",
        "--quiet",
        "--no-server",
        "-i",
        "events=-",
        "--sink",
        "by_source=stdout:",
    ];
    let mut run = Process::start(shop.command(&arguments));
    run.feed(&events("stdin", 0..3));
    wait_until("the sink prints", || run.printed().contains("\"events\":3"));
    run.signal("TERM");
    assert_eq!(run.ends(), 0, "{}", run.said());
    assert_eq!(run.said(), "");
}

#[test]
fn the_demonstration_is_live() {
    let shop = Shop::new();
    let arguments = [
        "demo",
        "--no-open",
        "--listen",
        "127.0.0.1:0",
        "--rate",
        "2000",
        "--history",
        "60",
    ];
    let run = Process::start(shop.command(&arguments)).runs();
    wait_until("it is live", || run.json("/status")["state"] == "live");
    let filled = [
        "sales_totals",
        "sales_by_category",
        "sales_by_hour",
        "top_sellers",
        "sessions",
        "funnel",
        "customers",
        "inventory_by_product",
        "payments_by_hour",
    ];
    wait_until("the main views have rows", || {
        let views = run.json("/views");
        let views = views["views"].as_array().expect("views").clone();
        filled.iter().all(|name| {
            let view = views.iter().find(|view| view["name"] == *name);
            view.is_some_and(|view| view["rows"].as_u64() > Some(0))
        })
    });
    let events = || {
        let status = run.json("/status");
        let inputs = status["inputs"].as_array().expect("inputs").clone();
        inputs
            .iter()
            .filter_map(|input| input["rows"].as_u64())
            .sum::<u64>()
    };
    let before = events();
    wait_until("it goes on", || events() > before + 1000);
    run.stop("INT");
}
