//! A plan becomes a dataflow: every node an operator or a few, on every worker alike.
//!
//! A [`Plan`] and a timely scope flow in; input handles and, for each view, its
//! changes by epoch flow out. Streams carry [`Delta`]s; rows cross workers only where something is
//! arranged or grouped by key. An arrangement of a node by a key is made once, whoever asks for it.
//!
//! What an epoch costs is mostly the number of operators, so there are few: work done row by row
//! for one reader is done in the reader's operator (`flow`), rows are counted where they leave an
//! operator anyway, and all outputs end in one operator (`publish`).
//!
//! Rows that an expression fails on are put aside as rejects. Nodes that read `tillrace.rejects` are
//! rendered after all others and see the rejects of an epoch when no other node can find more of it, so that
//! they see every reject but those that they make themselves; these are only shown.

pub mod accumulate;
mod arrange;
mod asof;
mod changes;
mod claims;
mod clock;
mod collate;
mod columns;
mod epoch;
mod extremum;
mod flow;
mod frame;
mod general;
mod group;
mod input;
mod join;
mod keys;
mod map;
mod meter;
mod newest;
mod partial;
mod publish;
mod recursion;
mod reduce;
pub mod reject;
mod sieve;
mod temporal;
mod texts;
mod topk;
mod window;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::Input as _;
use timely::dataflow::{InputHandle, Scope, Stream};

use flow::{Flow, Outcome, Outcomes, Rejects, Tap};
pub use input::Arrival;
pub(crate) use meter::{Meter, NodeCounts};
pub(crate) use publish::Answers;

use crate::delta::{Delta, Time};
use crate::plan::{NodeId, Op, Plan, Relation, SortKey, Step};
use arrange::{ArrangedRows, Arrangement};
use columns::Columns;
use meter::{Held, Tally};

/// Why a plan has no dataflow.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// An expression or function that DataFusion cannot run.
    #[error("could not prepare an expression")]
    Expression(#[from] DataFusionError),
    /// A type that cannot be a key or be kept.
    #[error("could not keep rows of these types")]
    Row(#[from] ArrowError),
    /// An aggregate whose state cannot be laid out.
    #[error("could not prepare an aggregate")]
    Aggregate(#[from] accumulate::AccumulateError),
}

/// A stream of changes to a node's rows.
pub(crate) type Deltas<'scope> = Stream<'scope, Time, Vec<Delta>>;

/// Where the engine puts the rows of an input.
pub(crate) type ArrivalHandle = InputHandle<Time, CapacityContainerBuilder<Vec<Arrival>>>;

/// What a rendered plan is driven and read by.
pub(crate) struct Rendered {
    /// One handle an input of the plan, in order; the rejects' handle takes what decoding rejects.
    pub(crate) inputs: Vec<ArrivalHandle>,
    /// The changes of the outputs' rows.
    pub(crate) answers: Answers,
}

/// Renders a plan. `only_added` says that no input ever takes rows back one by one; `rejects` is how
/// many rejects of an input are kept, all without it; a meter counts what nodes do.
///
/// # Errors
///
/// If some node's rows or expressions are of a kind that cannot be kept. What has been rendered by
/// then must be thrown away.
pub(crate) fn render<'scope>(
    scope: Scope<'scope, Time>,
    plan: &Plan,
    (worker, peers): (usize, usize),
    only_added: bool,
    rejects: Option<usize>,
    meter: Option<&Meter>,
) -> Result<Rendered, RenderError> {
    let mut builder = Builder {
        scope,
        plan,
        worker,
        peers,
        meter,
        most_rejects: rejects,
        rendering: NodeId(0),
        only_added: Vec::new(),
        readers: readers(plan),
        flows: plan.nodes.iter().map(|_| None).collect(),
        arrangements: HashMap::new(),
        rejects: Rejects::default(),
        clock: None,
    };
    let (inputs, arrivals): (Vec<ArrivalHandle>, Vec<_>) =
        plan.inputs.iter().map(|_| scope.new_input()).unzip();
    let late = builder.nodes_after_rejects();
    // Rejects are taken back with the rows that they are of.
    let nodes = plan.nodes.iter().zip(&late);
    builder.only_added = nodes
        .map(|(node, late)| only_added && node.append_only && !late)
        .collect();
    for (node, _) in late.iter().enumerate().filter(|(_, late)| !**late) {
        builder.render_metered(NodeId(node), |builder, id| {
            builder.render_node(id, &arrivals)
        })?;
    }
    let found = std::mem::take(&mut builder.rejects);
    let fed_back = builder.feed_back(&late, &found);
    for (node, _) in late.iter().enumerate().filter(|(_, late)| **late) {
        builder.render_metered(NodeId(node), |builder, id| {
            builder.render_late(id, &arrivals, fed_back.as_ref())
        })?;
    }
    let mut shown = vec![std::mem::take(&mut builder.rejects)];
    if fed_back.is_none() {
        shown.push(found);
    }
    let newest = rejects.map(|limit| newest::Newest::new(builder.share(limit)));
    let answers = builder.publish(shown, newest.transpose()?);
    Ok(Rendered { inputs, answers })
}

/// By node: how many nodes and outputs read it.
fn readers(plan: &Plan) -> Vec<usize> {
    let mut readers = vec![0; plan.nodes.len()];
    let of_nodes = plan.nodes.iter().flat_map(|node| node.op.inputs());
    let of_outputs = plan.outputs.iter().map(|output| output.node);
    for node in of_nodes.chain(of_outputs) {
        readers[node.0] += 1;
    }
    readers
}

/// A plan on its way to a dataflow.
struct Builder<'scope, 'plan> {
    scope: Scope<'scope, Time>,
    plan: &'plan Plan,
    worker: usize,
    peers: usize,
    meter: Option<&'plan Meter>,
    /// How many rejects of an input are kept.
    most_rejects: Option<usize>,
    /// The node that is being rendered.
    rendering: NodeId,
    /// By node: whether none of its rows is ever taken back.
    only_added: Vec<bool>,
    /// By node: how many nodes and outputs read it.
    readers: Vec<usize>,
    /// By node: its rows, until the only reader has taken them.
    flows: Vec<Option<Flow<'scope>>>,
    arrangements: HashMap<ArrangementOf, KeyedRows<'scope>>,
    /// The rejects that operators rendered from here on find.
    rejects: Rejects,
    /// What the engine's clock shows, if some node asks.
    clock: Option<Deltas<'scope>>,
}

/// Which arrangement: of which node, by which key, and whether rows with nulls in it are kept.
type ArrangementOf = (NodeId, Vec<Arc<dyn PhysicalExpr>>, bool);

/// A node's rows arranged by a key, and how to read them.
#[derive(Clone)]
struct KeyedRows<'scope> {
    arranged: ArrangedRows<'scope>,
    arrangement: Arrangement,
    schema: arrow::datatypes::SchemaRef,
}

