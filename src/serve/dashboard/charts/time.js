// Values over time: lines, bars where there are few points, or bars on top of one another. Drawn by uPlot.

import { isShare } from "../choose.js";
import { h, put, say } from "../dom.js";
import { exact, kindOf, percent, short } from "../format.js";
import { seriesOf, stack } from "./series.js";

const FEW_POINTS = 16;
/** A panel has room for so many points; all are on the view's own page. */
const PANEL_POINTS = 360;
const DAY_S = 86400;

/** The colours of series, from the theme. */
export const colours = () => {
  // A canvas takes plain colours only: an element tells which of the two of a `light-dark()` is meant.
  const probe = document.body.appendChild(h("i", { hidden: true }));
  const read = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const found = {
    series: Array.from({ length: 8 }, (_, i) => read(`--series-${i + 1}`)),
    grid: read("--grid"),
    text: read("--dim"),
    compared: read("--faint"),
    surface: read("--surface"),
  };
  probe.remove();
  return found;
};

export function create(host, plan, { full = false } = {}) {
  const area = h("div.plot");
  const legend = h("div.legend");
  const tip = h("div.plot-tip", { hidden: true });
  const note = h("p.none", { hidden: true });
  area.append(tip, note);
  put(host, area, legend);
  let chart = null;
  let shape = "";
  let drawn = null;
  let share = false;

  const write = (value) =>
    value === null || value === undefined ? "\u2013" : share ? percent(value) : exact(rounded(value, plan.y.type));

  function update(rows, slice) {
    const data = seriesOf(plan, rows, slice, full ? Infinity : PANEL_POINTS);
    share = isShare(plan.y, rows);
    drawn = data;
    if (data.series.every((line) => line.values.every((value) => value === null))) {
      chart?.destroy();
      chart = null;
      note.hidden = false;
      say(note, `Every ${plan.y.name} is empty`);
      say(legend, "");
      return;
    }
    note.hidden = true;
    const few = data.xs.length <= FEW_POINTS && data.series.length === 1;
    const next = JSON.stringify([few, slice, share, data.series.map((line) => line.label)]);
    const columns = [
      data.xs,
      ...(plan.kind === "stacked" ? stack(data.series, data.xs.length) : data.series.map((line) => line.values)),
    ];
    if (!chart || shape !== next) {
      shape = next;
      chart?.destroy();
      chart = new window.uPlot(optionsFor(data, few), columns, area);
    } else {
      chart.setData(columns);
    }
    writeLegend();
  }

  function optionsFor(data, few) {
    const paint = colours();
    const stacked = plan.kind === "stacked";
    const bars = stacked || few;
    const paths = bars ? window.uPlot.paths.bars({ size: [0.78, 46], radius: stacked ? 0 : 0.06 }) : undefined;
    const overTime = kindOf(plan.x.type) !== "number";
    const step = stepOf(data.xs);
    const line = (series, place) => {
      const colour = series.compared ? paint.compared : paint.series[place % paint.series.length];
      return {
        label: series.label,
        stroke: colour,
        width: bars ? 0 : series.compared ? 1 : 1.6,
        dash: series.compared ? [4, 4] : undefined,
        fill: bars
          ? colour
          : data.series.length === 1 || (data.series.length === 2 && plan.compared && !series.compared)
            ? fade(colour)
            : undefined,
        paths: series.compared ? undefined : paths,
        spanGaps: true,
        points: { show: !bars && data.xs.length <= 40, size: 4, fill: colour },
      };
    };
    const axis = {
      stroke: paint.text,
      grid: { stroke: paint.grid, width: 1 },
      ticks: { show: false },
      font: FONT,
      labelFont: FONT,
    };
    return {
      width: Math.max(area.clientWidth, 50),
      height: Math.max(area.clientHeight, 50),
      tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      padding: [10, 20, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: !bars }, drag: { x: false, y: false } },
      scales: {
        x: { time: overTime, range: (_, min, max) => rangeOfX(min, max, bars, step) },
        y: { range: (_, min, max) => rangeOfY(min, max) },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          space: 56,
          size: 26,
          ...(overTime ? { values: timeLabels(step), incrs: increments(step) } : {}),
        },
        {
          ...axis,
          space: 30,
          ...(kindOf(plan.y.type) === "number" && /INT/i.test(plan.y.type) ? { incrs: WHOLE } : {}),
          size: (u, labels) => 14 + Math.max(...(labels ?? [""]).map((text) => (text ?? "").length)) * 6.4,
          values: (_, ticks) =>
            ticks.map((tick) => (share ? percent(tick).replace(/\.0+(?=\u202f)/, "") : short(tick))),
        },
      ],
      series: [{}, ...data.series.map(line)],
      hooks: { setCursor: [showTip] },
    };
  }

  function showTip(u) {
    const place = u.cursor.idx;
    if (place === null || place === undefined || u.cursor.left < 0 || !drawn) {
      tip.hidden = true;
      return;
    }
    const paint = colours();
    const lines = drawn.series
      .map((series, at) => ({
        series,
        value: series.values[place],
        colour: series.compared ? paint.compared : paint.series[at % 8],
      }))
      .filter(({ value }) => value !== null && (plan.kind !== "stacked" || value !== 0));
    put(
      tip,
      h("div.plot-tip-x", whenText(drawn.xs[place])),
      lines.map(({ series, value, colour }) => entry(series.label, write(value), colour)),
    );
    tip.hidden = lines.length === 0;
    const left = u.cursor.left + u.bbox.left / devicePixelRatio;
    const flip = left > area.clientWidth / 2;
    tip.style.left = flip ? "auto" : `${left + 12}px`;
    tip.style.right = flip ? `${area.clientWidth - left + 12}px` : "auto";
  }

  const entry = (label, value, colour) => {
    const dot = h("i");
    dot.style.background = colour;
    return h("div.key", dot, h("span", label), value === null ? null : h("b", value));
  };

  function writeLegend() {
    const paint = colours();
    const last = drawn.xs.length - 1;
    const keys = drawn.series.map((series, at) =>
      entry(
        series.label,
        drawn.series.length <= 3 ? write(lastOf(series.values)) : null,
        series.compared ? paint.compared : paint.series[at % 8],
      ),
    );
    if (drawn.hidden) keys.push(h("span.quiet", `and ${drawn.hidden} more`));
    put(legend, keys);
    const text =
      last < 0
        ? "no points"
        : `${plan.y.name} by ${plan.x.name}, ${drawn.xs.length} points until ${whenText(drawn.xs[last])}`;
    area.setAttribute("role", "img");
    if (area.getAttribute("aria-label") !== text) area.setAttribute("aria-label", text);
  }

  const whenText = (x) => {
    if (kindOf(plan.x.type) === "number") return `${plan.x.name} ${x}`;
    const text = new Date(x * 1000).toISOString();
    return kindOf(plan.x.type) === "date" ? text.slice(0, 10) : `${text.slice(0, 10)} ${text.slice(11, 16)} UTC`;
  };

  const resize = new ResizeObserver(() => {
    if (chart && area.clientWidth && area.clientHeight)
      chart.setSize({ width: area.clientWidth, height: area.clientHeight });
  });
  resize.observe(area);
  area.addEventListener("mouseleave", () => (tip.hidden = true));
  return {
    update,
    destroy() {
      resize.disconnect();
      chart?.destroy();
      say(legend, "");
    },
  };
}

