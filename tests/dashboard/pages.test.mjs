// The pages beside the first: a view, the dataflow, inputs, rejects, SQL; and the search for views.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { BASE, browser, close, eventually, exact, ingest, open, parsed, rest, shot } from "./support.mjs";

let chromium;
before(async () => {
  chromium = await browser();
});
after(() => chromium?.close());

/** The texts of a column of the shown rows. */
async function column(page, name) {
  const at = await page
    .locator(".rows thead .names th")
    .evaluateAll((heads, wanted) => heads.findIndex((head) => head.dataset.column === wanted), name);
  assert.ok(at >= 0, `no column ${name}`);
  return page
    .locator(".rows tbody tr")
    .evaluateAll((lines, place) => lines.map((line) => line.children[place].textContent), at);
}

const sorted = (values, sign) => values.every((value, at) => at === 0 || sign * (value - values[at - 1]) >= 0);

test("the search finds views by title, comment and column", async () => {
  const page = await open(chromium, "#/");
  await page.locator(".panel").first().waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("days_of_cover");
  await eventually(async () =>
    assert.deepEqual(await page.locator(".panel:visible").evaluateAll((all) => all.map((one) => one.dataset.view)), [
      "days_of_cover",
    ]),
  );
  await page.locator("input[type=search]").fill("no such view anywhere");
  await eventually(async () => assert.equal(await page.locator(".panel:visible").count(), 0));
  await close(page);
});

test("a view's page shows its rows exactly, with comment, columns and SQL", async () => {
  const page = await open(chromium, "#/view/sales_by_category");
  const schema = await rest("views/sales_by_category/schema");
  await eventually(async () => {
    const { total, rows } = await rest("views/sales_by_category?order=-net_sales&limit=5");
    assert.match(await page.locator(".row-tools").innerText(), new RegExp(`${exact(total)} rows`));
    assert.deepEqual(
      (await column(page, "net_sales")).slice(0, 5),
      rows.map((row) => exact(row.net_sales)),
    );
    assert.deepEqual(
      (await column(page, "category")).slice(0, 5),
      rows.map((row) => row.category),
    );
  });
  assert.equal(await page.locator("h1").innerText(), schema.options.title);
  assert.equal(await page.locator(".lead").innerText(), schema.comment.replaceAll("`", ""));
  assert.equal(await page.locator(".columns tbody tr").count(), schema.columns.length);
  await eventually(async () => assert.match(await page.locator("pre.sql").innerText(), /SELECT/i));
  await shot(page, "view");
  await close(page);
});

test("rows are sorted by a click, searched and filtered by column", async () => {
  const page = await open(chromium, "#/view/sales_by_product");
  const sort = page.locator('.rows th[data-column="units"] button');
  await sort.click();
  await eventually(async () => assert.ok(sorted((await column(page, "units")).map(parsed), -1)));
  await sort.click();
  await eventually(async () => assert.ok(sorted((await column(page, "units")).map(parsed), 1)));
  assert.equal(await page.locator('.rows th[data-column="units"]').getAttribute("aria-sort"), "ascending");

  await page.getByLabel("Filter units:").fill(">= 5");
  await eventually(async () => {
    const { total } = await rest("views/sales_by_product?units.ge=5&limit=1");
    assert.match(await page.locator(".row-tools").innerText(), new RegExp(`(^|\\s)${exact(total)} (of|rows)`));
    assert.ok((await column(page, "units")).map(parsed).every((units) => units >= 5));
  });
  await page.getByLabel("Filter units:").fill("");
  const { rows } = await rest("views/sales_by_product?limit=1");
  await page.getByLabel("Search the rows").fill(rows[0].product_id);
  await eventually(async () => {
    const found = await column(page, "product_id");
    assert.ok(found.length > 0 && found.every((id) => id.includes(rows[0].product_id)), found.join());
  });
  await close(page);
});

test("a long view is shown in pages", async () => {
  const page = await open(chromium, "#/view/actions_by_user");
  const { total } = await rest("views/actions_by_user?limit=1");
  assert.ok(total > 50, "the samples have more users");
  await eventually(async () => assert.equal(await page.locator(".rows tbody tr").count(), 50));
  const first = await column(page, "user_id");
  await page.getByLabel("Next page").click();
  await eventually(async () => assert.ok(!(await column(page, "user_id")).includes(first[0])));
  assert.match(await page.locator(".pages").innerText(), /^\D*2 \//);
  await close(page);
});

test("rows are downloaded as CSV", async () => {
  const page = await open(chromium, "#/view/sales_by_channel");
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.locator(".downloads a", { hasText: "CSV" }).click(),
  ]);
  const { columns } = await rest("views/sales_by_channel/schema");
  const lines = readFileSync(await download.path(), "utf8")
    .trim()
    .split(/\r?\n/);
  assert.equal(lines[0], columns.map(({ name }) => name).join(","));
  assert.ok(lines.length > 1);
  await close(page);
});

