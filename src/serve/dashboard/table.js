// The rows of a view as a table: search, sort, a filter for each column, pages. Every value is written exactly.
//
// The rows of a view that is followed are all here, and are sorted and filtered here. Of a larger view the engine is
// asked for one page, with the same filters in its words.

import { get, viewPath } from "./api.js";
import { identity } from "./charts/lists.js";
import { flash, h, keyedLines, put, say } from "./dom.js";
import { engine } from "./engine.js";
import { cell, compare, exact, isNumeric, kindOf } from "./format.js";
import { FOLLOWED_ROWS } from "./live.js";
import { compareRows } from "./order.js";

const PAGE = 50;
const OPERATORS = { ">=": "ge", "<=": "le", "!=": "ne", ">": "gt", "<": "lt", "=": "" };

export function rowTable(entry, plan, given) {
  const here = entry.rows <= FOLLOWED_ROWS;
  const columns = entry.columns;
  const state = { order: plan.order, search: given.get("search") ?? "", filters: {}, page: 0, rows: [], total: 0 };
  const search = h("input", {
    type: "search",
    "aria-label": "Search the rows",
    placeholder: "Search the rows",
    value: state.search,
  });
  const count = h("span.quiet", { role: "status" });
  const body = h("tbody");
  const pages = h("div.pages");
  const heads = columns.map((column) => headOf(column));
  const fault = h("p.fault", { hidden: true });
  const element = h(
    "section.card.rows",
    h("div.row-tools", search, count, pages),
    fault,
    h(
      "div.scroll",
      { tabindex: 0, role: "region", "aria-label": "Rows" },
      h(
        "table.data",
        h(
          "thead",
          h("tr.names", heads),
          h(
            "tr.filters",
            columns.map((column) => h("td", filterOf(column))),
          ),
        ),
        body,
      ),
    ),
  );
  const lines = keyedLines(body);
  let timer = 0;
  let asking = null;
  let seenChange = null;

  search.addEventListener("input", () => {
    state.search = search.value;
    refine();
  });

  function headOf(column) {
    const button = h(
      "button",
      { type: "button", onclick: () => sortBy(column.name) },
      column.name,
      h("span.arrow", { "aria-hidden": "true" }),
    );
    return h(
      isNumeric(column) ? "th.num" : "th",
      {
        scope: "col",
        title: column.comment ? `${column.comment} (${column.type})` : column.type,
        dataset: { column: column.name },
      },
      button,
    );
  }

  function filterOf(column) {
    const hint = isNumeric(column) || ["time", "date"].includes(kindOf(column.type)) ? "e.g. >= 10" : "contains";
    return h("input", {
      "aria-label": `Filter ${column.name}: ${hint}`,
      placeholder:
        kindOf(column.type) === "text" ? "contains" : kindOf(column.type) === "boolean" ? "yes / no" : "> < =",
      oninput: (event) => {
        state.filters[column.name] = event.target.value.trim();
        refine();
      },
    });
  }

  function sortBy(name) {
    const [now] = state.order;
    const numeric = isNumeric(columns.find((column) => column.name === name));
    const descending = now?.column === name ? !now.descending : numeric;
    state.order = [{ column: name, descending }];
    refine();
  }

  function refine() {
    state.page = 0;
    lines.restart();
    if (here) return show();
    clearTimeout(timer);
    timer = setTimeout(() => look(true), 200);
    return undefined;
  }

  /** The rows of a followed view, as they are now. */
  function take(feed, changed) {
    state.rows = feed.rows;
    state.total = feed.total;
    if (changed) show();
  }

  function show() {
    const kept = state.rows.filter((row) => matches(row)).sort(compareRows(state.order, columns));
    const last = Math.max(0, Math.ceil(kept.length / PAGE) - 1);
    state.page = Math.min(state.page, last);
    write(kept.slice(state.page * PAGE, (state.page + 1) * PAGE), kept.length);
  }

  function matches(row) {
    const text = state.search.trim().toLowerCase();
    if (
      text &&
      !columns.some(
        (column) =>
          cell(row[column.name], column.type).toLowerCase().includes(text) ||
          String(row[column.name] ?? "")
            .toLowerCase()
            .includes(text),
      )
    )
      return false;
    return columns.every((column) => passes(row[column.name], column, state.filters[column.name]));
  }

  /** Asks the engine for the page that is shown, if the view has changed or `now`. */
  async function look(now) {
    if (here) return;
    const change = engine.byName.get(entry.name)?.changed_at ?? null;
    if (!now && change === seenChange && seenChange !== null) return;
    asking?.abort();
    asking = new AbortController();
    try {
      const answer = await get(
        viewPath(entry.name),
        { ...query(), limit: PAGE, skip: state.page * PAGE },
        asking.signal,
      );
      seenChange = change;
      state.total = answer.total;
      fault.hidden = true;
      write(answer.rows, answer.total);
    } catch (error) {
      if (error.name === "AbortError" || error.code === "unreachable") return;
      fault.hidden = false;
      say(fault, error.message);
    }
  }

  /** The filters and the order in the engine's words. */
  function query() {
    const asked = {};
    const order = state.order.map(({ column, descending }) => (descending ? "-" : "") + column).join(",");
    if (order) asked.order = order;
    for (const column of columns) {
      const text = state.filters[column.name];
      if (!text) continue;
      const { operator, value } = condition(text);
      if (kindOf(column.type) === "text" && operator === null) asked[`${column.name}.like`] = `%${value}%`;
      else if (kindOf(column.type) === "boolean") asked[`${column.name}.eq`] = /^(y|t)/i.test(value) ? "true" : "false";
      // With an ending it is the column, whatever parameters there are of its name.
      else asked[`${column.name}.${operator || "eq"}`] = value;
    }
    if (state.search.trim()) asked.q = state.search.trim();
    return asked;
  }

  function lineOf() {
    const line = columns.map((column) => h(isNumeric(column) ? "td.num" : "td"));
    line.element = h("tr", line);
    return line;
  }

  function fillLine(line, row, lit) {
    columns.forEach((column, at) => {
      const value = row[column.name];
      line[at].classList.toggle("null", value === null);
      const changed = say(line[at], value === null ? "null" : cell(value, column.type));
      if (changed && lit) flash(line[at]);
    });
  }

  function write(rows, total) {
    lines.lay(rows, (row, seen) => identity(plan, row, seen), lineOf, fillLine);
    for (const head of heads) {
      const by = state.order.find(({ column }) => column === head.dataset.column);
      head.setAttribute("aria-sort", by ? (by.descending ? "descending" : "ascending") : "none");
    }
    say(
      count,
      total === state.total
        ? `${exact(total)} ${total === 1 ? "row" : "rows"}`
        : `${exact(total)} of ${exact(state.total)} rows`,
    );
    writePages(total);
  }

  function writePages(total) {
    const last = Math.max(0, Math.ceil(total / PAGE) - 1);
    const key = `${state.page}/${last}`;
    if (pages.dataset.key === key) return;
    pages.dataset.key = key;
    const go = (page) => {
      state.page = page;
      lines.restart();
      if (here) show();
      else look(true);
    };
    const step = (text, name, page) =>
      h(
        "button",
        { type: "button", "aria-label": name, disabled: page < 0 || page > last, onclick: () => go(page) },
        text,
      );
    put(
      pages,
      last > 0 && [
        step("\u2039", "Page before", state.page - 1),
        h("span", `${exact(state.page + 1)} / ${exact(last + 1)}`),
        step("\u203a", "Next page", state.page + 1),
      ],
    );
  }

  if (!here) look(true);
  return { element, take, look: () => look(false), query, close: () => asking?.abort() };
}

/** ">= 10" as {operator, value}; without an operator it is null. */
function condition(text) {
  const found = /^(>=|<=|!=|>|<|=)\s*(.*)$/.exec(text);
  return found ? { operator: OPERATORS[found[1]], value: found[2] } : { operator: null, value: text };
}

function passes(value, column, text) {
  if (!text) return true;
  if (text.toLowerCase() === "null") return value === null;
  const { operator, value: wanted } = condition(text);
  if (operator === null && !isNumeric(column))
    return cell(value, column.type).toLowerCase().includes(wanted.toLowerCase());
  if (wanted === "") return true;
  if (value === null) return false;
  const number = isNumeric(column) ? wanted.replace(/,/g, "") : wanted;
  if (isNumeric(column) && Number.isNaN(Number(number))) return false;
  if (operator === null && isNumeric(column)) return compare(value, number, column.type) === 0;
  const difference = isNumeric(column)
    ? compare(value, number, column.type)
    : compare(cell(value, column.type), number, "TEXT");
  return {
    ge: difference >= 0,
    le: difference <= 0,
    ne: difference !== 0,
    gt: difference > 0,
    lt: difference < 0,
    "": difference === 0,
  }[operator];
}
