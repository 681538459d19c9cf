//! Recursion: rows are found from rows found before, round by round, until no new ones are.
//!
//! The deltas of the start and of all that the recursive part reads from outside flow in; what is
//! found flows out, an epoch at a time. In between lies a scope whose times are an epoch and a round,
//! in which differential keeps every round's answer: a row that goes takes with it what was found
//! through it, and nothing else is computed anew. Rows travel there encoded and one by one.
//!
//! A recursion that finds more in every round is cut off after [`MOST_ROUNDS`]; the rows that would
//! go on are rejects.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use differential_dataflow::operators::iterate::Variable;
use differential_dataflow::{AsCollection, VecCollection};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::order::Product;

use super::epoch::{Timed, per_epoch};
use super::flow::Flow;
use super::map::{apply_steps, batch, evaluate, reason};
use super::{Builder, Deltas, RenderError, reject};
use crate::delta::{Delta, Diff, Time};
use crate::plan::{LoopNode, LoopOp, NodeId, Op, Step};
use crate::row::RowCodec;

/// After how many rounds a recursion is cut off.
const MOST_ROUNDS: u64 = 1_000;

/// An epoch and a round.
type Round = Product<Time, u64>;
/// An encoded row.
type Row = Vec<u8>;
/// A row, or what is told of one: the reason and the row as text.
type Found<D> = Result<D, (String, String)>;
/// Rows within the recursion.
type Inside<'inner, D> = VecCollection<'inner, Round, D, Diff>;
/// Rows outside, one by one.
type Single<D> = (D, Time, Diff);

impl<D> Timed for Single<D> {
    fn time(&self) -> Time {
        self.1
    }
}

/// Renders the node of a recursion.
pub(super) fn render<'scope>(
    builder: &mut Builder<'scope, '_>,
    id: NodeId,
) -> Result<Flow<'scope>, RenderError> {
    let plan = builder.plan;
    let node = &plan.nodes[id.0];
    let Op::Recursive {
        start,
        outer,
        body,
        distinct,
    } = &node.op
    else {
        unreachable!("only recursions are rendered here");
    };
    let (distinct, schema, views) = (*distinct, node.schema.clone(), node.views.clone());
    let scope = builder.scope;
    let start = builder.stream(*start);
    let outer = outer.iter().map(|node| {
        let rows = builder.stream(*node);
        (rows, plan.nodes[node.0].schema.clone())
    });
    let outer: Vec<_> = outer.collect();
    let body = body.iter().cloned();
    let codec = Arc::new(RowCodec::for_fields(schema.fields())?);
    let body: Vec<Node> = body.map(Node::new).collect::<Result<_, _>>()?;
    let start = single(start, Arc::clone(&codec)).as_collection();
    let mut from_outside = Vec::with_capacity(outer.len());
    for (rows, schema) in outer {
        let codec = Arc::new(RowCodec::for_fields(schema.fields())?);
        from_outside.push(single(rows, codec).as_collection());
    }
    let whole = Format {
        schema: Arc::clone(&schema),
        codec: Arc::clone(&codec),
    };
    let (found, told) = scope.scoped::<Round, _, _>("Recursion", |inner| {
        let (variable, found) = Variable::new(inner, Product::new(Default::default(), 1));
        let mut inside = Rounds {
            told: Vec::new(),
            nodes: Vec::new(),
        };
        for node in &body {
            let rows = match &node.op {
                LoopOp::Found => found.clone(),
                LoopOp::Outer(at) => from_outside[*at].clone().enter(inner),
                LoopOp::Node(op) => inside.node(op, node, &body),
            };
            inside.nodes.push(rows);
        }
        let Rounds { mut told, nodes } = inside;
        let step = nodes.into_iter().next_back();
        let step = step.expect("a recursion has a body");
        let all = start.enter(inner).concat(step);
        let all = match distinct {
            true => all.distinct_core::<Diff>(),
            false => all.consolidate(),
        };
        let within = sort_out(cut(all.clone(), whole.clone()), &mut told);
        variable.set(within);
        let told = differential_dataflow::collection::concatenate(inner, told);
        (all.leave(scope), told.leave(scope))
    });
    let rows = per_epoch(
        found.inner,
        Pipeline,
        "Found",
        false,
        move |time, rows, outcomes| {
            let (rows, diffs) = added_up(rows);
            if !diffs.is_empty() {
                outcomes.push(Ok(Delta::new(whole.decode(rows.iter()), diffs, time)));
            }
        },
    );
    let rejects = per_epoch(
        told.inner,
        Pipeline,
        "Told",
        false,
        move |time, told, outcomes| {
            let (told, diffs) = added_up(told);
            let rows = told.into_iter().zip(diffs);
            let rows: Vec<_> = rows
                .map(|((reason, row), diff)| (reason, row, diff))
                .collect();
            if !rows.is_empty() {
                outcomes.push(Err(reject::of_rows(&views, &rows, time)));
            }
        },
    );
    let all = [builder.rows(rows), builder.rows(rejects)];
    Ok(Flow::together(all.into()))
}