const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

// Counts have no halves.
const WHOLE = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

/** Digits after the point as the column has them; sums of what is drawn are of the same scale. */
const rounded = (value, type) => {
  const scale = /^DECIMAL\(\d+, ?(\d+)\)/i.exec(type)?.[1];
  return scale === undefined ? trim(value) : value.toFixed(Number(scale));
};

const trim = (value) => (Number.isInteger(value) ? value : Number(value.toFixed(4)).toString());

const lastOf = (values) => values.findLast((value) => value !== null) ?? null;

const fade = (colour) => `color-mix(in srgb, ${colour} 12%, transparent)`;

/** The least distance of two points: an hour for values by hour. */
function stepOf(xs) {
  let least = Infinity;
  for (let i = 1; i < xs.length; i += 1) least = Math.min(least, xs[i] - xs[i - 1]);
  return Number.isFinite(least) ? least : DAY_S;
}

function rangeOfX(min, max, bars, step) {
  if (min === null || min === undefined) return [0, 1];
  if (min === max) return [min - step * 3, max + step * 3];
  return bars ? [min - step / 2, max + step / 2] : [min, max];
}

/** From zero, with some air above, so that heights can be compared. */
function rangeOfY(min, max) {
  if (min === null || max === null) return [0, 1];
  const low = Math.min(0, min);
  const high = Math.max(0, max);
  if (low === high) return [0, 1];
  return [low * 1.05, high + (high - low) * 0.08];
}

/** Axis steps that are not finer than the data: no hours between days. */
function increments(step) {
  const all = [
    60,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10800,
    21600,
    43200,
    DAY_S,
    2 * DAY_S,
    3 * DAY_S,
    7 * DAY_S,
    14 * DAY_S,
    30 * DAY_S,
    91 * DAY_S,
    365 * DAY_S,
  ];
  return all.filter((increment) => increment >= Math.min(step, DAY_S));
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Labels in UTC: the clock within a day, the day at its beginning. */
function timeLabels() {
  return (_, ticks) =>
    ticks.map((tick) => {
      const date = new Date(tick * 1000);
      if (tick % DAY_S === 0) return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
      return date.toISOString().slice(11, 16);
    });
}
