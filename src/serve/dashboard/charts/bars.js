// Values by name: a bar each, the largest first. Also the funnel, whose steps keep their order and are told in percent.

import { isShare, labelOf, sliceOf } from "../choose.js";
import { flash, h, put, say } from "../dom.js";
import { cell, exact, percent, toNumber } from "../format.js";

const FEW = 10;
const MANY = 60;

export function create(host, plan, { full = false } = {}) {
  const list = h("ol.bars", { class: `bars${plan.kind === "funnel" ? " funnel" : ""}` });
  const more = h("p.more.quiet");
  put(host, list, more);
  const lines = new Map();
  let first = true;

  function update(rows, slice) {
    const found = itemsOf(plan, rows, slice);
    const share = isShare(plan.y, rows);
    const shown = found.slice(0, full ? MANY : FEW);
    const top = Math.max(...shown.map((item) => Math.abs(item.value ?? 0)), 0) || 1;
    const base = found[0]?.value;
    const seen = new Set();
    shown.forEach((item, place) => {
      seen.add(item.key);
      let line = lines.get(item.key);
      if (!line) {
        line = makeLine(item);
        lines.set(item.key, line);
      }
      if (list.children[place] !== line.element) list.insertBefore(line.element, list.children[place] ?? null);
      const text = share ? percent(item.value) : exact(item.raw ?? "");
      if (say(line.value, text) && !first) flash(line.value);
      if (plan.kind === "funnel") say(line.aside, place === 0 || !base ? "" : percent(item.value / base));
      line.bar.style.width = `${(Math.abs(item.value ?? 0) / top) * 100}%`;
      line.bar.classList.toggle("negative", (item.value ?? 0) < 0);
    });
    for (const [key, line] of lines) {
      if (seen.has(key)) continue;
      line.element.remove();
      lines.delete(key);
    }
    say(more, found.length > shown.length ? `and ${exact(found.length - shown.length)} more` : "");
    more.hidden = found.length <= shown.length;
    first = false;
  }

  return { update, destroy: () => put(host) };
}

function makeLine(item) {
  const bar = h("i");
  const value = h("b");
  const aside = h("small");
  const element = h(
    "li",
    h("span.name", { title: item.name }, item.name, item.detail && h("small", item.detail)),
    h("span.track", bar),
    h("span.value", value, aside),
  );
  return { element, bar, value, aside };
}

function itemsOf(plan, rows, slice) {
  const items = [];
  for (const row of rows) {
    if (sliceOf(plan, row) !== slice) continue;
    const x = cell(row[plan.x.name], plan.x.type) || "none";
    const label = labelOf(plan, row);
    // A funnel's step is a number; what it is called stands beside it.
    const [name, detail] = plan.kind === "funnel" && label ? [label, ""] : [x, label];
    items.push({
      key: `${x}\n${label}`,
      name,
      detail,
      raw: row[plan.y.name],
      value: toNumber(row[plan.y.name]),
      order: row[plan.x.name],
    });
  }
  if (plan.kind === "funnel") return items.sort((a, b) => (a.order < b.order ? -1 : 1));
  return items.sort((a, b) => (b.value ?? -Infinity) - (a.value ?? -Infinity) || a.name.localeCompare(b.name));
}