test("the dataflow is drawn, for all views and for one", async () => {
  const page = await open(chromium, "#/dataflow");
  const { nodes } = await rest("graph");
  const boxes = page.locator(".box");
  await eventually(async () => assert.ok((await boxes.count()) > 10));
  await page.getByLabel("Maps and unnests").check();
  await eventually(async () => assert.equal(await boxes.count(), nodes.length));
  const places = await boxes.evaluateAll((all) => all.map((box) => box.getAttribute("transform")));
  assert.equal(new Set(places).size, places.length, "boxes lie on one another");
  await page.locator(".tools select").selectOption("sales_by_day");
  await eventually(async () => {
    const count = await boxes.count();
    assert.ok(count > 3 && count < nodes.length, `${count} boxes`);
  });
  assert.match(page.url(), /view=sales_by_day/);
  const input = page.locator('.box[data-kind="Input"]').first();
  await input.focus();
  await page.keyboard.press("Enter");
  assert.match(await page.locator(".detail h2").innerText(), /Input/);
  const measured = nodes.some((node) => node.stats);
  if (measured) await eventually(async () => assert.match(await page.locator(".detail").innerText(), /Records in/));
  await shot(page, "dataflow");
  await close(page);
});

test("inputs are listed with what they have read", async () => {
  const page = await open(chromium, "#/inputs");
  const { inputs } = await rest("status");
  await eventually(async () => assert.equal(await page.locator(".inputs tbody tr").count(), inputs.length));
  const text = await page.locator(".inputs").innerText();
  for (const input of inputs) assert.ok(text.includes(input.location), input.location);
  await shot(page, "inputs");
  await close(page);
});

test("rejects are counted in the head and shown with their reason and text", async () => {
  const page = await open(chromium, "#/rejects");
  const mark = `dashboard-test-${Date.now()}`;
  const answer = await ingest("orders", `{"status": "paid", "user_id": "${mark}"}`);
  assert.equal(answer.rejected, 1);
  await eventually(async () => {
    const { total } = await rest("views/tillrace.rejects?limit=1");
    assert.equal(await page.locator(".rejects b").innerText(), exact(total));
    const shown = page.locator(".reject-list li", { hasText: mark });
    assert.equal(await shown.count(), 1);
    assert.notEqual(await shown.locator(".reason").innerText(), "");
  });
  assert.ok(await page.locator(".rejects.bad").isVisible());
  await shot(page, "rejects");
  await close(page);
});

test("SQL is answered as a table, and a fault is underlined where it is", async () => {
  const page = await open(chromium, "#/sql", { expected: /400/ });
  await page
    .getByLabel("SQL", { exact: true })
    .fill(
      "SELECT channel, currency, net_sales\nFROM sales_by_channel\nWHERE currency = 'EUR'\nORDER BY net_sales DESC",
    );
  await page.keyboard.press("Control+Enter");
  await eventually(async () => {
    const { rows } = await rest("views/sales_by_channel?currency=EUR&order=-net_sales");
    const shown = await page
      .locator(".answer tbody tr")
      .evaluateAll((lines) => lines.map((line) => [...line.children].map((cell) => cell.textContent)));
    if (shown.length && shown[0][2] !== exact(rows[0].net_sales))
      await page.getByRole("button", { name: "Run" }).click();
    assert.deepEqual(
      shown,
      rows.map((row) => [row.channel, row.currency, exact(row.net_sales)]),
    );
  });
  await shot(page, "sql");
  await page.getByLabel("SQL", { exact: true }).fill("SELECT categry\nFROM sales_by_category");
  await page.getByRole("button", { name: "Run" }).click();
  await eventually(async () => assert.match(await page.locator("#sql-fault").innerText(), /categry/));
  assert.equal(await page.locator(".mirror mark").textContent(), "categry");
  await close(page);
});

test("an engine with a token is asked with it", async () => {
  const wanted = "Bearer a secret";
  const page = await open(chromium, "#/", {
    expected: /401/,
    prepare: async (fresh) => {
      await fresh.addInitScript(() => sessionStorage.removeItem("tillrace.token"));
      await fresh.route(new RegExp(`^${BASE}(status|views)(\\?|$)`), async (route) => {
        const headers = route.request().headers();
        if (headers.authorization === wanted) return route.fallback();
        return route.fulfill({
          status: 401,
          contentType: "application/json",
          body: '{"error":{"code":"unauthorized","message":"a token is needed"}}',
        });
      });
    },
  });
  const dialog = page.locator("#token");
  await dialog.waitFor({ state: "visible" });
  await dialog.locator("input").fill("wrong");
  await page.keyboard.press("Enter");
  await eventually(async () => assert.ok(await dialog.locator("[data-fault]").isVisible()));
  await dialog.locator("input").fill("a secret");
  await page.keyboard.press("Enter");
  await page.locator(".panel").first().waitFor();
  assert.ok(!(await dialog.isVisible()));
  await close(page);
});
