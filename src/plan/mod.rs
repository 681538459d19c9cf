//! How it is computed: a script's views as one graph of incremental nodes.
//!
//! A [`Script`] flows in; DataFusion's analyser and optimiser type and
//! simplify each view's query, and what they yield is lowered to the few [`Op`]s that `render`
//! knows how to keep up to date. Equal nodes are made once: views that share a sub-query share its
//! node. What cannot be kept incrementally is refused here, with its position.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_expr::PhysicalExpr;

use crate::script::{Script, View};

mod aggregate;
mod asof;
mod building;
mod check;
mod clock;
mod correlated;
mod cte;
mod domain;
mod eager;
pub mod explain;
mod first;
mod functions;
mod graph;
mod grouping;
mod join;
mod lateral;
mod limit;
mod lower;
mod nameless;
mod numbering;
mod program;
mod purpose;
mod recursion;
mod reference;
mod refuse;
mod rules;
mod session;
mod sets;
mod state;
mod subquery;
mod temporal;
mod text;
mod tidy;
mod unnest;
mod window;

pub use clock::{clock_at, clock_reading, clock_second};
pub use program::{plan, plan_for, references};
pub use purpose::{Kept, Purpose};
pub use session::{
    batch_context, blocks_schema, define_views, for_batch, query_plan, register_functions,
    rejects_schema, set_clock,
};
pub use state::{Class, State, class, state};
pub use window::{RankLimit, WindowCall};

impl Plan {
    /// The names of the tables that a node reads, however far behind, in the order of the script.
    pub fn tables_of(&self, node: NodeId) -> Vec<String> {
        let mut is_read = vec![false; node.0 + 1];
        is_read[node.0] = true;
        let mut tables = Vec::new();
        for at in (0..=node.0).rev() {
            if !is_read[at] {
                continue;
            }
            let op = &self.nodes[at].op;
            op.inputs().iter().for_each(|read| is_read[read.0] = true);
            if let Op::Input(input) = op
                && let Relation::Table(table) | Relation::Kept(table) = self.inputs[*input].relation
            {
                tables.push(table);
            }
        }
        tables.sort_unstable();
        let name = |table: usize| self.script.tables[table].name.clone();
        tables.into_iter().map(name).collect()
    }
}

/// A position in [`Plan::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// Everything that is computed, as a graph: each node reads only nodes before it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The script that it was made from.
    pub script: Arc<Script>,
    /// The tables that some view reads, with the columns needed of each.
    pub inputs: Vec<Input>,
    /// The nodes, each after what it reads.
    pub nodes: Vec<Node>,
    /// The views whose answers are kept.
    pub outputs: Vec<Output>,
}

/// A table as far as the views need it.
#[derive(Debug, Clone)]
pub struct Input {
    /// Which relation it is.
    pub relation: Relation,
    /// The needed columns, as ascending positions in the table's schema. Columns that make up the
    /// primary key, the dedup id and the event time are always among them.
    pub columns: Vec<usize>,
    /// The schema of those columns.
    pub schema: SchemaRef,
}

/// What an input reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// A table, as a position in [`Script::tables`].
    Table(usize),
    /// What another plan keeps, which the script has as the table at this position.
    Kept(usize),
    /// `tillrace.rejects`.
    Rejects,
    /// The counts that add up to `tillrace.inputs`, a row a block read.
    Blocks,
    /// `tillrace.clock`: what the engine's clock shows.
    Clock,
}

/// One step of the computation.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// The schema of its rows.
    pub schema: SchemaRef,
    /// Whether its rows are only ever added, never taken back.
    pub append_only: bool,
    /// The views that asked for it, for messages and `explain`.
    pub views: Vec<String>,
}

