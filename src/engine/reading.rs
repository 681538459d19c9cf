//! How far the files of a live run have been read.
//!
//! A worker takes a ticket before it reads a block, and gives it back when the block is in an epoch.
//! Tickets are given out in the order of the files, so an input has been read once all tickets that
//! were out when its last block was taken are back.

use std::collections::BTreeSet;

/// How far the files are.
pub(super) struct Reading {
    /// Whether all have been read.
    pub(super) ended: bool,
    next_ticket: u64,
    /// Workers that hold a block which is not yet in an epoch, by ticket.
    pub(super) in_flight: BTreeSet<u64>,
    /// By history input: all of its blocks were handed out to tickets before this one.
    passed: Vec<Option<u64>>,
}

impl Reading {
    /// Nothing has been read of so many inputs; without files all is.
    pub(super) fn of(inputs: Option<usize>) -> Reading {
        Reading {
            ended: inputs.is_none(),
            next_ticket: 0,
            in_flight: BTreeSet::new(),
            passed: vec![None; inputs.unwrap_or(0)],
        }
    }

    /// A ticket for a block that is going to be read.
    pub(super) fn take_ticket(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.in_flight.insert(ticket);
        ticket
    }

    /// Whether all blocks of a history input are in epochs.
    pub(super) fn is_read(&self, input: usize) -> bool {
        let oldest = self.in_flight.first().copied().unwrap_or(u64::MAX);
        self.passed[input].is_some_and(|ticket| ticket <= oldest)
    }

    /// Notes that all inputs before one have been handed out.
    pub(super) fn pass(&mut self, inputs: usize) {
        let next = self.next_ticket;
        for passed in &mut self.passed[..inputs] {
            passed.get_or_insert(next);
        }
    }
}
