// How the page looks: on a phone, in the dark, and to those who use a keyboard.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { browser, close, eventually, open, shot } from "./support.mjs";

let chromium;
before(async () => {
  chromium = await browser();
});
after(() => chromium?.close());

const PAGES = {
  home: "#/",
  view: "#/view/sales_by_hour",
  wide: "#/view/sales_totals",
  dataflow: "#/dataflow",
  inputs: "#/inputs",
  rejects: "#/rejects",
  sql: "#/sql",
};

for (const [name, hash] of Object.entries(PAGES)) {
  test(`on a phone nothing of ${name} is wider than the screen`, async () => {
    const page = await open(chromium, hash, { phone: true });
    await page.locator("main > *").first().waitFor();
    await page.waitForLoadState("networkidle", { timeout: 2000 }).catch(() => {});
    await eventually(async () => {
      const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(wide <= screen && screen === 390, `${wide} of ${screen}`);
    });
    await shot(page, `phone-${name}`);
    await close(page);
  });
}

const brightness = (page) =>
  page.evaluate(() => {
    const [red, green, blue] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
    return (red + green + blue) / 3;
  });

test("the system's choice of light or dark is followed, and the button overrides it", async () => {
  const light = await open(chromium, "#/");
  assert.ok((await brightness(light)) > 200);
  await close(light);
  const dark = await open(chromium, "#/", { scheme: "dark" });
  await dark.locator(".panel canvas").first().waitFor();
  assert.ok((await brightness(dark)) < 60);
  await shot(dark, "dark");
  await dark.locator("#theme").click();
  assert.ok((await brightness(dark)) > 200);
  await dark.reload();
  assert.ok((await brightness(dark)) > 200, "the choice is forgotten");
  await close(dark);
});

test("everything is reached by keyboard", async () => {
  const page = await open(chromium, "#/");
  await page.locator(".panel").first().waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
  const names = new Set();
  for (let press = 0; press < 40; press += 1) {
    await page.keyboard.press("Tab");
    names.add(
      await page.evaluate(
        () =>
          document.activeElement.closest("nav, .panel, .subjects, #theme, input, .rejects")?.className ||
          document.activeElement.tagName,
      ),
    );
  }
  assert.ok(names.has("panel"), [...names].join());
  await page.locator(".panel h3 a").first().focus();
  await page.keyboard.press("Enter");
  await page.locator(".rows").waitFor();
  assert.match(page.url(), /#\/view\//);
  await close(page);
});

test("controls have names", async () => {
  for (const hash of Object.values(PAGES)) {
    const page = await open(chromium, hash);
    await page.locator("main > *").first().waitFor();
    const nameless = await page.evaluate(() =>
      [...document.querySelectorAll("button, a, input, select, textarea")]
        .filter(
          (control) =>
            !(
              control.getAttribute("aria-label") ||
              control.textContent.trim() ||
              control.closest("label")?.textContent.trim() ||
              control.title
            ),
        )
        .map((control) => control.outerHTML.slice(0, 120)),
    );
    assert.deepEqual(nameless, [], hash);
    await close(page);
  }
});
