//! What is wrong is said before anything runs, with its place, and ends in a status that is not 0.

use std::net::TcpListener;

use crate::process::{Process, Shop, events, send};
use crate::support::wait_until;

#[track_caller]
fn says_all(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "no {part:?} in:\n{said}");
    }
}

#[test]
fn ports_in_use_are_named() {
    let shop = Shop::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let input = format!("events=tcp://{address}");
    let said = shop.fail(&["run", "shop.sql", "--no-server", "-i", &input]);
    says_all(&said, &["error: ", "\"events\"", &address, "in use"]);
    assert_eq!(said.lines().count(), 1, "{said}");
    let said = shop.fail(&["run", "shop.sql", "--listen", &address, "-i", "events=-"]);
    says_all(&said, &["error: ", &address, "in use"]);
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn every_fault_of_the_wiring_is_told_with_its_line() {
    let shop = Shop::new();
    shop.write(
        "tillrace.toml",
        r#"scripts = "shop.sql"
[[input]]
table = "event"
from = "-"
[[input]]
table = "events"
from = "tcp://127.0.0.1:0"
color = "red"
[[input]]
table = "events"
from = "ftp://example.org/events"
[[sink]]
view = "by_sauce"
to = "out/sauce.jsonl"
[[sink]]
view = "by_source"
to = "out/x.jsonl"
mode = "sometimes"
"#,
    );
    let said = shop.fail(&["run"]);
    says_all(
        &said,
        &[
            "tillrace.toml:2:",
            "did you mean \"events\"?",
            "tillrace.toml:5:",
            "\"color\"",
            "tillrace.toml:9:",
            "ftp://",
            "tcp://",
            "tillrace.toml:12:",
            "did you mean \"by_source\"?",
            "tillrace.toml:15:",
            "\"mode\"",
        ],
    );
}

#[test]
fn every_wrong_key_is_told_with_its_line() {
    let shop = Shop::new();
    shop.write(
        "tillrace.toml",
        r#"scripts = "shop.sql"
inptu = 3
[[input]]
table = "events"
[engine]
workers = 0
tick_ms = "soon"
memory_limit = "much"
[server]
listen = "localhost"
tls_key = "key.pem"
port = 80
"#,
    );
    let said = shop.fail(&["run", "tillrace.toml"]);
    says_all(
        &said,
        &[
            "tillrace.toml:2:1",
            "did you mean `input`?",
            "tillrace.toml:3:",
            "lacks",
            "tillrace.toml:6:11",
            "`workers`",
            "tillrace.toml:7:11",
            "`tick_ms`",
            "tillrace.toml:8:16",
            "`memory_limit`",
            "tillrace.toml:10:10",
            "`localhost`",
            "tls_certificate and tls_key belong together",
            "tillrace.toml:12:1",
            "`port`",
        ],
    );
}

#[test]
fn what_is_not_there_is_named() {
    let shop = Shop::new();
    says_all(
        &shop.fail(&["run", "gone.toml"]),
        &["gone.toml", "No such file"],
    );
    says_all(&shop.fail(&["run", "gone.sql"]), &["gone.sql"]);
    says_all(
        &shop.fail(&[
            "run",
            "shop.sql",
            "--no-server",
            "-i",
            "events=gone.jsonl",
            "-i",
            "products=gone.csv",
        ]),
        &["gone.jsonl", "gone.csv"],
    );
    says_all(
        &shop.fail(&["run", "shop.sql", "-i", "evens=-"]),
        &["\"evens\"", "did you mean \"events\"?"],
    );
    says_all(
        &shop.fail(&[
            "run",
            "shop.sql",
            "--no-server",
            "-i",
            "events=-",
            "--sink",
            "by_source=/proc/none/x.jsonl",
        ]),
        &["/proc/none"],
    );
    says_all(
        &shop.fail(&[
            "run",
            "shop.sql",
            "--listen",
            "127.0.0.1:0",
            "--tls-certificate",
            "c.pem",
            "--tls-key",
            "k.pem",
        ]),
        &["c.pem"],
    );
}

#[test]
fn a_broken_script_is_told_with_all_its_faults() {
    let shop = Shop::new();
    shop.write(
        "shop.sql",
        "CREATE TABLE t (a BIGINT);\nCREATE MATERIALIZED VIEW v AS SELECT b FROM t;\n\
         CREATE MATERIALIZED VIEW w AS SELECT a FROM u;\n",
    );
    let said = shop.fail(&["run", "shop.sql", "-i", "t=-"]);
    says_all(&said, &["shop.sql:3"]);
    shop.write(
        "shop.sql",
        "CREATE TABLE t (a BIGINT);\nCREATE MATERIALIZED VIEW v AS SELECT b FROM t;\n\
         CREATE MATERIALIZED VIEW w AS SELECT c FROM t;\n",
    );
    let said = shop.fail(&["run", "shop.sql", "-i", "t=-"]);
    says_all(&said, &["shop.sql:2", "shop.sql:3"]);
}

#[test]
fn beyond_its_memory_it_stays_up_and_senders_wait() {
    let shop = Shop::new();
    let mut run = shop
        .run(&["--memory-limit", "1MB", "-i", "events=tcp://127.0.0.1:0"])
        .runs();
    run.says("memory limit met: senders wait");
    send(&run.listens("live     events"), &events("tcp", 0..10));
    let input = |run: &Process, key: &str| run.json("/status")["inputs"][0][key].clone();
    wait_until("they wait", || input(&run, "waiting").as_u64() > Some(0));
    assert_eq!(input(&run, "rows"), 0);
    assert_eq!(run.get("/healthz").0, 200);
    assert!(run.is_running());
    // What it has taken it finishes, limit or not.
    let summary = run.stop("TERM");
    assert!(summary.contains("10 events, 0 rejects, "), "{summary}");
}
