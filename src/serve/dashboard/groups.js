// Brings views together by subject. If the engine says which script a view is from, that is the subject; otherwise it is
// the word that most views have in common in their names, and for the rest, the tables that they read.

import { words } from "./format.js";

const FILLERS = new Set(["by", "and", "of", "in", "the", "per", "at", "to", "for", "not", "without", "against", "over"]);
// Words of time and measure are in many names but are no subject.
const MEASURES = /^(day|hour|minute|week|month|user|product|store|channel|category|count|total|last|number|location|sale_time)s?$/;

/** [{name, views}] in the order in which subjects first appear; system views last. */
export function groups(views) {
  const own = views.filter((view) => !view.system);
  const system = views.filter((view) => view.system);
  const found = own.every((view) => scriptOf(view)) && own.length ? byScript(own) : byName(own);
  if (system.length) found.push({ name: "Engine", views: system });
  return found;
}

const scriptOf = (view) => view.script ?? view.file ?? null;

function byScript(views) {
  const found = new Map();
  for (const view of views) {
    const name = words(scriptOf(view).replace(/^.*[\\/]/, "").replace(/\.sql$/, ""));
    found.set(name, [...(found.get(name) ?? []), view]);
  }
  return [...found].map(([name, list]) => ({ name, views: list }));
}

const stem = (word) => word.replace(/ies$/, "y").replace(/(?<=...)s$/, "");

function subjects(view) {
  const parts = view.name.split(/[_.]/).filter((word) => word && !FILLERS.has(word) && !MEASURES.test(word));
  return parts.map(stem);
}

function byName(views) {
  const counts = new Map();
  for (const view of views) {
    for (const word of new Set(subjects(view))) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const found = new Map();
  const add = (key, view) => found.set(key, [...(found.get(key) ?? []), view]);
  const alone = [];
  for (const view of views) {
    const shared = subjects(view).filter((word) => counts.get(word) > 1);
    const best = shared.sort((a, b) => counts.get(b) - counts.get(a))[0];
    if (best) add(best, view);
    else alone.push(view);
  }
  for (const view of alone) add(nearest(view, found) ?? "more", view);
  return [...found]
    .map(([key, list]) => ({ name: title(key, list), views: list }))
    .sort((a, b) => Number(a.name === "More") - Number(b.name === "More"));
}

/** The subject whose views read most of the same tables, if they have half of them in common. */
function nearest(view, found) {
  let best = null;
  let most = 0.5;
  for (const [key, list] of found) {
    for (const other of list) {
      const share = overlap(view.tables ?? [], other.tables ?? []);
      if (share > most) [best, most] = [key, share];
    }
  }
  return best;
}

function overlap(a, b) {
  const both = a.filter((name) => b.includes(name)).length;
  return both / (new Set([...a, ...b]).size || 1);
}

/** The subject as it is written in the views' names: `sale` is found in `sales_by_day`, so it is "Sales". */
function title(key, list) {
  for (const view of list) {
    const word = view.name.split(/[_.]/).find((part) => stem(part) === key);
    if (word) return words(word);
  }
  return words(key);
}
