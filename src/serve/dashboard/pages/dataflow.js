// The running dataflow: its operators from the inputs on the left to the views on the right, with what each has read,
// taken and kept; for all views or for one.

import { get } from "../api.js";
import { movable } from "../canvas.js";
import { h, put, say, svg } from "../dom.js";
import { exact, short, span } from "../format.js";
import { folded, leadingTo, related } from "../graph.js";

const EVERY_MS = 2000;
const WIDTH = 184;
const HEIGHT = 62;
/** No smaller than this at first, so that texts can be read. */
const READABLE = 0.72;
const PLUMBING = new Set(["Map", "Negate", "Unnest", "Constant"]);

export function dataflow(host, _, query) {
  const state = {
    view: query.get("view") ?? "",
    plumbing: false,
    nodes: [],
    before: null,
    rates: new Map(),
    chosen: null,
    shape: "",
    edges: [],
    places: {},
  };
  const picker = h("select", { "aria-label": "Which view's operators", onchange: () => pick(picker.value) });
  const plumbing = h("input", {
    type: "checkbox",
    onchange: () => {
      state.plumbing = plumbing.checked;
      layout(true);
    },
  });
  const summary = h("span.quiet", { role: "status" });
  const edges = svg("g.edges");
  const boxes = svg("g.boxes");
  const content = svg("g", {}, edges, boxes);
  const frame = svg(
    "svg.canvas",
    {
      tabindex: 0,
      role: "group",
      "aria-label": "Graph of operators. Arrow keys move it, plus and minus enlarge it, 0 shows it whole.",
    },
    content,
  );
  const canvas = movable(frame, content);
  const detail = h("aside.detail.card", { "aria-live": "polite" });
  const busiest = h("section.card");
  const button = (text, name, act) =>
    h("button", { type: "button", "aria-label": name, title: name, onclick: act }, text);
  put(
    host,
    h(
      "div.page-head",
      h("h1", "Dataflow"),
      h(
        "p.lead",
        "Every operator of the running plan. Events flow from left to right; what two views have in common is computed once.",
      ),
    ),
    h("div.tools", h("label", "Leading to ", picker), h("label.check", plumbing, " Maps and unnests"), summary),
    h(
      "div.flow",
      h(
        "div.frame.card",
        frame,
        h(
          "div.zoom",
          button("+", "Enlarge", () => canvas.zoom(1.25)),
          button("\u2212", "Make smaller", () => canvas.zoom(0.8)),
          button("\u2922", "Show all", () => canvas.fit(undefined, 0)),
        ),
      ),
      detail,
    ),
    busiest,
  );
  const worker = new Worker(new URL("../layout-worker.js", import.meta.url), { type: "module" });
  let asked = 0;
  let timer = 0;
  let closed = false;
  const drawn = new Map();

  worker.onmessage = ({ data }) => {
    if (data.number !== asked || closed) return;
    state.places = data.nodes;
    paint(data);
  };

  function pick(view) {
    state.view = view;
    state.chosen = null;
    history.replaceState(null, "", view ? `#/dataflow?view=${encodeURIComponent(view)}` : "#/dataflow");
    layout(true);
  }

  async function ask() {
    clearTimeout(timer);
    try {
      const answer = await get("graph");
      if (closed) return;
      take(answer.nodes.map((node) => ({ ...node, id: String(node.id), inputs: (node.inputs ?? []).map(String) })));
    } catch {
      if (!state.nodes.length && !closed) put(detail, h("p.none", "The engine does not answer."));
    }
    if (!closed) timer = setTimeout(ask, EVERY_MS);
  }

  function take(nodes) {
    const now = performance.now();
    if (state.before) {
      const seconds = (now - state.before.at) / 1000;
      for (const node of nodes) {
        const read = state.before.read.get(node.id);
        if (read !== undefined && node.stats)
          state.rates.set(node.id, Math.max(0, (node.stats.records_in - read) / seconds));
      }
    }
    state.before = { at: now, read: new Map(nodes.map((node) => [node.id, node.stats?.records_in ?? 0])) };
    state.nodes = nodes;
    offer();
    layout(false);
  }

  function offer() {
    const names = [...new Set(state.nodes.flatMap((node) => node.views ?? []))].sort();
    const key = names.join("\n");
    if (picker.dataset.key === key) return;
    picker.dataset.key = key;
    put(
      picker,
      h("option", { value: "" }, "all views"),
      names.map((name) => h("option", { value: name }, name)),
    );
    if (!names.includes(state.view)) state.view = "";
    picker.value = state.view;
  }

  /** Places the nodes anew if there are others than before; else only writes their figures. */
  function layout(fresh) {
    const chosen = state.view ? leadingTo(state.nodes, state.view) : state.nodes;
    const graph = state.plumbing ? folded(chosen, new Set()) : folded(chosen, PLUMBING);
    const shape = JSON.stringify([graph.nodes.map((node) => node.id), graph.edges]);
    say(summary, `${exact(graph.nodes.length)} of ${exact(state.nodes.length)} operators`);
    state.graph = graph;
    if (fresh || shape !== state.shape) {
      state.shape = shape;
      asked += 1;
      worker.postMessage({
        number: asked,
        nodes: graph.nodes.map(({ id }) => ({ id, width: WIDTH, height: HEIGHT })),
        edges: graph.edges,
      });
    } else {
      figures();
    }
  }

  function paint({ nodes, edges: lines, width, height }) {
    put(
      edges,
      lines.map(([from, to, points]) => svg("path", { d: curve(points), dataset: { from, to } })),
    );
    drawn.clear();
    const read = new Set(state.graph.edges.map(([from]) => from));
    const ends = new Set(state.graph.nodes.map(({ id }) => id).filter((id) => !read.has(id)));
    put(
      boxes,
      state.graph.nodes.map((node) => {
        const box = makeBox(node, nodes[node.id], ends.has(node.id), () => choose(node.id));
        drawn.set(node.id, box);
        return box.element;
      }),
    );
    canvas.fit({ width, height }, READABLE, Object.values(nodes));
    figures();
    choose(state.chosen && drawn.has(state.chosen) ? state.chosen : null);
  }

  function figures() {
    const total = state.nodes.reduce((sum, node) => sum + (node.stats?.time_ms ?? 0), 0) || 1;
    for (const node of state.graph.nodes) {
      const box = drawn.get(node.id);
      if (!box) continue;
      const stats = node.stats;
      say(
        box.figures,
        stats
          ? `${short(stats.records_in)} in \u00b7 ${span(stats.time_ms)}${stats.held_records ? ` \u00b7 ${short(stats.held_records)} kept` : ""}`
          : "",
      );
      const share = stats ? stats.time_ms / total : 0;
      box.heat.setAttribute("width", String(Math.max(0, Math.min(1, share * 4)) * WIDTH));
    }
    if (state.chosen) describe();
    writeBusiest(total);
  }

  function choose(id) {
    state.chosen = id;
    const near = id ? related(state.graph.edges, id) : null;
    for (const [key, box] of drawn) {
      box.element.classList.toggle("chosen", key === id);
      box.element.classList.toggle("far", near !== null && !near.has(key));
    }
    for (const edge of edges.children)
      edge.classList.toggle("far", near !== null && !(near.has(edge.dataset.from) && near.has(edge.dataset.to)));
    describe();
  }

  function describe() {
    const node = state.nodes.find(({ id }) => id === state.chosen);
    if (!node) {
      put(detail, h("p.quiet", "Choose an operator to see what it does, what it keeps and which views it serves."));
      return;
    }
    const stats = node.stats;
    const rate = state.rates.get(node.id);
    const fact = (name, value) => h("div", h("dt", name), h("dd", value));
    put(
      detail,
      h(
        "div.detail-head",
        h("h2", node.kind, h("small", node.id)),
        h("button", { type: "button", "aria-label": "Close", onclick: () => choose(null) }, "\u00d7"),
      ),
      node.name && h("p", h("b", node.name)),
      h("p.mono", node.detail ?? ""),
      stats &&
        h(
          "dl.facts",
          fact("Records in", exact(stats.records_in)),
          fact("Records out", exact(stats.records_out)),
          rate !== undefined && fact("In a second", short(Math.round(rate * 10) / 10)),
          fact("Time", span(stats.time_ms)),
          fact("Kept", `${exact(stats.held_records ?? 0)} rows`),
          fact("In batches", exact(stats.held_batches ?? 0)),
        ),
      node.state &&
        h(
          "p",
          h("span.quiet", "Keeps "),
          node.state,
          node.bounded === false ? h("span.tag", "grows") : h("span.tag.good", "bounded"),
        ),
      (node.views ?? []).length > 0 &&
        h(
          "p",
          h("span.quiet", "Serves "),
          node.views.map((name, at) => [at ? ", " : "", h("a", { href: `#/view/${encodeURIComponent(name)}` }, name)]),
        ),
    );
  }

  function writeBusiest(total) {
    const chosen = state.view ? leadingTo(state.nodes, state.view) : state.nodes;
    const measured = chosen.filter((node) => node.stats);
    if (!measured.length) return put(busiest);
    const rows = [...measured].sort((a, b) => b.stats.time_ms - a.stats.time_ms).slice(0, 12);
    const show = (id) => {
      if (drawn.has(id)) {
        choose(id);
        canvas.centre(state.places[id].x, state.places[id].y);
        frame.scrollIntoView({ block: "nearest" });
      } else {
        state.chosen = id;
        describe();
      }
    };
    return put(
      busiest,
      h("h2", "Where the time goes"),
      h(
        "div.scroll",
        h(
          "table.data",
          h(
            "thead",
            h(
              "tr",
              h("th", "Operator"),
              h("th", "Does"),
              h("th.num", "Time"),
              h("th.num", "Share"),
              h("th.num", "Records in"),
              h("th.num", "In a second"),
              h("th.num", "Rows kept"),
            ),
          ),
          h(
            "tbody",
            rows.map((node) =>
              h(
                "tr",
                h("td", h("button.link", { type: "button", onclick: () => show(node.id) }, `${node.kind} ${node.id}`)),
                h("td.clip", { title: node.detail ?? "" }, node.name || node.detail),
                h("td.num", span(node.stats.time_ms)),
                h("td.num", `${((node.stats.time_ms / total) * 100).toFixed(1)} %`),
                h("td.num", exact(node.stats.records_in)),
                h("td.num", state.rates.has(node.id) ? short(Math.round(state.rates.get(node.id))) : ""),
                h("td.num", exact(node.stats.held_records ?? 0)),
              ),
            ),
          ),
        ),
      ),
    );
  }

  describe();
  ask();
  return {
    title: "Dataflow",
    stays(next) {
      const view = next.get("view") ?? "";
      if (view === state.view) return;
      picker.value = view;
      state.view = view;
      layout(true);
    },
    close() {
      closed = true;
      clearTimeout(timer);
      worker.terminate();
    },
  };
}

