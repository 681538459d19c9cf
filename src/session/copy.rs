//! `COPY table FROM STDIN`: rows handed in as text.

use arrow::datatypes::SchemaRef;

use super::error::{Code, SessionError};
use super::outcome::Outcome;

/// Takes the text of rows, piece by piece.
#[derive(Debug)]
pub struct CopyIn {
    schema: SchemaRef,
}

impl CopyIn {
    /// The columns that each record has, in order.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Takes some bytes; a record may go over several pieces.
    ///
    /// # Errors
    /// If a record cannot be read; nothing has been written then.
    pub async fn push(&mut self, _bytes: &[u8]) -> Result<(), SessionError> {
        Err(unsupported())
    }

    /// Writes all rows at once; dropped without it, nothing is written.
    ///
    /// # Errors
    /// If a record cannot be read.
    pub async fn finish(self) -> Result<Outcome, SessionError> {
        Err(unsupported())
    }
}

fn unsupported() -> SessionError {
    SessionError::new(Code::Unsupported, "COPY is not supported")
}
