//! Joins of every kind from the inner join, unions and negation.
//!
//! A row of the left side is *matched* if some pair of it meets the keys and the residual. A semi
//! join keeps the matched rows, an anti join the left side less these, and an outer join pairs plus
//! the unmatched rows padded with nulls. Rows keep their multiplicities throughout.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, JoinType, NullEquality, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::logical_plan::Join;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{IsNotNullExpr, IsNullExpr, Literal};

use super::graph::{Graph, Rel, column_of, move_columns};
use super::lower::{Lowering, refuse_subqueries};
use super::refuse::Trouble;
use super::{NodeId, Op, temporal};

type Exprs = Vec<Arc<dyn PhysicalExpr>>;
type Result<T> = std::result::Result<T, DataFusionError>;

/// Two relations and what makes a pair of their rows.
#[derive(Clone)]
struct Sides {
    left: NodeId,
    right: NodeId,
    left_keys: Exprs,
    right_keys: Exprs,
    null_equal: bool,
    /// Over the left columns, then the right ones.
    residual: Option<Arc<dyn PhysicalExpr>>,
}

/// The nodes of a join.
pub(super) fn lower(lowering: &mut Lowering<'_>, join: &Join) -> std::result::Result<Rel, Trouble> {
    let left = lowering.lower(&join.left)?;
    let left = lowering.graph.narrow(left)?;
    let right = lowering.lower(&join.right)?;
    let right = lowering.graph.narrow(right)?;
    let exprs = join.on.iter().flat_map(|(left, right)| [left, right]);
    for expr in exprs.chain(&join.filter) {
        refuse_subqueries(expr)?;
    }
    let (timed, filter) = match &join.filter {
        // An inner join's condition may as well be met after it.
        Some(filter) if join.join_type == JoinType::Inner => temporal::split(filter)?,
        filter => (Vec::new(), filter.clone()),
    };
    let graph = &mut *lowering.graph;
    let sides = bind(graph, join, filter.as_ref(), &left, &right)?;
    let schema = Arc::clone(&join.schema);
    let width = graph.width(left.node);
    let both = || {
        let right = right.columns.iter().map(|position| position + width);
        left.columns.iter().copied().chain(right).collect()
    };
    let (node, columns) = match join.join_type {
        JoinType::Inner => (sides.pairs(graph)?, both()),
        JoinType::Left => (sides.left_outer(graph)?, both()),
        JoinType::Right => (sides.right_outer(graph)?, both()),
        JoinType::Full => (sides.full_outer(graph)?, both()),
        JoinType::LeftSemi => (sides.matched(graph)?, left.columns),
        JoinType::RightSemi => (sides.swapped(graph)?.matched(graph)?, right.columns),
        JoinType::LeftAnti if join.null_aware => (not_in(graph, &sides)?, left.columns),
        JoinType::LeftAnti => (sides.unmatched(graph)?, left.columns),
        JoinType::RightAnti => (sides.swapped(graph)?.unmatched(graph)?, right.columns),
        JoinType::LeftMark => (sides.marked(graph)?, with_mark(left.columns, width)),
        JoinType::RightMark => {
            let width = graph.width(right.node);
            (
                sides.swapped(graph)?.marked(graph)?,
                with_mark(right.columns, width),
            )
        }
    };
    let joined = Rel {
        node,
        schema,
        columns,
        order: Vec::new(),
    };
    if timed.is_empty() {
        return Ok(joined);
    }
    temporal::keep(lowering.graph, &timed, joined)
}

fn with_mark(mut columns: Vec<usize>, mark: usize) -> Vec<usize> {
    columns.push(mark);
    columns
}