/// What a node does. Expressions refer to the input's columns by position.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Op {
    /// The rows of an input, as a position in [`Plan::inputs`].
    Input(usize),
    /// Rows that never change.
    Constant(ConstantRows),
    /// Row by row: filters and projections, one after the other. State: none.
    Map {
        /// What it reads.
        input: NodeId,
        /// The steps; each sees the columns that the one before it left.
        steps: Vec<Step>,
    },
    /// One row per element of a list column, which the element replaces. A null or empty list
    /// yields one row with a null if `keep_empty`, otherwise none. State: none.
    Unnest {
        /// What it reads.
        input: NodeId,
        /// The list columns; several are unnested side by side, padded with nulls.
        columns: Vec<usize>,
        /// Whether a row without elements is kept.
        keep_empty: bool,
    },
    /// One row a group: the keys, then the aggregates. Without keys exactly one row, always.
    /// Without aggregates this is DISTINCT.
    Reduce {
        /// What it reads.
        input: NodeId,
        /// The group's columns.
        keys: Vec<Arc<dyn PhysicalExpr>>,
        /// The answers for a group.
        aggregates: Vec<Aggregate>,
    },
    /// Pairs of rows with equal keys: the left columns, then the right ones. A null key matches
    /// nothing unless `null_equal`. Without keys, every pair.
    Join {
        /// The left side.
        left: NodeId,
        /// The right side.
        right: NodeId,
        /// Key expressions over the left side's columns.
        left_keys: Vec<Arc<dyn PhysicalExpr>>,
        /// Key expressions over the right side's columns, of the same types.
        right_keys: Vec<Arc<dyn PhysicalExpr>>,
        /// Whether nulls match nulls.
        null_equal: bool,
        /// A predicate over the joined columns that a pair must meet as well.
        residual: Option<Arc<dyn PhysicalExpr>>,
    },
    /// The first rows of each group by an order; equal rows count one by one, and rows that the
    /// order leaves equal are ordered by all of their columns.
    TopK {
        /// What it reads.
        input: NodeId,
        /// The group's columns; empty for one group of all rows.
        partition: Vec<Arc<dyn PhysicalExpr>>,
        /// The order, most significant first.
        order: Vec<SortKey>,
        /// How many rows of a group are passed over.
        skip: usize,
        /// How many rows of a group are kept after those; without it, all.
        limit: Option<usize>,
        /// Whether the row's number within its group (from one, INT UNSIGNED 64) is appended.
        number: bool,
    },
    /// All rows, each with the answers of functions that look at the rows of its partition in an
    /// order; rows that the order leaves equal are ordered by all of their columns.
    Window {
        /// What it reads.
        input: NodeId,
        /// The partition's columns; empty for one partition of all rows.
        partition: Vec<Arc<dyn PhysicalExpr>>,
        /// The order, most significant first.
        order: Vec<SortKey>,
        /// The functions, whose answers are appended.
        functions: Vec<WindowCall>,
        /// Which rows of a partition are kept; without it, all.
        limit: Option<RankLimit>,
    },
    /// Left rows, each with the first right row of equal keys by an order that holds at the left
    /// row's time.
    AsOf {
        /// The left side.
        left: NodeId,
        /// The right side.
        right: NodeId,
        /// Key expressions over the left side's columns.
        left_keys: Vec<Arc<dyn PhysicalExpr>>,
        /// Key expressions over the right side's columns, of the same types.
        right_keys: Vec<Arc<dyn PhysicalExpr>>,
        /// The left row's time.
        time: Arc<dyn PhysicalExpr>,
        /// The order of right rows. First comes their time: descending if it must not lie after the
        /// left row's, ascending if not before.
        order: Vec<SortKey>,
        /// Whether equal times do not hold.
        strict: bool,
        /// Whether left rows without a right row are kept, padded with nulls.
        outer: bool,
    },
    /// The rows that stand at the time that the clock shows: each from the instant at which all
    /// bounds begin to hold until one no longer does. Both are kept until they are past.
    Temporal {
        /// What it reads.
        input: NodeId,
        /// The node of [`Relation::Clock`].
        clock: NodeId,
        /// What must hold.
        bounds: Vec<Bound>,
    },
    /// The rows of all inputs, of one schema.
    Union {
        /// What it reads.
        inputs: Vec<NodeId>,
    },
    /// The rows that a recursion has found so far; only while its recursive part is lowered.
    Work {
        /// Which recursion.
        number: usize,
        /// The columns.
        schema: SchemaRef,
    },
    /// The rows of a start and all that is found from rows found, round by round.
    Recursive {
        /// What is found before the first round.
        start: NodeId,
        /// The nodes that the recursive part reads from outside.
        outer: Vec<NodeId>,
        /// The recursive part, each node after what it reads; the last is what is found in a round.
        body: Vec<LoopNode>,
        /// Whether equal rows are found once (`UNION`) rather than as often as they are (`UNION ALL`).
        distinct: bool,
    },
    /// The rows of the input with their multiplicities turned round, to be taken from another
    /// node's rows in a [`Op::Union`].
    Negate {
        /// What it reads.
        input: NodeId,
    },
}

impl Op {
    /// Replaces the nodes that it reads.
    fn renumber(&mut self, to: impl Fn(NodeId) -> NodeId) {
        let renew = |node: &mut NodeId| *node = to(*node);
        match self {
            Op::Input(_) | Op::Constant(_) | Op::Work { .. } => {}
            Op::Map { input, .. }
            | Op::Unnest { input, .. }
            | Op::Reduce { input, .. }
            | Op::TopK { input, .. }
            | Op::Window { input, .. }
            | Op::Negate { input } => renew(input),
            Op::Join { left, right, .. } | Op::AsOf { left, right, .. } => {
                renew(left);
                renew(right);
            }
            Op::Temporal { input, clock, .. } => {
                renew(input);
                renew(clock);
            }
            Op::Union { inputs } => inputs.iter_mut().for_each(renew),
            Op::Recursive { start, outer, .. } => {
                renew(start);
                outer.iter_mut().for_each(renew);
            }
        }
    }

    /// The nodes that it reads.
    pub fn inputs(&self) -> Vec<NodeId> {
        match self {
            Op::Input(_) | Op::Constant(_) | Op::Work { .. } => Vec::new(),
            Op::Map { input, .. }
            | Op::Unnest { input, .. }
            | Op::Reduce { input, .. }
            | Op::TopK { input, .. }
            | Op::Window { input, .. }
            | Op::Negate { input } => vec![*input],
            Op::Join { left, right, .. } | Op::AsOf { left, right, .. } => vec![*left, *right],
            Op::Temporal { input, clock, .. } => vec![*input, *clock],
            Op::Union { inputs } => inputs.clone(),
            Op::Recursive { start, outer, .. } => [&[*start], outer.as_slice()].concat(),
        }
    }
}

