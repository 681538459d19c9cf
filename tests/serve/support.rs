//! A shop that is served, and clients.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tillrace::engine::{Config, Live, LiveConfig, Ticks, Wiring};
use tillrace::plan;
use tillrace::script::{self, Sources};
use tillrace::serve::{ServeConfig, Server};

pub const SHOP: &str = "
    CREATE TABLE products (product_id TEXT PRIMARY KEY, category TEXT NOT NULL, price DECIMAL(18,2));
    COMMENT ON TABLE products IS 'What is sold.';
    CREATE TABLE sales (product_id TEXT NOT NULL, quantity INT NOT NULL, amount DECIMAL(18,2), at TIMESTAMP)
        WITH (event_time = 'at');
    CREATE MATERIALIZED VIEW by_category WITH (chart = 'bar', x = 'category', y = 'revenue') AS
        SELECT category, sum(amount) AS revenue, count(*) AS sales
        FROM sales s JOIN products p ON s.product_id = p.product_id
        GROUP BY category ORDER BY revenue DESC;
    COMMENT ON VIEW by_category IS 'Revenue by category.';
    COMMENT ON COLUMN by_category.revenue IS 'Before tax.';
    CREATE MATERIALIZED VIEW by_product AS
        SELECT s.product_id, sum(amount) AS revenue, sum(quantity) AS units
        FROM sales s JOIN products p ON s.product_id = p.product_id GROUP BY s.product_id;
    CREATE MATERIALIZED VIEW all_sales AS SELECT product_id, quantity, amount, at FROM sales;
    CREATE MATERIALIZED VIEW kinds AS
        SELECT product_id, price > 10 AS dear, CAST(price AS DOUBLE) AS about, CAST('2024-05-01' AS DATE) AS day,
               make_array(category, NULL) AS tags, CAST(NULL AS INT) AS nothing
        FROM products;
    ";

/// A live engine and its server.
pub struct Shop {
    pub live: Arc<Live>,
    server: Option<Server>,
    pub address: SocketAddr,
}

/// What a client got.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

pub fn local() -> ServeConfig {
    ServeConfig::on((Ipv4Addr::LOCALHOST, 0).into())
}

impl Shop {
    pub fn open() -> Shop {
        Shop::with(SHOP, 2, local())
    }

    /// An open shop that sells two products of two categories.
    pub fn stocked() -> Shop {
        let shop = Shop::open();
        let products = r#"[{"product_id":"p1","category":"toys","price":"12.50"},
            {"product_id":"p2","category":"books","price":"8"}]"#;
        assert_eq!(shop.push("products", products)["accepted"], 2);
        shop
    }

    pub fn with(sql: &str, workers: usize, config: ServeConfig) -> Shop {
        Shop::start(sql, workers, config, None)
    }

    /// An open shop that keeps so many bytes of the records that it takes.
    pub fn keeping(sql: &str, bytes: usize) -> Shop {
        Shop::start(sql, 2, local(), Some(bytes))
    }

    fn start(sql: &str, workers: usize, config: ServeConfig, records: Option<usize>) -> Shop {
        let mut sources = Sources::default();
        sources.insert(PathBuf::from("test.sql"), sql.to_owned());
        let script = script::parse(sources).unwrap_or_else(|faults| panic!("{faults}"));
        let plan = plan::plan(Arc::new(script)).unwrap_or_else(|faults| panic!("{faults}"));
        let live_config = LiveConfig {
            engine: Config {
                workers,
                records,
                ..Config::default()
            },
            ticks: Ticks {
                idle: Duration::from_millis(100),
                ..Ticks::default()
            },
            keep: Default::default(),
            memory_limit: None,
        };
        let live = Live::start(Arc::new(plan), live_config, Wiring::default());
        let live = live.expect("the plan runs");
        let server = Server::start(config, Arc::clone(&live)).expect("a port is free");
        let address = server.addresses()[0];
        Shop {
            live,
            server: Some(server),
            address,
        }
    }

    /// Where it speaks the PostgreSQL protocol.
    pub fn pg_address(&self) -> SocketAddr {
        let server = self.server.as_ref().expect("a server that runs");
        server.pg_addresses()[0]
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = agent().get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.call())
    }

    /// The JSON at a path that is answered.
    pub fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// The rows of a view, as JSON lines.
    pub fn rows(&self, path: &str) -> Vec<String> {
        let answer = self.json(path);
        let rows = answer["rows"].as_array().expect("rows");
        rows.iter().map(Value::to_string).collect()
    }

    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = agent().post(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.send(body))
    }

    /// Pushes JSON and waits until it can be read.
    pub fn push(&self, table: &str, json: &str) -> Value {
        let path = format!("/ingest/{table}");
        let headers = [("content-type", "application/json")];
        let answer = self.post(&path, &headers, json.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Stops the server, then the engine.
    pub fn close(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
            let stopped = self.live.stop();
            assert!(
                std::thread::panicking() || stopped.is_ok(),
                "the workers end well"
            );
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        let parsed = serde_json::from_slice(&self.body);
        parsed.unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The code of a failure.
    pub fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .expect("a code")
            .to_owned()
    }

    /// The sentence of a failure.
    pub fn message(&self) -> String {
        self.json()["error"]["message"]
            .as_str()
            .expect("a message")
            .to_owned()
    }
}

pub fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    config.build().into()
}

pub fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut response = response.expect("the server answers");
    let headers = response.headers().iter();
    let headers = headers
        .map(|(name, value)| {
            let value = value.to_str().expect("heads are ASCII");
            (name.as_str().to_owned(), value.to_owned())
        })
        .collect();
    Answer {
        status: response.status().as_u16(),
        headers,
        body: response
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_vec()
            .expect("the body is whole"),
    }
}

/// A server-sent event.
#[derive(Debug)]
pub struct Event {
    pub kind: String,
    pub id: String,
    pub data: Value,
}

/// A client of server-sent events over a plain connection.
pub struct Events {
    reader: BufReader<TcpStream>,
    pub head: String,
}

impl Events {
    pub fn open(shop: &Shop, path: &str, headers: &str) -> Events {
        let mut stream = TcpStream::connect(shop.address).expect("a connection");
        let timeout = Some(Duration::from_secs(20));
        stream.set_read_timeout(timeout).expect("a timeout");
        // HTTP/1.0: no chunks, the body lasts as long as the connection.
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nHost: {}\r\n{headers}\r\n",
            shop.address
        )
        .expect("the request is sent");
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = reader.read_line(&mut head).expect("a head");
            assert!(read > 0, "the head breaks off: {head}");
        }
        Events { reader, head }
    }

    /// The next event; `None` at the end.
    pub fn next(&mut self) -> Option<Event> {
        let mut event = Event {
            kind: String::new(),
            id: String::new(),
            data: Value::Null,
        };
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).expect("an event comes") == 0 {
                return None;
            }
            let line = line.trim_end_matches('\n');
            if let Some(kind) = line.strip_prefix("event: ") {
                event.kind = kind.to_owned();
            } else if let Some(id) = line.strip_prefix("id: ") {
                event.id = id.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                event.data = serde_json::from_str(data).expect("JSON");
            } else if line.is_empty() {
                return Some(event);
            } else {
                panic!("no line of an event: {line}");
            }
        }
    }

    /// The next event that is more than progress.
    pub fn next_news(&mut self) -> Option<Event> {
        loop {
            let event = self.next()?;
            if event.kind != "progress" {
                return Some(event);
            }
        }
    }
}

/// Sends bytes as they are and returns all that comes back.
pub fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(bytes).expect("the request is sent");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("an answer");
    String::from_utf8_lossy(&all).into_owned()
}
