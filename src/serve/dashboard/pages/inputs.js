// The inputs: how fast each is read, how far behind it is, and what went wrong with it last.

import { h, put, say, svg } from "../dom.js";
import { engine, listen } from "../engine.js";
import { ago, bytes, exact, rate } from "../format.js";

const REMEMBERED = 60;
const STATES = { reading: "Reading", live: "Live", ended: "Ended", failed: "Failed" };

export function inputs(host) {
  const body = h("tbody");
  const summary = h("dl.facts");
  const names = [
    "Table",
    "State",
    "Rows/s",
    "",
    "Rows",
    "Bytes/s",
    "Bytes",
    "Behind",
    "Waiting",
    "Senders",
    "Rejects",
    "Newest event",
  ];
  const numbers = new Set(["Rows/s", "Rows", "Bytes/s", "Bytes", "Behind", "Waiting", "Senders", "Rejects"]);
  put(
    host,
    h(
      "div.page-head",
      h("h1", "Inputs"),
      h("p.lead", "Where events come from. History is read once from its beginning; what is live goes on."),
    ),
    summary,
    h(
      "section.card",
      h(
        "div.scroll",
        { tabindex: 0, role: "region", "aria-label": "Inputs" },
        h(
          "table.data.inputs",
          h(
            "thead",
            h(
              "tr",
              names.map((name) => h(numbers.has(name) ? "th.num" : "th", { scope: "col" }, name)),
            ),
          ),
          body,
        ),
      ),
    ),
  );
  const lines = new Map();

  function update() {
    const status = engine.status;
    if (!status) return;
    const list = [...(status.inputs ?? [])].sort(
      (a, b) => Number(a.kind !== "live") - Number(b.kind !== "live") || a.table.localeCompare(b.table),
    );
    const sum = (member) => list.reduce((total, input) => total + (input[member] ?? 0), 0);
    const fact = (name, value) => h("div", h("dt", name), h("dd", h("b", value)));
    put(
      summary,
      fact("Inputs", exact(list.length)),
      fact("Rows", exact(sum("rows"))),
      fact("Rows/s", rate(sum("rows_per_s"))),
      fact("Bytes/s", bytes(sum("bytes_per_s"))),
      fact("Behind", bytes(sum("behind_bytes"))),
      fact("Rejects", exact(sum("rejects"))),
      fact("With a fault", exact(list.filter((input) => input.last_fault).length)),
    );
    const seen = new Set();
    list.forEach((input, place) => {
      const key = `${input.table}\n${input.location}`;
      seen.add(key);
      if (!lines.has(key)) lines.set(key, makeLine(input));
      const line = lines.get(key);
      if (body.children[place] !== line.element) body.insertBefore(line.element, body.children[place] ?? null);
      line.write(input);
    });
    for (const [key, line] of lines) {
      if (seen.has(key)) continue;
      line.element.remove();
      lines.delete(key);
    }
    if (!list.length)
      put(body, h("tr", h("td.none", { colspan: names.length }, "No inputs. Start with --input table=location.")));
  }

  update();
  const unlisten = listen("status", update);
  return { title: "Inputs", close: unlisten };
}

function makeLine(input) {
  const rates = [];
  const state = h("span.state.small", h("i"), h("b"));
  const fault = h("p.fault", { hidden: true });
  const spark = svg(
    "svg.spark",
    { viewBox: `0 0 ${REMEMBERED} 20`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("polyline"),
  );
  const cells = Object.fromEntries(
    ["rate", "rows", "byteRate", "bytes", "behind", "waiting", "senders", "rejects"].map((key) => [key, h("td.num")]),
  );
  const newest = h("td");
  const element = h(
    "tr",
    h("td", h("b", input.table), h("span.where", input.location), fault),
    h("td", state),
    cells.rate,
    h("td", spark),
    cells.rows,
    cells.byteRate,
    cells.bytes,
    cells.behind,
    cells.waiting,
    cells.senders,
    cells.rejects,
    newest,
  );

  function write(now) {
    rates.push(now.rows_per_s ?? 0);
    if (rates.length > REMEMBERED) rates.shift();
    const top = Math.max(...rates) || 1;
    spark.firstChild.setAttribute(
      "points",
      rates.map((value, at) => `${at + REMEMBERED - rates.length},${19 - (value / top) * 17}`).join(" "),
    );
    spark.classList.toggle("idle", Math.max(...rates) === 0);
    state.dataset.state = now.state;
    say(state.lastChild, STATES[now.state] ?? now.state);
    say(cells.rate, rate(now.rows_per_s ?? 0));
    say(cells.rows, exact(now.rows ?? 0));
    say(cells.byteRate, bytes(now.bytes_per_s ?? 0));
    say(cells.bytes, bytes(now.bytes ?? 0));
    say(cells.behind, now.behind_bytes ? bytes(now.behind_bytes) : "\u2013");
    say(cells.waiting, now.waiting ? exact(now.waiting) : "\u2013");
    say(cells.senders, now.connections ? exact(now.connections) : "\u2013");
    say(cells.rejects, exact(now.rejects ?? 0));
    cells.rejects.classList.toggle("bad", now.rejects > 0);
    const time = Date.parse(now.newest_event_time ?? "");
    say(newest, Number.isNaN(time) ? "\u2013" : ago(engine.now() - time));
    newest.title = now.newest_event_time ?? "";
    fault.hidden = !now.last_fault;
    say(fault, now.last_fault ?? "");
  }
  return { element, write };
}
