//! A client of the PostgreSQL protocol, as small as a terminal needs.
//!
//! Statements flow in, what the server says of them flows out, part by part: columns, rows, notices,
//! tags. Everything is text.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use datafusion_postgres::pgwire::error::PgWireError;
use datafusion_postgres::pgwire::messages::cancel::CancelRequest;
use datafusion_postgres::pgwire::messages::copy::{CopyData, CopyDone, CopyFail};
use datafusion_postgres::pgwire::messages::simplequery::Query;
use datafusion_postgres::pgwire::messages::startup::{
    Authentication, Password, PasswordMessageFamily, SecretKey, Startup,
};
use datafusion_postgres::pgwire::messages::terminate::Terminate;
use datafusion_postgres::pgwire::messages::{
    DecodeContext, PgWireBackendMessage, PgWireFrontendMessage, ProtocolVersion,
};

use super::target::Target;

/// How long a server may take to answer a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the server cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no server.
    #[error("could not connect to {address}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the server is broken")]
    Io(#[from] io::Error),
    /// The server ended the connection.
    #[error("the server ended the connection")]
    Ended,
    /// What the server sends is no message.
    #[error("the server sent what is no message")]
    Message(#[from] PgWireError),
    /// The server wants to know who asks in a way that is not known here.
    #[error("the server asks for a password in a way that is not supported")]
    Password,
    /// The server turned the client away.
    #[error("{}", .0.message)]
    Refused(Box<Told>),
}

/// What the server says of a fault, or of something to note.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// `ERROR`, `WARNING` and the like.
    pub severity: String,
    /// The SQLSTATE.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do instead.
    pub hint: Option<String>,
    /// The number of a character of the statements, from one.
    pub position: Option<usize>,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, by the number that PostgreSQL gives it.
    pub type_id: u32,
}

/// What the server says while it executes statements.
#[derive(Debug)]
pub enum Part {
    /// Rows of these columns follow.
    Columns(Vec<Column>),
    /// A row; nothing is NULL.
    Row(Vec<Option<String>>),
    /// Bytes of what is copied out.
    Copied(Vec<u8>),
    /// A statement is done; what was done.
    Done(String),
    /// Something to note.
    Notice(Told),
}

/// A connection to a server.
pub struct Client {
    stream: TcpStream,
    read: BytesMut,
    context: DecodeContext,
    cancel: Arc<Mutex<Option<CancelKey>>>,
    key: CancelKey,
}

/// What it takes to cancel what runs.
#[derive(Debug, Clone)]
pub struct CancelKey {
    address: String,
    process: i32,
    secret: SecretKey,
}

impl CancelKey {
    /// Asks the server to cancel what runs.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn cancel(&self) -> Result<(), ClientError> {
        let mut stream = connect(&self.address)?;
        let request = CancelRequest::new(self.process, self.secret.clone());
        let mut bytes = BytesMut::new();
        PgWireFrontendMessage::CancelRequest(request).encode(&mut bytes)?;
        Ok(stream.write_all(&bytes)?)
    }
}

