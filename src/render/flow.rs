//! A node's rows on their way to whoever reads them.
//!
//! An operator costs timely's tracking of progress at every epoch, however few rows there are. So
//! what is done row by row makes no operator of its own where it can be done by the operator that
//! reads the rows: a [`Flow`] is streams and the [`Stage`]s that are still to be done on each. A
//! union is no more than several streams.
//!
//! Rows that an expression fails on leave their operator by the [`Exit`], into a list of the
//! worker's: no edge of the dataflow leads there. An operator adds to the list before it lets go of
//! the rows' time, so the rejects of a time are complete on a worker as soon as the frontier behind
//! all operators has passed it.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::InputCapability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{InputHandleCore, OutputBuilder};
use timely::progress::operate::FrontierInterest;

use super::meter::Tally;
use super::{Builder, Deltas};
use crate::delta::{Delta, Time};
use crate::plan::NodeId;

/// Rows that go on, or rows of rejects.
pub(super) type Outcome = Result<Delta, Delta>;

/// What is done with a delta: what comes of it is put into the list.
type Logic = Box<dyn FnMut(Delta, &mut Vec<Outcome>)>;

/// The rejects that operators of this worker have found, by time.
#[derive(Clone, Default)]
pub(crate) struct Rejects(Rc<RefCell<BTreeMap<Time, Vec<Delta>>>>);

impl Rejects {
    /// Takes those of all times before one.
    pub(crate) fn take_before(&self, next: Time) -> Vec<Delta> {
        let mut all = self.0.borrow_mut();
        if all.first_key_value().is_none_or(|(time, _)| *time >= next) {
            return Vec::new();
        }
        let later = all.split_off(&next);
        let due = std::mem::replace(&mut *all, later);
        due.into_values().flatten().collect()
    }
}

/// Counts the rows that leave a place, once it is known whose they are.
pub(super) type Tap = Rc<OnceCell<Tally>>;

/// Where outcomes leave an operator or a stage.
#[derive(Clone)]
pub(super) struct Exit {
    rejects: Rejects,
    tap: Tap,
}

impl Exit {
    /// Moves the rows that go on to `rows`, and puts the rejects aside.
    pub(super) fn pass(&self, outcomes: &mut Vec<Outcome>, rows: &mut Vec<Delta>) {
        let tally = self.tap.get();
        for outcome in outcomes.drain(..) {
            match outcome {
                Ok(delta) => {
                    if let Some(tally) = tally {
                        tally.add(delta.len());
                    }
                    rows.push(delta);
                }
                Err(rejects) => {
                    let mut all = self.rejects.0.borrow_mut();
                    all.entry(rejects.time).or_default().push(rejects);
                }
            }
        }
    }
}

/// Something done delta by delta.
struct Stage {
    name: &'static str,
    logic: Logic,
    exit: Exit,
}

/// Streams, and what is still to be done on each of them; their rows together.
pub(super) struct Flow<'scope> {
    parts: Vec<Part<'scope>>,
    /// Counts the rows that come out, if something does.
    tap: Option<Tap>,
}

/// A stream and its stages, in order. What is done on several streams alike is shared by them.
struct Part<'scope> {
    stream: Deltas<'scope>,
    stages: Vec<Rc<RefCell<Stage>>>,
}

impl<'scope> From<Deltas<'scope>> for Flow<'scope> {
    fn from(stream: Deltas<'scope>) -> Self {
        let stages = Vec::new();
        Flow {
            parts: vec![Part { stream, stages }],
            tap: None,
        }
    }
}

impl<'scope> Flow<'scope> {
    /// A stream whose rows a tap counts.
    pub(super) fn tapped(stream: Deltas<'scope>, tap: Tap) -> Self {
        Flow {
            tap: Some(tap),
            ..stream.into()
        }
    }

    /// The rows of several flows.
    pub(super) fn together(flows: Vec<Flow<'scope>>) -> Self {
        let parts = flows.into_iter().flat_map(|flow| flow.parts);
        Flow {
            parts: parts.collect(),
            tap: None,
        }
    }

    /// The dataflow that the rows are part of.
    pub(super) fn scope(&self) -> Scope<'scope, Time> {
        let first = self.parts.first().expect("a flow has streams");
        first.stream.scope()
    }

    /// The only stream, if nothing is still to be done on it.
    fn as_stream(&self) -> Option<&Deltas<'scope>> {
        match self.parts.as_slice() {
            [part] if part.stages.is_empty() => Some(&part.stream),
            _ => None,
        }
    }

    /// The rows as inputs of an operator, which is told of their frontiers as `interest` says.
    pub(super) fn into_inlets(
        self,
        builder: &mut OperatorBuilder<'scope, Time>,
        interest: FrontierInterest,
    ) -> Inlets {
        let inlets = self.parts.into_iter().map(|part| {
            let input = builder.new_input(part.stream, Pipeline);
            builder.set_notify_for(builder.shape().inputs() - 1, interest);
            Inlet {
                input,
                stages: part.stages,
            }
        });
        Inlets {
            inlets: inlets.collect(),
            work: Work::default(),
        }
    }

    /// One stream after all stages: an operator, if there is anything to do.
    pub(super) fn realize(self) -> Deltas<'scope> {
        if let Some(stream) = self.as_stream() {
            return stream.clone();
        }
        let stages = self.parts.iter().flat_map(|part| part.stages.last());
        let name = stages.last().map_or("Union", |stage| stage.borrow().name);
        let mut builder = OperatorBuilder::new(name.to_owned(), self.scope());
        let mut inlets = self.into_inlets(&mut builder, FrontierInterest::Never);
        let (output, stream) = builder.new_output();
        let mut output = DeltaOutput::from(output);
        builder.build(move |_capabilities| {
            move |_frontiers| {
                let mut output = output.activate();
                inlets.each(|capability, delta| output.session(capability).give(delta));
            }
        });
        stream
    }
}

