//! A plan becomes a dataflow: every node an operator or a few, on every worker alike.
//!
//! A [`Plan`] and a timely scope flow in; input handles and, for each view, its
//! changes by epoch flow out. Streams carry [`Delta`]s; rows cross workers only where something is
//! arranged or grouped by key. Rows that an expression fails on leave their operator as rejects
//! beside the data. An arrangement of a node by a key is made once, whoever asks for it.
//!
//! Nodes that read `tillrace.rejects` are rendered after all others, so that they see every reject
//! but those that they make themselves; these are only shown.

pub mod accumulate;
mod arrange;
mod changes;
mod claims;
mod collate;
mod columns;
mod epoch;
mod extremum;
mod frame;
mod general;
mod group;
mod input;
mod join;
mod keys;
mod map;
mod meter;
mod partial;
mod reduce;
pub mod reject;
mod sieve;
mod texts;
mod topk;
mod window;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::core::OkErr;
use timely::dataflow::operators::{Concatenate, Input as _};
use timely::dataflow::{InputHandle, Scope, Stream};

pub use input::Arrival;
pub(crate) use meter::{Meter, NodeCounts};

use crate::delta::{Delta, Time};
use crate::plan::{NodeId, Op, Plan, Relation, SortKey, Step};
use arrange::{ArrangedRows, Arrangement};
use columns::Columns;
use meter::Held;

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

/// Rows that go on, or rows of rejects.
type Outcome = Result<Delta, Delta>;
/// A stream of either.
type Outcomes<'scope> = Stream<'scope, Time, Vec<Outcome>>;
/// A stream of changes to a node's rows.
pub(crate) type Deltas<'scope> = Stream<'scope, Time, Vec<Delta>>;

/// Where the engine puts the rows of an input.
pub(crate) type ArrivalHandle = InputHandle<Time, CapacityContainerBuilder<Vec<Arrival>>>;

/// What a rendered plan is driven and read by.
pub(crate) struct Rendered<'scope> {
    /// One handle an input of the plan, in order; the rejects' handle takes what decoding rejects.
    pub(crate) inputs: Vec<ArrivalHandle>,
    /// The changes of each output's rows, in order.
    pub(crate) outputs: Vec<Deltas<'scope>>,
}

/// Renders a plan. `only_added` says that no input ever takes rows back one by one; a meter counts
/// what nodes do.
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
    meter: Option<&Meter>,
) -> Result<Rendered<'scope>, RenderError> {
    let mut builder = Builder {
        scope,
        plan,
        worker,
        peers,
        meter,
        rendering: NodeId(0),
        only_added: Vec::new(),
        streams: vec![None; plan.nodes.len()],
        arrangements: HashMap::new(),
        rejects: Vec::new(),
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
    for (node, _) in late.iter().enumerate().filter(|(_, late)| **late) {
        builder.render_metered(NodeId(node), |builder, id| {
            builder.render_late(id, &arrivals, &found)
        })?;
    }
    let outputs = plan
        .outputs
        .iter()
        .map(|output| builder.output(output.node))
        .collect();
    Ok(Rendered { inputs, outputs })
}

/// A plan on its way to a dataflow.
struct Builder<'scope, 'plan> {
    scope: Scope<'scope, Time>,
    plan: &'plan Plan,
    worker: usize,
    peers: usize,
    meter: Option<&'plan Meter>,
    /// The node that is being rendered.
    rendering: NodeId,
    /// By node: whether none of its rows is ever taken back.
    only_added: Vec<bool>,
    streams: Vec<Option<Deltas<'scope>>>,
    arrangements: HashMap<ArrangementOf, KeyedRows<'scope>>,
    rejects: Vec<Deltas<'scope>>,
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

