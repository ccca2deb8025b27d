/** Two browsers on one site: what one does, the other sees. */
import { mkdirSync } from "node:fs";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect } from "vitest";
import * as channels from "../../../cages/orbit/channels.ts";
import { needing } from "../../kit/needs.ts";
import { openBrowser } from "../../lib/template/chromium.ts";
import { openSite, type Site } from "./site.ts";

const { describe, test } = needing("chromium");

let site: Site;
let browser: Browser;
let ann: Page;
let bo: Page;
const contexts: BrowserContext[] = [];
const complaints: string[] = [];

async function person(): Promise<Page> {
  const context = await browser.newContext();
  contexts.push(context);
  const page = await context.newPage();
  page.on("console", (message) => {
    // A 422 to a form is an answer, not a fault; browsers log it all the same.
    if (message.type() === "error" && !message.text().includes("422")) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  return page;
}
const listening = (page: Page) => page.waitForSelector('html[s-live="on"]', { state: "attached" });

beforeAll(async () => {
  [site, browser] = await Promise.all([openSite(), openBrowser()]);
  [ann, bo] = await Promise.all([person(), person()]);
  await ann.goto(`${site.url}/sign-up`);
  await ann.fill("[name=name]", "Ann");
  await ann.fill("[name=password]", "short");
  await ann.click("main button");
  await ann.waitForSelector("#sign-password-note.wrong");
  await ann.fill("[name=password]", "long enough");
  await ann.click("main button");
  await ann.waitForURL(`${site.url}/`);
});
afterAll(async () => {
  await browser?.close();
  await site?.stop();
});

let thread: string;
beforeEach(async () => {
  await ann.goto(site.url);
  await ann.click("summary");
  await ann.fill("[name=title]", "What to grow on a balcony");
  await ann.fill("[name=body]", "Tomatoes?\n\nOr something with less thirst.");
  await ann.click(".start button");
  await ann.waitForURL(/\/t\/\d+$/);
  thread = ann.url();
  await bo.goto(thread);
  await Promise.all([listening(ann), listening(bo)]);
});

describe("without reloading", () => {
  test("a reply shows at the writer, in an emptied form, and at others, once", async () => {
    // How fast is for test/browser/planet.test.ts, over the whole path.
    await ann.fill("#reply-body", "Chillies, <b>small</b> ones.");
    await ann.click(".reply button");
    await ann.waitForSelector("text=Chillies, <b>small</b> ones.");
    await bo.waitForSelector("text=Chillies, <b>small</b> ones.");
    expect(await ann.inputValue("#reply-body")).toBe("");
    // Orbit brings the writer's own post too: it is there once.
    expect(await ann.locator(".post").count()).toBe(2);
    expect(await bo.locator(".post").count()).toBe(2);
  });

  test("a rating changes everywhere, and the vote is only the voter's", async () => {
    await ann.click(".way >> nth=0");
    await bo.waitForSelector("text=1 point");
    await ann.waitForSelector('.way[aria-pressed="true"]');
    expect(await bo.locator('.way[aria-pressed="true"]').count()).toBe(0);
    await ann.click(".way >> nth=0");
    await bo.waitForSelector("text=0 points");
  });

  test("comments arrive, twice by the same person", async () => {
    await ann.click(".comment-form summary");
    for (const text of ["Basil first", "Then mint"]) {
      await ann.fill(".comment-form textarea", text);
      await ann.click(".comment-form button");
      await bo.waitForSelector(`text=${text}`);
    }
    expect(await ann.locator(".comment").allInnerTexts()).toEqual([
      expect.stringContaining("Basil first"),
      expect.stringContaining("Then mint"),
    ]);
    expect(await ann.locator("details[open]").count()).toBe(1);
  });

  test("a new thread comes first on an open front page", async () => {
    await bo.goto(site.url);
    await listening(bo);
    const before = await bo.locator(".row").count();
    const session = await site.impact.Accounts.signIn("Ann", "long enough");
    const { id } = await site.impact.Forum.start(session.token, "Fresh", "x", `${Math.random()}`);
    await bo.waitForSelector(`.row:first-child a[href="/t/${id}"]`);
    expect(await bo.locator(".row").count()).toBe(before + 1);
    expect(await bo.locator(".row:first-child .count").innerText()).toBe("1 post");
  });

  test("what a visitor is typing survives all of it", async () => {
    await ann.fill("#reply-body", "half a sentence");
    const session = await site.impact.Accounts.signUp(`Eve${Date.now() % 1e6}`, "long enough");
    for (let n = 0; n < 20; n++)
      await site.impact.Forum.reply(session.token, new URL(thread).pathname.slice(3), `rain ${n}`, `${n}`);
    await ann.waitForSelector("text=rain 19");
    expect(await ann.inputValue("#reply-body")).toBe("half a sentence");
    expect(await ann.evaluate(() => document.activeElement?.id)).toBe("reply-body");
    await ann.waitForSelector('.notices .badge:text("20")');
  });

  test("an upgrade of style and components is taken in place", async () => {
    await ann.fill("#reply-body", "unsent");
    const text = await (await fetch(`${site.url}/`)).text();
    const style = /\/-\/a\/site-[\w.-]+/.exec(text)?.[0] as string;
    channels.publish([
      { channel: "surface", type: "surface", data: [{ u: { site: `${style}?again`, "*": "/-/a/none.js" } }] },
    ]);
    await ann.waitForSelector(`link[href="${style}?again"]`, { state: "attached" });
    expect(await ann.inputValue("#reply-body")).toBe("unsent");
    // A module that is not there is a fault that the page survives.
    await expect.poll(() => complaints.splice(0).length).toBeGreaterThan(0);
  });
});

test("pages show well, in light and dark, from phone to desktop", async () => {
  const folder = process.env["PICTURES"];
  if (folder) mkdirSync(folder, { recursive: true });
  await ann.click(".way >> nth=0");
  await ann.fill("#reply-body", "Strawberries hang nicely over the rail.");
  await ann.click(".reply button");
  await ann.waitForSelector(".post:nth-child(2)");
  for (const [name, width] of [
    ["phone", 360],
    ["desktop", 1200],
  ] as const) {
    for (const colorScheme of ["light", "dark"] as const) {
      await ann.emulateMedia({ colorScheme });
      await ann.setViewportSize({ width, height: 800 });
      for (const [path, what] of [
        [new URL(thread).pathname, "thread"],
        ["/", "front"],
        ["/u/Ann", "profile"],
        ["/notices", "notices"],
        ["/nowhere", "error"],
      ] as const) {
        await ann.goto(site.url + path);
        const over = await ann.evaluate(
          () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
        );
        expect({ what, width, fits: over <= 0 }).toEqual({ what, width, fits: true });
        if (folder) await ann.screenshot({ path: `${folder}/${what}-${name}-${colorScheme}.png` });
      }
    }
  }
});

test("no page complained, and no policy was violated", () => {
  expect(complaints.filter((text) => !text.includes("404"))).toEqual([]);
});
