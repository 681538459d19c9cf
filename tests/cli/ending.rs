//! How a run goes and ends: what it tells meanwhile, readers that go away, Ctrl-C.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::shop::{ORDERS, Run, Shop};

#[test]
fn in_a_pipe_only_the_summary_is_told() {
    let shop = Shop::new();
    let arguments = ["replay", "shop.sql", "-i", "orders=orders.jsonl"];
    let run = shop.run(&arguments).status(0);
    assert_eq!(run.err().lines().count(), 1, "{}", run.err());
    assert!(!run.err().contains('\u{1b}') && !run.out().contains('\u{1b}'));
    let run = shop.run(&[&arguments[..], &["--quiet"]].concat()).status(0);
    assert_eq!(run.err(), "");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let shop = Shop::new();
    let line = ORDERS.lines().next().expect("there are orders");
    shop.write("many.jsonl", format!("{line}\n").repeat(50_000));
    let arguments = [
        "replay",
        "shop.sql",
        "-i",
        "orders=many.jsonl",
        "--view",
        "all_orders",
        "--format",
    ];
    for format in ["csv", "jsonl", "table"] {
        let mut command = shop.command(&[&arguments[..], &[format, "--limit", "0"]].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut stdout = child.stdout.take().expect("it is piped");
        stdout.read_exact(&mut [0; 10]).expect("it begins to print");
        drop(stdout);
        Run(child.wait_with_output().expect("it ends")).status(0);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_a_run_that_waits_for_more() {
    const SIGINT: u64 = 2;
    let shop = Shop::new();
    let mut command = shop.command(&["replay", "shop.sql", "-i", "orders=-?format=jsonl"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(ORDERS.as_bytes()).expect("it is read");
    let id = child.id().to_string();
    // A signal before the handler is there would end the process at once.
    let catches = |id: &str| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))
            .expect("it is told");
        u64::from_str_radix(mask.trim(), 16).expect("it is a number") & (1 << (SIGINT - 1)) != 0
    };
    while !catches(&id) {
        std::thread::yield_now();
    }
    let kill = Command::new("kill")
        .args(["-INT", &id])
        .status()
        .expect("kill starts");
    assert!(kill.success());
    let run = Run(child.wait_with_output().expect("it ends"))
        .status(130)
        .says(&["stopped"]);
    assert_eq!(run.out(), "");
    drop(stdin);
}
