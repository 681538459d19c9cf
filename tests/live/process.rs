//! The real binary at work: what it says, where it listens, and how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{is_soon, wait_until};

/// A table of events, whose source is in the event, and what came from each.
pub const SHOP: &str = "\
CREATE TABLE events (id TEXT NOT NULL, source TEXT NOT NULL, amount DECIMAL(12, 2), at TIMESTAMP)
  WITH (event_time = 'at', dedup = 'id');
CREATE TABLE products (product_id TEXT PRIMARY KEY, category TEXT);
CREATE MATERIALIZED VIEW by_source AS
  SELECT source, count(*) AS events, sum(amount) AS amount FROM events GROUP BY source ORDER BY source;
CREATE MATERIALIZED VIEW catalogue AS SELECT product_id, category FROM products;
";

/// A folder with a script, in which the binary is started.
pub struct Shop(TempDir);

impl Shop {
    pub fn new() -> Shop {
        let shop = Shop(tempfile::tempdir().expect("there is room for a folder"));
        shop.write("shop.sql", SHOP);
        shop
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("the folder can be written");
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tillrace"));
        command.args(arguments).current_dir(self.0.path());
        clean(&mut command);
        command
    }

    /// Runs the script with more arguments, on a free port.
    pub fn run(&self, arguments: &[&str]) -> Process {
        let run = ["run", "shop.sql", "--listen", "127.0.0.1:0"];
        Process::start(self.command(&[&run[..], arguments].concat()))
    }

    /// Runs what `tillrace.toml` says, on a free port.
    pub fn run_wiring(&self, wiring: &str) -> Process {
        self.write("tillrace.toml", wiring);
        Process::start(self.command(&["run", "--listen", "127.0.0.1:0", "--log", "info"]))
    }

    /// Runs something that must fail by itself: its status and what it says.
    #[track_caller]
    pub fn fail(&self, arguments: &[&str]) -> String {
        let mut failing = Process::start(self.command(arguments));
        let status = failing.ends();
        let said = failing.said();
        assert!(matches!(status, 1 | 2), "status {status}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }
}

/// Lets nothing of the caller's environment in.
fn clean(command: &mut Command) {
    for name in [
        "TILLRACE_LOG",
        "TILLRACE_READ_TOKEN",
        "TILLRACE_WRITE_TOKEN",
        "NO_COLOR",
    ] {
        command.env_remove(name);
    }
}

/// The binary at work. It is killed if the test lets go of it.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Arc<Mutex<String>>,
    printed: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    pub fn start(mut command: Command) -> Process {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (said, printed) = (Arc::default(), Arc::default());
        let stderr = child.stderr.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        Process {
            stdin: child.stdin.take(),
            readers: vec![collect(stderr, &said), collect(stdout, &printed)],
            child,
            said,
            printed,
        }
    }

    /// What it has said on standard error.
    pub fn said(&self) -> String {
        self.said.lock().expect("no reader panics").clone()
    }

    /// What it has written on standard output.
    pub fn printed(&self) -> String {
        self.printed.lock().expect("no reader panics").clone()
    }

    /// Waits until it says something.
    #[track_caller]
    pub fn says(&self, text: &str) {
        let is_said = is_soon(|| self.said().contains(text));
        assert!(is_said, "no {text:?} in:\n{}", self.said());
    }

    /// Waits until it runs.
    #[track_caller]
    pub fn runs(self) -> Process {
        self.says("running; ");
        self
    }

    /// What follows a text, to the end of the line.
    #[track_caller]
    pub fn told(&self, before: &str) -> String {
        let said = self.said();
        let rest = said.split_once(before).map(|(_, rest)| rest);
        let rest = rest.unwrap_or_else(|| panic!("no {before:?} in:\n{said}"));
        rest.lines().next().unwrap_or_default().trim().to_owned()
    }

    /// Where a line of the start says that it listens; with its host and port.
    #[track_caller]
    pub fn listens(&self, input: &str) -> String {
        self.told(&format!("{input}=tcp://"))
    }

    /// Writes to its standard input.
    pub fn feed(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("it is open");
        stdin.write_all(text.as_bytes()).expect("it is read");
        stdin.flush().expect("it is read");
    }

    /// Closes its standard input.
    pub fn feed_no_more(&mut self) {
        self.stdin = None;
    }

    pub fn url(&self, path: &str) -> String {
        let page = self.told("page     ");
        format!("{}{path}", page.trim_end_matches('/'))
    }

    /// Asks for a path: status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        answer(agent().get(self.url(path)).call())
    }

