//! Messages of the PostgreSQL protocol over one connection.
//!
//! Bytes flow in and messages flow out, and the other way round; `pgwire` knows how they are
//! written. What is sent waits in a buffer until it is large enough or the client must have it.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use datafusion_postgres::pgwire::error::PgWireError;
use datafusion_postgres::pgwire::messages::{
    DecodeContext, PgWireBackendMessage, PgWireFrontendMessage, ProtocolVersion,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// How much waits before it is sent, in bytes.
const SEND_BYTES: usize = 64 << 10;

/// How much of what a client sends during an answer is kept, in bytes.
const MOST_WAITING_BYTES: usize = 64 << 10;

/// A connection's stream, with TLS or without.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The stream is broken.
    #[error("the connection is broken")]
    Io(#[from] io::Error),
    /// What the client sends is no message.
    #[error("the client sent what is no message")]
    Message(#[from] PgWireError),
    /// A message is longer than is taken.
    #[error("the client sent a message of {0} bytes")]
    TooLong(usize),
    /// The client does not take what is sent.
    #[error("the client took nothing for too long")]
    Slow,
    /// The client is gone.
    #[error("the client is gone")]
    Gone,
}

/// A connection.
pub(super) struct Wire {
    stream: Box<dyn Duplex>,
    read: BytesMut,
    write: BytesMut,
    context: DecodeContext,
    most_bytes: usize,
    patience: Duration,
}

impl Wire {
    /// A connection whose client has yet to say what it wants, and what has been read of that.
    /// Messages are at most so many bytes long, and the client takes what is sent within this time.
    pub(super) fn new(
        stream: Box<dyn Duplex>,
        read: BytesMut,
        most_bytes: usize,
        patience: Duration,
    ) -> Wire {
        let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_0);
        context.awaiting_frontend_ssl = false;
        Wire {
            stream,
            read,
            write: BytesMut::new(),
            context,
            most_bytes,
            patience,
        }
    }

    /// Ordinary messages follow.
    pub(super) fn started(&mut self, version: ProtocolVersion) {
        self.context.awaiting_frontend_startup = false;
        self.context.protocol_version = version;
    }

    /// The next message; `None` if the client has closed the connection. Nothing is lost if this
    /// is dropped before it returns.
    ///
    /// # Errors
    /// If the connection is broken or what comes is no message.
    pub(super) async fn next(&mut self) -> Result<Option<PgWireFrontendMessage>, WireError> {
        loop {
            self.check_length()?;
            if let Some(message) = PgWireFrontendMessage::decode(&mut self.read, &self.context)? {
                return Ok(Some(message));
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// A message says how long it is before it is there.
    fn check_length(&self) -> Result<(), WireError> {
        let skip = usize::from(!self.context.awaiting_frontend_startup);
        let Some(bytes) = self.read.get(skip..skip + 4) else {
            return Ok(());
        };
        let length = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        match usize::try_from(length) {
            Ok(length) if length <= self.most_bytes => Ok(()),
            _ => Err(WireError::TooLong(length as usize)),
        }
    }

    /// Returns when the client closes the connection; what it sends meanwhile waits.
    ///
    /// # Errors
    /// If the connection is broken.
    pub(super) async fn closed(&mut self) -> Result<(), WireError> {
        while self.read.len() < MOST_WAITING_BYTES {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Ok(());
            }
        }
        std::future::pending().await
    }

    /// Sends a message, though perhaps not at once.
    ///
    /// # Errors
    /// If the connection is broken or the client too slow.
    pub(super) async fn send(&mut self, message: PgWireBackendMessage) -> Result<(), WireError> {
        message.encode(&mut self.write)?;
        match self.write.len() < SEND_BYTES {
            true => Ok(()),
            false => self.flush().await,
        }
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// If the connection is broken or the client too slow.
    pub(super) async fn flush(&mut self) -> Result<(), WireError> {
        let sending = async {
            self.stream.write_all_buf(&mut self.write).await?;
            self.stream.flush().await
        };
        let sent = tokio::time::timeout(self.patience, sending).await;
        sent.map_err(|_| WireError::Slow)?.map_err(WireError::from)
    }

    /// Sends what waits and closes the connection.
    pub(super) async fn close(&mut self) {
        // The client may be gone already.
        let _ = self.flush().await;
        let _ = tokio::time::timeout(self.patience, self.stream.shutdown()).await;
    }
}
