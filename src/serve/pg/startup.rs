//! How a connection begins: TLS, who asks, and what the client is told of the server.
//!
//! A stream flows in; a [`Wire`] whose client may ask flows out, or nothing if the client only
//! wanted to cancel a statement or may not ask.

use bytes::BytesMut;
use datafusion_postgres::pgwire::messages::response::{ReadyForQuery, TransactionStatus};
use datafusion_postgres::pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey, Startup,
};
use datafusion_postgres::pgwire::messages::{
    PgWireBackendMessage, PgWireFrontendMessage, ProtocolVersion,
};
use datafusion_postgres::pgwire::tokio::tokio_rustls::TlsAcceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Pg;
use super::fault::Fault;
use super::wire::{Duplex, Wire, WireError};

/// The version of PostgreSQL that clients may take this for: they choose their catalogue queries
/// by it.
pub(super) const SERVER_VERSION: &str = "16.6";

/// What a client sends before anything else to ask for TLS (PostgreSQL documentation, 53.7).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// The same for GSSAPI.
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// The first byte of a TLS handshake, which newer clients begin with.
const TLS_HANDSHAKE: u8 = 0x16;

/// A client that may ask.
pub(super) struct Started {
    pub(super) wire: Wire,
    pub(super) may_write: bool,
    /// What identifies the connection when a statement is to be cancelled.
    pub(super) process: i32,
}

/// Brings a connection to where statements can be asked; `None` if there is nothing to ask.
///
/// # Errors
/// If the connection is broken.
pub(super) async fn start(pg: &Pg, stream: TcpStream) -> Result<Option<Started>, WireError> {
    let limits = &pg.limits;
    let Some((stream, read)) = negotiate(stream, pg.tls.as_ref()).await? else {
        return Ok(None);
    };
    let mut wire = Wire::new(stream, read, limits.body_bytes, limits.body_pause);
    let startup = match wire.next().await? {
        Some(PgWireFrontendMessage::Startup(startup)) => startup,
        Some(PgWireFrontendMessage::CancelRequest(cancel)) => {
            pg.cancel(cancel.pid, &cancel.secret_key);
            return Ok(None);
        }
        _ => return Ok(None),
    };
    wire.started(ProtocolVersion::PROTOCOL3_0);
    if startup.protocol_number_minor > 0 {
        let options = startup.parameters.keys();
        let unknown = options.filter(|name| name.starts_with("_pq_.")).cloned();
        let negotiate = NegotiateProtocolVersion::new(0, unknown.collect());
        wire.send(PgWireBackendMessage::NegotiateProtocolVersion(negotiate))
            .await?;
    }
    match admit(pg, &mut wire).await? {
        Ok(may_write) => greet(pg, wire, &startup, may_write).await.map(Some),
        Err(fault) => {
            wire.send(fault.message("FATAL")).await?;
            wire.close().await;
            Ok(None)
        }
    }
}

/// Answers what clients ask before they start: the stream, and what has been read of the start;
/// `None` if the client leaves.
async fn negotiate(
    mut stream: TcpStream,
    tls: Option<&TlsAcceptor>,
) -> Result<Option<(Box<dyn Duplex>, BytesMut)>, WireError> {
    let mut first = [0; 1];
    if stream.peek(&mut first).await? == 0 {
        return Ok(None);
    }
    if let (TLS_HANDSHAKE, Some(tls)) = (first[0], tls) {
        let stream = tls.accept(stream).await?;
        return Ok(Some((Box::new(stream), BytesMut::new())));
    }
    let mut read = BytesMut::new();
    // Each of the two requests at most once.
    for _ in 0..3 {
        while read.len() < SSL_REQUEST.len() {
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(None);
            }
        }
        let asks_tls = read.starts_with(&SSL_REQUEST);
        if !asks_tls && !read.starts_with(&GSS_REQUEST) {
            return Ok(Some((Box::new(stream), read)));
        }
        let _request = read.split_to(SSL_REQUEST.len());
        match tls.filter(|_| asks_tls) {
            // What came in the clear behind the request is nobody's word.
            Some(_) if !read.is_empty() => return Ok(None),
            Some(tls) => {
                stream.write_all(b"S").await?;
                let stream = tls.accept(stream).await?;
                return Ok(Some((Box::new(stream), read)));
            }
            None => stream.write_all(b"N").await?,
        }
    }
    Ok(None)
}

/// Whether the client may write, or why it may not even ask. A token is the password.
async fn admit(pg: &Pg, wire: &mut Wire) -> Result<Result<bool, Fault>, WireError> {
    let tokens = pg.tokens.load_full();
    if tokens.is_empty() {
        return Ok(Ok(true));
    }
    let ask = Authentication::CleartextPassword;
    wire.send(PgWireBackendMessage::Authentication(ask)).await?;
    wire.flush().await?;
    let answer = match wire.next().await? {
        Some(PgWireFrontendMessage::PasswordMessageFamily(answer)) => answer,
        _ => return Err(WireError::Gone),
    };
    let secret = answer.into_password()?.password;
    // All are compared, so that time does not tell which one was nearly right.
    let mut known = None;
    for token in tokens.iter() {
        if token.is(&secret) {
            known = Some(token);
        }
    }
    Ok(match known {
        Some(token) if token.read => Ok(token.write),
        Some(_) => Err(Fault::new(
            "28000",
            "the token does not give the right to read",
        )),
        None => {
            let fault = Fault::new("28P01", "the password is no token that is known");
            Err(fault.hint("a token of [server] read_tokens or write_tokens is the password"))
        }
    })
}

/// Tells the client what it may want to know, and that it may ask.
async fn greet(
    pg: &Pg,
    mut wire: Wire,
    startup: &Startup,
    may_write: bool,
) -> Result<Started, WireError> {
    let ok = PgWireBackendMessage::Authentication(Authentication::Ok);
    wire.send(ok).await?;
    let user = startup.parameters.get("user").map_or("", String::as_str);
    let application = startup.parameters.get("application_name");
    let parameters = [
        ("server_version", SERVER_VERSION),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO, MDY"),
        ("IntervalStyle", "postgres"),
        ("TimeZone", "UTC"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
        ("is_superuser", if may_write { "on" } else { "off" }),
        ("session_authorization", user),
        ("application_name", application.map_or("", String::as_str)),
        (
            "default_transaction_read_only",
            if may_write { "off" } else { "on" },
        ),
        ("in_hot_standby", "off"),
    ];
    for (name, value) in parameters {
        let status = ParameterStatus::new(name.to_owned(), value.to_owned());
        wire.send(PgWireBackendMessage::ParameterStatus(status))
            .await?;
    }
    let (process, secret) = pg.register();
    let key = BackendKeyData::new(process, SecretKey::I32(secret));
    wire.send(PgWireBackendMessage::BackendKeyData(key)).await?;
    wire.send(ready(TransactionStatus::Idle)).await?;
    wire.flush().await?;
    Ok(Started {
        wire,
        may_write,
        process,
    })
}

/// The client may ask.
pub(super) fn ready(status: TransactionStatus) -> PgWireBackendMessage {
    PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status))
}