/// A node of a recursive part.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LoopNode {
    /// What it does.
    pub op: LoopOp,
    /// The schema of its rows.
    pub schema: SchemaRef,
}

/// What a node of a recursive part does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LoopOp {
    /// The rows found so far.
    Found,
    /// The rows of a node outside, as a position in the recursion's own list of them.
    Outer(usize),
    /// What the op does, which reads nodes of the same part by their positions in it.
    Node(Op),
}

/// A step of [`Op::Map`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// Keeps the rows for which the predicate is true.
    Filter(Arc<dyn PhysicalExpr>),
    /// Replaces the columns.
    Project {
        /// The new columns' values.
        exprs: Vec<Arc<dyn PhysicalExpr>>,
        /// The new columns' names, types and nullability.
        schema: SchemaRef,
    },
}

/// A condition of [`Op::Temporal`]: a function of the clock compared with an instant of the row.
#[derive(Debug, Clone, Eq)]
pub struct Bound {
    /// What is computed of the clock, over one column that holds it; without it, the clock as it is.
    /// It never goes back while the clock goes on.
    pub clock: Option<Arc<dyn PhysicalExpr>>,
    /// How the clock's side, with all shifts added to it, compares with the row's.
    pub comparison: Comparison,
    /// The row's side, of the type of the clock's.
    pub instant: Arc<dyn PhysicalExpr>,
    /// Lengths of time that are added to the clock's side or taken from it, of the row.
    pub shifts: Vec<Shift>,
}

/// A length of time that moves the clock's side of a [`Bound`].
#[derive(Debug, Clone, Eq)]
pub struct Shift {
    /// The length: an interval without months, or a duration.
    pub length: Arc<dyn PhysicalExpr>,
    /// Whether it is added rather than taken away.
    pub later: bool,
}

// By hand, as for `SortKey`.
impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.clock == other.clock
            && self.comparison == other.comparison
            && self.instant.eq(&other.instant)
            && self.shifts == other.shifts
    }
}

impl std::hash::Hash for Bound {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.clock.hash(state);
        self.comparison.hash(state);
        self.instant.hash(state);
        self.shifts.hash(state);
    }
}

impl PartialEq for Shift {
    fn eq(&self, other: &Self) -> bool {
        self.length.eq(&other.length) && self.later == other.later
    }
}

impl std::hash::Hash for Shift {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.length.hash(state);
        self.later.hash(state);
    }
}

/// How the clock compares with a row's instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `clock > instant`.
    After,
    /// `clock >= instant`.
    From,
    /// `clock < instant`.
    Before,
    /// `clock <= instant`.
    UpTo,
    /// `clock = instant`.
    During,
}

/// One aggregate of [`Op::Reduce`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Aggregate {
    /// The function, as DataFusion names and types it.
    pub function: Arc<AggregateUDF>,
    /// Its arguments.
    pub args: Vec<Arc<dyn PhysicalExpr>>,
    /// Whether equal argument values count once.
    pub distinct: bool,
    /// A predicate: rows that do not meet it are left out.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// The order in which the function sees the rows.
    pub order: Vec<SortKey>,
    /// Whether null arguments are passed over (`IGNORE NULLS`), for functions that ask.
    pub ignore_nulls: bool,
    /// The result's name.
    pub name: String,
}

/// An expression to sort by.
#[derive(Debug, Clone, Eq)]
pub struct SortKey {
    /// What to compare.
    pub expr: Arc<dyn PhysicalExpr>,
    /// In which direction, and where nulls go.
    pub options: SortOptions,
}

// By hand: the derived forms would move the expression out of its field.
impl PartialEq for SortKey {
    fn eq(&self, other: &Self) -> bool {
        self.expr.eq(&other.expr) && self.options == other.options
    }
}

impl std::hash::Hash for SortKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.expr.hash(state);
        self.options.hash(state);
    }
}

/// The rows of [`Op::Constant`]; compared by their content.
#[derive(Debug, Clone, PartialEq)]
pub struct ConstantRows(pub RecordBatch);

impl Eq for ConstantRows {}

impl std::hash::Hash for ConstantRows {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.num_rows().hash(state);
        self.0.schema().hash(state);
    }
}

/// A view whose answer is kept.
#[derive(Debug, Clone)]
pub struct Output {
    /// The view.
    pub view: View,
    /// The node with its rows.
    pub node: NodeId,
    /// The columns, with the view's own names for them.
    pub schema: SchemaRef,
    /// The query's outermost `ORDER BY`, as positions of output columns: how the rows are shown.
    pub order: Vec<(usize, SortOptions)>,
    /// Not a view but all rows of a table that are held, as a position in [`Script::tables`].
    pub table: Option<usize>,
}
