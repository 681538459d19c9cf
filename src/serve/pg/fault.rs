//! What clients are told when something fails.

use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;

use super::wire::WireError;
use crate::session::SessionError;

/// Why a statement or a message has no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The client is told, and may go on.
    Fault(Box<Fault>),
    /// The connection ends.
    Wire(WireError),
}

/// What the client is told; fields as in the PostgreSQL documentation, 53.8.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    /// The SQLSTATE.
    pub(super) code: &'static str,
    pub(super) message: String,
    /// The number of a character of the statement, from one.
    pub(super) position: Option<usize>,
    pub(super) hint: Option<String>,
}

impl Fault {
    /// A fault with an SQLSTATE.
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Fault {
        Fault {
            code,
            message: message.into(),
            position: None,
            hint: None,
        }
    }

    /// The statement has been cancelled.
    pub(super) fn cancelled(why: &str) -> Fault {
        Fault::new("57014", format!("the statement was cancelled: {why}"))
    }

    /// Adds what to do instead.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }

    /// Moves the position, if it is known, by what lies before the statement in its text.
    pub(super) fn moved(mut self, characters: usize) -> Fault {
        self.position = self.position.map(|position| position + characters);
        self
    }

    /// The message for it. A fatal one ends the connection.
    pub(super) fn message(self, severity: &str) -> PgWireBackendMessage {
        PgWireBackendMessage::ErrorResponse(self.info(severity).into())
    }

    /// The same as a notice, which lets the client go on.
    pub(super) fn notice(self, severity: &str) -> PgWireBackendMessage {
        PgWireBackendMessage::NoticeResponse(self.info(severity).into())
    }

    fn info(self, severity: &str) -> ErrorInfo {
        let mut info = ErrorInfo::new(severity.to_owned(), self.code.to_owned(), self.message);
        info.severity_nonlocalized = Some(severity.to_owned());
        info.position = self.position.map(|position| position.to_string());
        info.hint = self.hint;
        info
    }
}

impl From<SessionError> for Fault {
    fn from(error: SessionError) -> Fault {
        Fault {
            code: error.sqlstate(),
            message: error.message().to_owned(),
            position: error.position(),
            hint: error.help().map(str::to_owned),
        }
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Trouble {
        Trouble::Fault(Box::new(fault))
    }
}

impl From<SessionError> for Trouble {
    fn from(error: SessionError) -> Trouble {
        Fault::from(error).into()
    }
}

impl From<WireError> for Trouble {
    fn from(error: WireError) -> Trouble {
        Trouble::Wire(error)
    }
}

/// What `pgwire` refuses is something that cannot be written or read as the client wants it.
impl From<PgWireError> for Trouble {
    fn from(error: PgWireError) -> Trouble {
        let info: ErrorInfo = error.into();
        let code = match info.code.as_str() {
            "XX000" => "22P02",
            _ => "22023",
        };
        Fault::new(code, info.message).into()
    }
}
