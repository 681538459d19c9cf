// Single figures: the value large, what else the row says small beside it. And the gauge: a figure against its threshold.

import { isShare } from "../choose.js";
import { flash, h, put, say, svg } from "../dom.js";
import { cell, exact, isNumeric, percent, toNumber, words } from "../format.js";

export function create(host, plan, { full = false } = {}) {
  const list = h("div.numbers");
  put(host, list);
  const stats = new Map();
  let first = true;

  function update(rows) {
    const share = isShare(plan.y, rows);
    const seen = new Set();
    const ordered = [...rows].sort((a, b) => (toNumber(b[plan.y.name]) ?? 0) - (toNumber(a[plan.y.name]) ?? 0));
    for (const [place, row] of ordered.slice(0, full ? 24 : 4).entries()) {
      const name = [...plan.texts, ...plan.times]
        .map((column) => cell(row[column.name], column.type))
        .filter(Boolean)
        .join(" \u00b7 ");
      seen.add(name);
      let stat = stats.get(name);
      if (!stat) {
        stat = makeStat(plan, name);
        stats.set(name, stat);
      }
      if (list.children[place] !== stat.element) list.insertBefore(stat.element, list.children[place] ?? null);
      const value = row[plan.y.name];
      const text = value === null ? "\u2013" : share ? percent(toNumber(value)) : exact(value);
      if (say(stat.value, text) && !first) flash(stat.value);
      for (const [column, element] of stat.others) {
        if (say(element, cell(row[column.name], column.type) || "\u2013") && !first) flash(element);
      }
    }
    for (const [name, stat] of stats) {
      if (seen.has(name)) continue;
      stat.element.remove();
      stats.delete(name);
    }
    list.classList.toggle("several", seen.size > 1);
    first = false;
  }

  return { update, destroy: () => put(host) };
}

function makeStat(plan, name) {
  const value = h("strong", { title: plan.y.name });
  const others = plan.columns
    .filter((column) => isNumeric(column) && column !== plan.y)
    .map((column) => [column, h("b")]);
  const element = h(
    "div.stat",
    h("div.stat-head", h("span.stat-name", name || words(plan.y.name)), value, plan.unit && h("small", plan.unit)),
    h(
      "dl.stat-rest",
      others.map(([column, shown]) =>
        h("div", h("dt", { title: column.comment ?? column.name }, words(column.name)), h("dd", shown)),
      ),
    ),
  );
  return { element, value, others };
}

const ARC = 251.3;

/** A half circle filled as far as the value is towards twice its threshold; the threshold is the mark at the top. */
export function createGauge(host, plan) {
  const arc = svg("path.gauge-value", { d: "M 20 100 A 80 80 0 0 1 180 100", "stroke-dasharray": `0 ${ARC}` });
  const value = svg("text.gauge-text", { x: 100, y: 92, "text-anchor": "middle" });
  const limit = svg("text.gauge-limit", { x: 100, y: 114, "text-anchor": "middle" });
  const drawing = svg(
    "svg.gauge",
    { viewBox: "0 0 200 120", role: "img" },
    svg("path.gauge-track", { d: "M 20 100 A 80 80 0 0 1 180 100" }),
    arc,
    svg("path.gauge-mark", { d: "M 100 12 V 30" }),
    value,
    limit,
  );
  put(host, drawing);
  let first = true;
  function update(rows) {
    const row = rows[0];
    if (!row) return;
    const number = toNumber(row[plan.y.name]) ?? 0;
    const threshold = typeof plan.threshold === "number" ? plan.threshold : (toNumber(row[plan.threshold.name]) ?? 0);
    const full = Math.max(0, Math.min(1, threshold ? number / (2 * threshold) : number ? 1 : 0));
    arc.setAttribute("stroke-dasharray", `${full * ARC} ${ARC}`);
    drawing.classList.toggle("over", number > threshold);
    const share = isShare(plan.y, rows);
    if (say(value, share ? percent(number) : exact(row[plan.y.name] ?? "\u2013")) && !first) flash(value);
    say(limit, `threshold ${share ? percent(threshold) : exact(threshold)}`);
    drawing.setAttribute("aria-label", `${plan.y.name} ${value.textContent}, ${limit.textContent}`);
    first = false;
  }
  return { update, destroy: () => put(host) };
}
