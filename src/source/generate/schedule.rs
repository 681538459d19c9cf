//! What is under way: visits between two clicks, orders between two states, goods between two
//! places, each with the time at which it goes on.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::orders::Order;
use super::payments::Attack;
use super::visits::Visit;

/// No more than this is under way at one time; what comes on top is forgotten, as if the visitor
/// had left or the parcel had been lost.
const MOST_UNDER_WAY: usize = 1 << 20;

/// Something that goes on later.
#[derive(Debug)]
pub(super) enum Task {
    /// A visitor's next action.
    Visit(Visit),
    /// An order's next step.
    Order(Box<Order>),
    /// Goods arrive from the supplier.
    Receipt {
        /// Which product.
        product: u32,
    },
    /// Goods arrive from another location.
    Arrival {
        /// The transfer's number.
        transfer: u64,
        /// Which product.
        product: u32,
        /// Where.
        location: usize,
        /// How many units.
        units: u32,
    },
    /// Somebody goes on trying a card.
    Attack(Attack),
    /// The live session is over, or the next one begins.
    Live,
    /// A bot is found out.
    BotFound {
        /// The bot's number.
        bot: u64,
    },
    /// An anonymous visitor turns out not to have been the user after all.
    MergeTakenBack {
        /// The visitor's number.
        visitor: u64,
        /// The user's number.
        user: u64,
    },
}

/// Tasks by time; tasks of one time in the order in which they were planned.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    due: BinaryHeap<Reverse<Due>>,
    planned: u64,
}

#[derive(Debug)]
struct Due {
    at_ms: u64,
    number: u64,
    task: Task,
}

impl Schedule {
    pub(super) fn plan(&mut self, at_ms: u64, task: Task) {
        if self.due.len() < MOST_UNDER_WAY {
            self.due.push(Reverse(Due {
                at_ms,
                number: self.planned,
                task,
            }));
            self.planned += 1;
        }
    }

    /// Takes the earliest task, with its time, if it is due before `limit_ms`.
    pub(super) fn next_before(&mut self, limit_ms: u64) -> Option<(u64, Task)> {
        if self.due.peek()?.0.at_ms >= limit_ms {
            return None;
        }
        self.due.pop().map(|Reverse(due)| (due.at_ms, due.task))
    }
}

impl Due {
    fn key(&self) -> (u64, u64) {
        (self.at_ms, self.number)
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        self.key().cmp(&other.key())
    }
}
