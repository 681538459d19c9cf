// Brings views together by subject. If the engine says which script a view is from, that is the subject; otherwise it is
// the word that most views have in common in their names, and for the rest, the tables that they read.

import { words } from "./format.js";

const FILLERS = new Set([
  "by",
  "and",
  "of",
  "in",
  "the",
  "per",
  "at",
  "to",
  "for",
  "not",
  "without",
  "against",
  "over",
]);
const SMALL = 3;
// Words of time and measure are in many names but are no subject.
const MEASURES =
  /^(day|hour|minute|week|month|user|product|store|channel|category|count|total|last|number|location|sale_time)s?$/;

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
    const name = words(
      scriptOf(view)
        .replace(/^.*[\\/]/, "")
        .replace(/\.sql$/, ""),
    );
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
  const weights = rarity(views);
  // A subject of one or two views is part of the one that reads the same tables, if there is one.
  for (const key of [...found.keys()].reverse()) {
    const list = found.get(key);
    const others = [...found].filter(([other]) => other !== key);
    const near = list.length < SMALL ? nearest(list, others, weights, 0.75) : null;
    if (!near) continue;
    found.delete(key);
    found.set(near, [...found.get(near), ...list]);
  }
  for (const view of alone) add(beside(view, views, found, weights) ?? "more", view);
  return [...found]
    .map(([key, list]) => ({ name: title(key, list), views: list }))
    .sort((a, b) => Number(a.name === "More") - Number(b.name === "More"));
}

/** How telling it is that a view reads a table: little, if nearly all views do. */
function rarity(views) {
  const counts = new Map();
  for (const view of views) for (const table of view.tables ?? []) counts.set(table, (counts.get(table) ?? 0) + 1);
  return new Map([...counts].map(([table, count]) => [table, Math.log(views.length / count) + 0.05]));
}

/** The subject with the view whose tables are most like those of one of `views`, if they are alike by `least`. */
function nearest(views, subjects, weights, least) {
  let best = null;
  let most = least;
  for (const [key, list] of subjects) {
    for (const other of list) {
      const share = Math.max(...views.map((view) => likeness(view.tables ?? [], other.tables ?? [], weights)));
      if (share > most) [best, most] = [key, share];
    }
  }
  return best;
}

/**
 * The subject of the view before this one, if they read like tables: views come in the order of the script, which keeps together what
 * belongs together. If they come by name, that says nothing, and the tables alone decide.
 */
function beside(view, views, found, weights) {
  const byName = views.every((other, place) => place === 0 || views[place - 1].name <= other.name);
  const subjects = [...found].filter(([key, list]) => key !== "more" && list.length >= SMALL);
  if (byName) return nearest([view], subjects, weights, 0.5);
  for (let place = views.indexOf(view) - 1; place >= 0; place -= 1) {
    const subject = subjects.find(([, list]) => list.includes(views[place]));
    if (subject) return nearest([view], [subject], weights, 0.2);
  }
  return null;
}

function likeness(a, b, weights) {
  const weigh = (tables) => tables.reduce((sum, table) => sum + weights.get(table), 0);
  const both = a.filter((table) => b.includes(table));
  return weigh(both) / (weigh([...new Set([...a, ...b])]) || 1);
}

/** The subject as it is written in the views' names: `sale` is found in `sales_by_day`, so it is "Sales". */
function title(key, list) {
  for (const view of list) {
    const word = view.name.split(/[_.]/).find((part) => stem(part) === key);
    if (word) return words(word);
  }
  return words(key);
}