/// Adds up the diffs of equal data.
fn added_up<D: Ord>(singles: Vec<Single<D>>) -> (Vec<D>, Vec<Diff>) {
    let mut sums: Vec<(D, Diff)> = singles.into_iter().map(|(d, _, diff)| (d, diff)).collect();
    differential_dataflow::consolidation::consolidate(&mut sums);
    sums.into_iter().unzip()
}

/// How the rows of a node are encoded.
#[derive(Clone)]
struct Format {
    schema: SchemaRef,
    codec: Arc<RowCodec>,
}

impl Format {
    fn decode<'a>(&'a self, rows: impl ExactSizeIterator<Item = &'a Row>) -> RecordBatch {
        let count = rows.len();
        let columns = self.codec.decode(rows.map(Vec::as_slice));
        let columns = columns.expect("rows are of the codec's making");
        batch(&self.schema, columns, count).expect("rows are of the schema's types")
    }

    fn encode(&self, rows: &RecordBatch) -> Vec<Row> {
        let encoded = self.codec.encode(rows.columns(), rows.num_rows());
        let encoded = encoded.expect("the batch fits its schema");
        encoded.iter().map(<[u8]>::to_vec).collect()
    }
}

/// A node of the body, with what reads and writes its rows.
struct Node {
    op: LoopOp,
    format: Format,
}

impl Node {
    fn new(node: LoopNode) -> Result<Node, RenderError> {
        // Whatever is found, any column may hold nulls.
        let fields = node.schema.fields().iter();
        let fields = fields.map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let codec = Arc::new(RowCodec::for_fields(schema.fields())?);
        Ok(Node {
            op: node.op,
            format: Format { schema, codec },
        })
    }
}

/// The body on its way to a dataflow.
struct Rounds<'inner> {
    told: Vec<Inside<'inner, (String, String)>>,
    nodes: Vec<Inside<'inner, Row>>,
}

