// A panel: a view drawn, with its title, how fresh it is and how many rows it has. It is live only while it is visible.

import { choose, partOf, slices } from "./choose.js";
import { create as bars } from "./charts/bars.js";
import { create as heatmap } from "./charts/heatmap.js";
import { createAlerts, createTable } from "./charts/lists.js";
import { create as numbers, createGauge } from "./charts/numbers.js";
import { create as time } from "./charts/time.js";
import { h, put, say } from "./dom.js";
import { engine, listen } from "./engine.js";
import { ago, exact, words } from "./format.js";
import { open, publishedAt } from "./live.js";

/** What draws each kind. */
export function draw(host, plan, view, settings) {
  switch (plan.kind) {
    case "number":
      return numbers(host, plan, settings);
    case "gauge":
      return createGauge(host, plan);
    case "line":
    case "stacked":
      return time(host, plan, settings);
    case "bar":
    case "funnel":
      return bars(host, plan, settings);
    case "heatmap":
      return heatmap(host, plan, view);
    case "alerts":
      return createAlerts(host, plan);
    default:
      return createTable(host, plan);
  }
}

export const titleOf = (view) => view.options?.title ?? words(view.name);

/** Older than this is told in red: polled views are a few seconds old at worst. */
const OLD_MS = 8000;
/** A hidden panel keeps its stream for this long, so that scrolling back and forth costs nothing. */
const LINGER_MS = 1500;

/** A panel of `view`. `panel.element` is in the page; `close` ends its stream. */
export function panel(view) {
  let plan = choose(view);
  let columns = JSON.stringify(view.columns);
  let feed = null;
  let drawing = null;
  let slice = null;
  let leaving = 0;

  const body = h("div.panel-body");
  const rows = h("span");
  const fresh = h("span.fresh", { title: "When the shown epoch was published" });
  const what = h("span.what");
  const chooser = h("select", {
    "aria-label": `Part of ${titleOf(view)}`,
    hidden: true,
    onchange: () => pick(chooser.value),
  });
  const element = h(
    "article.panel",
    { dataset: { view: view.name, kind: plan.kind } },
    h(
      "header",
      h(
        "h3",
        h("a", { href: `#/view/${encodeURIComponent(view.name)}`, title: view.comment ?? view.name }, titleOf(view)),
      ),
      chooser,
    ),
    body,
    h("footer", what, rows, fresh),
  );
  describe();

  function describe() {
    const drawn = !["table", "alerts", "number", "gauge"].includes(plan.kind) && plan.y;
    say(what, drawn ? (plan.kind === "heatmap" ? "" : plan.y.name + (plan.unit ? `, ${plan.unit}` : "")) : "");
    what.title = plan.y?.comment ?? "";
  }

  function pick(name) {
    slice = name;
    if (feed?.ready) redraw();
  }

  function redraw() {
    const current = feed.rows;
    if (current.length === 0) {
      drawing?.destroy();
      drawing = null;
      put(body, h("p.none", "No rows"));
      return;
    }
    offer(slices(plan, current));
    if (!drawing) {
      put(body);
      drawing = draw(body, plan, view, {});
    }
    drawing.update(current, slice);
  }

  function offer(names) {
    if (slice === null || !names.includes(slice)) slice = names[0];
    const splits = ["line", "stacked", "bar"].includes(plan.kind);
    chooser.hidden = !splits || names.length < 2;
    if (chooser.hidden || chooser.dataset.names === names.join("\n")) return;
    chooser.dataset.names = names.join("\n");
    const sorted = [...names].sort((a, b) => a.localeCompare(b));
    put(
      chooser,
      sorted.map((name) => h("option", { value: name }, name || "none")),
    );
    chooser.value = slice;
  }

  function tick() {
    const total = feed?.ready ? feed.total : (engine.byName.get(view.name)?.rows ?? view.rows);
    say(rows, `${exact(total)} ${total === 1 ? "row" : "rows"}`);
    if (!feed?.ready) return say(fresh, "");
    const age = engine.now() - publishedAt(feed);
    fresh.classList.toggle("old", engine.away || age > OLD_MS);
    return say(fresh, ago(age));
  }

  function show() {
    clearTimeout(leaving);
    if (feed) return;
    feed = open(view.name, { part: partOf(plan) }, (_, changed) => {
      if (changed) redraw();
      tick();
    });
  }

  function hide() {
    clearTimeout(leaving);
    leaving = setTimeout(() => {
      feed?.close();
      feed = null;
    }, LINGER_MS);
  }

  /** A script that was loaded anew may have given the view other columns. */
  function renew() {
    const now = engine.byName.get(view.name);
    if (!now || JSON.stringify(now.columns) === columns) return;
    [view, plan, columns] = [now, choose(now), JSON.stringify(now.columns)];
    drawing?.destroy();
    drawing = null;
    describe();
    if (feed) {
      feed.close();
      feed = null;
      show();
    }
  }

  const sight = new IntersectionObserver(([entry]) => (entry.isIntersecting ? show() : hide()), {
    rootMargin: "120px",
  });
  sight.observe(element);
  const timer = setInterval(tick, 500);
  const unlisten = listen("views", renew);
  tick();

  return {
    element,
    view,
    kind: plan.kind,
    repaint() {
      drawing?.destroy();
      drawing = null;
      if (feed?.ready) redraw();
    },
    close() {
      clearTimeout(leaving);
      clearInterval(timer);
      unlisten();
      sight.disconnect();
      feed?.close();
      feed = null;
      drawing?.destroy();
    },
  };
}
