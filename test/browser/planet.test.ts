/** The path that must work, as people walk it: two browsers on one thread, over Surface, Impact, Core and Orbit. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { type Browser, type BrowserContext, launchBrowser, openPage, type Page } from "../kit/browser.ts";
import { needing } from "../kit/needs.ts";
import { createPlanet, type Planet } from "../kit/planet.ts";
import { home } from "../kit/project.ts";

const { describe, it } = needing("chromium");

let planet: Planet;
let browser: Browser;
let ann: Page;
let bob: Page;
let annContext: BrowserContext;
let bobContext: BrowserContext;
const faults: string[] = [];
const pictures = join(home, "test/browser/pictures");

async function signUp(page: Page, name: string): Promise<void> {
  await page.goto(`${planet.site}/sign-up`);
  await page.fill("#sign-name", name);
  await page.fill("#sign-password", `${name}'s password`);
  await Promise.all([page.waitForURL(`${planet.site}/`), page.click("main form button")]);
}

/** Notes on the page, by its clock, when something first matches; clocks of one machine agree. */
const watchFor = (page: Page, selector: string, text: string): Promise<number> =>
  page.evaluate(
    ([selector, text]) =>
      new Promise<number>((resolve) => {
        const look = (): boolean => {
          for (const element of document.querySelectorAll(selector as string))
            if (element.textContent?.includes(text as string)) {
              resolve(performance.timeOrigin + performance.now());
              return true;
            }
          return false;
        };
        if (look()) return;
        const observer = new MutationObserver(() => look() && observer.disconnect());
        observer.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
      }),
    [selector, text],
  );

/** Kept unless asked for anew (PICTURES=1), so that a run of the tests leaves the tree as it was. */
async function picture(page: Page, name: string): Promise<void> {
  const path = join(pictures, name);
  if (process.env["PICTURES"] === "1" || !existsSync(path)) await page.screenshot({ path });
}

/** Clicks, and tells when by the page's clock. */
const clickAt = (page: Page, selector: string): Promise<number> =>
  page.evaluate((selector) => {
    const at = performance.timeOrigin + performance.now();
    (document.querySelector(selector) as HTMLElement).click();
    return at;
  }, selector);

const median = (sample: readonly number[]): number =>
  [...sample].sort((a, b) => a - b)[Math.floor(sample.length / 2)] as number;

beforeAll(async () => {
  mkdirSync(pictures, { recursive: true });
  planet = await createPlanet();
  await planet.ok("start");
  browser = await launchBrowser();
  annContext = await browser.newContext({ viewport: { width: 1100, height: 800 } });
  bobContext = await browser.newContext({ viewport: { width: 1100, height: 800 } });
  ann = await openPage(annContext, faults);
  bob = await openPage(bobContext, faults);
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await planet?.remove();
});

