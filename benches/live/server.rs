//! The real binary, started on free ports and ended in order.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::traffic::Traffic;

/// A run of `tillrace run`.
pub struct Server {
    child: Child,
    folder: PathBuf,
    /// Where it serves.
    pub http: SocketAddr,
    /// Where it takes visits.
    pub behavior: SocketAddr,
    /// Where it takes orders.
    pub orders: SocketAddr,
}

impl Server {
    /// Starts it on some scripts, with the catalogue as history and `more` arguments, and waits
    /// until it is ready.
    ///
    /// # Errors
    /// If it does not start within half a minute.
    pub fn start(binary: &Path, scripts: &[PathBuf], more: &[String]) -> Result<Server> {
        let folder = std::env::temp_dir().join(format!("tillrace-live-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let products = folder.join("products.jsonl");
        std::fs::write(&products, Traffic::catalogue())?;
        let [http, behavior, orders] = free_ports()?;
        let mut command = Command::new(binary);
        command.arg("run").args(scripts).args(more);
        command
            .arg("--input")
            .arg(format!("products={}", products.display()));
        command
            .arg("--input")
            .arg(format!("behavior=tcp://{behavior}?format=jsonl"));
        command
            .arg("--input")
            .arg(format!("orders=tcp://{orders}?format=jsonl"));
        command.args(["--listen", &http.to_string(), "--quiet", "--log", "error"]);
        let child = command.stdin(Stdio::null()).spawn();
        let child = child.with_context(|| format!("could not start {}", binary.display()))?;
        let mut server = Server {
            child,
            folder,
            http,
            behavior,
            orders,
        };
        let start = Instant::now();
        while server.get("/readyz").is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("tillrace ended at once: {status}");
            }
            if start.elapsed() > Duration::from_secs(30) {
                bail!("tillrace is not ready after half a minute");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// The body of an answer.
    ///
    /// # Errors
    /// If it is not one of status 200.
    pub fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.http)?;
        write!(stream, "GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n", self.http)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .context("an answer without end of head")?;
        if head.split(' ').nth(1) != Some("200") {
            bail!("{path}: {head} {body}");
        }
        Ok(body.to_owned())
    }

    /// A view's rows.
    ///
    /// # Errors
    /// If there is no such view.
    pub fn rows(&self, view: &str) -> Result<Vec<serde_json::Value>> {
        let answer: serde_json::Value =
            serde_json::from_str(&self.get(&format!("/views/{view}?limit=1000"))?)?;
        Ok(answer["rows"]
            .as_array()
            .context("a view has rows")?
            .clone())
    }

    /// Rows that have been taken, and the memory of the process in MiB.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn status(&self) -> Result<(u64, f64)> {
        let status: serde_json::Value = serde_json::from_str(&self.get("/status")?)?;
        let inputs = status["inputs"].as_array().context("a run has inputs")?;
        let live = inputs.iter().filter(|input| input["kind"] == "live");
        let rows = live.filter_map(|input| input["rows"].as_u64()).sum();
        Ok((
            rows,
            status["memory_bytes"].as_f64().unwrap_or(0.0) / 1_048_576.0,
        ))
    }

    /// CPU seconds of the process so far; zero where the system does not tell.
    pub fn cpu_seconds(&self) -> f64 {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        // utime and stime, in hundredths of a second (proc(5)).
        let ticks = fields
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok());
        ticks.sum::<f64>() / 100.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let asked = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        let start = Instant::now();
        while asked.is_ok() && start.elapsed() < Duration::from_secs(10) {
            if let Ok(Some(_)) = self.child.try_wait() {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _is_gone = self.child.kill();
        let _status = self.child.wait();
        let _stays = std::fs::remove_dir_all(&self.folder);
    }
}

/// Ports that were free just now.
fn free_ports() -> Result<[SocketAddr; 3]> {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let listeners = [bind()?, bind()?, bind()?];
    let [a, b, c] = &listeners;
    Ok([a.local_addr()?, b.local_addr()?, c.local_addr()?])
}

/// Reads an answer's head; what comes after it is left in the reader.
///
/// # Errors
/// If the stream ends within it.
pub fn skip_head(reader: &mut BufReader<TcpStream>) -> Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            bail!("the stream ended within the head of an answer");
        }
        if line == "\r\n" {
            return Ok(());
        }
    }
}