fn connect(address: &str) -> Result<TcpStream, ClientError> {
    let failed = |source| ClientError::Connect {
        address: address.to_owned(),
        source,
    };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for resolved in address.to_socket_addrs().map_err(failed)? {
        match TcpStream::connect_timeout(&resolved, PATIENCE) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

impl Client {
    /// Connects to a server.
    ///
    /// # Errors
    /// If there is none, or it does not let this client ask.
    pub fn connect(target: &Target) -> Result<Client, ClientError> {
        let address = format!("{}:{}", target.host, target.port);
        let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_0);
        context.awaiting_frontend_ssl = false;
        context.awaiting_frontend_startup = false;
        let mut client = Client {
            stream: connect(&address)?,
            read: BytesMut::new(),
            context,
            cancel: Arc::default(),
            key: CancelKey {
                address,
                process: 0,
                secret: SecretKey::default(),
            },
        };
        let mut startup = Startup::new();
        for (name, value) in [
            ("user", target.user.as_str()),
            ("database", "tillrace"),
            ("application_name", "tillrace sql"),
        ] {
            let parameters = &mut startup.parameters;
            parameters.insert(name.to_owned(), value.to_owned());
        }
        client.send(PgWireFrontendMessage::Startup(startup))?;
        client.begin(target)?;
        Ok(client)
    }

    fn begin(&mut self, target: &Target) -> Result<(), ClientError> {
        loop {
            match self.next()? {
                PgWireBackendMessage::Authentication(Authentication::Ok) => {}
                PgWireBackendMessage::Authentication(Authentication::CleartextPassword) => {
                    let password = Password::new(target.password.clone().unwrap_or_default());
                    let family = PasswordMessageFamily::Password(password);
                    self.send(PgWireFrontendMessage::PasswordMessageFamily(family))?;
                }
                PgWireBackendMessage::Authentication(_) => return Err(ClientError::Password),
                PgWireBackendMessage::BackendKeyData(key) => {
                    (self.key.process, self.key.secret) = (key.pid, key.secret_key);
                }
                PgWireBackendMessage::ErrorResponse(error) => {
                    return Err(ClientError::Refused(Box::new(told(error.fields))));
                }
                PgWireBackendMessage::ReadyForQuery(_) => return Ok(()),
                _ => {}
            }
        }
    }

    /// Holds what it takes to cancel what runs, for as long as something does.
    pub fn running(&self) -> Arc<Mutex<Option<CancelKey>>> {
        Arc::clone(&self.cancel)
    }

    /// Executes statements; what the server says goes to `on`, and what a `COPY` takes comes from
    /// `rows`, piece by piece.
    ///
    /// # Errors
    /// If the connection breaks or `on` fails. What is wrong with a statement is no error here.
    pub fn ask(
        &mut self,
        sql: &str,
        rows: &mut dyn FnMut() -> io::Result<Option<Vec<u8>>>,
        on: &mut dyn FnMut(Part) -> io::Result<()>,
    ) -> Result<Result<(), Told>, ClientError> {
        self.send(PgWireFrontendMessage::Query(Query::new(sql.to_owned())))?;
        self.set_running(Some(self.key.clone()));
        let done = self.follow(rows, on);
        self.set_running(None);
        done
    }

    fn set_running(&self, key: Option<CancelKey>) {
        *self.cancel.lock().unwrap_or_else(PoisonError::into_inner) = key;
    }

    fn follow(
        &mut self,
        rows: &mut dyn FnMut() -> io::Result<Option<Vec<u8>>>,
        on: &mut dyn FnMut(Part) -> io::Result<()>,
    ) -> Result<Result<(), Told>, ClientError> {
        let mut outcome = Ok(());
        loop {
            match self.next()? {
                PgWireBackendMessage::RowDescription(columns) => {
                    let column = |field| {
                        let datafusion_postgres::pgwire::messages::data::FieldDescription {
                            name,
                            type_id,
                            ..
                        } = field;
                        Column { name, type_id }
                    };
                    on(Part::Columns(
                        columns.fields.into_iter().map(column).collect(),
                    ))?;
                }
                PgWireBackendMessage::DataRow(row) => {
                    on(Part::Row(values(row.data, row.field_count)))?;
                }
                PgWireBackendMessage::CommandComplete(done) => on(Part::Done(done.tag))?,
                PgWireBackendMessage::NoticeResponse(notice) => {
                    on(Part::Notice(told(notice.fields)))?;
                }
                PgWireBackendMessage::CopyData(data) => on(Part::Copied(data.data.to_vec()))?,
                PgWireBackendMessage::CopyInResponse(_) => self.hand_in(rows)?,
                PgWireBackendMessage::ErrorResponse(error) => outcome = Err(told(error.fields)),
                PgWireBackendMessage::ReadyForQuery(_) => return Ok(outcome),
                _ => {}
            }
        }
    }

    fn hand_in(
        &mut self,
        rows: &mut dyn FnMut() -> io::Result<Option<Vec<u8>>>,
    ) -> Result<(), ClientError> {
        loop {
            match rows() {
                Ok(Some(piece)) => {
                    let data = CopyData::new(piece.into());
                    self.send(PgWireFrontendMessage::CopyData(data))?;
                }
                Ok(None) => {
                    return self.send(PgWireFrontendMessage::CopyDone(CopyDone::new()));
                }
                Err(error) => {
                    let fail = CopyFail::new(error.to_string());
                    return self.send(PgWireFrontendMessage::CopyFail(fail));
                }
            }
        }
    }

    fn send(&mut self, message: PgWireFrontendMessage) -> Result<(), ClientError> {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes)?;
        Ok(self.stream.write_all(&bytes)?)
    }

    fn next(&mut self) -> Result<PgWireBackendMessage, ClientError> {
        let mut piece = [0; 16 << 10];
        loop {
            if let Some(message) = PgWireBackendMessage::decode(&mut self.read, &self.context)? {
                return Ok(message);
            }
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(ClientError::Ended),
                Ok(length) => self.read.extend_from_slice(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The server notices that the client is gone anyway.
        let _ = self.send(PgWireFrontendMessage::Terminate(Terminate::new()));
    }
}

fn values(mut data: BytesMut, count: i16) -> Vec<Option<String>> {
    let value = |_| match data.get_i32() {
        -1 => None,
        length => {
            let bytes = data.split_to(length.unsigned_abs() as usize);
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
    };
    (0..count).map(value).collect()
}

/// The fields of an error or a notice (PostgreSQL documentation, 53.8).
fn told(fields: Vec<(u8, String)>) -> Told {
    let mut told = Told::default();
    for (field, text) in fields {
        match field {
            b'V' => told.severity = text,
            b'S' if told.severity.is_empty() => told.severity = text,
            b'C' => told.code = text,
            b'M' => told.message = text,
            b'H' => told.hint = Some(text),
            b'P' => told.position = text.parse().ok(),
            _ => {}
        }
    }
    told
}
