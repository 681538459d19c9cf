// Rows of a view that stay up to date.
//
// A view of few rows is followed change by change: over a WebSocket, which a browser allows by the hundred, else over
// server-sent events, of which HTTP/1.1 allows six a host, so four at most are open here. A view of many rows is not
// copied here: the part that is shown is asked for again whenever the view has changed. So is what finds no stream.

import { address, get, viewPath } from "./api.js";
import { engine, listen } from "./engine.js";

/** Views up to this many rows are followed change by change. */
export const FOLLOWED_ROWS = 2000;
const MAX_EVENT_SOURCES = 4;
const TELL_EVERY_MS = 150;
const RETRY_FIRST_MS = 400;
const RETRY_LAST_MS = 5000;
/** A stream tells at least every second; one that is silent for this long is dead. */
const SILENCE_MS = 8000;

let eventSources = 0;
// Whether WebSockets get through: unknown until one did; proxies may let none through.
let sockets = { opened: false, failures: 0 };

/**
 * Follows `name`. `part` is what to ask for when the view is polled: {order, limit, columns}. `follow` forces changes
 * for views above FOLLOWED_ROWS. `listener(feed)` is called at most every TELL_EVERY_MS. Returns the feed; `close` ends it.
 */
export function open(name, { part = {}, follow = false } = {}, listener) {
  const entry = engine.byName.get(name);
  const followed = follow || (entry?.rows ?? 0) <= FOLLOWED_ROWS;
  return followed ? new Followed(name, part, listener) : new Polled(name, part, listener);
}

class Feed {
  constructor(name, part, listener) {
    Object.assign(this, { name, part, listener, epoch: 0, closedAt: null, total: 0, ready: false, closed: false });
    this.told = 0;
    this.timer = 0;
  }

  /** Lets the listener know, but not more often than it can draw. */
  tell(full) {
    if (this.closed) return;
    this.dirty ||= full;
    if (this.timer) return;
    const wait = Math.max(0, this.told + TELL_EVERY_MS - performance.now());
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.told = performance.now();
      const changed = this.dirty;
      this.dirty = false;
      if (!this.closed) this.listener(this, changed);
    }, wait);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.stop?.();
  }
}

class Followed extends Feed {
  constructor(name, part, listener) {
    super(name, part, listener);
    this.kept = new Map();
    this.retry = RETRY_FIRST_MS;
    this.connect();
  }

  get rows() {
    const rows = [];
    for (const { row, count } of this.kept.values()) for (let i = 0; i < count; i += 1) rows.push(row);
    return rows;
  }

  connect() {
    if (this.closed) return;
    if (sockets.opened || sockets.failures < 3) this.connectSocket();
    else if (eventSources < MAX_EVENT_SOURCES) this.connectEvents();
    else this.poll();
  }

  connectSocket() {
    const url = address(viewPath(this.name, "/changes"), { every_ms: TELL_EVERY_MS }, true);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    let opened = false;
    this.stop = () => socket.close();
    this.watch(() => socket.close());
    socket.onopen = () => {
      opened = sockets.opened = true;
    };
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      this.take(event.type, event);
    };
    socket.onclose = () => {
      if (!opened && !engine.away) sockets.failures += 1;
      this.again();
    };
  }

  connectEvents() {
    eventSources += 1;
    const source = new EventSource(address(viewPath(this.name, "/changes"), { every_ms: TELL_EVERY_MS }, true));
    const done = () => {
      eventSources -= 1;
      source.close();
    };
    this.stop = done;
    this.watch(() => {
      done();
      this.again();
    });
    for (const type of ["snapshot", "changes", "progress"]) {
      source.addEventListener(type, ({ data }) => this.take(type, JSON.parse(data)));
    }
    source.onerror = () => {
      done();
      this.stop = null;
      this.again();
    };
  }

  poll() {
    const polled = new Polled(this.name, this.part, (feed, changed) => {
      Object.assign(this, { epoch: feed.epoch, closedAt: feed.closedAt, total: feed.total, ready: true });
      if (changed) this.replace(feed.rows);
      this.tell(changed);
    });
    this.stop = () => polled.close();
  }

  /** Gives a stream up that has gone silent, as a half-open connection does. */
  watch(giveUp) {
    clearTimeout(this.silence);
    this.giveUp = giveUp;
    this.silence = setTimeout(giveUp, SILENCE_MS);
  }

  again() {
    clearTimeout(this.silence);
    if (this.closed) return;
    // All panels lose their streams at once; they come back spread out.
    setTimeout(() => this.connect(), this.retry * (0.75 + Math.random() / 2));
    this.retry = Math.min(this.retry * 2, RETRY_LAST_MS);
  }

  take(type, event) {
    if (this.closed) return;
    this.watch(this.giveUp);
    this.retry = RETRY_FIRST_MS;
    this.epoch = event.epoch;
    this.closedAt = event.closed_at;
    if (type === "snapshot") {
      this.replace(event.rows);
      this.total = event.total ?? event.rows.length;
      this.ready = true;
    } else if (type === "changes") {
      for (const { diff, row } of event.changes) this.change(row, diff);
    }
    this.tell(type !== "progress");
  }

  replace(rows) {
    this.kept.clear();
    for (const row of rows) this.add(row, 1);
  }

  add(row, diff) {
    const key = keyOf(row);
    const held = this.kept.get(key);
    const count = (held?.count ?? 0) + diff;
    // A row that was beyond the snapshot's limit may be taken back without ever having been here.
    if (count <= 0) this.kept.delete(key);
    else if (held) held.count = count;
    else this.kept.set(key, { row, count });
  }

  change(row, diff) {
    this.total += diff;
    this.add(row, diff);
  }

  close() {
    clearTimeout(this.silence);
    super.close();
  }
}

class Polled extends Feed {
  constructor(name, part, listener) {
    super(name, part, listener);
    this.rows = [];
    this.seen = null;
    const unlisten = listen("views", () => this.look());
    this.abort = new AbortController();
    this.stop = () => {
      unlisten();
      this.abort.abort();
    };
    this.look();
  }

  /** Asks for the rows if the list of views says that they have changed. */
  async look() {
    const entry = engine.byName.get(this.name);
    if (!entry || this.asking) return;
    if (this.ready && entry.changed_at !== null && entry.changed_at === this.seen) {
      this.epoch = engine.epoch;
      this.closedAt = engine.epoch;
      this.tell(false);
      return;
    }
    this.asking = true;
    try {
      const answer = await get(viewPath(this.name), this.part, this.abort.signal);
      this.seen = entry.changed_at;
      Object.assign(this, {
        rows: answer.rows,
        total: answer.total,
        epoch: answer.epoch,
        closedAt: answer.closed_at,
        ready: true,
      });
      this.tell(true);
    } catch {
      // Away or closed; the next list of views tries again.
    } finally {
      this.asking = false;
    }
  }
}

/** Rows are equal if all their values are; the order of members does not matter. */
function keyOf(row) {
  const names = Object.keys(row).sort();
  return JSON.stringify(names.map((name) => row[name]));
}

/** When the rows of a feed were published, ms on the engine's clock. */
export const publishedAt = (feed) => (typeof feed.closedAt === "number" ? feed.closedAt : Date.parse(feed.closedAt));
