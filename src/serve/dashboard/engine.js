// What the page knows of the engine: its status (every second) and its views (every few). Pages listen; nobody else asks.
//
// While the engine is away it is asked again and again, and `away` is true; when it is back everything is asked anew.

import { get } from "./api.js";

const STATUS_EVERY_MS = 1000;
const VIEWS_EVERY_MS = 2500;

export const engine = {
  status: null,
  /** Entries of /views, in its order. */
  views: [],
  /** The same by name. */
  byName: new Map(),
  /** Epoch of `views`. */
  epoch: 0,
  away: false,
  /** The engine's clock less ours, ms. */
  skew: 0,
  /** Ages of what is shown are told by the engine's clock, as this machine's may be off. */
  now: () => Date.now() + engine.skew,
};

const bus = new EventTarget();
let statusTimer = 0;
let viewsTimer = 0;

/** Calls `listener` on "status", "views" or "back" until the returned function is called. */
export function listen(name, listener) {
  bus.addEventListener(name, listener);
  return () => bus.removeEventListener(name, listener);
}

const tell = (name) => bus.dispatchEvent(new Event(name));

/** Asks for views and status, then keeps asking. */
export async function start() {
  await Promise.all([askStatus(), askViews()]);
  // A tab that was in the background is up to date at once when it is looked at.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) askViews();
  });
}

async function askStatus() {
  clearTimeout(statusTimer);
  try {
    const status = await get("status");
    const closed = Date.parse(status.closed_at);
    if (!Number.isNaN(closed)) engine.skew = closed + (status.frontier_age_ms ?? 0) - Date.now();
    engine.status = status;
    if (engine.away) {
      engine.away = false;
      await askViews();
      tell("back");
    }
  } catch {
    engine.away = true;
  }
  tell("status");
  statusTimer = setTimeout(askStatus, STATUS_EVERY_MS);
}

async function askViews() {
  clearTimeout(viewsTimer);
  try {
    const answer = await get("views");
    engine.views = answer.views;
    engine.byName = new Map(answer.views.map((view) => [view.name, view]));
    engine.epoch = answer.epoch;
    tell("views");
  } catch {
    // The status, asked more often, tells that the engine is away.
  }
  viewsTimer = setTimeout(askViews, VIEWS_EVERY_MS);
}

/** How many records the engine could not read. */
export function rejectCount() {
  const view = engine.byName.get("tillrace.rejects");
  if (view) return view.rows;
  return (engine.status?.inputs ?? []).reduce((sum, input) => sum + (input.rejects ?? 0), 0);
}
