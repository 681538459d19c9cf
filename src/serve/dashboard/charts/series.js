// Rows of one slice as the columns that a time chart draws.

import { labelOf, sliceOf } from "../choose.js";
import { kindOf, toNumber, toSeconds } from "../format.js";

const MAX_SERIES = 7;

/**
 * The last `most` points as {xs, series: [{label, values, compared}]}: xs ascending, in seconds or numbers; series by size, those beyond
 * MAX_SERIES added up as "others" where adding is right (stacked) and else left out and counted in `hidden`.
 */
export function seriesOf(plan, rows, slice, most = Infinity) {
  const overTime = ["time", "date"].includes(kindOf(plan.x.type));
  const position = (row) => (overTime ? toSeconds(row[plan.x.name]) : toNumber(row[plan.x.name]));
  const byLabel = new Map();
  const places = new Set();
  for (const row of rows) {
    if (sliceOf(plan, row) !== slice) continue;
    const x = position(row);
    const y = toNumber(row[plan.y.name]);
    if (x === null) continue;
    places.add(x);
    const label = labelOf(plan, row);
    if (!byLabel.has(label)) byLabel.set(label, { label, points: new Map(), compared: new Map(), size: 0 });
    const line = byLabel.get(label);
    if (y !== null) {
      line.points.set(x, (line.points.get(x) ?? 0) + y);
      line.size += Math.abs(y);
    }
    if (plan.compared) line.compared.set(x, toNumber(row[plan.compared.name]));
  }
  const xs = [...places].sort((a, b) => a - b).slice(-Math.min(most, places.size || 1));
  const lines = [...byLabel.values()].sort((a, b) => b.size - a.size || a.label.localeCompare(b.label));
  const { shown, hidden } = limit(lines, plan.kind === "stacked");
  const missing = plan.kind === "stacked" ? 0 : null;
  const series = shown.map((line) => ({
    label: line.label || plan.y.name,
    values: xs.map((x) => line.points.get(x) ?? missing),
  }));
  if (plan.compared && shown.length === 1) {
    const values = xs.map((x) => shown[0].compared.get(x) ?? null);
    series.push({ label: plan.compared.name, values, compared: true });
  }
  return { xs, series, hidden };
}

function limit(lines, additive) {
  if (lines.length <= MAX_SERIES) return { shown: lines, hidden: 0 };
  const shown = lines.slice(0, MAX_SERIES - (additive ? 1 : 0));
  const rest = lines.slice(shown.length);
  if (!additive) return { shown, hidden: rest.length };
  const others = { label: `${rest.length} others`, points: new Map(), compared: new Map(), size: 0 };
  for (const line of rest) {
    for (const [x, y] of line.points) others.points.set(x, (others.points.get(x) ?? 0) + y);
  }
  return { shown: [...shown, others], hidden: 0 };
}

/** Each series on top of those after it, so that they can be drawn from the back to the front. */
export function stack(series, length) {
  const sums = new Array(length).fill(0);
  return [...series]
    .reverse()
    .map((line) => line.values.map((value, place) => (sums[place] += value ?? 0)))
    .reverse();
}
