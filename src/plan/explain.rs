//! A plan to read: its nodes, what they read and keep, and which views share them.
//!
//! Three forms of the same: text, and graphs for Graphviz and Mermaid.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::state::state;
use super::text::{aggregate, bound, expression, expressions, order};
use super::{Node, NodeId, Op, Output, Plan, RankLimit, Relation, Step};

/// The plan of some views, or of all if none is named: a line for each node, under it the state
/// that it keeps, and for each view its node and columns.
pub fn text(plan: &Plan, views: &[String]) -> String {
    let mut out = String::new();
    let arrangements = arrangements(plan);
    for (id, node) in chosen_nodes(plan, views) {
        let append_only = if node.append_only {
            "  [append-only]"
        } else {
            ""
        };
        push(
            &mut out,
            format_args!("n{} {}{append_only}\n", id.0, describe(plan, &node.op)),
        );
        if node.views.len() > 1 {
            push(
                &mut out,
                format_args!("    shared by {}\n", node.views.join(", ")),
            );
        }
        for (arranged, keys) in arranged_by(&node.op) {
            let others = arrangements
                .get(&(arranged, keys.clone()))
                .into_iter()
                .flatten();
            let others: Vec<_> = others
                .filter(|other| **other != id)
                .map(|other| format!("n{}", other.0))
                .collect();
            let shared = match others.is_empty() {
                true => String::new(),
                false => format!(", shared with {}", others.join(", ")),
            };
            let by = if keys.is_empty() {
                String::new()
            } else {
                format!(" by {keys}")
            };
            push(
                &mut out,
                format_args!("    arranges n{}{by}{shared}\n", arranged.0),
            );
        }
        let kept = state(plan, id);
        if !kept.is_none() {
            push(&mut out, format_args!("    state: {kept}\n"));
        }
        if let Some(cost) = kept.cost {
            push(&mut out, format_args!("    cost: {cost}\n"));
        }
    }
    for output in chosen_outputs(plan, views) {
        let columns: Vec<_> = output
            .schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        let order = output.order.iter().map(|(column, options)| {
            format!(
                "{}{}",
                columns[*column],
                if options.descending { " DESC" } else { "" }
            )
        });
        let order = order.collect::<Vec<_>>().join(", ");
        let order = if order.is_empty() {
            order
        } else {
            format!(", shown by {order}")
        };
        let (name, node) = (&output.view.name, output.node.0);
        push(
            &mut out,
            format_args!("view {name} = n{node} ({}){order}\n", columns.join(", ")),
        );
    }
    out
}

/// The same as a graph in Graphviz's language.
pub fn dot(plan: &Plan, views: &[String]) -> String {
    let mut out = String::from("digraph plan {\n  rankdir = BT;\n  node [shape = box];\n");
    for (id, node) in chosen_nodes(plan, views) {
        let label = describe(plan, &node.op)
            .replace('\\', "\\\\")
            .replace('"', "\\\"");
        push(
            &mut out,
            format_args!("  n{} [label = \"n{} {label}\"];\n", id.0, id.0),
        );
        for read in node.op.inputs() {
            push(&mut out, format_args!("  n{} -> n{};\n", read.0, id.0));
        }
    }
    for (number, output) in chosen_outputs(plan, views).enumerate() {
        let name = output.view.name.replace('"', "\\\"");
        push(
            &mut out,
            format_args!("  v{number} [label = \"{name}\", shape = ellipse];\n"),
        );
        push(
            &mut out,
            format_args!("  n{} -> v{number};\n", output.node.0),
        );
    }
    out.push_str("}\n");
    out
}

/// The same as a Mermaid flowchart.
pub fn mermaid(plan: &Plan, views: &[String]) -> String {
    let quoted = |text: &str| {
        text.replace('"', "#quot;")
            .replace('<', "#lt;")
            .replace('>', "#gt;")
    };
    let mut out = String::from("flowchart BT\n");
    for (id, node) in chosen_nodes(plan, views) {
        let label = quoted(&describe(plan, &node.op));
        push(
            &mut out,
            format_args!("  n{}[\"n{} {label}\"]\n", id.0, id.0),
        );
        for read in node.op.inputs() {
            push(&mut out, format_args!("  n{} --> n{}\n", read.0, id.0));
        }
    }
    for (number, output) in chosen_outputs(plan, views).enumerate() {
        push(
            &mut out,
            format_args!("  v{number}([\"{}\"])\n", quoted(&output.view.name)),
        );
        push(
            &mut out,
            format_args!("  n{} --> v{number}\n", output.node.0),
        );
    }
    out
}

