// Values by two names: a field each, the darker the larger. Rows are `y` of the script's options, columns its `x`.

import { h, put, say, flash } from "../dom.js";
import { cell, compare, exact, isNumeric, toNumber } from "../format.js";

export function create(host, plan, view) {
  const x = plan.columns.find((column) => column.name === view.options.x);
  const y = plan.columns.find((column) => column.name === view.options.y);
  const value = plan.columns.find((column) => isNumeric(column) && column !== x && column !== y);
  const fields = new Map();
  let shape = "";
  let first = true;

  function build(xs, ys) {
    fields.clear();
    const rows = ys.map((down) =>
      h(
        "tr",
        h("th", { scope: "row" }, cell(down, y.type)),
        xs.map((across) => {
          const field = h("td.num");
          fields.set(JSON.stringify([across, down]), field);
          return field;
        }),
      ),
    );
    const head = h(
      "tr",
      h("th", y.name),
      xs.map((across) => h("th.num", { scope: "col" }, cell(across, x.type))),
    );
    put(
      host,
      h(
        "div.scroll",
        { tabindex: 0, role: "region", "aria-label": `${value.name} by ${y.name} and ${x.name}` },
        h("table.heat", h("thead", head), h("tbody", rows)),
        h("p.quiet", `${value.name} by ${x.name}`),
      ),
    );
  }

  function update(rows) {
    const different = (column) =>
      [...new Set(rows.map((row) => row[column.name]))].sort((a, b) => compare(a, b, column.type));
    const [xs, ys] = [different(x), different(y)];
    const next = JSON.stringify([xs, ys]);
    if (next !== shape) build(xs, ys);
    shape = next;
    const top = Math.max(...rows.map((row) => toNumber(row[value.name]) ?? 0), 1);
    for (const row of rows) {
      const field = fields.get(JSON.stringify([row[x.name], row[y.name]]));
      if (say(field, exact(row[value.name] ?? "")) && !first) flash(field);
      field.style.setProperty("--heat", `${Math.round(((toNumber(row[value.name]) ?? 0) / top) * 70)}%`);
    }
    first = false;
  }
  return { update, destroy: () => put(host) };
}
