//! Sinks that fail: the run goes on, says so once, and hands out what is missing when it can.

use std::fs;
use std::process::Command;

use crate::process::{Process, Shop, all_text, events, send};
use crate::support::wait_until;

#[test]
fn a_full_disk_holds_up_nothing_but_its_sink() {
    let shop = Shop::new();
    // Standard output goes to a device that is always full; it is told in the log.
    let run = "exec \"$0\" run shop.sql --no-server -i events=- --sink by_source=stdout:?stop_seconds=1 \
        --sink by_source=out/changes.jsonl --log info > /dev/full";
    let mut command = Command::new("sh");
    command
        .args(["-c", run, env!("CARGO_BIN_EXE_tillrace")])
        .current_dir(shop.path(""));
    let mut run = Process::start(command).runs();
    run.feed(&events("stdin", 0..3));
    run.says("a sink is tried again");
    run.says("No space left on device");
    run.feed(&events("stdin", 3..5));
    wait_until("the other sink has it", || {
        all_text(&shop.path("out")).contains("\"events\":5")
    });
    run.signal("TERM");
    assert_eq!(run.ends(), 0, "{}", run.said());
    run.says("a sink has not handed out all");
}

/// A file that may not grow any more is written on once it may.
#[test]
fn a_sink_goes_on_when_there_is_room_again() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        eprintln!("SKIPPED: prlimit is not installed");
        return;
    }
    let shop = Shop::new();
    let run = "trap '' XFSZ; ulimit -S -f 8; exec \"$0\" run shop.sql --listen 127.0.0.1:0 \
        -i events=tcp://127.0.0.1:0 --sink by_source=out/changes.jsonl --log info";
    let mut command = Command::new("bash");
    command
        .args(["-c", run, env!("CARGO_BIN_EXE_tillrace")])
        .current_dir(shop.path(""));
    let run = Process::start(command).runs();
    let address = run.listens("live     events");
    let sources = || (0..200).map(|source| format!("source number {source}"));
    for source in sources() {
        send(&address, &events(&source, 0..1));
    }
    run.says("a sink is tried again");
    wait_until("the run goes on", || {
        run.json("/views/by_source")["total"] == 200
    });
    let raised = Command::new("prlimit")
        .args([
            "--pid",
            &run.id().to_string(),
            "--fsize=unlimited:unlimited",
        ])
        .status();
    assert!(raised.expect("it starts").success());
    run.says("a sink works again");
    run.stop("TERM");
    let text = all_text(&shop.path("out"));
    for source in sources() {
        let of_one = text
            .lines()
            .filter(|line| line.contains(&format!("\"{source}\"")));
        assert_eq!(of_one.count(), 1, "{source} in {text}");
    }
    for entry in fs::read_dir(shop.path("out"))
        .expect("it is there")
        .flatten()
    {
        let text = fs::read_to_string(entry.path()).expect("it is text");
        let broken = text
            .lines()
            .find(|line| serde_json::from_str::<serde_json::Value>(line).is_err());
        assert_eq!(broken, None, "a line is broken");
    }
}