/// What a node does, in one line.
pub fn describe(plan: &Plan, op: &Op) -> String {
    match op {
        Op::Input(input) => {
            let input = &plan.inputs[*input];
            let names: Vec<_> = input
                .schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            format!(
                "input {} ({})",
                relation(plan, input.relation),
                names.join(", ")
            )
        }
        Op::Constant(rows) => match rows.0.num_rows() {
            1 => "constant, 1 row".to_owned(),
            rows => format!("constant, {rows} rows"),
        },
        Op::Map { input, steps } => {
            let steps: Vec<_> = steps.iter().map(step).collect();
            format!("map n{}: {}", input.0, steps.join(" | "))
        }
        Op::Unnest {
            input,
            columns,
            keep_empty,
        } => {
            let schema = &plan.nodes[input.0].schema;
            let names: Vec<_> = columns
                .iter()
                .map(|column| schema.field(*column).name().as_str())
                .collect();
            let kept = if *keep_empty {
                ", rows without elements kept"
            } else {
                ""
            };
            format!("unnest n{}: {}{kept}", input.0, names.join(", "))
        }
        Op::Reduce {
            input,
            keys,
            aggregates,
        } if aggregates.is_empty() => {
            format!("distinct n{}: {}", input.0, expressions(keys))
        }
        Op::Reduce {
            input,
            keys,
            aggregates,
        } => {
            let aggregates: Vec<_> = aggregates.iter().map(aggregate).collect();
            let by = if keys.is_empty() {
                String::new()
            } else {
                format!(" by {}", expressions(keys))
            };
            format!("reduce n{}{by}: {}", input.0, aggregates.join(", "))
        }
        Op::Join { left, right, .. } => {
            format!("join n{}, n{}{}", left.0, right.0, condition(op))
        }
        Op::TopK { .. } => top(op),
        Op::Window { .. } => window(op),
        Op::Union { inputs } => {
            let inputs: Vec<_> = inputs.iter().map(|input| format!("n{}", input.0)).collect();
            format!("union {}", inputs.join(", "))
        }
        Op::Temporal { input, bounds, .. } => {
            let bounds: Vec<_> = bounds.iter().map(bound).collect();
            format!("stand n{}: {}", input.0, bounds.join(" AND "))
        }
        Op::Negate { input } => format!("negate n{}", input.0),
        Op::AsOf {
            left,
            right,
            left_keys,
            right_keys,
            time,
            order: by,
            ..
        } => format!(
            "as-of join n{}, n{} on {} = {}, at {}, by {}",
            left.0,
            right.0,
            expressions(left_keys),
            expressions(right_keys),
            expression(time),
            order(by)
        ),
        Op::Work { .. } => "found so far".to_owned(),
        Op::Recursive {
            start,
            outer,
            distinct,
            ..
        } => {
            let outer: Vec<_> = outer.iter().map(|node| format!("n{}", node.0)).collect();
            let all = if *distinct { "" } else { " all" };
            format!("recurse{all} from n{} over {}", start.0, outer.join(", "))
        }
    }
}

fn condition(op: &Op) -> String {
    let Op::Join {
        left_keys,
        right_keys,
        null_equal,
        residual,
        ..
    } = op
    else {
        return String::new();
    };
    let mut text = String::new();
    let equals = if *null_equal {
        "is not distinct from"
    } else {
        "="
    };
    for (position, (left, right)) in left_keys.iter().zip(right_keys).enumerate() {
        let word = if position == 0 { " on" } else { " and" };
        push(
            &mut text,
            format_args!("{word} {} {equals} {}", expression(left), expression(right)),
        );
    }
    if left_keys.is_empty() {
        text.push_str(", every pair");
    }
    if let Some(residual) = residual {
        push(&mut text, format_args!(" where {}", expression(residual)));
    }
    text
}

