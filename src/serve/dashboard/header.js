// The head of the page: how the engine is, the notice while it is away, and the choice of light or dark.

import { h, put, say, svg } from "./dom.js";
import { engine, listen, rejectCount } from "./engine.js";
import { bytes, exact, rate, span } from "./format.js";

const THEME = "tillrace.theme";
const STATES = { live: "Live", catching_up: "Catching up", starting: "Starting", stopping: "Stopping" };

/** Fills the header; `repaint` is called when colours have changed. */
export function header(repaint) {
  const host = document.getElementById("engine");
  const state = h("span.state", h("i"), h("b", "..."));
  const figures = Object.fromEntries(
    [
      ["epoch", "Epoch", "The latest epoch that was published, by the engine's clock (UTC)"],
      ["rate", "Events/s", "Rows read from all inputs each second"],
      ["lag", "Lag", "How long ago the latest epoch was published"],
      ["memory", "Memory", "Memory of the engine's process"],
    ].map(([key, name, title]) => [key, figure(name, title)]),
  );
  const rejects = h(
    "a.figure.rejects",
    { href: "#/rejects", title: "Records that could not be read" },
    h("small", "Rejects"),
    h("b", ""),
  );
  put(host, state, Object.values(figures), rejects);
  const update = () => {
    writeState(state);
    writeFigures(figures, rejects);
    writeNotice();
  };
  listen("status", update);
  listen("views", update);
  themeButton(repaint);
}

const figure = (name, title) => h("span.figure", { title }, h("small", name), h("b", ""));

function writeState(element) {
  const key = engine.away ? "away" : (engine.status?.state ?? "starting");
  element.dataset.state = key;
  say(element.querySelector("b"), key === "away" ? "Reconnecting" : (STATES[key] ?? key));
}

function writeFigures(figures, rejects) {
  const { status } = engine;
  if (status) {
    const events = (status.inputs ?? []).reduce((sum, input) => sum + (input.rows_per_s ?? 0), 0);
    const closed = status.closed_at ? String(status.closed_at).slice(11, 21) : exact(status.epoch);
    const set = (key, text) => say(figures[key].querySelector("b"), text);
    set("epoch", closed);
    figures.epoch.title = `Epoch ${status.epoch}, ${exact(status.epochs_published ?? 0)} published, engine ${status.version}, ${status.workers} workers, up for ${span((status.uptime_s ?? 0) * 1000)}`;
    set("rate", rate(events));
    set("lag", span(status.frontier_age_ms ?? 0));
    set("memory", bytes(status.memory_bytes));
    figures.lag.classList.toggle("bad", (status.frontier_age_ms ?? 0) > 5000);
  }
  const count = rejectCount();
  say(rejects.querySelector("b"), exact(count));
  rejects.classList.toggle("bad", count > 0);
}

function writeNotice() {
  const notice = document.getElementById("notice");
  document.documentElement.classList.toggle("away", engine.away);
  let text = "";
  if (engine.away)
    text =
      "The engine does not answer. What is shown is the last that was known; this page goes on by itself when it is back.";
  else if (engine.status?.state === "catching_up")
    text = "The engine is reading history. Answers are right for what has been read so far.";
  if (notice.textContent === text) return;
  notice.className = engine.away ? "bad" : "";
  put(notice, text);
}

function themeButton(repaint) {
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const show = () => {
    put(button, icon(isDark()));
    repaint();
  };
  button.addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try {
      localStorage.setItem(THEME, next);
    } catch {
      // Without storage the choice holds until the page is closed.
    }
    show();
  });
  dark.addEventListener("change", show);
  show();
}

function icon(dark) {
  const shape = dark
    ? svg(
        "g",
        {},
        svg("circle", { cx: 10, cy: 10, r: 3.5 }),
        svg("path", {
          d: "M10 2v2M10 16v2M2 10h2M16 10h2M4.3 4.300l1.400 1.400M14.300 14.300l1.400 1.400M4.300 15.700l1.400-1.400M14.300 5.700l1.400-1.400",
        }),
      )
    : svg("path", { d: "M16.500 12A7 7 0 0 1 8 3.500a7 7 0 1 0 8.500 8.500z" });
  return svg(
    "svg",
    {
      viewBox: "0 0 20 20",
      width: 18,
      height: 18,
      fill: "none",
      stroke: "currentColor",
      "stroke-width": 1.6,
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
      "aria-hidden": "true",
    },
    shape,
  );
}