impl<'inner> Rounds<'inner> {
    fn node(&mut self, op: &Op, node: &Node, body: &[Node]) -> Inside<'inner, Row> {
        let rows = |at: &NodeId| self.nodes[at.0].clone();
        match op {
            Op::Map { input, steps } => {
                let (from, to) = (body[input.0].format.clone(), node.format.clone());
                let steps = nullable(steps);
                let mapped =
                    each_batch(rows(input), "Map", move |rows: &[(Row, Round, Diff)]| {
                        let decoded = from.decode(rows.iter().map(|(row, ..)| row));
                        stepped(&steps, &decoded, &to)
                    });
                sort_out(mapped, &mut self.told)
            }
            Op::Union { inputs } => {
                let all: Vec<_> = inputs.iter().map(rows).collect();
                let scope = self.nodes[0].scope();
                differential_dataflow::collection::concatenate(scope, all)
            }
            Op::Reduce { input, keys, .. } => {
                let (from, to) = (body[input.0].format.clone(), node.format.clone());
                let step = Step::Project {
                    exprs: keys.clone(),
                    schema: Arc::clone(&to.schema),
                };
                let keys = each_batch(rows(input), "Keys", move |rows: &[(Row, Round, Diff)]| {
                    let decoded = from.decode(rows.iter().map(|(row, ..)| row));
                    stepped(std::slice::from_ref(&step), &decoded, &to)
                });
                sort_out(keys, &mut self.told).distinct_core::<Diff>()
            }
            Op::Join {
                left,
                right,
                left_keys,
                right_keys,
                null_equal,
                residual,
            } => {
                let formats = [body[left.0].format.clone(), body[right.0].format.clone()];
                let sides = [(rows(left), left_keys), (rows(right), right_keys)];
                let [left, right] = sides;
                let left = self.keyed(left.0, left.1, formats[0].clone(), *null_equal);
                let right = self.keyed(right.0, right.1, formats[1].clone(), *null_equal);
                let pairs = left.join_map(right, |_key, left, right| (left.clone(), right.clone()));
                let steps: Vec<Step> = residual.iter().cloned().map(Step::Filter).collect();
                let to = node.format.clone();
                let joined = each_batch(
                    pairs,
                    "Pairs",
                    move |pairs: &[((Row, Row), Round, Diff)]| {
                        let left = formats[0].decode(pairs.iter().map(|((left, _), ..)| left));
                        let right = formats[1].decode(pairs.iter().map(|((_, right), ..)| right));
                        let columns = left.columns().iter().chain(right.columns());
                        let joined = batch(&to.schema, columns.cloned().collect(), pairs.len());
                        stepped(&steps, &joined.expect("the columns of both sides"), &to)
                    },
                );
                sort_out(joined, &mut self.told)
            }
            _ => unreachable!("the plan lets no other node into a recursion"),
        }
    }

    /// Rows by the values of some expressions.
    fn keyed(
        &mut self,
        rows: Inside<'inner, Row>,
        keys: &[Arc<dyn PhysicalExpr>],
        format: Format,
        null_keys: bool,
    ) -> Inside<'inner, (Row, Row)> {
        let keys = keys.to_vec();
        let keyed = each_batch(rows, "Key", move |rows: &[(Row, Round, Diff)]| {
            let decoded = format.decode(rows.iter().map(|(row, ..)| row));
            keys_of(&keys, &decoded, null_keys)
                .into_iter()
                .map(|(at, key)| (at, key.map(|key| (key, rows[at].0.clone()))))
                .collect()
        });
        sort_out(keyed, &mut self.told)
    }
}

/// The same steps, where any column may hold nulls.
fn nullable(steps: &[Step]) -> Vec<Step> {
    let step = |step: &Step| match step {
        Step::Filter(predicate) => Step::Filter(Arc::clone(predicate)),
        Step::Project { exprs, schema } => {
            let fields = schema.fields().iter();
            let fields = fields.map(|field| field.as_ref().clone().with_nullable(true));
            Step::Project {
                exprs: exprs.clone(),
                schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            }
        }
    };
    steps.iter().map(step).collect()
}

/// What comes of each row, by its position, encoded.
fn stepped(steps: &[Step], rows: &RecordBatch, to: &Format) -> Vec<(usize, Found<Row>)> {
    // Diffs follow their rows through filters, so they can say which rows are left.
    let numbered = |rows: RecordBatch, first: usize| {
        let numbers = (first..first + rows.num_rows()).map(|row| Diff::try_from(row).unwrap_or(0));
        Delta {
            batch: rows,
            diffs: Some(numbers.collect()),
            time: Time::MIN,
        }
    };
    let outcome = |left: Delta| {
        let rows = to.encode(&left.batch).into_iter().enumerate();
        let number = |at: usize| usize::try_from(left.diff(at)).unwrap_or(0);
        rows.map(|(at, row)| (number(at), Ok(row)))
            .collect::<Vec<_>>()
    };
    if let Ok(left) = apply_steps(steps, &numbered(rows.clone(), 0)) {
        return outcome(left);
    }
    let mut all = Vec::new();
    for row in 0..rows.num_rows() {
        match apply_steps(steps, &numbered(rows.slice(row, 1), row)) {
            Ok(left) => all.extend(outcome(left)),
            Err(error) => all.push((row, Err((reason(&error), reject::describe(rows, row))))),
        }
    }
    all
}

