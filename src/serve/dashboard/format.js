// How values are written. Decimals arrive as strings and stay strings: `exact` only puts separators between digits.

const MINUS = "\u2212";
const THIN = "\u202f";

/** Kinds of a column's SQL type: "number", "decimal", "time", "date", "boolean", "text". */
export function kindOf(type) {
  const name = (type ?? "").toUpperCase();
  if (name.startsWith("DECIMAL") || name.startsWith("NUMERIC")) return "decimal";
  if (/^(TINYINT|SMALLINT|INT|BIGINT|INTEGER|DOUBLE|REAL|FLOAT|UNSIGNED|UINT)/.test(name)) return "number";
  if (name.startsWith("TIMESTAMP")) return "time";
  if (name.startsWith("DATE")) return "date";
  if (name.startsWith("BOOL")) return "boolean";
  return "text";
}

export const isNumeric = (column) => ["number", "decimal"].includes(kindOf(column.type));

/** A number or a decimal string with thousands separators, every digit kept. */
export function exact(value) {
  const text = String(value);
  const parts = /^(-?)(\d+)(\.\d+)?$/.exec(text);
  if (!parts) return text;
  return (parts[1] ? MINUS : "") + parts[2].replace(/\B(?=(\d{3})+$)/g, ",") + (parts[3] ?? "");
}

/** A value of a table's cell, exact. */
export function cell(value, type) {
  if (value === null || value === undefined) return "";
  switch (kindOf(type)) {
    case "decimal":
    case "number":
      return exact(value);
    case "time":
      return String(value)
        .replace("T", " ")
        .replace(/(\.000)?Z$/, "")
        .replace(/Z$/, "");
    case "boolean":
      return value ? "yes" : "no";
    default:
      return typeof value === "object" ? JSON.stringify(value) : String(value);
  }
}

/** A number for drawing; the only place where a decimal loses its exactness. */
export function toNumber(value) {
  if (value === null || value === undefined || value === "") return null;
  const number = Number(value);
  return Number.isNaN(number) ? null : number;
}

/** A time or date as seconds since the Unix epoch, UTC. */
export function toSeconds(value) {
  const ms = Date.parse(String(value).length === 10 ? `${value}T00:00:00Z` : value);
  return Number.isNaN(ms) ? null : ms / 1000;
}

/** 12.3k, 4.56M: for axes and bars, where room is short. */
export function short(number) {
  const size = Math.abs(number);
  const sign = number < 0 ? MINUS : "";
  for (const [unit, name] of [
    [1e12, "T"],
    [1e9, "G"],
    [1e6, "M"],
    [1e4, "k"],
  ]) {
    if (size >= unit) {
      const scaled = size / (name === "k" ? 1e3 : unit);
      return sign + scaled.toFixed(scaled >= 100 ? 0 : 1).replace(/\.0$/, "") + name;
    }
  }
  return sign + exact(size % 1 ? size.toFixed(size < 10 ? 2 : 1) : size);
}

/** A rate such as events/s. */
export function rate(number) {
  if (number === null || number === undefined) return "";
  if (number >= 10000) return short(number);
  return exact(number >= 100 || Number.isInteger(number) ? Math.round(number) : number.toFixed(1));
}

export function bytes(number) {
  if (number === null || number === undefined) return "";
  const names = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  while (number >= 1024 && step < names.length - 1) {
    number /= 1024;
    step += 1;
  }
  return `${step && number < 100 ? number.toFixed(1) : exact(Math.round(number))}${THIN}${names[step]}`;
}

/** How long, given milliseconds: "12 ms", "0.2 s", "3 min", "2 h", "5 d". */
export function span(ms) {
  if (ms < 0) ms = 0;
  if (ms < 100) return `${Math.round(ms)}${THIN}ms`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1)}${THIN}s`;
  if (ms < 90e3) return `${Math.round(ms / 1000)}${THIN}s`;
  if (ms < 90 * 60e3) return `${Math.round(ms / 60e3)}${THIN}min`;
  if (ms < 36 * 3600e3) return `${Math.round(ms / 3600e3)}${THIN}h`;
  return `${exact(Math.round(ms / 86400e3))}${THIN}d`;
}

/** How long ago; steps of 0.1 s below ten seconds. */
export const ago = (ms) => `${ms < 100 ? `0.1${THIN}s` : span(ms)} ago`;

export const percent = (number) => `${(number * 100).toFixed(Math.abs(number) < 0.0995 ? 2 : 1)}${THIN}%`;

/** `sales_by_day` as words. */
export const words = (name) => {
  const text = name
    .replace(/^tillrace\./, "")
    .replace(/[_.]+/g, " ")
    .trim();
  return text.charAt(0).toUpperCase() + text.slice(1);
};

/** Order of two cells: numbers by value, decimals exactly, empty last. */
export function compare(a, b, type) {
  if (a === b) return 0;
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  const kind = kindOf(type);
  if (kind === "number") return Number(a) - Number(b);
  if (kind === "decimal") return compareDecimals(String(a), String(b));
  if (kind === "boolean") return Number(a) - Number(b);
  if (kind === "text") return String(a).localeCompare(String(b), "en", { numeric: true });
  return a < b ? -1 : 1;
}

function compareDecimals(a, b) {
  const difference = Number(a) - Number(b);
  if (Math.abs(difference) > Math.abs(Number(a)) * 1e-12) return difference;
  const scale = Math.max(...[a, b].map((text) => (text.split(".")[1] ?? "").length));
  const whole = (text) => {
    const [left, right = ""] = text.split(".");
    return BigInt(left + right.padEnd(scale, "0"));
  };
  try {
    const [left, right] = [whole(a), whole(b)];
    return left < right ? -1 : left > right ? 1 : 0;
  } catch {
    return difference;
  }
}
