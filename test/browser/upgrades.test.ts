/** Saving a component, a translation or a style of the running site changes the pages that are open, in place. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Browser, launchBrowser, openPage, type Page } from "../kit/browser.ts";
import { createPlanet, type Planet } from "../kit/planet.ts";

let planet: Planet;
let browser: Browser;
let page: Page;
const faults: string[] = [];

const at = (path: string): string => join(planet.root, "cages/surface/components", path);
function edit(path: string, from: string, to: string): void {
  const text = readFileSync(at(path), "utf8");
  expect(text).toContain(from);
  writeFileSync(at(path), text.replace(from, to));
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
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await planet?.remove();
});

beforeEach(async () => {
  await page.reload();
  await page.waitForSelector("html[s-live=on]");
  await page.fill("#reply-body", "half a thought");
  await page.evaluate(() => Object.assign(window, { sameDocument: true }));
});
async function sameDocument(): Promise<void> {
  expect(await page.evaluate(() => "sameDocument" in window)).toBe(true);
  expect(await page.inputValue("#reply-body")).toBe("half a thought");
}

describe("an open page takes in place", () => {
  it("a component", async () => {
    edit("forum/post/post.ts", '<p class="byline">', '<p class="byline">By <!-- edited -->');
    await page.waitForFunction(() => document.querySelector(".byline")?.textContent?.startsWith("By"));
    await sameDocument();
    expect(await (await page.request.get(page.url())).text()).toContain('<p class="byline">By');
  });

  it("a translation", async () => {
    edit("forum/reply/en.json", '"Your reply"', '"What do you say?"');
    await page.waitForSelector("text=What do you say?");
    await sameDocument();
  });

  it("a style", async () => {
    edit("forum/thread/thread.css", ".posts:empty", "h1 { color: rgb(1, 2, 3) }\n.posts:empty");
    await page.waitForFunction(
      () => getComputedStyle(document.querySelector("h1") as Element).color === "rgb(1, 2, 3)",
    );
    await sameDocument();
    await page.waitForFunction(() => document.querySelectorAll("link[rel=stylesheet]").length === 1);
  });

  it("nothing broken: the old version serves on, and the next good one is taken", async () => {
    edit("forum/rating/rating.ts", "export const Score", "export const const Score");
    await expect
      .poll(async () => await planet.ok("logs", "surface", "-n", "50").catch(() => "rating.ts"), { timeout: 10_000 })
      .toContain("rating.ts");
    const response = await page.request.get(page.url());
    expect([response.status(), (await response.text()).includes("0 points")]).toEqual([200, true]);
    edit("forum/rating/rating.ts", "export const const Score", "export const Score");
    edit("forum/rating/en.json", "other {# points}", "other {# stars}");
    await page.waitForSelector("text=0 stars");
    await sameDocument();
  });

  it("forty saves in a row", async () => {
    for (let n = 0; n < 20; n++) {
      edit("forum/thread/en.json", `"Started by`, `"Begun ${n} by`);
      await page.waitForFunction(
        (n) => document.querySelector(".head .fine")?.textContent?.startsWith(`Begun ${n} `),
        n,
      );
      edit("forum/thread/en.json", `"Begun ${n} by`, `"Started by`);
      await page.waitForFunction(() => document.querySelector(".head .fine")?.textContent?.startsWith("Started by"));
    }
    await sameDocument();
    expect(faults).toEqual([]);
  });
});
