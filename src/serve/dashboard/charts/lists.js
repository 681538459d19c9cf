// Rows as they are: a short table, and the list of what has crossed a threshold.

import { compareRows } from "../order.js";
import { flash, h, keyedLines, put, say } from "../dom.js";
import { cell, exact, isNumeric, kindOf, toNumber, words } from "../format.js";

const SHOWN = 60;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** A time without its year, as room is short: "24 Nov 23:46:14". */
const moment = (text) =>
  text ? `${Number(text.slice(8, 10))} ${MONTHS[Number(text.slice(5, 7)) - 1]} ${text.slice(11, 19)}` : "";

/** A table of the first rows; changed cells light up. */
export function createTable(host, plan) {
  const body = h("tbody");
  const head = h(
    "tr",
    plan.columns.map((column) =>
      h(
        isNumeric(column) ? "th.num" : "th",
        { title: column.comment ?? column.name, scope: "col" },
        words(column.name),
      ),
    ),
  );
  put(
    host,
    h("div.scroll", { tabindex: 0, role: "region", "aria-label": "Rows" }, h("table.mini", h("thead", head), body)),
  );
  const lines = keyedLines(body);
  const make = () => {
    const line = plan.columns.map((column) => h(isNumeric(column) ? "td.num" : "td"));
    line.element = h("tr", line);
    return line;
  };
  const write = (line, row, lit) =>
    plan.columns.forEach((column, at) => {
      const text = cell(row[column.name], column.type);
      const shownText = kindOf(column.type) === "time" ? moment(text) : text;
      const changed = say(line[at], shownText);
      if (changed && (text.length > 24 || shownText !== text)) line[at].title = text;
      if (changed && lit) flash(line[at]);
    });

  function update(rows) {
    const shown = [...rows].sort(compareRows(plan.order, plan.columns)).slice(0, SHOWN);
    lines.lay(shown, (row, seen) => identity(plan, row, seen), make, write);
  }
  return { update, destroy: () => put(host) };
}

/** What stays the same of a row while its figures change: its texts and dates. Equal ones are numbered. */
export function identity(plan, row, seen) {
  const names = plan.columns.filter(
    (column) =>
      ["text", "date"].includes(kindOf(column.type)) ||
      column === plan.x ||
      /^(place|rank|step|position)$/.test(column.name),
  );
  const key = JSON.stringify((names.length ? names : plan.columns).map((column) => row[column.name]));
  let name = key;
  for (let copy = 2; seen.has(name); copy += 1) name = `${key}#${copy}`;
  return name;
}

/** What has crossed its threshold, the worst first: the value, and how far it is from where it should be. */
export function createAlerts(host, plan) {
  const list = h("ul.alerts");
  put(host, h("div.scroll", { tabindex: 0, role: "region", "aria-label": "Alerts" }, list));
  const lines = keyedLines(list);
  const make = (item) => {
    const value = h("b");
    const limit = h("small");
    const bar = h("i");
    const element = h(
      "li",
      h("span.dot"),
      h("span.name", item.name, item.detail && h("small", item.detail)),
      h("span.track", bar),
      h("span.value", value, limit),
    );
    return { element, value, limit, bar };
  };

  function update(rows) {
    const items = rows.map((row) => itemOf(plan, row));
    // Most rows are on the wrong side of their threshold: if that is above it, the most is the worst, else the least.
    const above = items.filter((item) => item.limit === null || item.value > item.limit).length * 2 > items.length;
    const worst = above ? -1 : 1;
    items.sort((a, b) => worst * (a.share - b.share) || worst * (a.value - b.value));
    const top = Math.max(...items.map((item) => Math.abs(item.share)), 1);
    const write = (line, item, lit) => {
      if (say(line.value, exact(item.raw ?? "\u2013")) && lit) flash(line.value);
      say(line.limit, item.limit === null ? "" : ` / ${exact(item.threshold)}`);
      line.bar.style.width = `${Math.max(0, Math.min(1, item.share / (above ? top : 1))) * 100}%`;
      line.element.classList.toggle("severe", above ? item.limit !== null && item.share >= 2 : item.share <= 0.25);
    };
    lines.lay(items.slice(0, SHOWN), (item, seen) => identity(plan, item.row, seen), make, write);
  }
  return { update, destroy: () => put(host) };
}

function itemOf(plan, row) {
  const value = toNumber(row[plan.y.name]) ?? 0;
  const threshold =
    plan.threshold === null || typeof plan.threshold === "number" ? plan.threshold : row[plan.threshold.name];
  const names = plan.texts.map((column) => cell(row[column.name], column.type)).filter(Boolean);
  const limit = toNumber(threshold);
  const share = limit === null ? value : limit === 0 ? Math.sign(value) : value / limit;
  return {
    row,
    value,
    raw: row[plan.y.name],
    threshold,
    limit,
    share,
    name: names[0] ?? "none",
    detail: names.slice(1).join(" \u00b7 "),
  };
}
