//! Senders that others have written.

use std::process::{Command, Stdio};

use crate::process::{Shop, events};

/// Whether a program is there; said loudly if it is not.
fn is_there(program: &str) -> bool {
    let probe = Command::new(program)
        .arg("-h")
        .stdin(Stdio::null())
        .output();
    if probe.is_err() {
        eprintln!("SKIPPED: {program} is not installed");
    }
    probe.is_ok()
}

#[track_caller]
fn shell(command: &str, shop: &Shop) {
    let mut sh = Command::new("sh");
    let output = sh.args(["-c", command]).current_dir(shop.path("")).output();
    let output = output.expect("a shell starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {told}");
}

#[test]
fn programs_that_know_nothing_of_tillrace_feed_it() {
    let shop = Shop::new();
    let run = shop
        .run(&[
            "-i",
            "events=tcp://127.0.0.1:0",
            "-i",
            "events=unix:events.sock",
        ])
        .runs();
    let address = run.listens("live     events");
    let (host, port) = address.rsplit_once(':').expect("a port");
    let mut expected = Vec::new();
    if is_there("curl") {
        shop.write("curl.jsonl", events("curl", 0..50));
        let url = run.url("/ingest/events");
        shell(
            &format!(
                "curl -sSf -H 'Content-Type: application/x-ndjson' --data-binary @curl.jsonl {url}"
            ),
            &shop,
        );
        shell(
            &format!(
                "gzip -c curl.jsonl | curl -sSf -H 'Content-Encoding: gzip' -H 'Content-Type: application/x-ndjson' --data-binary @- {url}"
            ),
            &shop,
        );
        expected.push("curl=50");
    }
    if is_there("nc") {
        shop.write("nc.jsonl", events("nc", 0..60));
        shell(
            &format!("nc -N {host} {port} < nc.jsonl || nc -q 1 {host} {port} < nc.jsonl"),
            &shop,
        );
        expected.push("nc=60");
    }
    if is_there("socat") {
        shop.write("socat.jsonl", events("socat", 0..70));
        shell(&format!("socat -u OPEN:socat.jsonl TCP:{address}"), &shop);
        shop.write("socket.jsonl", events("socket", 0..80));
        shell("socat -u OPEN:socket.jsonl UNIX-CONNECT:events.sock", &shop);
        expected.extend(["socat=70", "socket=80"]);
    }
    run.counts(&expected.join(" "));
    run.stop("TERM");
}
