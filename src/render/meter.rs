//! What each node of a plan does on one worker, counted as it goes.
//!
//! Rendering notes which operators a node is made of, and counts rows where they leave it. Time and
//! arrangements are counted by whoever reads timely's log (the engine). Every worker has counters of
//! its own, so that counting never makes one wait for another; whoever reads adds them up.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::Deltas;
use crate::delta::Delta;
use crate::plan::NodeId;

/// What a node has done on one worker.
#[derive(Debug, Default)]
pub(crate) struct NodeCounts {
    /// Rows that arrived from outside, for a node that reads an input.
    pub(crate) arrived: AtomicU64,
    /// Rows that left the node, added or taken back.
    pub(crate) records_out: AtomicU64,
    /// How long its operators ran, in nanoseconds.
    pub(crate) time_ns: AtomicU64,
    /// Updates in its arrangements, and entries in its own tables.
    pub(crate) held_records: AtomicI64,
    /// Batches in its arrangements.
    pub(crate) held_batches: AtomicI64,
}

/// Counts what nodes do on one worker.
#[derive(Clone)]
pub(crate) struct Meter {
    counts: Arc<[NodeCounts]>,
    /// By operator: where the node is counted that it is part of. All meters of a worker share it.
    nodes: Rc<RefCell<Vec<Option<CountedNode>>>>,
}

type CountedNode = (Arc<[NodeCounts]>, NodeId);

impl Meter {
    /// Counts into `counts`, one a node.
    pub(crate) fn new(counts: Arc<[NodeCounts]>) -> Meter {
        Meter {
            counts,
            nodes: Rc::default(),
        }
    }

    /// A meter of another plan's nodes on the same worker.
    pub(crate) fn beside(&self, counts: Arc<[NodeCounts]>) -> Meter {
        Meter {
            counts,
            nodes: Rc::clone(&self.nodes),
        }
    }

    /// Whether an operator is part of a node.
    pub(crate) fn knows(&self, operator: usize) -> bool {
        matches!(self.nodes.borrow().get(operator), Some(Some(_)))
    }

    /// Hands the counts of the node that an operator is part of to `count`, if it is part of one.
    pub(crate) fn of_operator(&self, operator: usize, count: impl FnOnce(&NodeCounts)) {
        if let Some(Some((counts, node))) = self.nodes.borrow().get(operator) {
            count(&counts[node.0]);
        }
    }

    /// Notes that operators are part of a node. What runs in an operator of another node is
    /// measured with that one.
    pub(super) fn note(&self, node: NodeId, operators: Range<usize>) {
        let mut nodes = self.nodes.borrow_mut();
        if nodes.len() < operators.end {
            nodes.resize(operators.end, None);
        }
        nodes[operators].fill(Some((Arc::clone(&self.counts), node)));
    }

    /// Counts rows that leave a node.
    pub(super) fn records_out(&self, node: NodeId) -> Tally {
        let counts = Arc::clone(&self.counts);
        Tally {
            counts,
            node,
            counter: |counts| &counts.records_out,
        }
    }

    /// Counts rows that arrive at a node from outside.
    pub(super) fn arrived(&self, node: NodeId) -> Tally {
        let counts = Arc::clone(&self.counts);
        Tally {
            counts,
            node,
            counter: |counts| &counts.arrived,
        }
    }
}

/// Counts rows of a node.
pub(super) struct Tally {
    counts: Arc<[NodeCounts]>,
    node: NodeId,
    counter: fn(&NodeCounts) -> &AtomicU64,
}

impl Tally {
    /// Adds some rows.
    pub(super) fn add(&self, rows: usize) {
        let counter = (self.counter)(&self.counts[self.node.0]);
        counter.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Renders the count of a stream whose own operator does not count.
    pub(super) fn count(self, stream: Deltas<'_>) -> Deltas<'_> {
        stream.unary::<CapacityContainerBuilder<Vec<Delta>>, _, _, _>(
            Pipeline,
            "Count",
            move |_capability, _info| {
                move |input, output| {
                    input.for_each(|capability, deltas| {
                        self.add(deltas.iter().map(Delta::len).sum());
                        output.session(&capability).give_container(deltas);
                    });
                }
            },
        )
    }
}

/// Tells how many entries an operator's own table has.
#[derive(Clone, Default)]
pub(super) struct Held {
    of: Option<(Arc<[NodeCounts]>, NodeId)>,
    told: i64,
}

impl Held {
    /// For a table of a node; tells nobody without a meter.
    pub(super) fn of(meter: Option<&Meter>, node: NodeId) -> Held {
        Held {
            of: meter.map(|meter| (Arc::clone(&meter.counts), node)),
            told: 0,
        }
    }

    /// Tells how many entries there are now.
    pub(super) fn tell(&mut self, entries: usize) {
        if let Some((counts, node)) = &self.of {
            let entries = i64::try_from(entries).unwrap_or(i64::MAX);
            let held = &counts[node.0].held_records;
            held.fetch_add(entries - self.told, Ordering::Relaxed);
            self.told = entries;
        }
    }
}

/// A table that is no more holds nothing.
impl Drop for Held {
    fn drop(&mut self) {
        self.tell(0);
    }
}
