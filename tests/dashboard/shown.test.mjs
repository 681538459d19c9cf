// Panels show the numbers that REST gives, and move when events arrive.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { browser, close, eventually, exact, ingest, open, order, panel, rest, shot } from "./support.mjs";

let chromium;
before(async () => {
  chromium = await browser();
});
after(() => chromium?.close());

const texts = (locator) => locator.allInnerTexts();

test("every view has a panel with its title", async () => {
  const page = await open(chromium, "#/");
  const { views } = await rest("views");
  await eventually(async () => assert.equal(await page.locator(".panel").count(), views.length));
  for (const view of views) {
    const found = page.locator(`.panel[data-view="${view.name}"] h3`);
    if (view.options.title) assert.equal(await found.innerText(), view.options.title);
    else assert.notEqual(await found.innerText(), "");
  }
  await shot(page, "home");
  await close(page);
});

test("single figures are those of REST", async () => {
  const page = await open(chromium, "#/");
  const found = await panel(page, "sales_totals");
  await eventually(async () => {
    const { rows } = await rest("views/sales_totals?order=-net_sales&limit=4");
    const names = await texts(found.locator(".stat-name"));
    const values = await texts(found.locator(".stat-head strong"));
    assert.deepEqual(
      Object.fromEntries(names.map((name, at) => [name, values[at]])),
      Object.fromEntries(rows.map((row) => [row.currency, exact(row.net_sales)])),
    );
  });
  await close(page);
});

test("bars are those of REST, the largest first, of one currency", async () => {
  const page = await open(chromium, "#/");
  const found = await panel(page, "sales_by_category");
  await eventually(async () => {
    const currency = await found.locator("select").inputValue();
    const { rows } = await rest(`views/sales_by_category?currency=${currency}&order=-net_sales&limit=10`);
    assert.deepEqual(
      await texts(found.locator(".bars .value b")),
      rows.map((row) => exact(row.net_sales)),
    );
  });
  await close(page);
});

test("tables are those of REST", async () => {
  const page = await open(chromium, "#/");
  const found = await panel(page, "top_sellers");
  await eventually(async () => {
    const { rows } = await rest("views/top_sellers?order=category,place&limit=10");
    const shown = await found
      .locator("tbody tr")
      .evaluateAll((lines) => lines.slice(0, 10).map((line) => [...line.children].map((cell) => cell.textContent)));
    assert.deepEqual(
      shown,
      rows.map((row) => [row.category, String(row.place), row.product_id, exact(row.units_net)]),
    );
  });
  await close(page);
});

test("every panel says how many rows its view has and how fresh it is", async () => {
  const page = await open(chromium, "#/");
  for (const name of [
    "sales_by_hour",
    "inventory_by_location",
    "low_stock",
    "funnel",
    "customers",
    "tillrace.rejects",
  ]) {
    const found = await panel(page, name);
    await eventually(async () => {
      const { total } = await rest(`views/${name}?limit=1`);
      const footer = await found.locator("footer").innerText();
      assert.match(footer.replace(/\s+/g, " "), new RegExp(`(^| )${exact(total)} rows?`));
      assert.match(footer, /\d\s?(ms|s) ago/);
    });
  }
  await close(page);
});

test("charts over time are drawn", async () => {
  const page = await open(chromium, "#/");
  for (const name of ["sales_by_hour", "sales_by_category_and_hour", "active_users_by_day"]) {
    const found = await panel(page, name);
    await eventually(async () => {
      const drawn = await found.locator("canvas").evaluate((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return data.some((value) => value !== 0);
      });
      assert.ok(drawn);
      assert.match(await found.locator(".plot").getAttribute("aria-label"), /\d+ points/);
    });
  }
  await close(page);
});

/** Sales in the test currency, from REST, as a number of hundredths. */
async function testSales() {
  const { rows } = await rest("views/sales_totals?currency=XTS");
  return rows.length ? BigInt(rows[0].net_sales.replace(".", "")) : 0n;
}

const written = (hundredths) => exact(`${hundredths / 100n}.${String(hundredths % 100n).padStart(2, "0")}`);

async function moves(page, name) {
  const found = await panel(page, "sales_totals");
  const value = found.locator(".stat", { hasText: "XTS" }).locator("strong");
  const start = await testSales();
  for (const [times, price, quantity, cost] of [
    [1n, 12.34, 2, 2468n],
    [2n, 12.34, 2, 2468n],
  ]) {
    const answer = await ingest("orders", order({ price, quantity }));
    assert.equal(answer.accepted, 1, JSON.stringify(answer));
    await eventually(async () => assert.equal(await value.innerText(), written(start + times * cost)));
  }
  assert.equal(await testSales(), start + 4936n);
  await shot(page, name);
}

test("a panel moves when an order arrives, and lights up", async () => {
  const page = await open(chromium, "#/", {
    prepare: (fresh) =>
      fresh.addInitScript(() => {
        window.lit = 0;
        new MutationObserver(
          (changes) => (window.lit += changes.filter(({ target }) => target.classList?.contains("flash")).length),
        ).observe(document, { attributes: true, attributeFilter: ["class"], subtree: true });
      }),
  });
  await moves(page, "moved");
  assert.ok((await page.evaluate(() => window.lit)) > 0, "nothing lit up");
  await close(page);
});

test("without WebSockets panels move over at most four server-sent event streams", async () => {
  const page = await open(chromium, "#/", {
    prepare: (fresh) =>
      fresh.addInitScript(() => {
        window.WebSocket = class {
          constructor() {
            setTimeout(() => this.onclose?.({}), 1);
          }
          close() {}
        };
        window.most = window.streams = 0;
        const Native = window.EventSource;
        window.EventSource = class extends Native {
          constructor(...given) {
            super(...given);
            window.streams += 1;
            window.most = Math.max(window.most, window.streams);
          }
          close() {
            if (this.readyState !== 2) window.streams -= 1;
            super.close();
          }
        };
      }),
  });
  await moves(page, "moved-sse");
  const most = await page.evaluate(() => window.most);
  assert.ok(most >= 1 && most <= 4, `${most} streams at once`);
  await close(page);
});

test("while the engine is away the page says so, and it recovers by itself", async () => {
  const page = await open(chromium, "#/", { expected: /ERR_FAILED|Failed to load resource/ });
  const state = page.locator("#engine .state b");
  await eventually(async () => assert.match(await state.innerText(), /Live|Catching up/));
  await page.route(/\/(status|views)/, (route) => route.abort());
  await eventually(async () => assert.equal(await state.innerText(), "Reconnecting"));
  assert.match(await page.locator("#notice").innerText(), /does not answer/);
  await page.unroute(/\/(status|views)/);
  await eventually(async () => assert.match(await state.innerText(), /Live|Catching up/));
  assert.equal(await page.locator("#notice.bad").count(), 0);
  await close(page);
});
