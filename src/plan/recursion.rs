//! `WITH RECURSIVE`: what is found from rows that are found already.
//!
//! The recursive part is lowered as any query, over a node that stands for the rows found so far
//! ([`Op::Work`]); then the nodes that hang on it are taken out of the graph and become the
//! [`Op::Recursive`] node's own. In there only nodes may stand that answer more if they are given
//! more: then the rows that are found do not depend on the order in which they are.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::logical_plan::RecursiveQuery;

use super::graph::{Graph, Rel};
use super::lower::Lowering;
use super::refuse::Trouble;
use super::{LoopNode, LoopOp, NodeId, Op};

/// The node of a recursive query.
pub(super) fn lower(lowering: &mut Lowering<'_>, query: &RecursiveQuery) -> Result<Rel, Trouble> {
    check_linear(query)?;
    let start = lowering.lower(&query.static_term)?;
    let start = lowering.graph.narrow(start)?;
    let schema = nullable(lowering.graph.schema(start.node));
    let number = lowering.graph.new_recursion();
    let work = lowering.graph.add(Op::Work { number, schema })?;
    let columns = (0..lowering.graph.width(work)).collect();
    let found = Rel {
        node: work,
        schema: Arc::clone(query.static_term.schema()),
        columns,
        order: Vec::new(),
    };
    lowering.works.push((query.name.clone(), found));
    let step = lowering.lower(&query.recursive_term);
    lowering.works.pop();
    let step = lowering.graph.narrow(step?)?;
    check_types(lowering.graph, query, start.node, step.node)?;
    let (outer, body) = take_out(lowering.graph, work, step.node, query.is_distinct)?;
    let node = lowering.graph.add(Op::Recursive {
        start: start.node,
        outer,
        body,
        distinct: query.is_distinct,
    })?;
    Ok(Rel::whole(node, Arc::clone(&query.schema)))
}

/// Refuses a recursive part that joins what has been found with itself: SQL joins only the rows of
/// the round before with each other, and misses pairs.
fn check_linear(query: &RecursiveQuery) -> Result<(), Trouble> {
    let reads = |plan: &LogicalPlan| -> Result<bool, DataFusionError> {
        let mut found = false;
        plan.apply_with_subqueries(|part| {
            if let LogicalPlan::TableScan(scan) = part {
                found |= scan.table_name.to_string() == query.name;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    };
    let mut joins_itself = false;
    query.recursive_term.apply_with_subqueries(|part| {
        if let LogicalPlan::Join(join) = part {
            joins_itself |= reads(&join.left)? && reads(&join.right)?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if !joins_itself {
        return Ok(());
    }
    Err(Trouble::refused(
        format!(
            "`{}` is joined with itself in its recursive part",
            query.name
        ),
        "join it with the relation from which it begins",
    ))
}

/// The columns of all that is found: a column may hold nulls if it may at the start or later.
pub(super) fn schema(start: &Schema, body: &[LoopNode]) -> SchemaRef {
    let step = body.last().map(|node| node.schema.fields());
    let fields = start.fields().iter().enumerate().map(|(at, field)| {
        let later = step.is_none_or(|step| step[at].is_nullable());
        field
            .as_ref()
            .clone()
            .with_nullable(field.is_nullable() || later)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The same columns, any of which may hold nulls.
fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter();
    let fields = fields.map(|field| Field::new(field.name(), field.data_type().clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn check_types(
    graph: &Graph,
    query: &RecursiveQuery,
    start: NodeId,
    step: NodeId,
) -> Result<(), Trouble> {
    let pairs = graph
        .schema(start)
        .fields()
        .iter()
        .zip(graph.schema(step).fields());
    for (start, step) in pairs {
        if start.data_type() != step.data_type() {
            return Err(Trouble::refused(
                format!(
                    "column `{}` of `{}` begins as {} and goes on as {}",
                    start.name(),
                    query.name,
                    start.data_type(),
                    step.data_type()
                ),
                "CAST one of the two to the type of the other",
            ));
        }
    }
    Ok(())
}

/// The nodes that hang on the rows found so far, each after what it reads and the last of them what
/// is found from these rows; and the other nodes that they read.
fn take_out(
    graph: &Graph,
    work: NodeId,
    step: NodeId,
    distinct: bool,
) -> Result<(Vec<NodeId>, Vec<LoopNode>), Trouble> {
    let mut hangs = vec![false; graph.nodes.len()];
    hangs[work.0] = true;
    for position in work.0 + 1..graph.nodes.len() {
        let inputs = graph.nodes[position].op.inputs();
        hangs[position] = inputs.iter().any(|input| hangs[input.0]);
    }
    let mut wanted = vec![false; graph.nodes.len()];
    wanted[step.0] = true;
    for position in (0..=step.0).rev().filter(|at| hangs[*at]) {
        if wanted[position] {
            let inputs = graph.nodes[position].op.inputs();
            inputs.iter().for_each(|input| wanted[input.0] = true);
        }
    }
    let mut outer = Vec::new();
    let mut body = Vec::new();
    let mut places: HashMap<NodeId, NodeId> = HashMap::new();
    for position in (0..=step.0).filter(|at| wanted[*at]) {
        let node = &graph.nodes[position];
        let op = if position == work.0 {
            LoopOp::Found
        } else if hangs[position] {
            let mut op = allowed(&node.op, distinct)?;
            op.renumber(|input| places[&input]);
            LoopOp::Node(op)
        } else {
            outer.push(NodeId(position));
            LoopOp::Outer(outer.len() - 1)
        };
        places.insert(NodeId(position), NodeId(body.len()));
        let schema = Arc::clone(&node.schema);
        body.push(LoopNode { op, schema });
    }
    Ok((outer, body))
}

/// An op that may stand within a recursion.
fn allowed(op: &Op, distinct: bool) -> Result<Op, Trouble> {
    let what = match op {
        Op::Map { .. } | Op::Join { .. } | Op::Union { .. } => return Ok(op.clone()),
        Op::Reduce { aggregates, .. } if aggregates.is_empty() && distinct => {
            return Ok(op.clone());
        }
        Op::Reduce { aggregates, .. } if aggregates.is_empty() => "DISTINCT within UNION ALL",
        Op::Reduce { .. } => "an aggregate",
        Op::Negate { .. } => "an outer join, EXCEPT or NOT EXISTS",
        Op::TopK { .. } | Op::AsOf { .. } => "ORDER BY with LIMIT",
        Op::Temporal { .. } => "now()",
        Op::Recursive { .. } => "another recursion",
        _ => "a query of this kind",
    };
    Err(Trouble::refused(
        format!("{what} over the rows that a recursive query has found is not kept up to date"),
        "write it above the recursive query, over all that it finds",
    ))
}
