//! Operators that wait: what arrives is kept by time and handed over when its time is complete.
//!
//! Most stateful operators work an epoch at a time, in order. [`per_epoch`] does the waiting for
//! them: messages flow in as they come, each complete time's messages flow to the logic at once.

use std::collections::BTreeMap;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::ParallelizationContract;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use super::Outcome;
use crate::delta::Time;

/// A message whose content all belongs to one time.
pub(super) trait Timed {
    /// That time.
    fn time(&self) -> Time;
}

impl Timed for crate::delta::Delta {
    fn time(&self) -> Time {
        self.time
    }
}

impl Timed for crate::row::Updates {
    fn time(&self) -> Time {
        self.time
    }
}

/// Hands each complete time with everything that arrived at it to `logic`, in order of time.
///
/// `first` is handed over at the least time, with whatever arrived at it, even if nothing did.
pub(super) fn per_epoch<'scope, C, P, L>(
    stream: Stream<'scope, Time, Vec<C>>,
    pact: P,
    name: &str,
    first: bool,
    mut logic: L,
) -> Stream<'scope, Time, Vec<Outcome>>
where
    C: Timed + Clone + 'static,
    P: ParallelizationContract<Time, Vec<C>>,
    L: FnMut(Time, Vec<C>, &mut Vec<Outcome>) + 'static,
{
    stream.unary_frontier::<CapacityContainerBuilder<Vec<Outcome>>, _, _, _>(
        pact,
        name,
        move |capability, _info| {
            let mut pending: BTreeMap<Time, (Capability<Time>, Vec<C>)> = BTreeMap::new();
            if first {
                pending.insert(*capability.time(), (capability, Vec::new()));
            }
            let mut outcomes = Vec::new();
            move |(input, frontier), output| {
                input.for_each(|capability, messages| {
                    for message in messages.drain(..) {
                        let time = message.time();
                        let entry = pending
                            .entry(time)
                            .or_insert_with(|| (capability.delayed(&time, 0), Vec::new()));
                        entry.1.push(message);
                    }
                });
                while let Some(entry) = pending.first_entry() {
                    if frontier.less_equal(entry.key()) {
                        break;
                    }
                    let (time, (capability, messages)) = entry.remove_entry();
                    logic(time, messages, &mut outcomes);
                    if !outcomes.is_empty() {
                        output.session(&capability).give_container(&mut outcomes);
                        outcomes.clear();
                    }
                }
            }
        },
    )
}
