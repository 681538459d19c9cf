// One view on a page of its own: its chart, its rows with search, sort, filters and pages, its columns and its SQL.

import { ApiError, address, download, get, viewPath } from "../api.js";
import { choose, partOf, slices } from "../choose.js";
import { h, prose, put, say } from "../dom.js";
import { engine, listen } from "../engine.js";
import { ago, exact, words } from "../format.js";
import { FOLLOWED_ROWS, open, publishedAt } from "../live.js";
import { draw, titleOf } from "../panel.js";
import { highlighted } from "../sqltext.js";
import { rowTable } from "../table.js";

export function view(host, name, query) {
  let close = () => {};
  let repaint = () => {};
  let unlisten = () => {};
  const show = () => {
    const entry = engine.byName.get(name);
    if (!entry) {
      put(
        host,
        h(
          "p.none",
          engine.views.length ? `There is no view \u201c${name}\u201d. ` : "The engine does not answer. ",
          h("a", { href: "#/" }, "All views"),
        ),
      );
      return false;
    }
    ({ close, repaint } = page(host, entry, query));
    return true;
  };
  if (!show()) {
    unlisten = listen("views", () => {
      if (show()) unlisten();
    });
  }
  return {
    title: engine.byName.has(name) ? titleOf(engine.byName.get(name)) : name,
    close() {
      unlisten();
      close();
    },
    repaint: () => repaint(),
  };
}

function page(host, entry, query) {
  const plan = choose(entry);
  const state = { slice: null, plan, drawing: null };
  const facts = factsOf(entry);
  const table = rowTable(entry, plan, query);
  const chart = h("div.chart-body");
  const tools = h("div.chart-tools");
  const drawn = plan.kind !== "table" && plan.kind !== "alerts";
  const about = h("section.about");
  put(
    host,
    h("p.crumbs", h("a", { href: "#/" }, "Views"), " / ", h("code", entry.name)),
    h(
      "div.view-head",
      h("div", h("h1", titleOf(entry)), entry.comment && h("p.lead", prose(entry.comment))),
      downloads(entry, table),
    ),
    facts.element,
    drawn && h("section.card.chart", { dataset: { kind: plan.kind } }, tools, chart),
    table.element,
    about,
  );
  describe(about, entry);

  let current = null;
  const redraw = () => {
    if (!drawn || !current?.ready) return;
    const rows = current.rows;
    if (rows.length === 0) {
      state.drawing?.destroy();
      state.drawing = null;
      put(chart, h("p.none", "No rows"));
      return;
    }
    const names = slices(state.plan, rows);
    if (!names.includes(state.slice)) state.slice = names[0];
    chartTools(tools, state, names, () => {
      state.drawing?.destroy();
      state.drawing = null;
      redraw();
    });
    if (!state.drawing) {
      put(chart);
      state.drawing = draw(chart, state.plan, entry, { full: true });
    }
    state.drawing.update(rows, state.slice);
  };

  // Rows of a view that is followed serve the chart and the table; of a large one each asks for its own part.
  const followed = entry.rows <= FOLLOWED_ROWS;
  const feed = open(entry.name, { part: partOf(plan) }, (now, changed) => {
    current = now;
    if (changed) redraw();
    if (followed) table.take(now, changed);
    facts.tick(now);
  });
  const unlisten = listen("views", () => !followed && table.look());
  const timer = setInterval(() => current && facts.tick(current), 500);
  return {
    close() {
      feed.close();
      unlisten();
      clearInterval(timer);
      table.close();
      state.drawing?.destroy();
    },
    repaint() {
      state.drawing?.destroy();
      state.drawing = null;
      redraw();
    },
  };
}