    /// The rows of a node that has been rendered.
    fn stream(&self, node: NodeId) -> Deltas<'scope> {
        self.streams[node.0]
            .clone()
            .expect("a node comes after what it reads")
    }

    /// The rows that go on; the rejects are put aside.
    fn outcomes(&mut self, outcomes: Outcomes<'scope>) -> Deltas<'scope> {
        let (rows, rejects) = outcomes.ok_err(|outcome| outcome);
        self.rejects.push(rejects);
        rows
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
        let rows = self.stream(id);
        let counted = meter.count(id, rows, Delta::len, |counts| &counts.records_out);
        self.streams[id.0] = Some(counted);
        meter.note(id, first..self.scope.worker().peek_identifier());
        Ok(())
    }

    fn render_late(
        &mut self,
        id: NodeId,
        arrivals: &[Stream<'scope, Time, Vec<Arrival>>],
        found: &[Deltas<'scope>],
    ) -> Result<(), RenderError> {
        if let Op::Input(input) = &self.plan.nodes[id.0].op {
            let decoded = input::append(arrivals[*input].clone());
            let decoded = decoded
                .ok_err::<Vec<Delta>, _, Vec<Delta>, _, _>(|outcome| outcome)
                .0;
            let all = found.iter().cloned().chain([decoded]);
            self.streams[id.0] = Some(self.scope.concatenate(all));
            return Ok(());
        }
        self.render_node(id, arrivals)
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
            Op::Input(at) => {
                let source = &plan.inputs[*at];
                let identity = match source.relation {
                    Relation::Table(table) => {
                        input::Identity::of(&plan.script.tables[table], &source.columns)
                    }
                    Relation::Rejects | Relation::Blocks => None,
                };
                let mut arrivals = arrivals[*at].clone();
                if let Some(meter) = self.meter {
                    let rows = |arrival: &Arrival| arrival.batch.num_rows();
                    arrivals = meter.count(id, arrivals, rows, |counts| &counts.arrived);
                }
                let held = self.held();
                let schema = source.schema.clone();
                let rows = input::render(arrivals, identity, schema, self.peers, held)?;
                self.outcomes(rows)
            }
            Op::Constant(rows) => self.constant(&rows.0),
            Op::Map { input, steps } => {
                let mapped = map::map(self.stream(*input), steps.clone(), views);
                self.outcomes(mapped)
            }
            Op::Unnest {
                input,
                columns,
                keep_empty,
            } => {
                let (columns, schema) = (columns.clone(), node.schema.clone());
                let rows = map::unnest(self.stream(*input), columns, *keep_empty, schema);
                self.outcomes(rows)
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
            Op::Union { inputs } => {
                let inputs: Vec<_> = inputs.iter().map(|input| self.stream(*input)).collect();
                let rows = self.scope.concatenate(inputs);
                let rows = map::relabel(rows, node.schema.clone());
                self.outcomes(rows)
            }
            Op::Negate { input } => {
                let rows = map::negate(self.stream(*input));
                self.outcomes(rows)
            }
        };
        self.streams[id.0] = Some(rows);
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
    ) -> Result<Deltas<'scope>, RenderError> {
        let [left, right] = sides;
        let left = self.arranged(left.0, left.1, null_equal)?;
        let right = self.arranged(right.0, right.1, null_equal)?;
        let node = &self.plan.nodes[id.0];
        let codecs = join::Sides {
            left: left.arrangement.value_codec(&left.schema)?,
            right: right.arrangement.value_codec(&right.schema)?,
            schema: node.schema.clone(),
        };
        let joined = join::join(left.arranged, right.arranged, codecs);
        let Some(residual) = residual else {
            return Ok(joined);
        };
        let filter = vec![Step::Filter(Arc::clone(residual))];
        Ok(self.outcomes(map::map(joined, filter, node.views.clone())))
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
        let mut stream = self.stream(node);
        if let Some(step) = step {
            stream = self.outcomes(map::map(stream, vec![step], source.views.clone()));
        }
        let arrangement = Arrangement::of_rows(key, width, null_keys);
        let arranged = arrange::arrange(stream, &schema, &arrangement, self.peers)?;
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
    ) -> Result<Deltas<'scope>, RenderError> {
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
        let mut stream = self.stream(input);
        if let Some(step) = step {
            stream = self.outcomes(map::map(stream, vec![step], node.views.clone()));
        }
        let arrangement = Arrangement {
            key,
            value,
            null_keys: true,
        };
        let arranged = arrange::arrange(stream, &schema, &arrangement, self.peers)?;
        let first = topk::First {
            skip: skip as u64,
            limit: limit.map_or(u64::MAX, |limit| limit as u64),
            columns: answer,
            schema: node.schema.clone(),
            key_codec: arrangement.key_codec(&schema)?,
            value_codec: arrangement.value_codec(&schema)?,
        };
        Ok(self.outcomes(topk::first(arranged, first)))
    }

    /// The rows of an output's node; the rejects' output also has those of the late nodes.
    fn output(&mut self, node: NodeId) -> Deltas<'scope> {
        let rows = self.stream(node);
        let is_rejects = matches!(
            &self.plan.nodes[node.0].op,
            Op::Input(input) if self.plan.inputs[*input].relation == Relation::Rejects
        );
        if !is_rejects {
            return rows;
        }
        let late = std::mem::take(&mut self.rejects);
        self.scope.concatenate(late.into_iter().chain([rows]))
    }
}
