//! SIGHUP: the wiring file is read again, and taken over whole or not at all.

use std::fs;
use std::net::TcpStream;

use crate::process::{Process, Shop, events, folder_holds, send};
use crate::support::wait_until;

const WIRING: &str = r#"
scripts = "shop.sql"
[[input]]
table = "events"
from = "tail:first.jsonl"
[[input]]
table = "events"
from = "tcp://127.0.0.1:0"
"#;

fn state_of(run: &Process, location: &str) -> Option<String> {
    let status = run.json("/status");
    let inputs = status["inputs"].as_array().expect("inputs").iter().rev();
    let mut found = inputs.filter(|input| {
        input["location"]
            .as_str()
            .is_some_and(|of| of.contains(location))
    });
    found
        .next()
        .map(|input| input["state"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn inputs_and_sinks_come_and_go() {
    let shop = Shop::new();
    shop.write("first.jsonl", events("first", 0..3));
    let run = shop.run_wiring(WIRING).runs();
    run.counts("first=3");
    let address = run.listens("live     events");
    let open = TcpStream::connect(&address).expect("it listens");
    send(&address, &events("tcp", 0..2));
    run.counts("first=3 tcp=2");

    shop.write("second.jsonl", events("second", 0..4));
    shop.write(
        "tillrace.toml",
        r#"
        scripts = "shop.sql"
        [[input]]
        table = "events"
        from = ["tail:first.jsonl", "tail:second.jsonl"]
        [[sink]]
        view = "by_source"
        to = "out/"
        format = "jsonl"
        "#,
    );
    run.signal("HUP");
    run.counts("first=3 second=4 tcp=2");
    folder_holds(&shop.path("out"), "\"source\":\"second\"");
    run.says("input added");
    run.says("input taken out");
    assert_eq!(state_of(&run, &address).as_deref(), Some("ended"));
    wait_until("the port is free", || TcpStream::connect(&address).is_err());
    drop(open);
    // What stays is not read anew.
    let text = fs::read_to_string(shop.path("first.jsonl")).expect("it is there");
    shop.write("first.jsonl", text + &events("first", 3..5));
    run.counts("first=5 second=4 tcp=2");
    let summary = run.stop("TERM");
    assert!(summary.contains("11 events, 0 rejects, "), "{summary}");
}

#[test]
fn an_input_can_change_its_options_at_the_same_port() {
    let shop = Shop::new();
    let run = shop.run_wiring(WIRING).runs();
    let address = run.listens("live     events");
    for connections in 1..4 {
        let wiring = format!("{WIRING}connections = {connections}\n").replace(":0\"", &{
            let port = address.rsplit_once(':').expect("a port").1;
            format!(":{port}\"")
        });
        shop.write("tillrace.toml", wiring);
        let added = run.said().matches("input added").count();
        run.signal("HUP");
        wait_until("it is connected again", || {
            run.said().matches("input added").count() > added
        });
        send(&address, &events("tcp", 0..connections));
        run.counts(&format!("tcp={connections}"));
    }
    assert!(!run.said().contains("does not start"), "{}", run.said());
    run.stop("TERM");
}

#[test]
fn a_broken_file_changes_nothing() {
    let shop = Shop::new();
    shop.write("first.jsonl", events("first", 0..3));
    let run = shop.run_wiring(WIRING).runs();
    let address = run.listens("live     events");
    let broken = [
        ("no toml at all [", "tillrace.toml:1"),
        (
            "scripts = \"shop.sql\"\n[[input]]\ntable = \"evens\"\nfrom = \"-\"\n",
            "tillrace.toml:2",
        ),
        ("scripts = \"gone.sql\"\n", "gone.sql"),
    ];
    for (times, (wiring, told)) in broken.iter().enumerate() {
        shop.write("tillrace.toml", wiring);
        run.signal("HUP");
        wait_until("it is refused", || {
            run.said().matches("the wiring stays as it was").count() > times
        });
        run.says(told);
        assert_eq!(state_of(&run, "first.jsonl").as_deref(), Some("live"));
        let id = u32::try_from(times).expect("few");
        send(&address, &events("tcp", id..id + 1));
        run.counts(&format!("first=3 tcp={}", times + 1));
    }
    // Mended, it is taken over again.
    shop.write("tillrace.toml", WIRING.replace("first", "other"));
    shop.write("other.jsonl", events("other", 0..1));
    run.signal("HUP");
    run.counts("first=3 other=1 tcp=3");
    run.stop("TERM");
}

#[test]
fn what_needs_a_start_is_said() {
    let shop = Shop::new();
    let run = shop.run_wiring(WIRING).runs();
    shop.write("shop.sql", format!("{}-- changed\n", crate::process::SHOP));
    shop.write("history.jsonl", events("history", 0..1));
    shop.write(
        "tillrace.toml",
        format!("{WIRING}[[input]]\ntable = \"events\"\nfrom = \"history.jsonl\"\n"),
    );
    run.signal("HUP");
    run.says("other scripts are taken over at the next start");
    run.says("other files of history are read at the next start");
    run.stop("TERM");
}

#[test]
fn tokens_and_ticks_change_and_the_rest_is_named() {
    let shop = Shop::new();
    let wiring = |engine: &str, server: &str| {
        format!("{WIRING}[engine]\n{engine}\n[server]\nlisten = \"127.0.0.1:0\"\n{server}\n")
    };
    let run = shop.run_wiring(&wiring("workers = 1", "")).runs();
    assert_eq!(run.json("/status")["workers"], 1);
    shop.write(
        "tillrace.toml",
        wiring(
            "workers = 2\nrejects = 7\ntick_ms = 20\nmemory_limit = \"4GiB\"",
            "read_tokens = [\"first\"]",
        ),
    );
    run.signal("HUP");
    run.says("engine.workers");
    run.says("engine.rejects");
    run.says("another value is taken over at the next start");
    let status = |token: &str| -> u16 {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent: ureq::Agent = config.build().into();
        let url = run.url("/status");
        let request = agent
            .get(url)
            .header("authorization", format!("Bearer {token}"));
        request.call().expect("an answer").status().as_u16()
    };
    wait_until("the token counts", || {
        status("first") == 200 && status("other") == 401
    });
    shop.write(
        "tillrace.toml",
        wiring("workers = 1", "read_tokens = [\"other\"]"),
    );
    run.signal("HUP");
    wait_until("the token has changed", || {
        status("first") == 401 && status("other") == 200
    });
    run.stop("TERM");
}

#[test]
fn the_newest_rejects_are_kept_and_all_are_counted() {
    let shop = Shop::new();
    let run = shop
        .run_wiring(&format!("{WIRING}[engine]\nworkers = 1\nrejects = 3\n"))
        .runs();
    let address = run.listens("live     events");
    for n in 0..20 {
        send(&address, &format!("no event {n}\n"));
        wait_until("it is rejected", || {
            let inputs = run.json("/views/tillrace.inputs");
            let rows = inputs["rows"].as_array().expect("rows").iter();
            rows.filter_map(|row| row["rejects"].as_i64()).sum::<i64>() == n + 1
        });
    }
    let rejects = run.json("/views/tillrace.rejects?order=time");
    let rows = rejects["rows"].as_array().expect("rows");
    let records: Vec<&str> = rows
        .iter()
        .filter_map(|row| row["record"].as_str())
        .collect();
    assert_eq!(records, ["no event 17", "no event 18", "no event 19"]);
    assert!(rows.iter().all(|row| row["time"].is_string()), "{rejects}");
    run.stop("TERM");
}

#[test]
fn without_a_file_there_is_nothing_to_read_again() {
    let shop = Shop::new();
    let run = shop.run(&["-i", "events=-"]).runs();
    run.signal("HUP");
    run.says("there is no wiring file to read again");
    run.stop("TERM");
}
