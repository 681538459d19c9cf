//! The last touch on a plan: maps that only one map reads become one, nodes that nobody reads go,
//! and every node learns which views asked for it.

use super::program::SYSTEM_VIEWS;
use super::{Node, NodeId, Op, Plan};

/// The same plan with fewer nodes.
pub(super) fn tidy(mut plan: Plan) -> Plan {
    fuse_maps(&mut plan);
    name_views(&mut plan);
    sweep(plan)
}

/// Puts the steps of a map before those of the only node that reads it, if that is a map too.
fn fuse_maps(plan: &mut Plan) {
    let mut readers = vec![0usize; plan.nodes.len()];
    let reachable = reachable(plan, plan.outputs.iter().map(|output| output.node));
    for (node, _) in plan
        .nodes
        .iter()
        .zip(&reachable)
        .filter(|(_, is_reached)| **is_reached)
    {
        for read in node.op.inputs() {
            readers[read.0] += 1;
        }
    }
    for output in &plan.outputs {
        readers[output.node.0] += 1;
    }
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
        if readers[below.0] > 1 {
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
            renumber(&mut node.op, &moved);
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

fn renumber(op: &mut Op, moved: &[NodeId]) {
    let renew = |node: &mut NodeId| *node = moved[node.0];
    match op {
        Op::Input(_) | Op::Constant(_) => {}
        Op::Map { input, .. }
        | Op::Unnest { input, .. }
        | Op::Reduce { input, .. }
        | Op::TopK { input, .. }
        | Op::Negate { input } => renew(input),
        Op::Join { left, right, .. } => {
            renew(left);
            renew(right);
        }
        Op::Union { inputs } => inputs.iter_mut().for_each(renew),
    }
}
