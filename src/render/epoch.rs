//! Operators that wait: what arrives is kept by time and handed over when its time is complete.
//!
//! Most stateful operators work an epoch at a time, in order. [`per_epoch`] does the waiting for
//! them: messages flow in as they come, each complete time's messages flow to the logic at once.

use std::collections::BTreeMap;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::ParallelizationContract;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{OutputBuilder, OutputBuilderSession};
use timely::dataflow::{Scope, Stream};
use timely::progress::operate::FrontierInterest;

use super::flow::{DeltaOutput, Exit, Flow, Inlets};
use super::{Outcome, Outcomes};
use crate::delta::{Delta, Time};

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

/// An operator over a flow that is told of its frontier only while it holds capabilities: with
/// nothing to wait for, an epoch that passes it by costs nothing.
///
/// The logic is given what has come, which times may still come, and where its messages go.
pub(super) fn waiting<'scope, D, L>(
    rows: Flow<'scope>,
    name: &str,
    mut logic: L,
) -> Messages<'scope, D>
where
    D: Clone + 'static,
    L: FnMut(&mut Inlets, &dyn Fn(&Time) -> bool, &mut MessageSession<'_, D>) + 'static,
{
    let mut builder = OperatorBuilder::new(name.to_owned(), rows.scope());
    let mut inlets = rows.into_inlets(&mut builder, FrontierInterest::IfCapability);
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::from(output);
    builder.build(move |_capabilities| {
        move |frontiers| {
            let is_open = |time: &Time| frontiers.iter().any(|each| each.less_equal(time));
            logic(&mut inlets, &is_open, &mut output.activate());
        }
    });
    stream
}

/// A stream of messages on their way to other workers.
pub(super) type Messages<'scope, D> = Stream<'scope, Time, Vec<D>>;
/// Where an operator sends its messages.
pub(super) type MessageSession<'a, D> =
    OutputBuilderSession<'a, Time, CapacityContainerBuilder<Vec<D>>>;

/// Messages by time, each with a capability for it.
type Pending<C> = BTreeMap<Time, (Capability<Time>, Vec<C>)>;

/// Hands each complete time with everything that arrived at it to `logic`, in order of time.
///
/// `first` is handed over at the least time, with whatever arrived at it, even if nothing did.
pub(super) fn per_epoch<'scope, C, P, L>(
    stream: Stream<'scope, Time, Vec<C>>,
    pact: P,
    name: &'static str,
    first: bool,
    mut logic: L,
) -> Outcomes<'scope>
where
    C: Timed + Clone + 'static,
    P: ParallelizationContract<Time, Vec<C>> + 'scope,
    L: FnMut(Time, Vec<C>, &mut Vec<Outcome>) + 'static,
{
    Outcomes::of(move |exit| {
        let mut builder = OperatorBuilder::new(name.to_owned(), stream.scope());
        let mut input = builder.new_input(stream, pact);
        builder.set_notify_for(0, FrontierInterest::IfCapability);
        let (output, stream) = builder.new_output();
        let mut output = DeltaOutput::from(output);
        builder.build(move |capabilities| {
            let mut pending: Pending<C> = BTreeMap::new();
            let capability = capabilities.into_iter().next().filter(|_| first);
            pending.extend(capability.map(|held| (*held.time(), (held, Vec::new()))));
            let mut leaving = Leaving::new(exit);
            move |frontiers| {
                input.for_each(|capability, messages| {
                    for message in messages.drain(..) {
                        let time = message.time();
                        let entry = pending
                            .entry(time)
                            .or_insert_with(|| (capability.delayed(&time, 0), Vec::new()));
                        entry.1.push(message);
                    }
                });
                let mut output = output.activate();
                while let Some(entry) = pending.first_entry() {
                    if frontiers[0].less_equal(entry.key()) {
                        break;
                    }
                    let (time, (capability, messages)) = entry.remove_entry();
                    logic(time, messages, &mut leaving.outcomes);
                    leaving.send(&capability, &mut output);
                }
            }
        });
        stream
    })
}

/// What an operator does with flows of one worker, an epoch at a time.
pub(super) trait EpochLogic: 'static {
    /// Takes a delta of the flow at a position.
    fn add(&mut self, flow: usize, delta: Delta);
    /// Everything of a time has been added.
    fn complete(&mut self, time: Time, outcomes: &mut Vec<Outcome>);
}

/// Renders `logic` over flows. Times are complete in order; with `first`, the least time is, even if
/// nothing arrived at it.
pub(super) fn by_epoch<'scope, L: EpochLogic>(
    scope: Scope<'scope, Time>,
    flows: Vec<Flow<'scope>>,
    name: &'static str,
    first: bool,
    mut logic: L,
) -> Outcomes<'scope> {
    Outcomes::of(move |exit| {
        let mut builder = OperatorBuilder::new(name.to_owned(), scope);
        let flows = flows.into_iter();
        let inlets =
            flows.map(|flow| flow.into_inlets(&mut builder, FrontierInterest::IfCapability));
        let mut inlets: Vec<Inlets> = inlets.collect();
        let (output, stream) = builder.new_output();
        let mut output = DeltaOutput::from(output);
        builder.build(move |capabilities| {
            let mut pending: BTreeMap<Time, Capability<Time>> = BTreeMap::new();
            let capability = capabilities.into_iter().next().filter(|_| first);
            pending.extend(capability.map(|held| (*held.time(), held)));
            let mut leaving = Leaving::new(exit);
            move |frontiers| {
                for (at, inlets) in inlets.iter_mut().enumerate() {
                    inlets.each(|capability, delta| {
                        let time = delta.time;
                        let held = || capability.delayed(&time, 0);
                        pending.entry(time).or_insert_with(held);
                        logic.add(at, delta);
                    });
                }
                let mut output = output.activate();
                while let Some(entry) = pending.first_entry() {
                    if frontiers.iter().any(|each| each.less_equal(entry.key())) {
                        break;
                    }
                    let (time, capability) = entry.remove_entry();
                    logic.complete(time, &mut leaving.outcomes);
                    leaving.send(&capability, &mut output);
                }
            }
        });
        stream
    })
}

/// What comes of a complete time, on its way out.
struct Leaving {
    exit: Exit,
    outcomes: Vec<Outcome>,
    rows: Vec<Delta>,
}

impl Leaving {
    fn new(exit: Exit) -> Self {
        Leaving {
            exit,
            outcomes: Vec::new(),
            rows: Vec::new(),
        }
    }

    fn send(&mut self, capability: &Capability<Time>, output: &mut MessageSession<'_, Delta>) {
        self.exit.pass(&mut self.outcomes, &mut self.rows);
        if !self.rows.is_empty() {
            output.session(capability).give_container(&mut self.rows);
            self.rows.clear();
        }
    }
}