/** Which slice, and which figure is drawn. */
function chartTools(host, state, names, again) {
  const { plan } = state;
  const splits = ["line", "stacked", "bar"].includes(plan.kind) && names.length > 1;
  const figures = ["line", "stacked", "bar", "number"].includes(plan.kind) && plan.measures.length > 1;
  const key = JSON.stringify([names, plan.y?.name]);
  if (host.dataset.key === key) return;
  host.dataset.key = key;
  const pickFigure = (event) => {
    state.plan = { ...plan, y: plan.measures.find((column) => column.name === event.target.value) };
    again();
  };
  const pickSlice = (event) => {
    state.slice = event.target.value;
    again();
  };
  put(
    host,
    figures &&
      h(
        "label",
        "Shown ",
        h(
          "select",
          { onchange: pickFigure, value: plan.y.name },
          plan.measures.map((column) => h("option", { value: column.name, selected: column === plan.y }, column.name)),
        ),
      ),
    splits &&
      h(
        "label",
        `${plan.splits.map((column) => words(column.name)).join(", ")} `,
        h(
          "select",
          { onchange: pickSlice },
          [...names].sort().map((name) => h("option", { value: name, selected: name === state.slice }, name || "none")),
        ),
      ),
    h("span.quiet", plan.unit ?? ""),
  );
}

function factsOf(entry) {
  const rows = h("b");
  const fresh = h("b");
  const changed = h("b");
  const newest = h("b");
  const epoch = h("b");
  const fact = (name, value, title) => h("div", { title }, h("dt", name), h("dd", value));
  const element = h(
    "dl.facts",
    fact("Rows", rows),
    fact("Fresh", fresh, "When the shown epoch was published"),
    fact("Changed", changed, "When this view's rows last changed"),
    fact("Newest event", newest, "The newest event time in the tables that this view reads"),
    fact("Epoch", epoch),
  );
  const tick = (feed) => {
    const now = engine.byName.get(entry.name) ?? entry;
    if (!feed.ready) return;
    say(rows, exact(feed.total));
    say(fresh, ago(engine.now() - publishedAt(feed)));
    say(changed, now.changed_at === null ? "never" : ago(engine.now() - now.changed_at));
    const time = Date.parse(now.newest_event_time ?? "");
    say(newest, Number.isNaN(time) ? "\u2013" : `${now.newest_event_time.slice(0, 19).replace("T", " ")} UTC`);
    say(epoch, String(feed.epoch));
  };
  return { element, tick };
}

function downloads(entry, table) {
  const link = (format, text) =>
    h(
      "a.button",
      {
        href: address(viewPath(entry.name), { format, limit: 100000 }),
        download: `${entry.name}.${format}`,
        onclick: (event) => {
          event.preventDefault();
          download(entry.name, format, table.query()).catch((fault) => alert(fault.message));
        },
      },
      text,
    );
  return h(
    "div.downloads",
    h("span.quiet", "Download"),
    link("csv", "CSV"),
    link("json", "JSON"),
    h("a.button", { href: `#/dataflow?view=${encodeURIComponent(entry.name)}` }, "Dataflow"),
    h(
      "a.button",
      { href: `#/sql?q=${encodeURIComponent(`SELECT *\nFROM ${quoted(entry.name)}\nLIMIT 100`)}` },
      "Ask in SQL",
    ),
  );
}

/** A name as SQL has it; `tillrace.inputs` stays as it is. */
const quoted = (name) => (/^[a-z_][a-z0-9_.]*$/.test(name) ? name : `"${name}"`);

async function describe(host, entry) {
  const columns = h(
    "table.columns",
    h(
      "thead",
      h(
        "tr",
        ["Column", "Type", "Meaning"].map((name) => h("th", { scope: "col" }, name)),
      ),
    ),
    h(
      "tbody",
      entry.columns.map((column) =>
        h(
          "tr",
          h("td", h("code", column.name)),
          h("td.quiet", column.type + (column.nullable ? "" : " NOT NULL")),
          h("td", prose(column.comment)),
        ),
      ),
    ),
  );
  const reads = entry.tables?.length
    ? h(
        "p.quiet",
        "Reads ",
        entry.tables.map((table, at) => [at ? ", " : "", h("code", table)]),
      )
    : null;
  put(host, h("div.card", h("h2", "Columns"), h("div.scroll", columns), reads));
  try {
    const schema = await get(viewPath(entry.name, "/schema"));
    if (schema.sql) host.append(h("div.card", h("h2", "SQL"), h("pre.sql", { tabindex: 0 }, highlighted(schema.sql))));
  } catch (fault) {
    if (!(fault instanceof ApiError)) throw fault;
  }
}
