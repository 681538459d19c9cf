// The graph of operators, told apart from how it is drawn: what leads to a view, and what may be left out of sight.

/** The nodes of which `view` is made: those that name it, and all that they read. */
export function leadingTo(nodes, view) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const found = new Set();
  const next = nodes.filter((node) => (node.views ?? []).includes(view));
  while (next.length) {
    const node = next.pop();
    if (!node || found.has(node)) continue;
    found.add(node);
    for (const id of node.inputs ?? []) next.push(byId.get(id));
  }
  return nodes.filter((node) => found.has(node));
}

/**
 * Nodes and edges without those of `kinds` that have one input: their inputs are joined to their readers. An end of the graph stays,
 * as the view's answer comes out of it.
 */
export function folded(nodes, kinds) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const read = new Set(nodes.flatMap((node) => node.inputs ?? []));
  const hidden = (node) =>
    kinds.has(node.kind) && (node.inputs ?? []).length === 1 && read.has(node.id) && byId.has(node.inputs[0]);
  const source = (id) => {
    let node = byId.get(id);
    while (node && hidden(node)) node = byId.get(node.inputs[0]);
    return node?.id;
  };
  const shown = nodes.filter((node) => !hidden(node));
  const edges = new Map();
  for (const node of shown) {
    for (const id of node.inputs ?? []) {
      const from = source(id);
      if (from !== undefined) edges.set(`${from}\n${node.id}`, [String(from), String(node.id)]);
    }
  }
  return { nodes: shown, edges: [...edges.values()] };
}

/** The ids on the way to and from a node. */
export function related(edges, id) {
  const found = new Set([id]);
  for (const [from, to] of [
    [0, 1],
    [1, 0],
  ]) {
    const next = [id];
    while (next.length) {
      const at = next.pop();
      for (const edge of edges) {
        if (edge[from] !== at || found.has(edge[to])) continue;
        found.add(edge[to]);
        next.push(edge[to]);
      }
    }
  }
  return found;
}
