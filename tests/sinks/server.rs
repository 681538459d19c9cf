//! A server for webhooks that does as it is told.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use crate::support::{Change, json_changes, text_of};

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Reaction {
    /// Answers with a status and headers.
    Answer(u16, &'static str),
    /// Says nothing until the client has gone.
    Hang,
    /// Closes the connection.
    Drop,
    /// Answers 200 once [`Server::let_go`] is called.
    Hold,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub at: Instant,
    /// By name in lower case.
    pub headers: HashMap<String, String>,
    pub body: String,
    pub reaction: Reaction,
}

impl Request {
    pub fn key(&self) -> &str {
        &self.headers["idempotency-key"]
    }

    pub fn is_taken(&self) -> bool {
        matches!(
            self.reaction,
            Reaction::Answer(200..300, _) | Reaction::Hold
        )
    }

    pub fn changes(&self) -> Vec<Change> {
        if self.headers["content-type"] == "application/x-ndjson" {
            return json_changes(&self.body);
        }
        changes_of_body(&serde_json::from_str(&self.body).expect("JSON"))
    }
}

/// The changes in a body of JSON.
pub fn changes_of_body(body: &Value) -> Vec<Change> {
    let epoch = body["epoch"].as_u64().expect("an epoch");
    let changes = body["changes"].as_array().expect("changes");
    let change = |change: &Value| {
        let row = change["row"].as_object().expect("a row");
        let row: Vec<String> = row.values().map(text_of).collect();
        (
            epoch,
            change["diff"].as_i64().expect("a diff"),
            row.join("|"),
        )
    };
    changes.iter().map(change).collect()
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Reaction>>,
    requests: Mutex<Vec<Request>>,
    is_let_go: Mutex<bool>,
    let_go: Condvar,
}

/// Reacts to requests as told, and with 200 from then on.
pub struct Server {
    pub address: String,
    shared: Arc<Shared>,
}

impl Server {
    pub fn start(script: &[Reaction]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Arc::new(Shared::default());
        shared.script.lock().unwrap().extend(script.iter().cloned());
        let for_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&for_thread);
                thread::spawn(move || react(stream.expect("a connection"), &shared));
            }
        });
        Server { address, shared }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The changes of all bodies that were taken.
    pub fn taken(&self) -> Vec<Change> {
        let requests = self.requests();
        let taken = requests.iter().filter(|request| request.is_taken());
        taken.flat_map(Request::changes).collect()
    }

    pub fn let_go(&self) {
        *self.shared.is_let_go.lock().unwrap() = true;
        self.shared.let_go.notify_all();
    }
}

fn react(stream: TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(&stream);
    let Some((headers, body)) = read(&mut reader) else {
        return;
    };
    let reaction = shared.script.lock().unwrap().pop_front();
    let reaction = reaction.unwrap_or(Reaction::Answer(200, ""));
    shared.requests.lock().unwrap().push(Request {
        at: Instant::now(),
        headers,
        body,
        reaction: reaction.clone(),
    });
    let (status, headers) = match reaction {
        Reaction::Answer(status, headers) => (status, headers),
        Reaction::Hang => {
            let _ = reader.read_to_end(&mut Vec::new());
            return;
        }
        Reaction::Drop => return,
        Reaction::Hold => {
            let is_held = shared.is_let_go.lock().unwrap();
            let _gone = shared.let_go.wait_while(is_held, |gone| !*gone).unwrap();
            (200, "")
        }
    };
    let answer = format!(
        "HTTP/1.1 {status} X\r\n{headers}Content-Length: 4\r\nConnection: close\r\n\r\nword"
    );
    let _ = (&stream).write_all(answer.as_bytes());
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<(HashMap<String, String>, String)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((headers, String::from_utf8(body).ok()?))
}
