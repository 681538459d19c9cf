// A question in SQL over the views of one epoch, its answer as a table, its faults underlined where they are.

import { post, save } from "../api.js";
import { h, put, say } from "../dom.js";
import { engine, listen } from "../engine.js";
import { cell, exact, isNumeric, span } from "../format.js";

const KEPT = "tillrace.sql";
const PAST = "tillrace.sql.past";
const REMEMBERED = 12;
const SHOWN = 1000;
const FIRST = "SELECT table_name, table_type\nFROM information_schema.tables";

export function sql(host, _, query) {
  const area = h("textarea", {
    rows: 9,
    spellcheck: "false",
    autocapitalize: "off",
    autocomplete: "off",
    "aria-label": "SQL",
    "aria-describedby": "sql-fault",
    value: query.get("q") ?? read(KEPT) ?? start(),
  });
  const mirror = h("pre.mirror", { "aria-hidden": "true" });
  const fault = h("p.fault", { id: "sql-fault", role: "alert", hidden: true });
  const run = h("button.primary", { type: "button", onclick: ask }, "Run");
  const told = h("span.quiet", { role: "status" });
  const answer = h("section.card.answer", { hidden: true });
  const views = h("div.view-names");
  const past = h("div.past");
  let closed = false;
  put(
    host,
    h(
      "div.page-head",
      h("h1", "SQL"),
      h("p.lead", "Ask anything of the views: one SELECT, answered once, over all views at one epoch."),
    ),
    h(
      "div.sql-page",
      h(
        "div",
        h("div.editor.card", mirror, area),
        fault,
        h("div.tools", run, h("span.quiet", "or Ctrl+Enter"), told),
        answer,
      ),
      h("aside", h("div.card", h("h2", "Views"), views), h("div.card", h("h2", "Asked before"), past)),
    ),
  );

  function start() {
    const first = engine.views.find((view) => !view.system);
    return first ? `SELECT *\nFROM ${first.name}\nLIMIT 100` : FIRST;
  }

  async function ask() {
    const text = area.value.trim();
    if (!text || run.disabled) return;
    run.disabled = true;
    say(told, "Asking ...");
    mark(null);
    const began = performance.now();
    history.replaceState(null, "", `#/sql?q=${encodeURIComponent(area.value)}`);
    try {
      const found = await post("sql", { sql: area.value });
      if (closed) return;
      remember(text);
      say(
        told,
        `${exact(found.rows.length)} ${found.rows.length === 1 ? "row" : "rows"} in ${span(performance.now() - began)}, epoch ${found.epoch}`,
      );
      write(found);
    } catch (error) {
      if (closed) return;
      say(told, "");
      mark(error);
    } finally {
      run.disabled = false;
    }
  }

  /** Shows a fault, and underlines its place if the engine names one. */
  function mark(error) {
    fault.hidden = !error;
    say(fault, error ? error.message : "");
    area.toggleAttribute("aria-invalid", Boolean(error));
    const { line, column } = error?.details ?? {};
    put(mirror);
    if (!line) return;
    const lines = area.value.split("\n");
    const before = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0) + Math.max(0, (column ?? 1) - 1);
    const rest = area.value.slice(before);
    const word = /^(\w+|"[^"]*"|'[^']*'|\S)/.exec(rest)?.[0] ?? " ";
    put(mirror, area.value.slice(0, before), h("mark", word), rest.slice(word.length) || "\n");
    mirror.scrollTop = area.scrollTop;
  }

  function write({ columns, rows }) {
    const csv = () => save(new Blob([toCsv(columns, rows)], { type: "text/csv" }), "answer.csv");
    answer.hidden = false;
    put(
      answer,
      h(
        "div.row-tools",
        h("span.quiet", rows.length > SHOWN ? `The first ${exact(SHOWN)} are shown` : ""),
        rows.length > 0 && h("button", { type: "button", onclick: csv }, "CSV"),
      ),
      h(
        "div.scroll",
        { tabindex: 0, role: "region", "aria-label": "Answer" },
        h(
          "table.data",
          h(
            "thead",
            h(
              "tr",
              columns.map((column) =>
                h(isNumeric(column) ? "th.num" : "th", { scope: "col", title: column.type }, column.name),
              ),
            ),
          ),
          h(
            "tbody",
            rows.slice(0, SHOWN).map((row) =>
              h(
                "tr",
                columns.map((column) =>
                  h(
                    isNumeric(column) ? "td.num" : "td",
                    {
                      class:
                        [isNumeric(column) ? "num" : "", row[column.name] === null ? "null" : ""].join(" ").trim() ||
                        undefined,
                    },
                    row[column.name] === null ? "null" : cell(row[column.name], column.type),
                  ),
                ),
              ),
            ),
          ),
        ),
      ),
      rows.length === 0 && h("p.none", "No rows"),
    );
  }

  function remember(text) {
    keep(KEPT, area.value);
    const texts = [text, ...JSON.parse(read(PAST) ?? "[]").filter((other) => other !== text)].slice(0, REMEMBERED);
    keep(PAST, JSON.stringify(texts));
    writePast();
  }

  function writePast() {
    const texts = JSON.parse(read(PAST) ?? "[]");
    const use = (text) => {
      area.value = text;
      mark(null);
      area.focus();
    };
    put(
      past,
      texts.length
        ? texts.map((text) =>
            h("button.link", { type: "button", title: text, onclick: () => use(text) }, text.replace(/\s+/g, " ")),
          )
        : h("p.quiet", "Nothing yet"),
    );
  }

  function writeViews() {
    const names = engine.views.map((view) => view.name).join("\n");
    if (views.dataset.names === names) return;
    views.dataset.names = names;
    const insert = (name) => {
      area.setRangeText(name, area.selectionStart, area.selectionEnd, "end");
      area.dispatchEvent(new Event("input"));
      area.focus();
    };
    put(
      views,
      engine.views.map((view) =>
        h(
          "button.link",
          {
            type: "button",
            title: `${view.comment ?? ""}\n${view.columns.map((column) => column.name).join(", ")}`,
            onclick: () => insert(view.name),
          },
          view.name,
        ),
      ),
    );
  }

  area.addEventListener("input", () => put(mirror));
  area.addEventListener("scroll", () => {
    mirror.scrollTop = area.scrollTop;
    mirror.scrollLeft = area.scrollLeft;
  });
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      ask();
    }
  });
  writePast();
  writeViews();
  const unlisten = listen("views", writeViews);
  if (query.has("q")) ask();
  return {
    title: "SQL",
    stays(next) {
      if (next.has("q") && next.get("q") !== area.value) {
        area.value = next.get("q");
        ask();
      }
    },
    close() {
      closed = true;
      unlisten();
    },
  };
}

/** RFC 4180. */
function toCsv(columns, rows) {
  const field = (value) => {
    const text = value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  };
  const line = (values) => `${values.map(field).join(",")}\r\n`;
  return (
    line(columns.map((column) => column.name)) +
    rows.map((row) => line(columns.map((column) => row[column.name]))).join("")
  );
}

function read(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function keep(key, text) {
  try {
    localStorage.setItem(key, text);
  } catch {
    // Without storage nothing is remembered.
  }
}
