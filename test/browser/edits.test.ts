/** Planet while it is worked on: every part edited, broken and mended under a steady load, with a page open. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { type Browser, launchBrowser, openPage, type Page } from "../kit/browser.ts";
import { needing } from "../kit/needs.ts";
import { createPlanet, type Planet } from "../kit/planet.ts";
import { eventually } from "../kit/project.ts";

const { describe, it } = needing("chromium");

let planet: Planet;
let browser: Browser;
let page: Page;
let thread: string;
const faults: string[] = [];
const load = { asked: 0, failures: [] as string[], stopped: false, done: Promise.resolve() };

const text = (path: string): string => readFileSync(join(planet.root, path), "utf8");

/** As an editor saves: beside, then renamed into place. */
function save(path: string, content: string): void {
  writeFileSync(join(planet.root, `${path}.saving`), content);
  renameSync(join(planet.root, `${path}.saving`), join(planet.root, path));
}

function edit(path: string, from: string, to: string): void {
  const before = text(path);
  if (!before.includes(from)) throw new Error(`${path} has no ${JSON.stringify(from)} to edit`);
  save(path, before.replace(from, to));
}

const html = async (path: string): Promise<string> => await (await fetch(`${planet.site}${path}`)).text();

interface Listed {
  readonly cage: string;
  readonly pid: number;
  readonly supervisor: number;
  readonly worker?: { readonly broken: { readonly message: string; readonly frame: string } | null };
}
const listed = async (cage: string): Promise<Listed> =>
  (JSON.parse(await planet.ok("list", "--json")) as Listed[]).find((row) => row.cage === cage) as Listed;

