//! Where connections are accepted: at a TCP port, or at a Unix socket in the file system.

use std::io::{self, Read};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Poll, Registry, Token};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A socket that listens.
pub(super) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(unix::Listener),
}

/// An open connection.
pub(super) enum Connection {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
    #[cfg(unix)]
    Unix(mio::net::UnixStream),
}

/// A connection that was accepted.
pub(super) struct Accepted {
    pub(super) connection: Connection,
    /// What rejects call it.
    pub(super) name: String,
}

impl Listener {
    /// Listens at the first of the addresses of `host:port` that can be had.
    pub(super) fn tcp(host_and_port: &str) -> io::Result<Listener> {
        let mut failed = io::ErrorKind::AddrNotAvailable.into();
        for address in addresses(host_and_port)? {
            match TcpListener::bind(address) {
                Ok(listener) => return Ok(Listener::Tcp(listener)),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Listens at a path, perhaps with a mode that says who may connect. A socket that was left behind
    /// there is replaced.
    pub(super) fn unix(path: &str, mode: Option<u32>) -> io::Result<Listener> {
        #[cfg(unix)]
        return unix::Listener::bind(path.as_ref(), mode).map(Listener::Unix);
        #[cfg(not(unix))]
        return {
            let _is_unused = (path, mode);
            Err(io::ErrorKind::Unsupported.into())
        };
    }

    pub(super) fn register(&mut self, poll: &Poll, token: Token) -> io::Result<()> {
        let registry = poll.registry();
        match self {
            Listener::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            #[cfg(unix)]
            Listener::Unix(listener) => {
                registry.register(&mut listener.inner, token, Interest::READABLE)
            }
        }
    }

    /// The address, if it has one in the network.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            #[cfg(unix)]
            Listener::Unix(_) => None,
        }
    }

    pub(super) fn accept(&mut self) -> io::Result<Accepted> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                Ok(Accepted {
                    connection: Connection::Tcp(stream),
                    name: address.to_string(),
                })
            }
            #[cfg(unix)]
            Listener::Unix(listener) => listener.accept(),
        }
    }
}

/// The addresses of `host:port`. Those of IPv4 come first, since `localhost` is both and most
/// senders that are given a number are given 127.0.0.1.
pub(super) fn addresses(host_and_port: &str) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = host_and_port.to_socket_addrs()?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(addresses)
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Connection::Tcp(stream) => stream.read(buffer),
            Connection::Tls(stream) => stream.read(buffer),
            #[cfg(unix)]
            Connection::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Connection {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Connection::Tcp(stream) => stream,
            Connection::Tls(stream) => &mut stream.sock,
            #[cfg(unix)]
            Connection::Unix(stream) => stream,
        }
    }

    /// The connection with TLS on it, if it is one of the network.
    ///
    /// # Errors
    /// If the configuration is no good.
    pub(super) fn secured(self, config: &Arc<ServerConfig>) -> io::Result<Connection> {
        let Connection::Tcp(stream) = self else {
            return Ok(self);
        };
        let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        Ok(Connection::Tls(Box::new(StreamOwned::new(session, stream))))
    }

    /// Whether it has not come to the bytes that matter yet.
    pub(super) fn is_handshaking(&self) -> bool {
        matches!(self, Connection::Tls(stream) if stream.conn.is_handshaking())
    }

    /// What is waited for: a handshake also writes.
    pub(super) fn interest(&self) -> Interest {
        match self {
            Connection::Tls(_) => Interest::READABLE | Interest::WRITABLE,
            _ => Interest::READABLE,
        }
    }
}

impl Source for Connection {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.source().register(registry, token, interests)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.source().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().deregister(registry)
    }
}

#[cfg(unix)]
mod unix {
    use std::fs;
    use std::io;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
    use std::os::unix::net::UnixStream;
    use std::path::{Path, PathBuf};

    use super::{Accepted, Connection};

    /// A Unix socket that listens, and takes its file away at the end.
    pub(in crate::source::live) struct Listener {
        pub(super) inner: mio::net::UnixListener,
        path: PathBuf,
        /// Device and number of the file, so that another's is not taken away.
        file: (u64, u64),
        accepted: u64,
    }

    impl Listener {
        pub(super) fn bind(path: &Path, mode: Option<u32>) -> io::Result<Listener> {
            match fs::symlink_metadata(path) {
                Ok(metadata) if !metadata.file_type().is_socket() => {
                    let kind = io::ErrorKind::AlreadyExists;
                    return Err(io::Error::new(kind, "there is a file that is not a socket"));
                }
                Ok(_) if UnixStream::connect(path).is_ok() => {
                    let kind = io::ErrorKind::AddrInUse;
                    return Err(io::Error::new(kind, "another program listens there"));
                }
                Ok(_) => fs::remove_file(path)?,
                Err(_) => {}
            }
            let inner = mio::net::UnixListener::bind(path)?;
            let metadata = fs::symlink_metadata(path)?;
            if let Some(mode) = mode {
                fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
            }
            Ok(Listener {
                inner,
                path: path.to_owned(),
                file: (metadata.dev(), metadata.ino()),
                accepted: 0,
            })
        }

        pub(super) fn accept(&mut self) -> io::Result<Accepted> {
            let (stream, _) = self.inner.accept()?;
            self.accepted += 1;
            // Peers have no addresses here, so they are numbered.
            let name = format!("{}#{}", self.path.display(), self.accepted);
            let connection = Connection::Unix(stream);
            Ok(Accepted { connection, name })
        }
    }

    impl Drop for Listener {
        fn drop(&mut self) {
            let is_ours = fs::symlink_metadata(&self.path)
                .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.file);
            if is_ours {
                // A file that stays behind does no harm: the next listener replaces it.
                let _stays = fs::remove_file(&self.path);
            }
        }
    }
}