fn top(op: &Op) -> String {
    let Op::TopK {
        input,
        partition,
        order: keys,
        skip,
        limit,
        number,
    } = op
    else {
        return String::new();
    };
    let mut text = match limit {
        Some(limit) => format!("top {limit} of n{}", input.0),
        None => format!("order n{}", input.0),
    };
    if *skip > 0 {
        push(&mut text, format_args!(" after {skip}"));
    }
    if !partition.is_empty() {
        push(&mut text, format_args!(" by {}", expressions(partition)));
    }
    match keys.as_slice() {
        [] => text.push_str(" in order of all columns"),
        keys => push(&mut text, format_args!(" in order of {}", order(keys))),
    }
    if *number {
        text.push_str(", numbered");
    }
    text
}

fn window(op: &Op) -> String {
    let Op::Window {
        input,
        partition,
        order: keys,
        functions,
        limit,
    } = op
    else {
        return String::new();
    };
    let mut text = format!("window n{}", input.0);
    if !partition.is_empty() {
        push(&mut text, format_args!(" by {}", expressions(partition)));
    }
    if !keys.is_empty() {
        push(&mut text, format_args!(" in order of {}", order(keys)));
    }
    match limit {
        Some(RankLimit::Rank(highest)) => {
            push(&mut text, format_args!(" up to rank {highest}"));
        }
        Some(RankLimit::DenseRank(highest)) => {
            push(&mut text, format_args!(" up to dense rank {highest}"));
        }
        None => {}
    }
    let names: Vec<_> = functions.iter().map(|call| call.name.as_str()).collect();
    push(&mut text, format_args!(": {}", names.join(", ")));
    text
}

fn step(step: &Step) -> String {
    match step {
        Step::Filter(predicate) => format!("where {}", expression(predicate)),
        Step::Project { exprs, schema } => {
            let named = exprs.iter().zip(schema.fields()).map(|(expr, field)| {
                let text = expression(expr);
                match text == *field.name() {
                    true => text,
                    false => format!("{text} AS {}", field.name()),
                }
            });
            format!("select {}", named.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A relation's name.
pub fn relation(plan: &Plan, relation: Relation) -> &str {
    match relation {
        Relation::Table(table) | Relation::Kept(table) => &plan.script.tables[table].name,
        Relation::Rejects => "tillrace.rejects",
        Relation::Blocks => "tillrace.blocks",
        Relation::Clock => "tillrace.clock",
    }
}

/// The nodes that a node keeps sorted by keys, with these.
fn arranged_by(op: &Op) -> Vec<(NodeId, String)> {
    match op {
        Op::Join {
            left,
            right,
            left_keys,
            right_keys,
            ..
        } => {
            vec![
                (*left, expressions(left_keys)),
                (*right, expressions(right_keys)),
            ]
        }
        _ => Vec::new(),
    }
}

/// Which nodes use each arrangement.
fn arrangements(plan: &Plan) -> BTreeMap<(NodeId, String), Vec<NodeId>> {
    let mut users: BTreeMap<_, Vec<NodeId>> = BTreeMap::new();
    for (position, node) in plan.nodes.iter().enumerate() {
        for arranged in arranged_by(&node.op) {
            users.entry(arranged).or_default().push(NodeId(position));
        }
    }
    users
}

fn is_chosen(name: &str, views: &[String]) -> bool {
    views.is_empty() || views.iter().any(|view| view == name)
}

fn chosen_nodes<'a>(
    plan: &'a Plan,
    views: &'a [String],
) -> impl Iterator<Item = (NodeId, &'a Node)> {
    let nodes = plan.nodes.iter().enumerate();
    let chosen = nodes.filter(|(_, node)| node.views.iter().any(|name| is_chosen(name, views)));
    chosen.map(|(position, node)| (NodeId(position), node))
}

fn chosen_outputs<'a>(plan: &'a Plan, views: &'a [String]) -> impl Iterator<Item = &'a Output> {
    plan.outputs
        .iter()
        .filter(|output| is_chosen(&output.view.name, views))
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes any text");
}
