//! Ten times what fits in the queues at once: the sender waits, memory stays, nothing is lost.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::thread;

use crate::process::{Process, Shop};

const SCRIPT: &str = "\
CREATE TABLE events (id BIGINT NOT NULL, kind TEXT NOT NULL, note TEXT);
CREATE MATERIALIZED VIEW by_kind AS
  SELECT kind, count(*) AS events, sum(id) AS ids, sum(length(note)) AS letters FROM events GROUP BY kind;
";
/// What fits in the queue of an input, in bytes: 64 pieces of 256 KiB.
const QUEUE_BYTES: u64 = 64 * (256 << 10);
/// How much more memory a run may take than before the burst, in bytes: the queue, as many blocks
/// as an epoch takes, and what is made of them.
const MORE_BYTES: u64 = 8 * QUEUE_BYTES;
const NOTE_BYTES: usize = 400;
const KINDS: u64 = 7;

/// A number of the process's status, in bytes.
fn memory(run: &Process, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", run.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line
        .trim_matches([':', ' ', '\t'])
        .strip_suffix(" kB")?
        .parse()
        .ok()?;
    Some(kibibytes << 10)
}

#[test]
fn a_burst_is_slowed_and_nothing_is_lost() {
    let shop = Shop::new();
    shop.write("shop.sql", SCRIPT);
    let run = shop
        .run(&["-w", "2", "-i", "events=tcp://127.0.0.1:0"])
        .runs();
    let address = run.listens("live     events");
    let before = memory(&run, "VmRSS");
    let note = "n".repeat(NOTE_BYTES);
    let line_bytes = NOTE_BYTES as u64 + 40;
    let records = 10 * QUEUE_BYTES / line_bytes;
    // Two senders, each with every second record.
    thread::scope(|scope| {
        for sender in 0..2 {
            let (address, note) = (&address, &note);
            scope.spawn(move || {
                let mut connection = TcpStream::connect(address).expect("a connection is made");
                let mut text = Vec::new();
                for id in (sender..records).step_by(2) {
                    let kind = id % KINDS;
                    writeln!(
                        text,
                        "{{\"id\":{id},\"kind\":\"k{kind}\",\"note\":\"{note}\"}}"
                    )
                    .expect("it fits");
                    if text.len() > 1 << 20 {
                        connection.write_all(&text).expect("it is taken");
                        text.clear();
                    }
                }
                connection.write_all(&text).expect("it is taken");
            });
        }
    });
    let mut rows = serde_json::Value::Null;
    crate::support::wait_until("all have arrived", || {
        rows = run.json("/views/by_kind?order=kind")["rows"].clone();
        let events = rows.as_array().expect("rows").iter();
        events.filter_map(|row| row["events"].as_u64()).sum::<u64>() >= records
    });
    for kind in 0..KINDS {
        let ids = (kind..records).step_by(KINDS as usize);
        let row = &rows[kind as usize];
        let count = ids.clone().count() as u64;
        assert_eq!(row["events"], count, "{row}");
        assert_eq!(number(&row["ids"]), ids.sum::<u64>(), "{row}");
        assert_eq!(number(&row["letters"]), count * NOTE_BYTES as u64, "{row}");
    }
    // Known on Linux only.
    if let (Some(before), Some(peak)) = (before, memory(&run, "VmHWM")) {
        let more = peak.saturating_sub(before);
        eprintln!("{records} records, {} MiB more memory", more >> 20);
        assert!(more < MORE_BYTES, "{} MiB more memory", more >> 20);
    }
    let summary = run.stop("TERM");
    assert!(summary.contains(" 0 rejects, "), "{summary}");
}

fn number(value: &serde_json::Value) -> u64 {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    text.parse()
        .unwrap_or_else(|_| panic!("no number: {value}"))
}
