//! The last touch on a plan: maps that only one map reads become one, nodes that nobody reads go,
//! and every node learns which views asked for it.

use std::sync::Arc;

use super::join::columns_used;
use super::program::SYSTEM_VIEWS;
use super::{Node, NodeId, Op, Plan, Step};

/// The same plan with fewer nodes.
pub(super) fn tidy(mut plan: Plan) -> Plan {
    drop_numbers(&mut plan);
    fuse_maps(&mut plan);
    name_views(&mut plan);
    sweep(plan)
}

/// Numbers no rows whose numbers nobody looks at: one new row among the first would change the
/// numbers, and with them the rows, of all that follow it.
fn drop_numbers(plan: &mut Plan) {
    let readers = readers(plan);
    for (position, readers) in readers.iter().enumerate() {
        let Op::TopK {
            input,
            limit: Some(_),
            number: true,
            ..
        } = plan.nodes[position].op
        else {
            continue;
        };
        let number = plan.nodes[input.0].schema.fields().len();
        let is_unseen = |reader: &Reader| match reader {
            Reader::Node(reader) => drops_column(&plan.nodes[reader.0].op, number),
            Reader::Output => false,
        };
        if !readers.iter().all(is_unseen) {
            continue;
        }
        let schema = Arc::clone(&plan.nodes[input.0].schema);
        let node = &mut plan.nodes[position];
        node.schema = schema;
        if let Op::TopK { number, .. } = &mut node.op {
            *number = false;
        }
    }
}

/// Whether an op is a map that projects without a look at one column of what it reads.
fn drops_column(op: &Op, column: usize) -> bool {
    let Op::Map { steps, .. } = op else {
        return false;
    };
    let looks = |expr| columns_used(expr).map_or(true, |used| used.contains(&column));
    for step in steps {
        match step {
            Step::Filter(predicate) if looks(predicate) => return false,
            Step::Filter(_) => {}
            Step::Project { exprs, .. } => return !exprs.iter().any(looks),
        }
    }
    false
}

/// Who reads a node.
enum Reader {
    Node(NodeId),
    Output,
}

/// Per node its readers, of the nodes that some view asked for.
fn readers(plan: &Plan) -> Vec<Vec<Reader>> {
    let mut readers: Vec<Vec<Reader>> = plan.nodes.iter().map(|_| Vec::new()).collect();
    let reachable = reachable(plan, plan.outputs.iter().map(|output| output.node));
    for (position, node) in plan
        .nodes
        .iter()
        .enumerate()
        .filter(|(at, _)| reachable[*at])
    {
        for read in node.op.inputs() {
            readers[read.0].push(Reader::Node(NodeId(position)));
        }
    }
    for output in &plan.outputs {
        readers[output.node.0].push(Reader::Output);
    }
    readers
}

/// Puts the steps of a map before those of the only node that reads it, if that is a map too.
fn fuse_maps(plan: &mut Plan) {
    let readers = readers(plan);
    for position in 0..plan.nodes.len() {
        let Op::Map { input: below, .. } = plan.nodes[position].op else {
            continue;
        };
        let Op::Map {
            input: lowest,
            steps: first,
        } = &plan.nodes[below.0].op
        else {
            continue;
        };
        if readers[below.0].len() > 1 {
            continue;
        }
        let (lowest, mut all) = (*lowest, first.clone());
        if let Op::Map { input, steps } = &mut plan.nodes[position].op {
            all.append(steps);
            *steps = all;
            *input = lowest;
        }
    }
}

/// Which nodes are read, directly or not, from some nodes.
fn reachable(plan: &Plan, from: impl Iterator<Item = NodeId>) -> Vec<bool> {
    let mut is_reached = vec![false; plan.nodes.len()];
    for node in from {
        is_reached[node.0] = true;
    }
    for position in (0..plan.nodes.len()).rev() {
        if is_reached[position] {
            for read in plan.nodes[position].op.inputs() {
                is_reached[read.0] = true;
            }
        }
    }
    is_reached
}

fn name_views(plan: &mut Plan) {
    for output in 0..plan.outputs.len() {
        let name = plan.outputs[output].view.name.clone();
        let is_reached = reachable(plan, std::iter::once(plan.outputs[output].node));
        for (node, _) in plan
            .nodes
            .iter_mut()
            .zip(is_reached)
            .filter(|(_, reached)| *reached)
        {
            node.views.push(name.clone());
        }
    }
}

/// Drops the nodes that no view asked for and numbers the others anew: those that only the system's
/// own views ask for come last.
fn sweep(mut plan: Plan) -> Plan {
    let mut moved = vec![NodeId(0); plan.nodes.len()];
    let mut kept: Vec<Node> = Vec::with_capacity(plan.nodes.len());
    let nodes = std::mem::take(&mut plan.nodes);
    for is_system in [false, true] {
        for (position, node) in nodes.iter().enumerate() {
            let of_system = node
                .views
                .iter()
                .all(|view| SYSTEM_VIEWS.contains(&view.as_str()));
            if node.views.is_empty() || of_system != is_system {
                continue;
            }
            let mut node = node.clone();
            node.op.renumber(|node| moved[node.0]);
            moved[position] = NodeId(kept.len());
            kept.push(node);
        }
    }
    for output in &mut plan.outputs {
        output.node = moved[output.node.0];
    }
    plan.nodes = kept;
    plan
}