fn bind(
    graph: &Graph,
    join: &Join,
    filter: Option<&Expr>,
    left: &Rel,
    right: &Rel,
) -> Result<Sides> {
    let mut left_keys = Exprs::new();
    let mut right_keys = Exprs::new();
    for (left_key, right_key) in &join.on {
        left_keys.push(graph.bind(left_key, left)?);
        right_keys.push(graph.bind(right_key, right)?);
    }
    let residual = match filter {
        None => None,
        Some(filter) => {
            let width = graph.width(left.node);
            let shifted = right.columns.iter().map(|position| position + width);
            let columns: Vec<_> = left.columns.iter().copied().chain(shifted).collect();
            let names = left.schema.join(&right.schema)?;
            let schema = joined(graph.schema(left.node), graph.schema(right.node));
            Some(graph.bind_to(filter, &names, &columns, &schema)?)
        }
    };
    let null_equal = join.null_equality == NullEquality::NullEqualsNull;
    Ok(Sides {
        left: left.node,
        right: right.node,
        left_keys,
        right_keys,
        null_equal,
        residual,
    })
}

/// The columns of two relations side by side.
pub(super) fn joined(left: &Schema, right: &Schema) -> SchemaRef {
    let fields = left.fields().iter().chain(right.fields()).cloned();
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl Sides {
    /// The inner join.
    fn pairs(&self, graph: &mut Graph) -> Result<NodeId> {
        graph.add(Op::Join {
            left: self.left,
            right: self.right,
            left_keys: self.left_keys.clone(),
            right_keys: self.right_keys.clone(),
            null_equal: self.null_equal,
            residual: self.residual.clone(),
        })
    }

    /// The left rows of which a pair exists.
    fn matched(&self, graph: &mut Graph) -> Result<NodeId> {
        let left = graph.all_columns(self.left);
        if graph.is_unique(self.right, &self.right_keys) {
            let pairs = self.pairs(graph)?;
            return graph.project(pairs, left, None);
        }
        let (keys, found, null_equal) = match &self.residual {
            None => {
                let keys = self.left_keys.clone();
                let found = graph.distinct(self.right, self.right_keys.clone())?;
                (keys, found, self.null_equal)
            }
            Some(residual) => {
                let mut keys = self.left_keys.clone();
                let used = columns_below(residual, left.len())?;
                keys.extend(used.into_iter().map(|position| Arc::clone(&left[position])));
                let pairs = self.pairs(graph)?;
                let found = graph.distinct(pairs, keys.clone())?;
                (keys, found, true)
            }
        };
        let found_keys = if keys.is_empty() {
            Exprs::new()
        } else {
            graph.all_columns(found)
        };
        let pairs = graph.add(Op::Join {
            left: self.left,
            right: found,
            left_keys: keys,
            right_keys: found_keys,
            null_equal,
            residual: None,
        })?;
        graph.project(pairs, left, None)
    }

    /// The left rows of which no pair exists.
    fn unmatched(&self, graph: &mut Graph) -> Result<NodeId> {
        let matched = self.matched(graph)?;
        let taken = graph.add(Op::Negate { input: matched })?;
        graph.union(vec![self.left, taken])
    }

    /// All left rows, each with whether a pair exists.
    fn marked(&self, graph: &mut Graph) -> Result<NodeId> {
        let matched = self.matched(graph)?;
        let unmatched = self.unmatched(graph)?;
        let mut mark = |node, is_matched: bool| {
            let mut exprs = graph.all_columns(node);
            let mut names: Vec<_> = graph
                .schema(node)
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect();
            exprs.push(Arc::new(Literal::new(ScalarValue::from(is_matched))));
            names.push("mark".to_owned());
            graph.project(node, exprs, Some(names))
        };
        let marks = vec![mark(matched, true)?, mark(unmatched, false)?];
        graph.union(marks)
    }

    fn left_outer(&self, graph: &mut Graph) -> Result<NodeId> {
        let pairs = self.pairs(graph)?;
        let is_free = self.left_keys.is_empty() && self.residual.is_none();
        if is_free && graph.is_one_row(self.right) {
            return Ok(pairs);
        }
        let alone = self.padded_right(graph)?;
        graph.union(vec![pairs, alone])
    }

    fn right_outer(&self, graph: &mut Graph) -> Result<NodeId> {
        let pairs = self.pairs(graph)?;
        let alone = self.padded_left(graph)?;
        graph.union(vec![pairs, alone])
    }

    fn full_outer(&self, graph: &mut Graph) -> Result<NodeId> {
        let pairs = self.pairs(graph)?;
        let left_alone = self.padded_right(graph)?;
        let right_alone = self.padded_left(graph)?;
        graph.union(vec![pairs, left_alone, right_alone])
    }

    /// The left rows without a pair, with nulls for the right columns.
    fn padded_right(&self, graph: &mut Graph) -> Result<NodeId> {
        let alone = self.unmatched(graph)?;
        let (nulls, null_names) = nulls(graph.schema(self.right))?;
        let mut exprs = graph.all_columns(alone);
        let mut names = names(graph.schema(alone));
        exprs.extend(nulls);
        names.extend(null_names);
        graph.project(alone, exprs, Some(names))
    }

    /// The right rows without a pair, with nulls for the left columns.
    fn padded_left(&self, graph: &mut Graph) -> Result<NodeId> {
        let alone = self.swapped(graph)?.unmatched(graph)?;
        let (mut exprs, mut all_names) = nulls(graph.schema(self.left))?;
        exprs.extend(graph.all_columns(alone));
        all_names.extend(names(graph.schema(alone)));
        graph.project(alone, exprs, Some(all_names))
    }

    /// The same pairs with the sides exchanged.
    fn swapped(&self, graph: &Graph) -> Result<Sides> {
        let (left_width, right_width) = (graph.width(self.left), graph.width(self.right));
        let schema = joined(graph.schema(self.right), graph.schema(self.left));
        let exchange = |residual: &Arc<dyn PhysicalExpr>| {
            let moved = |position| match position < left_width {
                true => position + right_width,
                false => position - left_width,
            };
            move_columns(Arc::clone(residual), moved, &schema)
        };
        Ok(Sides {
            left: self.right,
            right: self.left,
            left_keys: self.right_keys.clone(),
            right_keys: self.left_keys.clone(),
            null_equal: self.null_equal,
            residual: self.residual.as_ref().map(exchange).transpose()?,
        })
    }
}

/// `NOT IN`: true of nothing if the sub-query holds a null, and of a null only if it is empty.
fn not_in(graph: &mut Graph, sides: &Sides) -> std::result::Result<NodeId, Trouble> {
    let ([left_key], [right_key], None) = (
        sides.left_keys.as_slice(),
        sides.right_keys.as_slice(),
        &sides.residual,
    ) else {
        return Err(Trouble::refused(
            "NOT IN with a sub-query that refers to the outer query is not kept up to date",
            "write NOT EXISTS, or make the compared columns NOT NULL",
        ));
    };
    let left_nullable = left_key.nullable(graph.schema(sides.left))?;
    let right_nullable = right_key.nullable(graph.schema(sides.right))?;
    let mut known = sides.clone();
    if left_nullable {
        let is_known = Arc::new(IsNotNullExpr::new(Arc::clone(left_key)));
        known.left = graph.filter(sides.left, is_known)?;
    }
    let mut answer = known.unmatched(graph)?;
    if right_nullable {
        let is_null = Arc::new(IsNullExpr::new(Arc::clone(right_key)));
        let nulls = graph.filter(sides.right, is_null)?;
        answer = without_if_any(graph, answer, nulls)?;
    }
    if left_nullable {
        let is_null = Arc::new(IsNullExpr::new(Arc::clone(left_key)));
        let unknown = graph.filter(sides.left, is_null)?;
        let unknown = without_if_any(graph, unknown, sides.right)?;
        answer = graph.union(vec![answer, unknown])?;
    }
    Ok(answer)
}

/// All rows of the left node while the right one has none, otherwise none.
fn without_if_any(graph: &mut Graph, left: NodeId, right: NodeId) -> Result<NodeId> {
    let free = Sides {
        left,
        right,
        left_keys: Exprs::new(),
        right_keys: Exprs::new(),
        null_equal: false,
        residual: None,
    };
    free.unmatched(graph)
}

fn nulls(schema: &Schema) -> Result<(Exprs, Vec<String>)> {
    let null = |field: &Arc<Field>| {
        let null = ScalarValue::try_from(field.data_type())?;
        Ok(Arc::new(Literal::new(null)) as Arc<dyn PhysicalExpr>)
    };
    Ok((
        schema.fields().iter().map(null).collect::<Result<_>>()?,
        names(schema),
    ))
}

fn names(schema: &Schema) -> Vec<String> {
    schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect()
}

/// The columns of an expression that lie before a position.
fn columns_below(expr: &Arc<dyn PhysicalExpr>, end: usize) -> Result<BTreeSet<usize>> {
    Ok(columns_used(expr)?
        .into_iter()
        .filter(|position| *position < end)
        .collect())
}

/// The columns that an expression reads.
pub(super) fn columns_used(expr: &Arc<dyn PhysicalExpr>) -> Result<BTreeSet<usize>> {
    let mut used = BTreeSet::new();
    expr.apply(|part| {
        used.extend(column_of(part));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(used)
}

/// What is known of a node's rows, by which joins become simpler.
impl Graph {
    /// Whether no two rows agree in all of the keys, unless by a null.
    pub fn is_unique(&self, node: NodeId, keys: &[Arc<dyn PhysicalExpr>]) -> bool {
        let columns: Vec<usize> = keys.iter().filter_map(column_of).collect();
        self.determines(node, &columns) || self.is_one_row(node)
    }

    /// Whether no two rows agree in all of these columns, unless by a null.
    fn determines(&self, node: NodeId, columns: &[usize]) -> bool {
        match &self.nodes[node.0].op {
            Op::Input(input) => {
                let key = &self.facts[*input].key;
                !key.is_empty() && key.iter().all(|position| columns.contains(position))
            }
            Op::Reduce { keys, .. } => (0..keys.len()).all(|key| columns.contains(&key)),
            Op::TopK {
                input,
                number,
                limit,
                partition,
                ..
            } => {
                let width = self.width(*input);
                let is_numbered = *number && columns.contains(&width);
                let is_within =
                    |expr| column_of(expr).is_some_and(|position| columns.contains(&position));
                let below: Vec<_> = columns.iter().copied().filter(|at| *at < width).collect();
                (is_numbered || *limit == Some(1)) && partition.iter().all(is_within)
                    || self.determines(*input, &below)
            }
            Op::Window { input, .. } => {
                let width = self.width(*input);
                let below: Vec<_> = columns.iter().copied().filter(|at| *at < width).collect();
                self.determines(*input, &below)
            }
            Op::Map { input, steps } => {
                let mut columns = columns.to_vec();
                for step in steps.iter().rev() {
                    if let super::Step::Project { exprs, .. } = step {
                        let below = columns.iter().filter_map(|at| column_of(&exprs[*at]));
                        columns = below.collect();
                    }
                }
                self.determines(*input, &columns)
            }
            _ => false,
        }
    }

    /// Whether the node never has more than one row.
    pub fn has_one_row(&self, node: NodeId) -> bool {
        match &self.nodes[node.0].op {
            Op::Map { input, .. } | Op::Window { input, .. } => self.has_one_row(*input),
            Op::TopK {
                input,
                partition,
                limit,
                ..
            } => partition.is_empty() && *limit == Some(1) || self.has_one_row(*input),
            Op::Constant(rows) => rows.0.num_rows() <= 1,
            _ => self.is_one_row(node),
        }
    }

    /// Whether the node has exactly one row at any time.
    fn is_one_row(&self, node: NodeId) -> bool {
        match &self.nodes[node.0].op {
            Op::Reduce { keys, .. } => keys.is_empty(),
            Op::Map { input, steps } => {
                let only_projects = steps
                    .iter()
                    .all(|step| matches!(step, super::Step::Project { .. }));
                only_projects && self.is_one_row(*input)
            }
            Op::Constant(rows) => rows.0.num_rows() == 1,
            Op::Join {
                left,
                right,
                left_keys,
                residual: None,
                ..
            } => left_keys.is_empty() && self.is_one_row(*left) && self.is_one_row(*right),
            _ => false,
        }
    }
}
