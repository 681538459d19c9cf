//! Where changes leave the dataflow: one operator for all outputs, however many there are.
//!
//! Changes of the outputs flow in and are kept by epoch on their worker; the engine takes those of
//! epochs that the frontier has passed ([`Answers`]). Rejects that operators put aside are answers
//! too, and come out with those of their epoch. Where views read the rejects, [`fed_back`] hands
//! them to the dataflow once no operator can find more of their time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::frontier::MutableAntichain;
use timely::progress::operate::FrontierInterest;

use super::flow::{DeltaOutput, Flow, Rejects};
use super::newest::Newest;
use super::{Builder, Deltas};
use crate::delta::{Delta, Time};
use crate::plan::{NodeId, Op, Relation};

/// Changes of outputs by epoch.
type ByEpoch = BTreeMap<Time, Vec<(usize, Delta)>>;

/// The changes of all outputs on one worker.
#[derive(Default)]
pub(crate) struct Answers {
    changes: Rc<RefCell<ByEpoch>>,
    frontier: Rc<Cell<Option<Time>>>,
    /// Rejects that come out as changes of some outputs.
    rejects: Vec<Rejects>,
    shown: Vec<usize>,
    /// Which of those stand, if only the newest do.
    newest: Option<RefCell<Newest>>,
}

impl Answers {
    /// Changes of all earlier times have come; `None` once all there will ever be have come.
    pub(crate) fn frontier(&self) -> Option<Time> {
        self.frontier.get()
    }

    /// Takes the changes of all times before one, each with its output. Rejects that no output shows
    /// are as those of one output more.
    pub(crate) fn take_before(&self, next: Time) -> Vec<(usize, Delta)> {
        let mut changes = self.changes.borrow_mut();
        let later = changes.split_off(&next);
        let due = std::mem::replace(&mut *changes, later);
        let mut due: Vec<(usize, Delta)> = due.into_values().flatten().collect();
        for rejects in self.rejects.iter().flat_map(|all| all.take_before(next)) {
            let standing = match &self.newest {
                Some(newest) => newest.borrow_mut().pass(&rejects).collect(),
                None => vec![rejects],
            };
            for rejects in standing {
                let shown = self.shown.iter();
                due.extend(shown.map(|output| (*output, rejects.clone())));
            }
        }
        due
    }
}

/// The least time that may still come at any of some inputs.
fn least(frontiers: &[MutableAntichain<Time>]) -> Option<Time> {
    let each = frontiers.iter().map(|frontier| frontier.frontier());
    each.filter_map(|frontier| frontier.first().copied()).min()
}

/// Renders the end of a dataflow: flows, each with the outputs whose changes it has. The answers say
/// which outputs show rejects, and where those are put aside.
fn publish<'scope>(
    scope: Scope<'scope, Time>,
    flows: Vec<(Flow<'scope>, Vec<usize>)>,
    answers: Answers,
) -> Answers {
    if flows.is_empty() {
        return answers;
    }
    answers.frontier.set(Some(Time::MIN));
    let (changes, passed) = (Rc::clone(&answers.changes), Rc::clone(&answers.frontier));
    let mut builder = OperatorBuilder::new("Publish".to_owned(), scope);
    let mut inputs = Vec::with_capacity(flows.len());
    for (flow, outputs) in flows {
        let inlets = flow.into_inlets(&mut builder, FrontierInterest::Always);
        inputs.push((inlets, outputs));
    }
    builder.build(move |_capabilities| {
        move |frontiers| {
            let mut changes = changes.borrow_mut();
            for (inlets, outputs) in &mut inputs {
                inlets.each(|_capability, delta| {
                    let at = changes.entry(delta.time).or_default();
                    at.extend(outputs.iter().map(|output| (*output, delta.clone())));
                });
            }
            passed.set(least(frontiers));
        }
    });
    answers
}

/// Renders the rejects of a time as soon as the streams behind all that find them have passed it.
fn fed_back<'scope>(
    scope: Scope<'scope, Time>,
    behind: Vec<Deltas<'scope>>,
    rejects: Rejects,
) -> Deltas<'scope> {
    let mut builder = OperatorBuilder::new("Rejects".to_owned(), scope);
    // Data of these streams leads to nothing here, only their progress does.
    let mut inputs: Vec<_> = behind
        .into_iter()
        .map(|stream| builder.new_input(stream, Pipeline))
        .collect();
    let (output, stream) = builder.new_output();
    let mut output = DeltaOutput::from(output);
    builder.build(move |capabilities| {
        let mut held = capabilities.into_iter().next();
        move |frontiers| {
            for input in &mut inputs {
                input.for_each(|_capability, deltas| deltas.clear());
            }
            let next = least(frontiers);
            let Some(capability) = &mut held else { return };
            for delta in rejects.take_before(next.unwrap_or(Time::MAX)) {
                let at = capability.delayed(&delta.time);
                output.activate().session(&at).give(delta);
            }
            match next {
                Some(next) => capability.downgrade(&next),
                None => held = None,
            }
        }
    });
    stream
}

impl<'scope> Builder<'scope, '_> {
    /// The rejects of all nodes but the late ones, if late nodes read them.
    pub(super) fn feed_back(&mut self, late: &[bool], found: &Rejects) -> Option<Deltas<'scope>> {
        let plan = self.plan;
        let nodes = || plan.nodes.iter().zip(late);
        let reads = |op: &Op| !matches!(op, Op::Input(_));
        if !nodes().any(|(node, late)| *late && reads(&node.op)) {
            return None;
        }
        // What other early nodes read is behind them; the rest is the end of all that is early.
        let mut is_last = vec![true; plan.nodes.len()];
        for (node, _) in nodes().filter(|(_, late)| !**late) {
            for input in node.op.inputs() {
                is_last[input.0] = false;
            }
        }
        let ends = (0..late.len()).filter(|at| !late[*at] && is_last[*at]);
        let ends: Vec<_> = ends.map(|at| self.stream(NodeId(at))).collect();
        Some(fed_back(self.scope, ends, found.clone()))
    }

    /// Ends the dataflow; some rejects are only shown.
    pub(super) fn publish(&mut self, rejects: Vec<Rejects>, newest: Option<Newest>) -> Answers {
        let plan = self.plan;
        let mut flows: Vec<(NodeId, Vec<usize>)> = Vec::new();
        for (at, output) in plan.outputs.iter().enumerate() {
            match flows.iter_mut().find(|(node, _)| *node == output.node) {
                Some((_, outputs)) => outputs.push(at),
                None => flows.push((output.node, vec![at])),
            }
        }
        let shows_rejects = |node: NodeId| {
            matches!(&plan.nodes[node.0].op, Op::Input(input)
                if plan.inputs[*input].relation == Relation::Rejects)
        };
        let shown = flows.iter().filter(|(node, _)| shows_rejects(*node));
        let mut shown: Vec<usize> = shown.flat_map(|(_, outputs)| outputs.clone()).collect();
        if shown.is_empty() {
            shown.push(plan.outputs.len());
        }
        let flows = flows.into_iter();
        let flows = flows.map(|(node, outputs)| (self.flow(node), outputs));
        let flows: Vec<_> = flows.collect();
        let answers = Answers {
            rejects,
            shown,
            newest: newest.map(RefCell::new),
            ..Answers::default()
        };
        publish(self.scope, flows, answers)
    }
}
