//! The ports of a server: binding, TLS, how many connections, and the end of them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use axum_server::Handle;
use axum_server::accept::{Accept, NoDelayAcceptor};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use futures::future::BoxFuture;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tower::Service;

use super::app::{App, router};
use super::config::{ServeError, TlsFiles};
use crate::tls::server_config;

/// Ports that are served.
pub(super) struct Listeners {
    tls: Option<RustlsConfig>,
    addresses: Vec<SocketAddr>,
    handles: Vec<Handle<SocketAddr>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Listeners {
    /// Binds all addresses and serves them. To be called within the runtime.
    ///
    /// # Errors
    /// If an address cannot be bound or a certificate cannot be read.
    pub(super) fn start(app: &Arc<App>) -> Result<Listeners, ServeError> {
        let config = app.config();
        let tls = config.tls.as_ref();
        let tls = tls
            .map(|files| tls_config(files, b"http/1.1"))
            .transpose()?;
        let tls = tls.map(RustlsConfig::from_config);
        let mut bound = Vec::with_capacity(config.listen.len());
        for address in &config.listen {
            let listen = |source| ServeError::Listen {
                address: *address,
                source,
            };
            let listener = TcpListener::bind(address).map_err(listen)?;
            listener.set_nonblocking(true).map_err(listen)?;
            let local = listener.local_addr().map_err(listen)?;
            bound.push((listener, local));
        }
        let connections = Arc::new(Semaphore::new(config.limits.connections));
        let mut listeners = Listeners {
            tls,
            addresses: Vec::new(),
            handles: Vec::new(),
            tasks: Vec::new(),
        };
        for (listener, address) in bound {
            let handle = Handle::new();
            let acceptor = LimitAcceptor {
                inner: NoDelayAcceptor::new(),
                connections: Arc::clone(&connections),
            };
            let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
            let mut server = axum_server::from_tcp(listener)
                .map_err(|source| ServeError::Listen { address, source })?
                .handle(handle.clone())
                .first_request_timeout(config.limits.head);
            let http = server.http_builder();
            http.http1().header_read_timeout(config.limits.head);
            let serving: BoxFuture<'static, io::Result<()>> = match &listeners.tls {
                Some(tls) => {
                    let acceptor = RustlsAcceptor::new(tls.clone())
                        .handshake_timeout(config.limits.head)
                        .acceptor(acceptor);
                    Box::pin(server.acceptor(acceptor).serve(service))
                }
                None => Box::pin(server.acceptor(acceptor).serve(service)),
            };
            let task = tokio::spawn(async move {
                if let Err(error) = serving.await {
                    tracing::error!(%address, %error, "a port is no longer served");
                }
            });
            listeners.addresses.push(address);
            listeners.handles.push(handle);
            listeners.tasks.push(task);
        }
        Ok(listeners)
    }

    /// Shows the certificate of other files to whoever connects from now on.
    ///
    /// # Errors
    /// If they cannot be used.
    pub(super) fn renew(&self, files: &TlsFiles) -> Result<(), ServeError> {
        if let Some(running) = &self.tls {
            running.reload_from_config(tls_config(files, b"http/1.1")?);
        }
        Ok(())
    }

    /// Where they listen.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes no more connections and lets those that are open finish, but no longer than this.
    pub(super) async fn end(&mut self, limit: Duration) {
        for handle in &self.handles {
            handle.graceful_shutdown(Some(limit));
        }
        for task in self.tasks.drain(..) {
            // The port's own fault has been logged by the task.
            let _ = tokio::time::timeout(limit + Duration::from_millis(500), task).await;
        }
    }
}

/// The certificate and key of a port that speaks one protocol.
///
/// # Errors
/// If they cannot be read or do not fit together.
pub(super) fn tls_config(
    files: &TlsFiles,
    protocol: &[u8],
) -> Result<Arc<ServerConfig>, ServeError> {
    let config = server_config(&files.certificate, &files.key, None);
    let mut config = config.map_err(|source| ServeError::Tls {
        files: files.clone(),
        source,
    })?;
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

/// Turns connections away that are too many.
#[derive(Clone)]
struct LimitAcceptor {
    inner: NoDelayAcceptor,
    connections: Arc<Semaphore>,
}

impl<S: Send + 'static> Accept<TcpStream, S> for LimitAcceptor {
    type Stream = TcpStream;
    type Service = Limited<S>;
    type Future = BoxFuture<'static, io::Result<(TcpStream, Limited<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let permit = Arc::clone(&self.connections).try_acquire_owned();
        let accepted = self.inner.accept(stream, service);
        Box::pin(async move {
            let permit = permit.map_err(|_| io::Error::other("too many connections"))?;
            let (stream, inner) = accepted.await?;
            let permit = Arc::new(permit);
            let _permit = permit;
            Ok((stream, Limited { inner, _permit }))
        })
    }
}

/// A connection's service, which counts as open for as long as it is there.
#[derive(Clone)]
struct Limited<S> {
    inner: S,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl<S, B> Service<Request<B>> for Limited<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        self.inner.call(request)
    }
}