describe("Planet, in two browsers", () => {
  it("lets people sign up, keeps who they are in a signed __Host- cookie, and starts a thread", async () => {
    await signUp(ann, "Ann");
    const [cookie] = (await annContext.cookies()).filter((each) => each.name.startsWith("__Host-"));
    expect(cookie).toMatchObject({ httpOnly: true, secure: true, sameSite: "Lax", path: "/" });
    await ann.click("details summary");
    await ann.fill("#start-title", "Where do comets come from?");
    await ann.fill("#start-body", "I saw one last night, low in the west.\n\nIt had two tails.");
    await Promise.all([ann.waitForURL(/\/t\//), ann.click(".start form button")]);
    expect(await ann.textContent("h1")).toBe("Where do comets come from?");
    await signUp(bob, "Bob");
    await bob.click("text=Where do comets come from?");
    await bob.waitForURL(/\/t\//);
    await bob.waitForSelector("html[s-live=on]");
    await ann.waitForSelector("html[s-live=on]");
  });

  it("shows the other browser each new post without a reload, within 300 ms", async () => {
    const marks = await bob.evaluate(() => Object.assign(window, { sameDocument: true }) && true);
    expect(marks).toBe(true);
    const took: number[] = [];
    for (const n of [1, 2, 3, 4, 5]) {
      const seen = watchFor(bob, ".posts .body", `from the Oort cloud, ${n}`);
      await ann.fill("#reply-body", `They come from the Oort cloud, ${n}.`);
      const at = await clickAt(ann, ".reply form button");
      took.push((await seen) - at);
      // Ann's own page takes the same path, and shows it once.
      await ann.waitForFunction((count) => document.querySelectorAll(".posts > li").length === count, n + 1);
    }
    expect(median(took)).toBeLessThan(300);
    expect(await bob.evaluate(() => "sameDocument" in window)).toBe(true);
    expect(await bob.locator(".posts > li").count()).toBe(6);
  });

  it("shows the other browser a changed rating within 300 ms, and to each their own vote", async () => {
    const took: number[] = [];
    for (const [press, shown] of [
      ["1", "1 point"],
      ["0", "0 points"],
      ["1", "1 point"],
    ] as const) {
      const seen = watchFor(ann, ".posts > li:nth-child(2) .score", shown);
      await bob.waitForSelector(`.posts > li:nth-child(2) .vote button[value="${press}"]`);
      const at = await clickAt(bob, `.posts > li:nth-child(2) .vote button[value="${press}"]`);
      took.push((await seen) - at);
      await bob.waitForSelector(`.posts > li:nth-child(2) .vote button:first-of-type[aria-pressed="${press === "1"}"]`);
    }
    expect(median(took)).toBeLessThan(300);
    expect(await ann.getAttribute(".posts > li:nth-child(2) .vote button", "aria-pressed")).toBe("false");
  });

  it("keeps what a person is typing while posts arrive", async () => {
    await bob.fill("#reply-body", "half a thought");
    await bob.focus("#reply-body");
    const seen = watchFor(bob, ".posts .body", "Meanwhile");
    await ann.fill("#reply-body", "Meanwhile, more.");
    await clickAt(ann, ".reply form button");
    await seen;
    expect(await bob.inputValue("#reply-body")).toBe("half a thought");
    expect(await bob.evaluate(() => document.activeElement?.id)).toBe("reply-body");
  });

  it("catches up after a lost connection: nothing missed, nothing twice", async () => {
    await bobContext.setOffline(true);
    const before = await bob.locator(".posts > li").count();
    for (const n of [1, 2, 3]) {
      await ann.fill("#reply-body", `While Bob was away, ${n}.`);
      await clickAt(ann, ".reply form button");
      await ann.waitForFunction(
        (text) => document.querySelector(".posts")?.textContent?.includes(text),
        `While Bob was away, ${n}.`,
      );
    }
    await bobContext.setOffline(false);
    await watchFor(bob, ".posts .body", "While Bob was away, 3.");
    expect(await bob.locator(".posts > li").count()).toBe(before + 3);
    expect(await bob.evaluate(() => "sameDocument" in window)).toBe(true);
  });

  it("tells the thread's author of an answer, live and on the notices page", async () => {
    await bob.fill("#reply-body", "An answer from Bob.");
    await clickAt(bob, ".reply form button");
    await ann.waitForSelector(".notices .badge");
    await ann.goto(`${planet.site}/notices`);
    expect(await ann.textContent("main")).toContain("Bob");
    await ann.goBack();
  });

  it("is complete HTML without scripts, and every act works as a plain form", async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await openPage(context, faults);
    await signUp(page, "Cleo");
    await page.click("text=Where do comets come from?");
    expect(await page.locator(".posts > li").count()).toBeGreaterThan(5);
    await page.fill("#reply-body", "Written without scripts <b>&amp; all</b>.");
    await page.click(".reply form button");
    expect(await page.textContent(".posts > li:last-child .body")).toContain(
      "Written without scripts <b>&amp; all</b>.",
    );
    await page.click('.posts > li:last-child .vote button[value="1"]');
    expect(await page.textContent(".posts > li:last-child .score")).toContain("1");
    await page.click("form[action='/sign-out'] button");
    expect(await page.locator("a[href='/sign-in']").count()).toBeGreaterThan(0);
    await page.goto(`${planet.site}/sign-in`);
    await page.fill("#sign-name", "cleo");
    await page.fill("#sign-password", "wrong");
    await page.click("main form button");
    expect(await page.locator("[role=alert], .wrong").count()).toBeGreaterThan(0);
    await page.fill("#sign-name", "cleo");
    await page.fill("#sign-password", "Cleo's password");
    await page.click("main form button");
    expect(await page.textContent("nav")).toContain("Cleo");
    await context.close();
  });

  it("speaks the viewer's language", async () => {
    const context = await browser.newContext({ locale: "sv-SE" });
    const page = await openPage(context, faults);
    await page.goto(planet.site);
    expect(await page.getAttribute("html", "lang")).toBe("sv");
    await context.close();
  });

  it("answers bad input with a sentence, and stores nothing half", async () => {
    const before = await bob.locator(".posts > li").count();
    await bob.fill("#reply-body", "   ");
    await bob.evaluate(() => document.querySelector<HTMLTextAreaElement>("#reply-body")?.removeAttribute("required"));
    await clickAt(bob, ".reply form button");
    await bob.waitForSelector(".reply .wrong, .reply [role=alert]");
    expect(await bob.locator(".posts > li").count()).toBe(before);
    const missing = await bob.request.get(`${planet.site}/t/nowhere`);
    expect(missing.status()).toBe(404);
    expect(await missing.text()).not.toMatch(/at .*\.ts|Error:/);
  });

  it("looks as it should: the pictures of the README", async () => {
    await ann.goto(planet.site);
    await ann.click("details summary");
    await ann.fill("#start-title", "What is worth getting up for this winter?");
    await ann.fill("#start-body", "Clear nights are coming, and I have a thermos.\n\nWhat should I look at first?");
    await Promise.all([ann.waitForURL(/\/t\//), ann.click(".start form button")]);
    await bob.goto(ann.url());
    await bob.waitForSelector("html[s-live=on]");
    for (const [page, text] of [
      [bob, "The Geminids, mid-December. No telescope needed: lie down, look up, wait."],
      [ann, "Lying down in December! I will bring a blanket for two."],
      [bob, "Then Orion's nebula while you are there. Through binoculars it has a colour."],
    ] as const) {
      await page.fill("#reply-body", text);
      await clickAt(page, ".reply form button");
      await ann.waitForFunction((text) => document.querySelector(".posts")?.textContent?.includes(text), text);
    }
    await bob.click('.posts > li:nth-child(1) .vote button[value="1"]');
    await ann.click('.posts > li:nth-child(2) .vote button[value="1"]');
    await watchFor(ann, ".posts > li:nth-child(1) .score", "1 point");
    await ann.evaluate(() => scrollTo(0, 0));
    await picture(ann, "site.png");
    const board = await openPage(annContext, faults);
    await board.goto(planet.dashboard);
    await board.waitForFunction(() => /\d+ of \d+\s+cages up/.test(document.body.innerText));
    // The first figures are of the last seconds: let the page renew itself twice.
    for (const _ of [1, 2]) await board.waitForResponse(() => true);
    await picture(board, "dashboard.png");
    await board.close();
  });

  it("broke no script and no policy on the way", () => {
    expect(faults).toEqual([]);
  });
});