impl<'scope> Builder<'scope, '_> {
    /// For each node, whether it reads the rejects, however far behind.
    fn nodes_after_rejects(&self) -> Vec<bool> {
        let mut late = vec![false; self.plan.nodes.len()];
        for (at, node) in self.plan.nodes.iter().enumerate() {
            late[at] = match &node.op {
                Op::Input(input) => self.plan.inputs[*input].relation == Relation::Rejects,
                op => op.inputs().iter().any(|child| late[child.0]),
            };
        }
        late
    }

    /// Where a table of the node that is being rendered tells how many entries it has.
    fn held(&self) -> Held {
        Held::of(self.meter, self.rendering)
    }

    /// Renders a node and lets the meter know its operators and rows.
    fn render_metered(
        &mut self,
        id: NodeId,
        render: impl FnOnce(&mut Self, NodeId) -> Result<(), RenderError>,
    ) -> Result<(), RenderError> {
        self.rendering = id;
        let Some(meter) = self.meter else {
            return render(self, id);
        };
        let first = self.scope.worker().peek_identifier();
        render(self, id)?;
        let rows = self.flows[id.0].take().expect("it has just been rendered");
        let mut rows = self.counted(rows, meter.records_out(id));
        if self.readers[id.0] != 1 {
            rows = rows.realize().into();
        }
        self.flows[id.0] = Some(rows);
        meter.note(id, first..self.scope.worker().peek_identifier());
        Ok(())
    }

    fn render_late(
        &mut self,
        id: NodeId,
        arrivals: &[Stream<'scope, Time, Vec<Arrival>>],
        fed_back: Option<&Deltas<'scope>>,
    ) -> Result<(), RenderError> {
        let Op::Input(input) = &self.plan.nodes[id.0].op else {
            return self.render_node(id, arrivals);
        };
        let decoded = input::append(arrivals[*input].clone(), self.arrived(id));
        let decoded = self.rows(decoded);
        let found = fed_back.map(|found| found.clone().into());
        let all = [decoded].into_iter().chain(found).collect();
        let rows = self.rows(map::union(all, self.plan.nodes[id.0].schema.clone()));
        self.flows[id.0] = Some(match self.most_rejects {
            Some(limit) => {
                let newest = newest::newest(rows.realize(), self.share(limit))?;
                self.rows(newest)
            }
            None => rows,
        });
        Ok(())
    }

    /// This worker's share of how many rejects of an input are kept.
    fn share(&self, limit: usize) -> usize {
        limit.div_ceil(self.peers).max(1)
    }

    /// Counts the rows that arrive at a node from outside.
    fn arrived(&self, id: NodeId) -> Option<Tally> {
        self.meter.map(|meter| meter.arrived(id))
    }

    fn render_node(
        &mut self,
        id: NodeId,
        arrivals: &[Stream<'scope, Time, Vec<Arrival>>],
    ) -> Result<(), RenderError> {
        let plan = self.plan;
        let node = &plan.nodes[id.0];
        let views = node.views.clone();
        let rows = match &node.op {
            Op::Input(at) if plan.inputs[*at].relation == Relation::Clock => {
                let ticks = clock::ticks(arrivals[*at].clone(), self.peers);
                self.clock = Some(ticks.clone());
                self.rows(clock::relation(ticks, self.worker))
            }
            Op::Input(at) => {
                let source = &plan.inputs[*at];
                let identity = match source.relation {
                    Relation::Table(table) => {
                        input::Identity::of(&plan.script.tables[table], &source.columns)
                    }
                    Relation::Kept(_) | Relation::Rejects | Relation::Blocks | Relation::Clock => {
                        None
                    }
                };
                let meters = (self.arrived(id), self.held());
                let schema = source.schema.clone();
                let arrivals = arrivals[*at].clone();
                let rows = input::render(arrivals, identity, schema, self.peers, meters)?;
                self.rows(rows)
            }
            Op::Constant(rows) => self.constant(&rows.0).into(),
            Op::Map { input, steps } => {
                let mapped = map::map(self.flow(*input), steps.clone(), views);
                self.rows(mapped)
            }
            Op::Unnest {
                input,
                columns,
                keep_empty,
            } => {
                let (columns, schema) = (columns.clone(), node.schema.clone());
                let rows = map::unnest(self.flow(*input), columns, *keep_empty, schema);
                self.rows(rows)
            }
            Op::Reduce {
                input,
                keys,
                aggregates,
            } => reduce::reduce(self, *input, keys, aggregates, id)?,
            Op::Join {
                left,
                right,
                left_keys,
                right_keys,
                null_equal,
                residual,
            } => {
                let sides = [(*left, left_keys), (*right, right_keys)];
                self.join(id, sides, *null_equal, residual.as_ref())?
            }
            Op::TopK {
                input,
                partition,
                order,
                skip,
                limit,
                number,
            } => {
                let window = (*skip, *limit, *number);
                self.top_k(id, *input, partition, order, window)?
            }
            Op::Window { .. } => window::render(self, id)?,
            Op::AsOf { .. } => self.as_of(id)?,
            Op::Work { .. } => unreachable!("what has been found is part of a recursion"),
            Op::Recursive { .. } => recursion::render(self, id)?,
            Op::Temporal { input, bounds, .. } => {
                let clock = self.clock.clone().expect("the clock is rendered first");
                let (bounds, schema) = (bounds.clone(), node.schema.clone());
                let (rows, held) = (self.flow(*input), self.held());
                let rows = temporal::stand([rows, clock.into()], bounds, schema, views, held)?;
                self.rows(rows)
            }
            Op::Union { inputs } => {
                let inputs: Vec<_> = inputs.iter().map(|input| self.flow(*input)).collect();
                self.rows(map::union(inputs, node.schema.clone()))
            }
            Op::Negate { input } => {
                let rows = map::negate(self.flow(*input));
                self.rows(rows)
            }
        };
        self.flows[id.0] = Some(rows);
        Ok(())
    }

    /// Rows that are there from the least time on, given out by the first worker.
    fn constant(&mut self, rows: &arrow::array::RecordBatch) -> Deltas<'scope> {
        use timely::dataflow::operators::ToStream;
        let mine = (self.worker == 0 && rows.num_rows() > 0)
            .then(|| vec![Delta::insert(rows.clone(), Time::MIN)]);
        mine.into_iter()
            .flatten()
            .to_stream(self.scope)
            .container::<Vec<Delta>>()
    }

    fn join(
        &mut self,
        id: NodeId,
        sides: [(NodeId, &Vec<Arc<dyn PhysicalExpr>>); 2],
        null_equal: bool,
        residual: Option<&Arc<dyn PhysicalExpr>>,
    ) -> Result<Flow<'scope>, RenderError> {
        let [left, right] = sides;
        let left = self.arranged(left.0, left.1, null_equal)?;
        let right = self.arranged(right.0, right.1, null_equal)?;
        let node = &self.plan.nodes[id.0];
        let codecs = join::Sides {
            left: left.arrangement.value_codec(&left.schema)?,
            right: right.arrangement.value_codec(&right.schema)?,
            schema: node.schema.clone(),
        };
        let tap = Tap::default();
        let joined = join::join(left.arranged, right.arranged, codecs, Tap::clone(&tap));
        let Some(residual) = residual else {
            return Ok(Flow::tapped(joined, tap));
        };
        let filter = vec![Step::Filter(Arc::clone(residual))];
        Ok(self.rows(map::map(joined, filter, node.views.clone())))
    }

    /// A node's whole rows by a key; made once.
    fn arranged(
        &mut self,
        node: NodeId,
        keys: &[Arc<dyn PhysicalExpr>],
        null_keys: bool,
    ) -> Result<KeyedRows<'scope>, RenderError> {
        let name = (node, keys.to_vec(), null_keys);
        if let Some(arranged) = self.arrangements.get(&name) {
            return Ok(arranged.clone());
        }
        let source = &self.plan.nodes[node.0];
        let width = source.schema.fields().len();
        let mut columns = Columns::all_of(source.schema.clone());
        let key: Vec<usize> = keys
            .iter()
            .map(|key| columns.add(key))
            .collect::<Result<_, _>>()?;
        let (step, schema) = columns.finish();
        let mut rows = self.flow(node);
        if let Some(step) = step {
            rows = self.rows(map::map(rows, vec![step], source.views.clone()));
        }
        let arrangement = Arrangement::of_rows(key, width, null_keys);
        let arranged = arrange::arrange(rows, &schema, &arrangement, self.peers)?;
        let rows = KeyedRows {
            arranged,
            arrangement,
            schema,
        };
        self.arrangements.insert(name, rows.clone());
        Ok(rows)
    }

    fn top_k(
        &mut self,
        id: NodeId,
        input: NodeId,
        partition: &[Arc<dyn PhysicalExpr>],
        order: &[SortKey],
        (skip, limit, number): (usize, Option<usize>, bool),
    ) -> Result<Flow<'scope>, RenderError> {
        let source = &self.plan.nodes[input.0];
        let width = source.schema.fields().len();
        let mut columns = Columns::all_of(source.schema.clone());
        let key: Vec<usize> = partition
            .iter()
            .map(|key| columns.add(key))
            .collect::<Result<_, _>>()?;
        let mut value = Vec::new();
        for sort in order {
            value.push((columns.add(&sort.expr)?, sort.options.into()));
        }
        // What neither the key nor the order holds comes after it, and makes the order total.
        for column in 0..width {
            if !key.contains(&column) && value.iter().all(|(other, _)| *other != column) {
                value.push((column, arrange::Order::default()));
            }
        }
        let mut answer: Vec<topk::From> = Vec::with_capacity(width + 1);
        for column in 0..width {
            let in_key = key
                .iter()
                .position(|other| *other == column)
                .map(topk::From::Key);
            let in_value = value.iter().position(|(other, _)| *other == column);
            answer.extend(in_key.or(in_value.map(topk::From::Value)));
        }
        if number {
            answer.push(topk::From::Number);
        }
        let (step, schema) = columns.finish();
        let node = &self.plan.nodes[id.0];
        let mut rows = self.flow(input);
        if let Some(step) = step {
            rows = self.rows(map::map(rows, vec![step], node.views.clone()));
        }
        let arrangement = Arrangement {
            key,
            value,
            null_keys: true,
        };
        let arranged = arrange::arrange(rows, &schema, &arrangement, self.peers)?;
        let first = topk::First {
            skip: skip as u64,
            limit: limit.map_or(u64::MAX, |limit| limit as u64),
            columns: answer,
            schema: node.schema.clone(),
            key_codec: arrangement.key_codec(&schema)?,
            value_codec: arrangement.value_codec(&schema)?,
        };
        Ok(self.rows(topk::first(arranged, first)))
    }
}
