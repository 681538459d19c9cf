// Decides how a view is drawn: from its columns and rows, and from what its script asks for in `WITH (chart = ...)`.

import { isNumeric, kindOf, toNumber } from "./format.js";

// Words of a column whose values must not be drawn on one axis with those of another: money of two currencies, say.
const SPLITS = /^(currency|measure|metric|unit)$/;
// What stands beside the value drawn, to compare it with.
const COMPARED = /(_ago|_before|^previous|^prev_|^last_week|^expected|^baseline|^target|^reported$|^computed$)/;
const PLACE = /^(place|rank|step|position)$/;
const RECENT = /(^last|ended|moved|changed|updated|received)/;
// Names of times that stand for a span, as those of a time series do.
const SPAN = /(minute|quarter|hour|day|date|week|month|year|bucket|window)/;
const SHARE = /(share|rate|ratio|conversion|abandonment|csat|retention|_pct)/;

/**
 * The plan of a panel:
 * {kind, x, y, splits, labels, compared, measures, threshold, title, unit, order}
 * where kind is number, line, stacked, bar, funnel, heatmap, gauge, alerts or table; x, y and compared are columns.
 */
export function choose(view) {
  const columns = view.columns ?? [];
  const options = view.options ?? {};
  const named = (name) => columns.find((column) => column.name === name);
  const numeric = columns.filter(isNumeric);
  const times = columns.filter((column) => ["time", "date"].includes(kindOf(column.type)));
  const texts = columns.filter((column) => ["text", "boolean"].includes(kindOf(column.type)));
  const measures = numeric.filter((column) => !PLACE.test(column.name) && column.name !== options.x);
  const thresholdColumn = named(options.threshold);

  const y = named(options.y) ?? measures.find((column) => column !== thresholdColumn) ?? numeric[0];
  const x =
    named(options.x) ?? (drawnOverTime(options.chart) ? times[0] : texts.find((column) => !SPLITS.test(column.name)));
  const plan = {
    kind: "table",
    title: options.title,
    unit: options.unit,
    x,
    y,
    columns,
    measures,
    splits: texts.filter((column) => SPLITS.test(column.name) && column !== x),
    labels: texts.filter((column) => kindOf(column.type) === "text" && !SPLITS.test(column.name) && column !== x),
    texts,
    times,
    compared: measures.find((column) => column !== y && COMPARED.test(column.name)),
    threshold: thresholdColumn ?? (toNumber(options.threshold) === null ? null : toNumber(options.threshold)),
  };
  plan.kind = kindOfPanel(view, options, plan);
  plan.order = orderOf(view, plan);
  return plan;
}

const drawnOverTime = (chart) => ["line", "area", "stacked", "timeseries", "time series"].includes(chart);

function kindOfPanel(view, options, plan) {
  const { x, y, times, texts, threshold } = plan;
  if (plan.columns.length === 0 || !y) return "table";
  switch (options.chart) {
    case "table":
      // A table that names a threshold is a list of what has crossed it.
      return threshold === null ? "table" : "alerts";
    case "number":
      return "number";
    case "gauge":
      return threshold === null ? "number" : view.rows > 1 ? "alerts" : "gauge";
    case "alert":
    case "alerts":
      return "alerts";
    case "stacked":
    case "line":
    case "area":
    case "timeseries": {
      if (!x) return "table";
      const overTime = ["time", "date"].includes(kindOf(x.type)) || isNumeric(x);
      return overTime ? (options.chart === "stacked" ? "stacked" : "line") : "bar";
    }
    case "bar":
    case "funnel":
    case "heatmap":
      return x ? options.chart : "table";
    default:
  }
  if (view.system) return "table";
  if (threshold !== null) return view.rows > 1 ? "alerts" : "gauge";
  const spans = times.filter((column) => kindOf(column.type) === "date" || SPAN.test(column.name));
  if (view.rows === 1 && spans.length === 0 && texts.length === 0) return "number";
  if (spans.length === 1 && times.length === 1 && texts.length <= 1) {
    plan.x = spans[0];
    return "line";
  }
  if (texts.length === 1 && times.length === 0 && view.rows <= 200) return "bar";
  return "table";
}

/** The order of a table that states none: [{column, descending}]. What is new or large comes first. */
function orderOf(view, plan) {
  if (view.order?.length) return view.order;
  if (plan.kind === "bar") return [{ column: plan.y.name, descending: true }];
  if (["line", "stacked"].includes(plan.kind)) return [{ column: plan.x.name, descending: true }];
  if (plan.kind === "alerts") return [{ column: plan.y.name, descending: plan.threshold === null }];
  const place = plan.columns.find((column) => PLACE.test(column.name));
  if (place) return [...plan.texts.slice(0, 1), place].map((column) => ({ column: column.name, descending: false }));
  const time = plan.times.find((column) => RECENT.test(column.name)) ?? plan.times[0];
  if (time) return [{ column: time.name, descending: true }];
  const size = plan.columns.find((column) => column.name === "difference") ?? plan.measures[0];
  return size ? [{ column: size.name, descending: true }] : [];
}

/** What of a large view a panel asks for. */
export function partOf(plan) {
  const sort = (column, descending) => `${descending ? "-" : ""}${column.name}`;
  if (["line", "stacked"].includes(plan.kind)) return { order: sort(plan.x, true), limit: 3000 };
  if (["bar", "alerts"].includes(plan.kind)) return { order: sort(plan.y, plan.kind === "bar"), limit: 200 };
  if (plan.kind === "heatmap") return { limit: 5000 };
  const order = plan.order.map(({ column, descending }) => (descending ? "-" : "") + column).join(",");
  return { order: order || undefined, limit: 50 };
}

/** Whether a column holds shares of one, to be written as percents. */
export function isShare(column, rows) {
  if (!column || !SHARE.test(column.name) || !/^(DECIMAL\(\d+, ?[3-9]\)|DOUBLE|FLOAT|REAL)/.test(column.type))
    return false;
  return rows.every((row) => row[column.name] === null || Math.abs(toNumber(row[column.name])) <= 1);
}

/**
 * The parts of a view that may not share an axis: a name for each combination of its splits, the fullest first.
 * Without splits there is one, of the name "".
 */
export function slices(plan, rows) {
  const counts = new Map();
  for (const row of rows) {
    const name = sliceOf(plan, row);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts.entries()].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([name]) => name);
}

/** The slice that a row is in. */
export const sliceOf = (plan, row) =>
  plan.splits
    .map((column) => row[column.name])
    .filter((value) => value !== null && value !== "")
    .join(" \u00b7 ");

/** What a row is called in a chart beside its x. */
export const labelOf = (plan, row) =>
  plan.labels
    .map((column) => row[column.name])
    .filter((value) => value !== null && value !== "")
    .join(" \u00b7 ");
