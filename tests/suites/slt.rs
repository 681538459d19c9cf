//! sqllogictest files over the wire, against the real server.
//!
//! `slt/*.slt` hold statements, queries and answers, one file for a kind of node; the answers are
//! those of DuckDB (`slt/fill.py`). Each query is asked twice: ad hoc, and of a materialised view
//! that is created when the query is first met and kept up to date from then on. Both answers must
//! be the expected rows.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

macro_rules! files {
    ($($name:ident),* $(,)?) => {
        $(
            mod $name {
                #[test]
                fn on_one_worker() {
                    super::play(stringify!($name), 1);
                }

                #[test]
                fn on_four_workers() {
                    super::play(stringify!($name), 4);
                }
            }
        )*

        /// The files that are played.
        const PLAYED: &[&str] = &[$(stringify!($name)),*];
    };
}

files![
    aggregate, distinct, extremum, general, grouping, join, map, recursion, set, subquery, topk,
    window
];

#[test]
fn every_file_is_played() {
    let entries = std::fs::read_dir(folder()).expect("the folder can be listed");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut names: Vec<String> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "slt"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    assert_eq!(names, PLAYED);
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suites/slt")
}

fn play(name: &str, workers: usize) {
    let server = Server::start(workers);
    let address = server.address.clone();
    let mut runner = Runner::new(|| {
        let connection = Connection::open(&address);
        async move { Ok(connection) }
    });
    let file = folder().join(format!("{name}.slt"));
    let played = runner.run_file(&file);
    played.unwrap_or_else(|error| panic!("{}", error.display(false)));
}

/// A server without a script; it is killed when this is dropped.
struct Server {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(workers: usize) -> Server {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        std::fs::write(folder.path().join("empty.sql"), "").expect("there is room");
        let mut child = Command::new(env!("CARGO_BIN_EXE_tillrace"))
            .args([
                "run",
                "empty.sql",
                "--listen",
                "127.0.0.1:0",
                "--pg",
                "127.0.0.1:0",
            ])
            .args(["--workers", &workers.to_string()])
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let address = loop {
            let line = lines.next().map(|line| line.expect("text"));
            let line = line.unwrap_or_else(|| panic!("it did not start:\n{said}"));
            if let Some(address) = line.trim().strip_prefix("pg ") {
                break address.trim().to_owned();
            }
            said.push_str(&line);
            said.push('\n');
        };
        // What else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Server {
            child,
            address,
            _folder: folder,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that asks everything twice.
struct Connection {
    // Before the runtime, which drives its connection.
    client: Client,
    runtime: Runtime,
    /// The views that have been made, by their queries.
    views: HashMap<String, String>,
}

/// Why a statement failed, or the answers differ.
#[derive(Debug)]
struct Fault(String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Fault {
        match error.as_db_error() {
            Some(told) => Fault(format!("{}: {}", told.code().code(), told.message())),
            None => Fault(error.to_string()),
        }
    }
}

impl Connection {
    fn open(address: &str) -> Connection {
        let (host, port) = address.rsplit_once(':').expect("a host and a port");
        let config = format!("host={host} port={port} user=tests dbname=tillrace");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let client = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&config, NoTls)
                .await
                .expect("a connection");
            tokio::spawn(connection);
            client
        });
        Connection {
            client,
            runtime,
            views: HashMap::new(),
        }
    }

    fn ask(&self, sql: &str) -> Result<(usize, Vec<Vec<String>>), Fault> {
        let messages = self.runtime.block_on(self.client.simple_query(sql))?;
        let (mut columns, mut rows) = (0, Vec::new());
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(described) => columns = described.len(),
                SimpleQueryMessage::Row(row) => {
                    let cell = |cell| match row.get(cell) {
                        None => "NULL".to_owned(),
                        Some("") => "(empty)".to_owned(),
                        Some(text) => text.to_owned(),
                    };
                    rows.push((0..row.len()).map(cell).collect());
                }
                _ => {}
            }
        }
        Ok((columns, rows))
    }

    /// The rows of the view for a query, which is made if there is none.
    fn of_view(&mut self, query: &str) -> Result<Vec<Vec<String>>, Fault> {
        let name = match self.views.get(query) {
            Some(name) => name.clone(),
            None => {
                let name = format!("view_{}", self.views.len() + 1);
                self.ask(&format!("CREATE MATERIALIZED VIEW {name} AS {query}"))?;
                self.ask("FLUSH")?;
                self.views.insert(query.to_owned(), name.clone());
                name
            }
        };
        Ok(self.ask(&format!("SELECT * FROM {name}"))?.1)
    }
}

impl DB for Connection {
    type Error = Fault;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Fault> {
        let first = sql.split_whitespace().next().unwrap_or_default();
        if !["SELECT", "WITH", "VALUES"].contains(&first) {
            self.ask(sql)?;
            return Ok(DBOutput::StatementComplete(0));
        }
        let (columns, mut rows) = self.ask(sql)?;
        let mut kept = self.of_view(sql)?;
        let asked = rows.clone();
        rows.sort();
        kept.sort();
        if rows != kept {
            let message = format!("the view answers {kept:?}\nad hoc it is {rows:?}");
            return Err(Fault(message));
        }
        Ok(DBOutput::Rows {
            types: vec![DefaultColumnType::Any; columns],
            rows: asked,
        })
    }
}
