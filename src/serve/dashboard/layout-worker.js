// Places the nodes of a graph in layers from left to right, apart from the page, which stays responsive meanwhile.

import dagre from "./vendor/dagre.esm.min.js";

// In: {number, nodes: [{id, width, height}], edges: [[from, to]]}.
// Out: {number, width, height, nodes: {id: {x, y}}, edges: [[from, to, [{x, y}]]]}.
onmessage = ({ data }) => {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 14, ranksep: 46, edgesep: 6, marginx: 16, marginy: 16 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { id, width, height } of data.nodes) graph.setNode(id, { width, height });
  for (const [from, to] of data.edges) graph.setEdge(from, to);
  dagre.layout(graph);
  const nodes = {};
  for (const id of graph.nodes()) {
    const { x, y } = graph.node(id);
    nodes[id] = { x, y };
  }
  const edges = graph.edges().map(({ v, w }) => [v, w, graph.edge(v, w).points]);
  const { width, height } = graph.graph();
  postMessage({ number: data.number, width, height, nodes, edges });
};
