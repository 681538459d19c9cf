//! Programs that people have, as senders. What is not installed is skipped, with a note.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::support::{Running, start};

/// Gives a program something to send; tells whether it is there.
fn pipe_into(program: &str, arguments: &[&str], text: &str) -> bool {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let Ok(mut child) = command.spawn() else {
        eprintln!("skipped: {program} is not installed");
        return false;
    };
    let mut stdin = child.stdin.take().expect("it takes input");
    stdin.write_all(text.as_bytes()).expect("it takes all");
    drop(stdin);
    assert!(child.wait().expect("it ends").success(), "{program} fails");
    true
}

fn numbers(count: usize) -> String {
    (0..count).map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

fn assert_numbers(running: Running, count: usize) {
    let lines = running.lines(count).join("\n") + "\n";
    assert!(lines == numbers(count));
    running.stop();
}

#[test]
fn netcat_over_tcp() {
    let tcp = start("orders=tcp://127.0.0.1:0");
    let port = tcp
        .address
        .expect("it tells its address")
        .port()
        .to_string();
    if pipe_into("nc", &["-N", "127.0.0.1", &port], &numbers(10_000)) {
        assert_numbers(tcp, 10_000);
    }
}

#[test]
fn socat_over_tcp() {
    let tcp = start("orders=tcp://127.0.0.1:0");
    let address = format!("TCP:{}", tcp.address.expect("it tells its address"));
    if pipe_into("socat", &["-u", "STDIN", &address], &numbers(10_000)) {
        assert_numbers(tcp, 10_000);
    }
}

#[test]
fn socat_over_udp() {
    let udp = start("orders=udp://127.0.0.1:0");
    let address = format!("UDP:{}", udp.address.expect("it tells its address"));
    if pipe_into("socat", &["-u", "STDIN", &address], &numbers(100)) {
        assert_numbers(udp, 100);
    }
}

#[cfg(unix)]
#[test]
fn socat_over_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a folder is made");
    let path = folder.path().join("orders.sock");
    let unix = start(&format!("orders=unix:{}", path.display()));
    let address = format!("UNIX-CONNECT:{}", path.display());
    if pipe_into("socat", &["-u", "STDIN", &address], &numbers(10_000)) {
        assert_numbers(unix, 10_000);
    }
}

/// The shell's own way to write a log that `logrotate` would turn over.
#[cfg(unix)]
#[test]
fn a_shell_that_appends_and_renames() {
    let folder = tempfile::tempdir().expect("a folder is made");
    let path = folder.path().join("orders.jsonl");
    let tail = start(&format!("orders=tail:{}", path.display()));
    let script = "for n in 0 1 2 3 4 5 6 7 8 9; do \
                  echo \"{\\\"n\\\":$n}\" >> orders.jsonl; \
                  if [ $n = 4 ]; then mv orders.jsonl orders.jsonl.1; fi; done";
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", script]).current_dir(folder.path());
    // The first file may be renamed before it is ever seen, unless it is there first.
    fs::write(&path, "").expect("the file is made");
    tail.wait_for_connections(1);
    assert!(shell.status().expect("there is a shell").success());
    let mut lines = tail.lines(10);
    lines.sort();
    assert_eq!(lines.join("\n") + "\n", numbers(10));
    tail.stop();
}

/// Turns a log over; tells whether there is a program that does so.
fn turn_over(log: &Path, how: &str) -> bool {
    let folder = log.parent().expect("it lies in a folder");
    let config = folder.join("logrotate.conf");
    let text = format!("{} {{\n  rotate 3\n  {how}\n}}\n", log.display());
    fs::write(&config, text).expect("it is written");
    let mut command = Command::new("logrotate");
    command
        .arg("-f")
        .arg("-s")
        .arg(folder.join("state"))
        .arg(config);
    match command.status() {
        Ok(status) => assert!(status.success(), "logrotate fails"),
        Err(_) => {
            eprintln!("skipped: logrotate is not installed");
            return false;
        }
    }
    true
}

#[test]
fn logrotate_in_its_ways() {
    for how in ["create", "copytruncate", "nocreate", "create\n  compress"] {
        let folder = tempfile::tempdir().expect("a folder is made");
        let path = folder.path().join("orders.jsonl");
        let tail = start(&format!("orders=tail:{}", path.display()));
        for round in 0..3 {
            let file = OpenOptions::new().append(true).create(true).open(&path);
            let mut file = file.expect("the file opens");
            let expected = [format!("{round} a"), format!("{round} b")];
            file.write_all((expected.join("\n") + "\n").as_bytes())
                .expect("it is written");
            assert_eq!(tail.lines(2), expected);
            if !turn_over(&path, how) {
                return;
            }
        }
        tail.stop();
    }
}

#[test]
fn rsyslog_over_tcp() {
    let folder = tempfile::tempdir().expect("a folder is made");
    let tcp = start("orders=tcp://127.0.0.1:0");
    let port = tcp.address.expect("it tells its address").port();
    let log = folder.path().join("orders.jsonl");
    fs::write(&log, numbers(100)).expect("it is written");
    let config = folder.path().join("rsyslog.conf");
    let text = format!(
        "global(workDirectory=\"{folder}\")\n\
         module(load=\"imfile\" mode=\"polling\" pollingInterval=\"1\")\n\
         input(type=\"imfile\" file=\"{log}\" tag=\"orders\")\n\
         template(name=\"line\" type=\"string\" string=\"%msg%\\n\")\n\
         if $syslogtag == \"orders\" then action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" \
         protocol=\"tcp\" template=\"line\")\n",
        folder = folder.path().display(),
        log = log.display(),
    );
    fs::write(&config, text).expect("it is written");
    let mut command = Command::new("rsyslogd");
    command.args(["-n", "-i", "NONE", "-f"]).arg(config);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else {
        eprintln!("skipped: rsyslog is not installed");
        return;
    };
    let mut lines = Vec::new();
    while lines.len() < 100 {
        lines.extend(tcp.lines_of_next());
    }
    child.kill().and_then(|()| child.wait()).expect("it ends");
    assert!(lines.join("\n") + "\n" == numbers(100));
    tcp.abandon();
}

impl Running {
    fn lines_of_next(&self) -> Vec<String> {
        super::support::lines_of(&self.next())
    }
}
