// Places the nodes of a graph in layers from left to right, apart from the page, which stays responsive meanwhile.

import dagre from "./vendor/dagre.esm.min.js";

const MANY = 60;
const GAP = 14;
const SWEEPS = 12;

// In: {number, nodes: [{id, width, height}], edges: [[from, to]]}.
// Out: {number, width, height, nodes: {id: {x, y}}, edges: [[from, to, [{x, y}]]]}.
onmessage = ({ data }) => {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "LR", nodesep: GAP, ranksep: 40, edgesep: 6, marginx: 16, marginy: 16 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { id, width, height } of data.nodes) graph.setNode(id, { width, height });
  for (const [from, to] of data.edges) graph.setEdge(from, to);
  dagre.layout(graph);
  const { width, height } = graph.graph();
  if (data.nodes.length > MANY) {
    postMessage({ number: data.number, ...dense(graph, width) });
    return;
  }
  const nodes = {};
  for (const id of graph.nodes()) {
    const { x, y } = graph.node(id);
    nodes[id] = { x, y };
  }
  const edges = graph.edges().map(({ v, w }) => [v, w, graph.edge(v, w).points]);
  postMessage({ number: data.number, width, height, nodes, edges });
};

/**
 * Dagre keeps lanes free for edges that cross many layers, which makes a large graph mostly empty. Here its layers and their order
 * stay, nodes move together within their layer, and edges run straight behind them.
 */
function dense(graph, width) {
  const { height } = graph.node(graph.nodes()[0]);
  const layers = new Map();
  for (const id of graph.nodes()) {
    const node = graph.node(id);
    layers.set(node.x, [...(layers.get(node.x) ?? []), { id, node }]);
  }
  const columns = [...layers.keys()]
    .sort((a, b) => a - b)
    .map((x) => layers.get(x).sort((a, b) => a.node.y - b.node.y));
  for (const column of columns) {
    column.forEach((place, at) => (place.node.y = (at - column.length / 2) * (place.node.height + GAP)));
  }
  // Each layer in turn moves towards what it is joined with, to the right and back, as in the method of Sugiyama.
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const rightwards = sweep % 2 === 0;
    for (const column of rightwards ? columns : columns.toReversed()) settle(graph, column, rightwards);
  }
  const ys = graph.nodes().map((id) => graph.node(id).y);
  const top = Math.min(...ys) - height / 2 - GAP;
  const nodes = {};
  for (const id of graph.nodes()) nodes[id] = { x: graph.node(id).x, y: graph.node(id).y - top };
  const edges = graph.edges().map(({ v, w }) => [
    v,
    w,
    [
      { x: nodes[v].x + graph.node(v).width / 2, y: nodes[v].y },
      { x: nodes[w].x - graph.node(w).width / 2, y: nodes[w].y },
    ],
  ]);
  return { width, height: Math.max(...ys) - top + height / 2 + GAP, nodes, edges };
}

/** Moves the nodes of a layer to the middle of their neighbours, as near as they get without touching. */
function settle(graph, column, rightwards) {
  for (const place of column) {
    const near = (rightwards ? graph.predecessors(place.id) : graph.successors(place.id)) ?? [];
    const all = near.length ? near : (graph.neighbors(place.id) ?? []);
    place.wish = all.length ? all.reduce((sum, id) => sum + graph.node(id).y, 0) / all.length : place.node.y;
  }
  column.sort((a, b) => a.wish - b.wish);
  let free = -Infinity;
  let moved = 0;
  for (const place of column) {
    place.node.y = Math.max(place.wish, free);
    moved += place.node.y - place.wish;
    free = place.node.y + place.node.height + GAP;
  }
  for (const place of column) place.node.y -= moved / column.length;
}
