//! A small shop to try the binary on, and what a run of it printed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub const SHOP: &str = "\
CREATE TABLE orders (id BIGINT NOT NULL, category TEXT, price DECIMAL(10, 2), at TIMESTAMP)
  WITH (event_time = 'at');
CREATE MATERIALIZED VIEW sales AS
  SELECT category, count(*) AS orders, sum(price) AS revenue, max(at) AS newest
  FROM orders GROUP BY category ORDER BY category;
CREATE MATERIALIZED VIEW all_orders AS SELECT id, category, price FROM orders;
";

pub const ORDERS: &str = r#"{"id": 1, "category": "toys", "price": 1.50, "at": "2023-10-01T12:00:00Z"}
{"id": 2, "category": "books, used", "price": 20, "at": "2023-10-01T12:34:56.5Z"}
{"id": 3, "category": "toys", "price": 0.25, "at": "2023-10-01T12:34:56Z"}
{"id": 4, "price": null, "at": "2023-10-02T00:00:00Z"}
"#;

pub const SALES_CSV: &str = "\
category,orders,revenue,newest
\"books, used\",1,20.00,2023-10-01 12:34:56.500
toys,2,1.75,2023-10-01 12:34:56
,1,,2023-10-02 00:00:00
";

/// A folder with a script and its events, in which the binary is started.
pub struct Shop(TempDir);

impl Shop {
    pub fn new() -> Self {
        let shop = Self(tempfile::tempdir().expect("there is room for a folder"));
        shop.write("shop.sql", SHOP);
        shop.write("orders.jsonl", ORDERS);
        shop
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("the folder can be written");
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tillrace"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        Run(self.command(arguments).output().expect("the binary starts"))
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input).expect("it is read");
        drop(stdin);
        Run(child.wait_with_output().expect("it ends"))
    }
}

pub struct Run(pub Output);

impl Run {
    pub fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).expect("output is UTF-8")
    }

    pub fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).expect("messages are UTF-8")
    }

    #[track_caller]
    pub fn status(self, status: i32) -> Self {
        let found = self.0.status.code();
        assert_eq!(
            found,
            Some(status),
            "stdout:\n{}\nstderr:\n{}",
            self.out(),
            self.err()
        );
        assert!(!self.err().contains("panicked"), "{}", self.err());
        self
    }

    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        let err = self.err();
        for part in parts {
            assert!(err.contains(part), "no {part:?} in:\n{err}");
        }
        self
    }

    #[track_caller]
    pub fn prints(self, parts: &[&str]) -> Self {
        let out = self.out();
        for part in parts {
            assert!(out.contains(part), "no {part:?} in:\n{out}");
        }
        self
    }
}

pub fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder
        .write_all(text.as_bytes())
        .expect("memory can be written");
    encoder.finish().expect("memory can be written")
}
