// What every test needs: the engine's answers, a browser page that remembers what went wrong in it, and waiting for a condition.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

export const BASE = process.env.TILLRACE_URL.replace(/\/*$/, "/");
const TOKEN = process.env.TILLRACE_TOKEN;
const SHOTS = process.env.TILLRACE_SHOTS;
const PATIENCE_MS = 20_000;

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A browser for a file of tests. */
export const browser = () => chromium.launch({ executablePath: process.env.CHROMIUM, headless: true, args: FLAGS });

/** What the engine answers to GET, as JSON. */
export async function rest(path) {
  const response = await fetch(new URL(path, BASE), { headers: TOKEN ? { Authorization: `Bearer ${TOKEN}` } : {} });
  assert.ok(response.ok, `GET /${path} answered ${response.status}`);
  return response.json();
}

/** Posts records of a table, as JSON lines. */
export async function ingest(table, ...records) {
  const response = await fetch(new URL(`ingest/${table}`, BASE), {
    method: "POST",
    headers: { "Content-Type": "application/x-ndjson", ...(TOKEN ? { Authorization: `Bearer ${TOKEN}` } : {}) },
    body: records.map((record) => `${typeof record === "string" ? record : JSON.stringify(record)}\n`).join(""),
  });
  const answer = await response.json();
  assert.ok(response.ok, `POST /ingest/${table} answered ${response.status}: ${JSON.stringify(answer)}`);
  return answer;
}

/** An order of one line, in a currency that no shop takes. */
export function order({ price, quantity }) {
  const id = `test-${process.pid}-${Date.now()}-${Math.floor(Math.random() * 1e6)}`;
  return {
    event_id: `${id}-1`,
    order_id: id,
    user_id: "u-dashboard-test",
    status: "created",
    timestamp: new Date().toISOString(),
    currency: "XTS",
    channel: "web",
    items: [{ product_id: "p1", quantity, price }],
  };
}

/**
 * A page at `hash`. `page.faults` collects errors of the console, uncaught exceptions, breaches of the policy and requests to
 * anywhere else; faults that match `expected` are left out.
 */
export async function open(browser, hash, { phone = false, scheme = "light", expected = null, prepare = null } = {}) {
  const context = await browser.newContext({
    viewport: phone ? { width: 390, height: 844 } : { width: 1440, height: 1000 },
    isMobile: phone,
    hasTouch: phone,
    colorScheme: scheme,
    acceptDownloads: true,
  });
  const page = await context.newPage();
  page.faults = [];
  const fault = (text) => {
    if (!expected?.test(text)) page.faults.push(text);
  };
  page.on("console", (line) => {
    if (line.type() === "error") fault(`console: ${line.text()} ${line.location().url ?? ""}`);
  });
  page.on("pageerror", (error) => fault(`exception: ${error.stack}`));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (["http:", "https:", "ws:", "wss:"].includes(url.protocol) && url.host !== new URL(BASE).host)
      fault(`request elsewhere: ${url}`);
  });
  if (TOKEN) await page.addInitScript((token) => sessionStorage.setItem("tillrace.token", token), TOKEN);
  page.setDefaultTimeout(5000);
  if (prepare) await prepare(page);
  await page.goto(BASE + hash);
  return page;
}

/** Closes a page and fails with what went wrong in it. */
export async function close(page) {
  const { faults } = page;
  await page.context().close();
  assert.deepEqual(faults, []);
}

/** Tries `check` until it does not throw; what it last threw is the failure. */
export async function eventually(check, patience = PATIENCE_MS) {
  const end = Date.now() + patience;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

export async function shot(page, name) {
  if (!SHOTS) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}/${name}.png` });
}

/** A number as the dashboard writes it: every digit kept, a comma every three, a minus sign. */
export function exact(value) {
  const [, sign, whole, rest = ""] = /^(-?)(\d+)(\.\d+)?$/.exec(String(value));
  return (sign ? "\u2212" : "") + whole.replace(/\B(?=(\d{3})+$)/g, ",") + rest;
}

/** A written number as a number. */
export const parsed = (text) => Number(text.replace(/,/g, "").replace("\u2212", "-"));

/** The panel of a view, scrolled into sight, as only what is seen is live. */
export async function panel(page, view) {
  const found = page.locator(`.panel[data-view="${view}"]`);
  await found.waitFor();
  await found.scrollIntoViewIfNeeded();
  return found;
}
