//! The faces of a live run. HTTP: views, their changes, ad hoc SQL, events pushed, and how it goes;
//! the PostgreSQL protocol (`pg`): sessions in SQL.
//!
//! Requests flow in; answers from one [`Snapshot`](crate::catalog::Snapshot) of the catalog flow
//! out, each with its epoch. Readers wait for no worker, and no client can make the server keep
//! anything for it: who follows changes slowly gets fewer and larger ones, and in the end a fresh
//! snapshot. What is pushed goes through the same bounded queues as every other source.
//!
//! The server has a small tokio runtime of its own. Work that may take long (ad hoc SQL, large
//! answers, large bodies) goes to threads beside it, so that point reads stay quick.

mod app;
mod assets;
mod changes;
mod config;
mod cut;
mod decisions;
mod filter;
mod follow;
mod formats;
mod graph;
mod guard;
mod ingest;
mod listen;
mod metrics;
mod openapi;
mod pg;
mod problem;
mod question;
mod sql;
mod status;
mod traffic;
mod views;
mod why;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

pub use config::{Limits, ServeConfig, ServeError, TlsFiles, Token};

use crate::engine::Live;
use app::App;
use listen::Listeners;
use pg::PgServer;

/// A server at work.
pub struct Server {
    app: Arc<App>,
    listeners: Listeners,
    pg: Option<PgServer>,
    /// Taken when it stops.
    runtime: Option<Runtime>,
}

impl Server {
    /// Starts to serve a live run; its addresses are bound when this returns.
    ///
    /// # Errors
    ///
    /// If an address cannot be bound, a certificate cannot be read, or there are no threads.
    pub fn start(config: ServeConfig, live: Arc<Live>) -> Result<Server, ServeError> {
        if config.listen.is_empty() && config.pg.is_empty() {
            return Err(ServeError::Nowhere);
        }
        let is_guarded = !config.tokens.is_empty() || config.tls.is_some() || config.open;
        let addresses = config.listen.iter().chain(&config.pg);
        let mut exposed = addresses.filter(|at| !at.ip().is_loopback());
        if let (false, Some(address)) = (is_guarded, exposed.next()) {
            return Err(ServeError::Exposed { address: *address });
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(config.threads.max(1))
            .thread_name("serve")
            .enable_all()
            .build()
            .map_err(|error| ServeError::Start(error.to_string()))?;
        let app = App::new(config, live)?;
        let pg = PgServer::start(&app)?;
        let guard = runtime.enter();
        let listeners = Listeners::start(&app)?;
        tokio::spawn(status::sample(Arc::clone(&app)));
        drop(guard);
        Ok(Server {
            app,
            listeners,
            pg,
            runtime: Some(runtime),
        })
    }

    /// Where it speaks HTTP, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.listeners.addresses()
    }

    /// Where it speaks the PostgreSQL protocol, in the order of the configuration.
    pub fn pg_addresses(&self) -> &[SocketAddr] {
        self.pg.as_ref().map_or(&[], PgServer::addresses)
    }

    /// Takes over tokens, origins, limits and the certificate of another configuration; requests that
    /// are under way go on as they began. What has changed beside that waits for the next start, and is
    /// returned by its name; so does the certificate of the PostgreSQL port.
    ///
    /// # Errors
    ///
    /// If an origin is none or a certificate cannot be read; then nothing changes.
    pub fn reconfigure(&self, config: ServeConfig) -> Result<Vec<&'static str>, ServeError> {
        let before = self.app.config();
        let mut waits = Vec::new();
        if before.listen != config.listen {
            waits.push("listen");
        }
        if before.pg != config.pg {
            waits.push("pg");
        }
        if before.tls.is_some() != config.tls.is_some() {
            waits.push("tls_certificate");
        }
        let taken = ServeConfig {
            listen: before.listen.clone(),
            pg: before.pg.clone(),
            ..config
        };
        if let (Some(_), Some(files)) = (&before.tls, &taken.tls) {
            self.listeners.renew(files)?;
        }
        let tokens = taken.tokens.clone();
        self.app.reconfigure(taken)?;
        if let Some(pg) = &self.pg {
            pg.renew(&tokens);
        }
        Ok(waits)
    }

    /// Stops: takes no more events, ends whoever follows changes, and finishes the answers that are
    /// under way, for as long as [`Limits::stop`] allows. To be called before [`Live::stop`].
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        self.app.close();
        let limit = self.app.config().limits.stop;
        runtime.block_on(self.listeners.end(limit));
        if let Some(pg) = &mut self.pg {
            pg.end(limit);
        }
        runtime.shutdown_timeout(Duration::from_millis(500));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
