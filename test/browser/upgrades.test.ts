/** Saving the running site over and over: an open page follows every save, also back to what it had before. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Browser, launchBrowser, openPage, type Page } from "../kit/browser.ts";
import { createPlanet, type Planet } from "../kit/planet.ts";

let planet: Planet;
let browser: Browser;
let page: Page;
const faults: string[] = [];

function edit(path: string, from: string, to: string): void {
  const file = join(planet.root, "cages/surface/components", path);
  const text = readFileSync(file, "utf8");
  expect(text).toContain(from);
  writeFileSync(file, text.replace(from, to));
}

beforeAll(async () => {
  planet = await createPlanet();
  await planet.ok("start");
  browser = await launchBrowser();
  page = await openPage(await browser.newContext(), faults);
  await page.goto(`${planet.site}/sign-up`);
  await page.fill("#sign-name", "Ann");
  await page.fill("#sign-password", "Ann's password");
  await Promise.all([page.waitForURL(`${planet.site}/`), page.click("main form button")]);
  await page.click("details summary");
  await page.fill("#start-title", "Edits");
  await page.fill("#start-body", "What is seen here changes.");
  await Promise.all([page.waitForURL(/\/t\//), page.click(".start form button")]);
  await page.waitForSelector("html[s-live=on]");
  await page.fill("#reply-body", "half a thought");
  await page.evaluate(() => Object.assign(window, { sameDocument: true }));
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await planet?.remove();
});

it("follows twenty saves and their undoing, with what was typed kept", async () => {
  const says = (start: string): Promise<unknown> =>
    page.waitForFunction((start) => document.querySelector(".head .fine")?.textContent?.startsWith(start), start);
  for (let n = 0; n < 20; n++) {
    edit("forum/thread/en.json", `"Started by`, `"Begun ${n} by`);
    await says(`Begun ${n} `);
    edit("forum/thread/en.json", `"Begun ${n} by`, `"Started by`);
    await says("Started by");
  }
  expect(await page.evaluate(() => "sameDocument" in window)).toBe(true);
  expect(await page.inputValue("#reply-body")).toBe("half a thought");
  expect(faults).toEqual([]);
});

it("takes a new style without a moment of none, and keeps one", async () => {
  edit("forum/thread/thread.css", ".posts:empty", "h1 { color: rgb(1, 2, 3) }\n.posts:empty");
  await page.waitForFunction(() => getComputedStyle(document.querySelector("h1") as Element).color === "rgb(1, 2, 3)");
  await page.waitForFunction(() => document.querySelectorAll("link[rel=stylesheet]").length === 1);
});
