// SQL with its keywords, texts and comments marked, for reading only.

import { h } from "./dom.js";

const TOKENS = /(--[^\n]*)|('(?:[^']|'')*')|\b([A-Z_]+)\b|([\s\S])/g;
const KEYWORDS = new Set(
  (
    "SELECT FROM WHERE GROUP BY ORDER HAVING LIMIT OFFSET JOIN LEFT RIGHT FULL INNER CROSS SEMI ANTI LATERAL ON AS AND OR NOT IN IS NULL CASE WHEN THEN ELSE END " +
    "CREATE MATERIALIZED VIEW TABLE WITH UNION ALL DISTINCT EXCEPT INTERSECT CAST INTERVAL FILTER OVER PARTITION DESC ASC NULLS LAST FIRST BETWEEN LIKE EXISTS VALUES " +
    "TRUE FALSE DATE TIMESTAMP DECIMAL BIGINT TEXT BOOLEAN DOUBLE EXTRACT EPOCH QUALIFY"
  ).split(" "),
);

/** Parts of `sql` for an element. */
export function highlighted(sql) {
  const parts = [];
  let plain = "";
  const flush = () => {
    if (plain) parts.push(plain);
    plain = "";
  };
  for (const [text, comment, quoted, word] of sql.matchAll(TOKENS)) {
    const name = comment ? "comment" : quoted ? "text" : word && KEYWORDS.has(word) ? "word" : null;
    if (!name) {
      plain += text;
      continue;
    }
    flush();
    parts.push(h(`span.sql-${name}`, text));
  }
  flush();
  return parts;
}