/// The puller of an input whose rows stay on their worker.
type Puller = <Pipeline as ParallelizationContract<Time, Vec<Delta>>>::Puller;

/// An output of deltas.
pub(super) type DeltaOutput = OutputBuilder<Time, CapacityContainerBuilder<Vec<Delta>>>;

/// A flow as an operator reads it.
pub(super) struct Inlets {
    inlets: Vec<Inlet>,
    work: Work,
}

struct Inlet {
    input: InputHandleCore<Time, Vec<Delta>, Puller>,
    stages: Vec<Rc<RefCell<Stage>>>,
}

/// Memory for what is between stages.
#[derive(Default)]
struct Work {
    outcomes: Vec<Outcome>,
    rows: Vec<Delta>,
    next: Vec<Delta>,
}

impl Inlets {
    /// Takes what has come, after all stages, each delta with a capability for its time.
    pub(super) fn each(&mut self, mut then: impl FnMut(&InputCapability<Time>, Delta)) {
        for inlet in &mut self.inlets {
            let Inlet { input, stages } = inlet;
            let work = &mut self.work;
            input.for_each(|capability, deltas| {
                work.rows.append(deltas);
                for stage in stages.iter() {
                    let stage = &mut *stage.borrow_mut();
                    for delta in work.rows.drain(..) {
                        (stage.logic)(delta, &mut work.outcomes);
                    }
                    stage.exit.pass(&mut work.outcomes, &mut work.next);
                    std::mem::swap(&mut work.rows, &mut work.next);
                }
                for delta in work.rows.drain(..) {
                    then(&capability, delta);
                }
            });
        }
    }
}

/// Outcomes that are still to be told where to leave.
pub(super) enum Outcomes<'scope> {
    /// Those of a stage on a flow.
    Stage(Flow<'scope>, &'static str, Logic),
    /// Those of an operator, which is made when it knows its exit.
    Operator(Box<dyn FnOnce(Exit) -> Deltas<'scope> + 'scope>),
}

impl<'scope> Outcomes<'scope> {
    /// Outcomes of an operator.
    pub(super) fn of(operator: impl FnOnce(Exit) -> Deltas<'scope> + 'scope) -> Self {
        Outcomes::Operator(Box::new(operator))
    }

    /// Outcomes of a stage.
    pub(super) fn of_stage(
        flow: impl Into<Flow<'scope>>,
        name: &'static str,
        logic: impl FnMut(Delta, &mut Vec<Outcome>) + 'static,
    ) -> Self {
        Outcomes::Stage(flow.into(), name, Box::new(logic))
    }

    /// The rows that go on by an exit.
    pub(super) fn leave_by(self, exit: Exit) -> Flow<'scope> {
        let tap = Tap::clone(&exit.tap);
        match self {
            Outcomes::Operator(operator) => Flow::tapped(operator(exit), tap),
            Outcomes::Stage(mut flow, name, logic) => {
                flow.tap = Some(tap);
                let stage = Rc::new(RefCell::new(Stage { name, logic, exit }));
                for part in &mut flow.parts {
                    part.stages.push(Rc::clone(&stage));
                }
                flow
            }
        }
    }
}

impl<'scope> Builder<'scope, '_> {
    /// The rows of a node that has been rendered, as a stream.
    pub(super) fn stream(&mut self, node: NodeId) -> Deltas<'scope> {
        let stream = self.flow(node).realize();
        self.flows[node.0] = Some(stream.clone().into());
        stream
    }

    /// The rows of a node that has been rendered, for a reader that does what is still to be done.
    pub(super) fn flow(&mut self, node: NodeId) -> Flow<'scope> {
        let flow = &mut self.flows[node.0];
        let rows = flow.take().expect("a node comes after what it reads");
        if self.readers[node.0] == 1 {
            return rows;
        }
        let stream = rows.realize();
        *flow = Some(stream.clone().into());
        stream.into()
    }

    /// The rows that go on; the rejects are put aside.
    pub(super) fn rows(&mut self, outcomes: Outcomes<'scope>) -> Flow<'scope> {
        outcomes.leave_by(self.exit())
    }

    /// Where outcomes leave what is rendered now.
    fn exit(&self) -> Exit {
        Exit {
            rejects: self.rejects.clone(),
            tap: Tap::default(),
        }
    }

    /// The node's rows, counted: by what they come from, or else by an operator of its own.
    pub(super) fn counted(&self, rows: Flow<'scope>, tally: Tally) -> Flow<'scope> {
        match &rows.tap {
            // One that is set counts the rows of another node, which are passed on here.
            Some(tap) if tap.get().is_none() => {
                let _is_unset = tap.set(tally);
                rows
            }
            _ => tally.count(rows.realize()).into(),
        }
    }
}
