// All views as panels, by subject, with a search over names, titles, comments and columns.

import { h, put } from "../dom.js";
import { engine, listen } from "../engine.js";
import { exact } from "../format.js";
import { groups } from "../groups.js";
import { panel, titleOf } from "../panel.js";

const SEARCH = "tillrace.search";

export function home(host) {
  const search = h("input", {
    type: "search",
    placeholder: "Find a view",
    "aria-label": "Find a view by name, comment or column",
    value: sessionStorage.getItem(SEARCH) ?? "",
    oninput: filter,
  });
  const subjects = h("div.subjects", { role: "group", "aria-label": "Subjects" });
  const count = h("span.quiet.count", { role: "status" });
  const list = h("div");
  let panels = [];
  let names = "";
  put(host, h("div.tools", search, subjects, count), list);

  function build() {
    const next = engine.views.map((view) => view.name).join("\n");
    if (next === names) return;
    names = next;
    for (const one of panels) one.close();
    panels = [];
    const found = groups(engine.views);
    put(
      list,
      found.map(({ name, views }) => {
        const made = views.map((view) => panel(view));
        panels.push(...made);
        return h(
          "section.group",
          { id: idOf(name), "aria-label": name },
          h("h2", name, h("small", exact(views.length))),
          h(
            "div.grid",
            made.map((one) => one.element),
          ),
        );
      }),
    );
    put(
      subjects,
      found.map(({ name }) =>
        h("button", { type: "button", onclick: () => document.getElementById(idOf(name)).scrollIntoView() }, name),
      ),
    );
    if (engine.views.length === 0)
      put(
        list,
        h(
          "p.none",
          engine.away
            ? "The engine does not answer."
            : "The engine keeps no views. Add a CREATE MATERIALIZED VIEW to its script.",
        ),
      );
    filter();
  }

  function filter() {
    const text = search.value.trim().toLowerCase();
    sessionStorage.setItem(SEARCH, search.value);
    const wanted = text.split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { element, view } of panels) {
      const where = [view.name, titleOf(view), view.comment ?? "", ...view.columns.map((column) => column.name)]
        .join(" ")
        .toLowerCase();
      const hit = wanted.every((word) => where.includes(word));
      element.hidden = !hit;
      shown += Number(hit);
    }
    for (const group of list.querySelectorAll(".group")) group.hidden = !group.querySelector(".panel:not([hidden])");
    put(count, text ? `${shown} of ${panels.length} views` : `${panels.length} views`);
    for (const none of list.querySelectorAll(".none.search")) none.remove();
    if (text && shown === 0)
      list.append(
        h("p.none.search", `No view has \u201c${search.value.trim()}\u201d in its name, comment or columns.`),
      );
  }

  build();
  const unlisten = listen("views", build);
  return {
    title: "Views",
    close() {
      unlisten();
      for (const one of panels) one.close();
    },
    repaint() {
      for (const one of panels) one.repaint();
    },
  };
}

const idOf = (name) => `subject-${name.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;
