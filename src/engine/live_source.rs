//! An input that goes on, as the feed of a live run knows it.
//!
//! Pieces of records flow in as they trickle; tasks of as many records as wait flow out.

use std::sync::Arc;

use super::feed::Task;
use super::report::{InputCounts, InputKind};
use crate::calendar::now_ns;
use crate::source::live::{Closed, Inlet, Piece};
use crate::source::{Block, Format, OpenInput, Payload};

/// An input that goes on.
pub(super) struct LiveSource {
    /// What is read.
    pub(super) input: Arc<OpenInput>,
    /// Where its records come from.
    pub(super) inlet: Inlet,
    /// A piece that has been received and comes next.
    pub(super) next: Option<Piece>,
    /// What came of them.
    pub(super) counts: Arc<InputCounts>,
    /// Whether a source has it or a program pushes it.
    pub(super) kind: InputKind,
    /// The history inputs that must have been read before, by position.
    pub(super) waits_for: Vec<usize>,
    /// Whether nothing more comes.
    pub(super) ended: bool,
}

impl LiveSource {
    /// How many pieces wait.
    pub(super) fn waiting(&self) -> usize {
        self.inlet.waiting() + usize::from(self.next.is_some())
    }

    /// What comes next: a piece, and those that go on where it ends.
    pub(super) fn next_piece(&mut self) -> Result<Option<Piece>, Closed> {
        let first = match self.next.take() {
            Some(piece) => Some(piece),
            None => self.inlet.try_next()?,
        };
        let Some(mut piece) = first else {
            return Ok(None);
        };
        while let Ok(Some(after)) = self.inlet.try_next() {
            if let Err(other) = piece.join(after, self.input.format == Format::Json) {
                self.next = Some(*other);
                break;
            }
        }
        Ok(Some(piece))
    }

    /// Looks whether nothing more can come.
    pub(super) fn look(&mut self) {
        if !self.ended && self.waiting() == 0 {
            match self.inlet.try_next() {
                Ok(piece) => self.next = piece,
                Err(_closed) => self.ended = true,
            }
        }
    }

    /// What is to be done with a piece, as a block of a number.
    pub(super) fn task(&self, piece: Piece, number: u64) -> Task {
        let block = Block {
            input: 0,
            file: piece.name,
            offset: piece.start,
            number,
            bytes: piece.text.len() as u64,
            header: piece.header,
            too_long: piece.too_long,
            read_time: Some(now_ns()),
            payload: Payload::Text(piece.text),
        };
        Task::Block {
            input: Arc::clone(&self.input),
            block,
            counts: Some(Arc::clone(&self.counts)),
            receipt: piece.receipt,
        }
    }
}
