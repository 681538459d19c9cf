//! `/graph`: the dataflow that keeps the views, node by node.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::app::App;
use super::openapi::Failure;
use crate::engine::NodeReport;
use crate::plan::{NodeId, Op, Plan, explain, state};

/// The dataflow.
#[derive(Serialize, ToSchema)]
pub(super) struct Graph {
    /// The epoch that the answer is of.
    epoch: u64,
    /// Each after the nodes that it reads.
    nodes: Vec<GraphNode>,
}

/// One step of the computation.
#[derive(Serialize, ToSchema)]
struct GraphNode {
    id: String,
    /// Its class: Input, Constant, Map, Unnest, Reduce, Distinct, Join, TopK, Union or Negate.
    kind: &'static str,
    /// The table that it reads, the views that it is the answer of, or its class.
    name: String,
    /// What it does, in one line.
    detail: String,
    /// The nodes that it reads.
    inputs: Vec<String>,
    /// The views that need it.
    views: Vec<String>,
    /// What it keeps grows with this.
    state: String,
    /// Whether something bounds what it keeps.
    bounded: bool,
    /// What does, if anything.
    bound: Option<String>,
    /// What a change costs, where that is more than the change itself.
    cost: Option<String>,
    /// Whether its rows are only ever added.
    append_only: bool,
    /// What it has done so far, on all workers.
    stats: NodeStats,
}

/// What a node has done so far.
#[derive(Serialize, ToSchema)]
struct NodeStats {
    /// Rows that it was given.
    records_in: u64,
    /// Rows that it gave on.
    records_out: u64,
    /// How long it has run, added up over workers.
    time_ms: f64,
    /// How many updates, keys, ids and groups it holds.
    held_records: u64,
    /// In how many batches its arrangements hold them.
    held_batches: u64,
}

/// The dataflow that keeps the views.
#[utoipa::path(
    get, path = "/graph", tag = "engine",
    responses(
        (status = 200, description = "The nodes", body = Graph),
        (status = "default", description = "Why not", body = Failure),
    ),
)]
pub(super) async fn graph(State(app): State<Arc<App>>) -> Json<Graph> {
    let plan = app.live.plan();
    let reports = app.live.operators();
    let nodes = reports.iter().map(|report| node(plan, report)).collect();
    Json(Graph {
        epoch: app.live.catalog().latest().epoch(),
        nodes,
    })
}

fn node(plan: &Plan, report: &NodeReport) -> GraphNode {
    let id = NodeId(report.node);
    let node = &plan.nodes[id.0];
    let kept = state(plan, id);
    let kind = kind(&node.op);
    let inputs = node.op.inputs();
    GraphNode {
        id: label(id),
        kind,
        name: name(plan, id, kind),
        detail: explain::describe(plan, &node.op),
        inputs: inputs.into_iter().map(label).collect(),
        views: node.views.clone(),
        bounded: kept.bound.is_some(),
        bound: kept.bound.clone().filter(|_| !kept.is_none()),
        state: kept.grows_with,
        cost: kept.cost,
        append_only: node.append_only,
        stats: NodeStats {
            records_in: report.records_in,
            records_out: report.records_out,
            time_ms: report.time_ns as f64 / 1e6,
            held_records: report.held_records,
            held_batches: report.held_batches,
        },
    }
}

fn label(id: NodeId) -> String {
    format!("n{}", id.0)
}

fn name(plan: &Plan, id: NodeId, kind: &str) -> String {
    if let Op::Input(input) = &plan.nodes[id.0].op {
        return explain::relation(plan, plan.inputs[*input].relation).to_owned();
    }
    let outputs = plan.views().filter(|output| output.node == id);
    let names: Vec<&str> = outputs.map(|output| output.view.name.as_str()).collect();
    match names.is_empty() {
        true => kind.to_lowercase(),
        false => names.join(", "),
    }
}

fn kind(op: &Op) -> &'static str {
    match op {
        Op::Input(_) => "Input",
        Op::Constant(_) => "Constant",
        Op::Map { .. } => "Map",
        Op::Unnest { .. } => "Unnest",
        Op::Reduce { aggregates, .. } if aggregates.is_empty() => "Distinct",
        Op::Reduce { .. } => "Reduce",
        Op::Join { .. } => "Join",
        Op::TopK { .. } => "TopK",
        Op::Temporal { .. } => "Temporal",
        Op::Union { .. } => "Union",
        Op::Window { .. } => "Window",
        Op::Negate { .. } => "Negate",
        Op::AsOf { .. } => "AsOf",
        Op::Work { .. } => "Work",
        Op::Recursive { .. } => "Recursive",
    }
}
