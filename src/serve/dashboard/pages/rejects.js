// Records that are no rows: how many for which reason, and each with its raw text.

import { get, viewPath } from "../api.js";
import { h, put, say } from "../dom.js";
import { engine, listen } from "../engine.js";
import { exact } from "../format.js";

const VIEW = "tillrace.rejects";
const ASKED = 1000;
const SHOWN = 200;
const LONG = 240;

export function rejects(host) {
  const summary = h("section.card.reasons");
  const list = h("ul.reject-list");
  const search = h("input", {
    type: "search",
    placeholder: "Search reasons and records",
    "aria-label": "Search reasons and records",
    oninput: () => show(),
  });
  const count = h("span.quiet", { role: "status" });
  const state = { rows: [], total: 0, chosen: null, seen: undefined, drawn: "" };
  put(
    host,
    h(
      "div.page-head",
      h("h1", "Rejects"),
      h(
        "p.lead",
        "Records that could not be read as rows, or on which an expression failed. They are kept here and touch no answer; everything else goes on.",
      ),
    ),
    summary,
    h("div.tools", search, count),
    list,
  );
  let closed = false;

  async function ask() {
    const entry = engine.byName.get(VIEW);
    if (!entry || (entry.changed_at === state.seen && state.seen !== undefined)) return;
    try {
      const answer = await get(viewPath(VIEW), { limit: ASKED });
      if (closed) return;
      [state.rows, state.total, state.seen] = [answer.rows, answer.total, entry.changed_at];
      show();
    } catch {
      // Asked again with the next list of views.
    }
  }

  function show() {
    writeSummary();
    const text = search.value.trim().toLowerCase();
    const kept = state.rows.filter(
      (row) =>
        (!state.chosen || kindOf(row) === state.chosen) && (!text || JSON.stringify(row).toLowerCase().includes(text)),
    );
    const part =
      state.total > state.rows.length
        ? ` The first ${exact(state.rows.length)} of ${exact(state.total)} are looked at; ask for the others in SQL.`
        : "";
    say(count, `${exact(kept.length)} ${kept.length === 1 ? "record" : "records"}.${part}`);
    const shown = kept.slice(-SHOWN).reverse();
    const key = JSON.stringify(shown);
    // Equal rows stay as they are, so that an opened record is not closed again.
    if (key === state.drawn) return;
    state.drawn = key;
    put(list, shown.map(item));
    if (!state.rows.length) put(list, h("li.none", "Nothing was rejected."));
    else if (!shown.length) put(list, h("li.none", "No record fits."));
  }

  function writeSummary() {
    const groups = new Map();
    for (const row of state.rows) {
      const key = kindOf(row);
      groups.set(key, { row, count: (groups.get(key)?.count ?? 0) + 1 });
    }
    const sorted = [...groups].sort((a, b) => b[1].count - a[1].count);
    if (state.chosen && !groups.has(state.chosen)) state.chosen = null;
    const choose = (key) => {
      state.chosen = state.chosen === key ? null : key;
      show();
    };
    summary.hidden = sorted.length === 0;
    put(
      summary,
      h("h2", "Reasons"),
      h(
        "ul",
        sorted
          .slice(0, 20)
          .map(([key, { row, count }]) =>
            h(
              "li",
              h(
                "button",
                { type: "button", "aria-pressed": String(state.chosen === key), onclick: () => choose(key) },
                h("b", exact(count)),
                h("code", row.table),
                h("span", general(row.reason)),
              ),
            ),
          ),
      ),
    );
  }

  ask();
  const unlisten = listen("views", ask);
  return {
    title: "Rejects",
    close() {
      closed = true;
      unlisten();
    },
  };
}

/** A reason without the values of one record, so that equal faults are counted together. */
const general = (reason) => (reason ?? "").replace(/(: )?"(?:[^"\\]|\\.)*"$/, "").replace(/\b\d+\b/g, "n");
const kindOf = (row) => `${row.table}\n${general(row.reason)}`;

function item(row) {
  const record = row.record ?? "";
  const text = h("pre", { tabindex: 0 }, record.length > LONG ? `${record.slice(0, LONG)}\u2026` : record);
  const more =
    record.length > LONG &&
    h(
      "button.link",
      {
        type: "button",
        onclick: (event) => {
          text.textContent = record;
          event.target.remove();
        },
      },
      `Show all ${exact(record.length)} characters`,
    );
  return h(
    "li.card",
    h("p.reason", row.reason ?? ""),
    h(
      "p.quiet",
      h("code", row.table ?? ""),
      row.input && row.input !== row.table ? [" from ", row.input] : "",
      row.file ? [" \u00b7 ", row.file] : "",
      row.position !== null && row.position !== undefined ? ` \u00b7 position ${exact(row.position)}` : "",
    ),
    text,
    more,
  );
}
