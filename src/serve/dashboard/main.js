// The page: a header that stays, and below it the page that the address names after `#`.

import { h, put } from "./dom.js";
import { listen, start } from "./engine.js";
import { header } from "./header.js";
import { dataflow } from "./pages/dataflow.js";
import { home } from "./pages/home.js";
import { inputs } from "./pages/inputs.js";
import { rejects } from "./pages/rejects.js";
import { sql } from "./pages/sql.js";
import { view } from "./pages/view.js";

/** A page takes (host, argument, query) and returns {title, close, repaint?}. */
const PAGES = { home, view, dataflow, inputs, rejects, sql };

const main = document.getElementById("main");
let page = null;
let shown = "";

function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "", ...rest] = path.split("/");
  const key = name === "" ? "home" : name;
  const argument = decodeURIComponent(rest.join("/"));
  const next = `${key}/${argument}`;
  if (next === shown && page?.stays) {
    page.stays(new URLSearchParams(query));
    return;
  }
  page?.close();
  put(main);
  main.dataset.page = key;
  const open = PAGES[key] ?? missing;
  page = open(main, argument, new URLSearchParams(query));
  document.title = `${page.title} \u00b7 Tillrace`;
  for (const link of document.querySelectorAll("nav a")) {
    const current = link.dataset.page === (key === "view" ? "home" : key);
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (shown && next !== shown) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
  shown = next;
}

function missing(host) {
  put(host, h("p.none", "There is no such page. ", h("a", { href: "#/" }, "All views")));
  return { title: "Not found", close() {} };
}

document.querySelector("[data-skip]").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  if (event.key === "/") {
    const search = main.querySelector("input[type=search]");
    if (!search) return;
    event.preventDefault();
    search.focus();
  }
});

header(() => page?.repaint?.());
await start();
addEventListener("hashchange", route);
// Views may be unknown at first, if the engine was away when the page was opened.
listen("back", () => {
  if (page?.again) page.again();
});
route();