    pub fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("the answer is JSON")
    }

    pub fn post(&self, path: &str, body: &str) -> (u16, String) {
        let request = agent()
            .post(self.url(path))
            .header("content-type", "application/x-ndjson");
        answer(request.send(body))
    }

    /// How many events came from each source, by `by_source`, as `a=1 b=2`.
    pub fn by_source(&self) -> String {
        let answer = self.json("/views/by_source");
        let rows = answer["rows"].as_array().expect("rows").iter();
        let shown = rows.map(|row| {
            format!(
                "{}={}",
                row["source"].as_str().unwrap_or_default(),
                row["events"]
            )
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    /// Waits until so many events came from each source.
    #[track_caller]
    pub fn counts(&self, expected: &str) {
        let mut last = String::new();
        let is_so = is_soon(|| {
            last = self.by_source();
            last == expected
        });
        assert!(
            is_so,
            "{last:?} instead of {expected:?}; it said\n{}",
            self.said()
        );
    }

    /// Sends it a signal: `TERM`, `INT`, `HUP`.
    pub fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .expect("kill starts");
        assert!(kill.success(), "kill -{name}");
    }

    /// Waits until it ends: the status, or 128 and the signal that ended it.
    #[track_caller]
    pub fn ends(&mut self) -> i32 {
        let mut status = None;
        let has_ended = is_soon(|| {
            status = self.child.try_wait().expect("it can be waited for");
            status.is_some()
        });
        assert!(has_ended, "it does not end; it said\n{}", self.said());
        for reader in self.readers.drain(..) {
            reader.join().expect("no reader panics");
        }
        let status = status.expect("it has ended");
        #[cfg(unix)]
        let signal = status.signal().map(|signal| 128 + signal);
        #[cfg(not(unix))]
        let signal = None;
        status.code().or(signal).expect("a status")
    }

    /// Asks it to end by a signal; it must end well, with its summary, which is returned.
    #[track_caller]
    pub fn stop(mut self, signal: &str) -> String {
        self.signal(signal);
        let status = self.ends();
        let said = self.said();
        assert_eq!(status, 0, "{said}");
        assert!(!said.contains("panicked"), "{said}");
        let summary = said
            .lines()
            .rfind(|line| line.starts_with("stopped after "));
        summary
            .unwrap_or_else(|| panic!("no summary in:\n{said}"))
            .to_owned()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("it can be waited for")
            .is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _is_over = self.child.kill();
        let _is_over = self.child.wait();
    }
}

fn collect(from: impl Read + Send + 'static, into: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let into = Arc::clone(into);
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line);
            into.lock().expect("no reader panics").push_str(&text);
            line.clear();
        }
    })
}

pub fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    config.build().into()
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, String) {
    let mut response = response.expect("the server answers");
    let body = response
        .body_mut()
        .read_to_string()
        .expect("the body is text");
    (response.status().as_u16(), body)
}

/// Events of a source as JSON lines, with ids of their own.
pub fn events(source: &str, ids: std::ops::Range<u32>) -> String {
    let lines = ids.map(|id| {
        format!(
            "{{\"id\":\"{source}{id}\",\"source\":\"{source}\",\"amount\":\"{id}.50\",\"at\":\"2024-05-01T09:00:00Z\"}}\n"
        )
    });
    lines.collect()
}

/// Sends text over a connection of its own.
pub fn send(address: &str, text: &str) {
    let mut connection = TcpStream::connect(address).expect("a connection is made");
    connection.write_all(text.as_bytes()).expect("it is taken");
}

/// Waits until files below a folder hold a text together.
#[track_caller]
pub fn folder_holds(folder: &Path, text: &str) {
    wait_until(
        &format!("{text:?} is in a file below {}", folder.display()),
        || all_text(folder).contains(text),
    );
}

/// The text of all files of a folder.
pub fn all_text(folder: &Path) -> String {
    let Ok(entries) = fs::read_dir(folder) else {
        return String::new();
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read_to_string(path).unwrap_or_default())
        .collect()
}
