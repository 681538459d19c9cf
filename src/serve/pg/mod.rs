//! The PostgreSQL face of a live run: `psql`, drivers and tools ask in SQL.
//!
//! Connections flow in; each becomes a [`Connection`] with a session of its own. The protocol is
//! spoken here and means nothing here: what a statement does is the [`Sessions`]' business. There
//! is a runtime of its own, with a thread more than there are queries that run side by side, since
//! a query computes without pause and others shall be answered meanwhile.

mod answer;
pub(super) mod catalogue;
mod command;
mod commands;
mod connection;
mod copy_out;
mod extended;
mod fault;
mod float;
mod startup;
mod tailor;
mod values;
mod wire;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use datafusion_postgres::pgwire::messages::startup::SecretKey;
use datafusion_postgres::pgwire::tokio::tokio_rustls::TlsAcceptor;
use rand::Rng;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};

use super::app::App;
use super::config::{Limits, ServeError, Token};
use super::listen;
use crate::engine::chain;
use crate::session::Sessions;
use connection::Connection;

/// What all connections share.
struct Pg {
    limits: Limits,
    tls: Option<TlsAcceptor>,
    /// Who may ask, as it is looked up by each that connects.
    tokens: ArcSwap<Vec<Token>>,
    sessions: Arc<Sessions>,
    connections: Arc<Semaphore>,
    /// The connections, by their number.
    open: Mutex<HashMap<i32, Open>>,
    last: AtomicI32,
    closing: watch::Sender<bool>,
}

/// What is known of a connection elsewhere.
struct Open {
    /// Who knows it may cancel what runs.
    secret: i32,
    cancelled: watch::Sender<u64>,
}

/// Ports that speak the protocol.
pub(super) struct PgServer {
    pg: Arc<Pg>,
    addresses: Vec<SocketAddr>,
    /// Taken when it stops.
    runtime: Option<Runtime>,
}

impl PgServer {
    /// Binds the addresses and serves them; `None` if there are none.
    ///
    /// # Errors
    /// If an address cannot be bound, a certificate cannot be read, or there are no threads.
    pub(super) fn start(app: &App) -> Result<Option<PgServer>, ServeError> {
        let config = app.config();
        if config.pg.is_empty() {
            return Ok(None);
        }
        let failed = |error: &dyn std::error::Error| ServeError::Start(chain(error));
        let tls = config.tls.as_ref();
        let tls = tls.map(|files| listen::tls_config(files, b"postgresql"));
        let pg = Arc::new(Pg {
            limits: config.limits.clone(),
            tls: tls.transpose()?.map(TlsAcceptor::from),
            tokens: ArcSwap::from_pointee(config.tokens.clone()),
            sessions: Arc::clone(&app.sessions),
            connections: Arc::new(Semaphore::new(config.limits.connections)),
            open: Mutex::default(),
            last: AtomicI32::new(0),
            closing: watch::Sender::new(false),
        });
        let runtime = Builder::new_multi_thread()
            .worker_threads(config.limits.queries.max(1) + config.threads.max(1))
            .thread_name("pg")
            .enable_all()
            .build()
            .map_err(|error| failed(&error))?;
        let guard = runtime.enter();
        let mut addresses = Vec::with_capacity(config.pg.len());
        for address in &config.pg {
            let listen = |source| ServeError::Listen {
                address: *address,
                source,
            };
            let listener = TcpListener::bind(address).map_err(listen)?;
            listener.set_nonblocking(true).map_err(listen)?;
            addresses.push(listener.local_addr().map_err(listen)?);
            let listener = tokio::net::TcpListener::from_std(listener).map_err(listen)?;
            tokio::spawn(accept(Arc::clone(&pg), listener));
        }
        drop(guard);
        Ok(Some(PgServer {
            pg,
            addresses,
            runtime: Some(runtime),
        }))
    }

    /// Asks whoever connects from now on for these tokens.
    pub(super) fn renew(&self, tokens: &[Token]) {
        self.pg.tokens.store(Arc::new(tokens.to_vec()));
    }

    /// Where it listens, in the order of the configuration.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends all connections, each when it has told its client; waits no longer than this.
    pub(super) fn end(&mut self, limit: Duration) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        self.pg.closing.send_replace(true);
        let all = u32::try_from(self.pg.limits.connections).unwrap_or(u32::MAX);
        runtime.block_on(async {
            let all_ended = self.pg.connections.acquire_many(all);
            // Those that do not end in time are cut off.
            let _ = tokio::time::timeout(limit, all_ended).await;
        });
        runtime.shutdown_timeout(Duration::from_millis(500));
    }
}

async fn accept(pg: Arc<Pg>, listener: tokio::net::TcpListener) {
    let mut closing = pg.closing.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = connection::set(&mut closing) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let Ok(permit) = Arc::clone(&pg.connections).try_acquire_owned() else {
                    tracing::warn!("a connection was turned away: there are too many");
                    continue;
                };
                let pg = Arc::clone(&pg);
                tokio::spawn(async move {
                    serve(pg, stream).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Files may have run out; it is no use to ask again at once.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(pg: Arc<Pg>, stream: TcpStream) {
    // Without it, short answers wait for others to fill a packet.
    let _ = stream.set_nodelay(true);
    let starting = tokio::time::timeout(pg.limits.head, startup::start(&pg, stream)).await;
    let started = match starting {
        Ok(Ok(Some(started))) => started,
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(error)) => {
            tracing::debug!(error = chain(&error), "a client did not start");
            return;
        }
    };
    let _registered = Registered {
        pg: Arc::clone(&pg),
        process: started.process,
    };
    let mut connection = Connection::new(pg, started);
    if let Err(error) = connection.serve().await {
        tracing::debug!(error = chain(&error), "a connection ended");
    }
}

/// A connection that can be found by its number, for as long as this is there.
struct Registered {
    pg: Arc<Pg>,
    process: i32,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.pg.open().remove(&self.process);
    }
}

impl Pg {
    fn open(&self) -> MutexGuard<'_, HashMap<i32, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a new connection, and the secret with which what it runs can be cancelled.
    fn register(&self) -> (i32, i32) {
        let process = self.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let secret = rand::rng().random();
        let cancelled = watch::Sender::new(0);
        self.open().insert(process, Open { secret, cancelled });
        (process, secret)
    }

    /// Tells when what a connection runs is cancelled.
    fn watch(&self, process: i32) -> watch::Receiver<u64> {
        match self.open().get(&process) {
            Some(open) => open.cancelled.subscribe(),
            None => watch::Sender::new(0).subscribe(),
        }
    }

    /// Cancels what a connection runs, if the secret is its.
    fn cancel(&self, process: i32, secret: &SecretKey) {
        if let Some(open) = self.open().get(&process)
            && secret.eq_value(&SecretKey::I32(open.secret))
        {
            open.cancelled.send_modify(|times| *times += 1);
        }
    }
}