beforeAll(async () => {
  planet = await createPlanet();
  await planet.ok("start");
  browser = await launchBrowser();
  page = await openPage(await browser.newContext(), faults);
  await page.goto(`${planet.site}/sign-up`);
  await page.fill("#sign-name", "Ann");
  await page.fill("#sign-password", "a long password");
  await Promise.all([page.waitForURL(`${planet.site}/`), page.click("main form button")]);
  await page.click("details summary");
  await page.fill("#start-title", "Edited while you read");
  await page.fill("#start-body", "Watch this page.");
  await Promise.all([page.waitForURL(/\/t\//), page.click(".start form button")]);
  thread = new URL(page.url()).pathname;
  await page.waitForSelector("html[s-live=on]");
  await page.evaluate(() => Object.assign(window, { sameDocument: true }));
  await page.fill("#reply-body", "half a thought");
  load.done = (async () => {
    while (!load.stopped) {
      for (const path of ["/", thread]) {
        load.asked++;
        try {
          const response = await fetch(`${planet.site}${path}`);
          const body = await response.text();
          if (response.status !== 200 || !body.includes("</html>")) load.failures.push(`${path}: ${response.status}`);
        } catch (error) {
          load.failures.push(`${path}: ${(error as Error).cause ?? error}`);
        }
      }
    }
  })();
}, 120_000);

afterAll(async () => {
  load.stopped = true;
  await load.done;
  await browser?.close();
  await planet?.remove();
});

describe("Planet, edited while it serves", () => {
  it("shows an edited component in the open page, in place, and to the next request", async () => {
    edit(
      "cages/surface/components/forum/post/post.ts",
      '<p class="byline">',
      '<p class="byline"><b class="mark">★</b>',
    );
    await page.waitForSelector(".posts .byline .mark");
    expect(await html(thread)).toContain("★");
    expect(await page.evaluate(() => "sameDocument" in window)).toBe(true);
    expect(await page.inputValue("#reply-body")).toBe("half a thought");
  });

  it("shows an edited translation in the open page and to the next request", async () => {
    edit("cages/surface/components/forum/rating/en.json", "other {# points}", "other {# stars}");
    await page.waitForFunction(() => document.querySelector(".score")?.textContent?.includes("0 stars"));
    expect(await html(thread)).toContain("0 stars");
  });

  it("keeps up with forty saves in a row", async () => {
    const path = "cages/surface/components/forum/thread/en.json";
    const begins = (text: string) =>
      page.waitForFunction((text) => document.querySelector(".head .fine")?.textContent?.startsWith(text), text);
    for (let n = 0; n < 20; n++) {
      edit(path, `"Started by`, `"Begun ${n} by`);
      await begins(`Begun ${n} by`);
      edit(path, `"Begun ${n} by`, `"Started by`);
      await begins("Started by");
    }
    expect(await page.evaluate(() => "sameDocument" in window)).toBe(true);
  });

  it("shows an edited style in the open page", async () => {
    save(
      "cages/surface/components/forum/post/post.css",
      `${text("cages/surface/components/forum/post/post.css")}\n.byline .mark { color: rgb(1, 2, 3); }\n`,
    );
    await page.waitForFunction(
      () => getComputedStyle(document.querySelector(".posts .mark") as Element).color === "rgb(1, 2, 3)",
    );
  });

  it("answers the next request with an edited Impact service", async () => {
    edit(
      "cages/impact/forum.ts",
      "export async function thread(session: string, id: string, after?: string) {\n  return await",
      "export async function thread(session: string, id: string, after?: string) {\n  const found = await",
    );
    const source = text("cages/impact/forum.ts");
    const at = source.indexOf("}\n", source.indexOf("const found"));
    save(
      "cages/impact/forum.ts",
      `${source.slice(0, at)}  return { ...found, thread: { ...found.thread, title: \`\${found.thread.title} (by Impact)\` } };\n${source.slice(at)}`,
    );
    await eventually("the edited service", async () =>
      (await html(thread)).includes("Edited while you read (by Impact)"),
    );
  });

  it("answers the next request with an edited Core module", async () => {
    edit("cages/core/items/thread.ts", "title: row.title,", "title: row.title.toUpperCase(),");
    await eventually("the edited module", async () =>
      (await html(thread)).includes("EDITED WHILE YOU READ (by Impact)"),
    );
  });

  it("takes an edited configuration value, opening the changed interface before the old one closes", async () => {
    const post = async (): Promise<number> =>
      (
        await fetch(`${planet.site}/sign-in`, {
          method: "POST",
          body: new URLSearchParams({ name: "x".repeat(3_000) }),
          headers: { "sec-fetch-site": "same-origin" },
        })
      ).status;
    expect(await post()).not.toBe(413);
    edit("config/surface.ts", 'protocol: "http", port: 8080', 'protocol: "http", port: 8080, maxBodyBytes: 2_000');
    await eventually("the new limit", async () => (await post()) === 413);
  });

  for (const [cage, path] of [
    ["surface", "cages/surface/components/forum/post/post.ts"],
    ["surface", "cages/surface/components/forum/rating/en.json"],
    ["impact", "cages/impact/forum.ts"],
    ["core", "cages/core/items/thread.ts"],
    ["surface", "config/surface.ts"],
  ] as const) {
    it(`keeps the old version of ${path} serving when it is broken, and shows the code frame in terminal and dashboard`, async () => {
      const good = text(path);
      const mark = `broken_${path.replace(/\W/g, "_")}`;
      save(path, `${good}\n${mark} = = ;\n`);
      const broken = await eventually(
        "the broken save to be noticed",
        async () => (await listed(cage)).worker?.broken ?? undefined,
      );
      expect(broken.frame).toContain(mark);
      expect(await html(thread)).toContain("EDITED WHILE YOU READ (by Impact)");
      expect(readFileSync(join(planet.root, `logs/${cage}/output.log`), "utf8")).toContain(mark);
      const board = await openPage(await browser.newContext(), faults);
      await board.goto(`${planet.dashboard}/#reloads`);
      await board.waitForFunction((text) => document.body.innerText.includes(text), mark, { timeout: 15_000 });
      await board.context().close();
      save(path, good);
      await eventually("the mended save", async () => (await listed(cage)).worker?.broken === null);
    });
  }

  it("failed not one request all the while, and broke no script", async () => {
    load.stopped = true;
    await load.done;
    expect(load.failures).toEqual([]);
    expect(load.asked).toBeGreaterThan(200);
    expect(faults).toEqual([]);
  });

  it("keeps a retried call while its target is killed and down, shows it waiting, and delivers it once it is back", async () => {
    await page.goto(`${planet.site}${thread}`);
    const { supervisor, pid } = await listed("impact");
    process.kill(supervisor, "SIGKILL");
    process.kill(pid, "SIGKILL");
    const reply = {
      author: { id: "0000000000001", name: "Bob" },
      thread: thread.slice(3),
      body: "While Impact was down.",
      once: "x",
    };
    await planet.ok("call", "core", "threads.reply", JSON.stringify(reply));
    const board = await openPage(await browser.newContext(), faults);
    await board.goto(planet.dashboard);
    await board.waitForFunction(() => /1\s+retried calls? waiting/.test(document.body.innerText), undefined, {
      timeout: 15_000,
    });
    // Its own process may die as well: what was acknowledged is on the disk.
    process.kill((await listed("core")).pid, "SIGKILL");
    await planet.ok("start", "impact");
    await eventually(
      "the notice",
      async () => {
        await page.goto(`${planet.site}/notices`);
        return (await page.textContent("main"))?.includes("Bob");
      },
      20_000,
    );
    expect(await page.locator("main li").count()).toBe(1);
    await board.waitForFunction(() => /0\s+retried calls? waiting/.test(document.body.innerText), undefined, {
      timeout: 15_000,
    });
    await board.context().close();
  });
});