/// The encoded keys of rows, by position; none for rows with a null in their key, unless they count.
fn keys_of(
    keys: &[Arc<dyn PhysicalExpr>],
    rows: &RecordBatch,
    null_keys: bool,
) -> Vec<(usize, Found<Row>)> {
    let encode = |columns: &[ArrayRef], count: usize| -> Vec<Option<Row>> {
        let types: Vec<_> = columns.iter().map(|column| column.data_type()).collect();
        let codec = RowCodec::new(types).expect("a key of these types was planned");
        let rows = codec
            .encode(columns, count)
            .expect("columns of their own types");
        let has_null = |row: usize| columns.iter().any(|column| column.is_null(row));
        let rows = rows.iter().enumerate();
        rows.map(|(at, row)| (null_keys || !has_null(at)).then(|| row.to_vec()))
            .collect()
    };
    let found = |at: usize, key: Option<Row>| key.map(|key| (at, Ok(key)));
    if let Ok(columns) = evaluate(keys, rows) {
        let keys = encode(&columns, rows.num_rows()).into_iter().enumerate();
        return keys.filter_map(|(at, key)| found(at, key)).collect();
    }
    let mut all = Vec::new();
    for row in 0..rows.num_rows() {
        match evaluate(keys, &rows.slice(row, 1)) {
            Ok(columns) => all.extend(found(row, encode(&columns, 1).into_iter().flatten().next())),
            Err(error) => all.push((row, Err((reason(&error), reject::describe(rows, row))))),
        }
    }
    all
}

/// The rows of deltas one by one.
fn single<'scope>(
    rows: Deltas<'scope>,
    codec: Arc<RowCodec>,
) -> Stream<'scope, Time, Vec<Single<Row>>> {
    rows.unary::<CapacityContainerBuilder<Vec<Single<Row>>>, _, _, _>(
        Pipeline,
        "Single",
        move |_capability, _info| {
            move |input, output| {
                input.for_each(|capability, deltas| {
                    let mut session = output.session(&capability);
                    for delta in deltas.drain(..) {
                        let rows = codec.encode(delta.batch.columns(), delta.len());
                        let rows = rows.expect("the batch fits its schema");
                        let rows = rows.iter().enumerate();
                        session.give_iterator(
                            rows.map(|(at, row)| (row.to_vec(), delta.time, delta.diff(at))),
                        );
                    }
                });
            }
        },
    )
}

/// Applies `logic` to what comes together; it says what comes of which datum, by its position.
fn each_batch<'inner, A, B, L>(
    rows: Inside<'inner, A>,
    name: &str,
    mut logic: L,
) -> Inside<'inner, Found<B>>
where
    A: Clone + 'static,
    B: Clone + 'static,
    L: FnMut(&[(A, Round, Diff)]) -> Vec<(usize, Found<B>)> + 'static,
{
    let stream = rows.inner;
    stream
        .unary::<CapacityContainerBuilder<Vec<(Found<B>, Round, Diff)>>, _, _, _>(
            Pipeline,
            name,
            move |_capability, _info| {
                move |input, output| {
                    input.for_each(|capability, data| {
                        let found = logic(data).into_iter();
                        let found = found.map(|(at, found)| (found, data[at].1, data[at].2));
                        output.session(&capability).give_iterator(found);
                    });
                }
            },
        )
        .as_collection()
}

/// The rows that go on; what is told of the others is put aside.
fn sort_out<'inner, D: Clone + 'static>(
    found: Inside<'inner, Found<D>>,
    told: &mut Vec<Inside<'inner, (String, String)>>,
) -> Inside<'inner, D> {
    told.push(found.clone().flat_map(|found| found.err()));
    found.flat_map(|found| found.ok())
}

/// Lets rows go on for so many rounds and no more.
fn cut<'inner>(rows: Inside<'inner, Row>, format: Format) -> Inside<'inner, Found<Row>> {
    each_batch(rows, "Cut", move |rows: &[(Row, Round, Diff)]| {
        let rows = rows.iter().enumerate();
        rows.map(|(at, (row, round, _))| {
            if round.inner < MOST_ROUNDS {
                return (at, Ok(row.clone()));
            }
            let reason = format!("the recursion goes on for more than {MOST_ROUNDS} rounds");
            let shown = format.decode([row].into_iter());
            (at, Err((reason, reject::describe(&shown, 0))))
        })
        .collect()
    })
}