function makeBox(node, { x, y }, end, act) {
  const figures = svg("text.box-figures", { x: 12, y: 51 });
  const heat = svg("rect.box-heat", { y: HEIGHT - 3, height: 3, width: 0 });
  const name = node.name || (end && node.views?.length ? `\u2192 ${node.views.join(", ")}` : strip(node.detail));
  const element = svg(
    "g.box",
    {
      transform: `translate(${x - WIDTH / 2} ${y - HEIGHT / 2})`,
      tabindex: 0,
      role: "button",
      dataset: { kind: node.kind, id: node.id },
      onclick: act,
      onkeydown: (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          act();
        }
      },
    },
    svg("title", {}, `${node.kind} ${node.id}: ${node.detail ?? ""}`),
    svg("rect.box-back", { width: WIDTH, height: HEIGHT, rx: 6 }),
    svg("rect.box-kind", { width: 4, height: HEIGHT, rx: 2 }),
    heat,
    svg("text.box-kind-name", { x: 12, y: 17 }, node.kind),
    svg("text.box-name", { x: 12, y: 34 }, clip(name, 26)),
    figures,
  );
  return { element, figures, heat };
}

/** What a node does without the words that its kind says already. */
const strip = (text) => (text ?? "").replace(/^\w+ (of )?(n\d+(, )?)*(on |by |: )?/, "");

const clip = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}\u2026` : text);

/** A smooth line through the points that the layout gives. */
function curve(points) {
  const [first, ...rest] = points;
  let d = `M${first.x} ${first.y}`;
  let before = first;
  for (const point of rest) {
    const middle = (before.x + point.x) / 2;
    d += `C${middle} ${before.y} ${middle} ${point.y} ${point.x} ${point.y}`;
    before = point;
  }
  return d;
}
