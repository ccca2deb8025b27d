/** The dashboard, in a browser, with real cages behind it and a real fault for each thing it must show. */
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { type Browser, launchBrowser, openPage, type Page } from "../kit/browser.ts";
import { needing } from "../kit/needs.ts";
import { createProject, eventually, freePorts, home, type Project } from "../kit/project.ts";

const { describe, it } = needing("chromium");

let project: Project;
let browser: Browser;
let page: Page;
let shop: string;
let shy: string;
let dashboard: string;
const faults: string[] = [];
/** A first check of types, at a low priority, on a machine that does other things too. */
const checkMs = 150_000;

const orders = `import { cage } from "#runtime";
const billing = cage<{ invoices: { send(id: string): Promise<unknown> } }>("billing");
export const routes = {
  "GET /orders/:id": ({ params }: { params: { id: string } }) => {
    if (params.id === "0") throw new TypeError("no cents in order 0");
    return params.id;
  },
  "POST /orders/:id": ({ params }: { params: { id: string } }) => billing.retry({ id: params.id }).invoices.send(params.id),
};
`;
const answering = (expression: string): string => `export const routes = { "GET /": () => ${expression} };\n`;
const body = () => page.locator("main").innerText();
const shows = (text: string | RegExp, limitMs = 15_000) =>
  eventually(
    `the page shows ${text}`,
    async () => (typeof text === "string" ? (await body()).includes(text) : text.test(await body())),
    limitMs,
  );

beforeAll(async () => {
  const [health, web, tried] = (await freePorts(3)) as [number, number, number];
  const config = (interfaces: object, more: object = {}) =>
    `import { defineCage } from "#runtime";\nexport const config = defineCage(${JSON.stringify({ interfaces, ...more })});\n`;
  project = createProject(
    {
      "cages/shop/orders.ts": orders,
      "cages/shop/nightly.ts": "export const fire = () => {};\n",
      "config/shop.ts": config(
        { orders: { protocol: "http", port: web }, nightly: { protocol: "schedule", cron: "0 0 1 1 *" } },
        { dial: ["127.0.0.1:1"] },
      ),
      "cages/shy/web.ts": answering(`"one"`),
      "config/shy.ts": config(
        { web: { protocol: "http", port: tried } },
        { canary: { share: 0.5, requests: 40, errorRate: 0.1, p95Factor: 1_000 }, typecheck: "off" },
      ),
      "cages/billing/api.ts": 'export const nothing = () => "";\n',
    },
    { CAGE_CONFIG__health__interfaces__web__port: String(health) },
  );
  for (const part of ["cages/health", "config/health.ts", "lib", "package.json"])
    cpSync(join(home, part), join(project.root, part), { recursive: true });
  [shop, shy, dashboard] = [web, tried, health].map((port) => `http://localhost:${port}`) as [string, string, string];
  await project.ok("start", "shop", "health");
  browser = await launchBrowser();
  page = await openPage(await browser.newContext(), faults);
});
afterAll(async () => {
  await browser?.close();
  await project?.remove();
});

describe("the dashboard", () => {
  it("shows every cage with its requests a second and latencies, by itself", async () => {
    await page.goto(dashboard);
    await shows(/2 of 2\s+cages up/);
    expect(await body()).toMatch(/billing[\s\S]*off/);
    for (let n = 1; n <= 200; n++) await (await fetch(`${shop}/orders/${n}`)).text();
    const row = page.locator("tr", { hasText: "shop" });
    await eventually("a rate and latencies", async () =>
      /[1-9][\d.]*\s+[\d.]+ ms\s+[\d.]+ ms/.test(await row.innerText()),
    );
  });

  it("shows an error with its stack, and keeps it open while the page renews itself", async () => {
    await fetch(`${shop}/orders/0`);
    await page.goto(`${dashboard}/errors`);
    await page.getByText("no cents in order 0").first().click();
    await shows("orders.ts");
    const before = await page.locator(".live").textContent();
    await eventually("a renewal", async () => (await page.locator(".live").textContent()) !== before);
    // Others may stand above it: on a busy machine something held the event loop meanwhile.
    const shown = page.locator("details", { hasText: "no cents in order 0" });
    expect(await shown.first().getAttribute("open")).not.toBeNull();
    await fetch(`${shop}/orders/0`);
    await shows(/2 times/);
  });

  it("shows a save that does not load, with its code frame, until it is mended", async () => {
    await page.goto(dashboard);
    const file = join(project.root, "cages/shop/orders.ts");
    writeFileSync(file, `${orders}export const x = ;\n`);
    await shows(/shop serves its old code[\s\S]*orders\.ts: [\s\S]*export const x = ;/);
    writeFileSync(file, orders.replace("no cents", "no cents at all"));
    await eventually("all well", async () => !(await body()).includes("serves its old code"));
    await shows(/generation [2-9]/);
    expect(readFileSync(file, "utf8")).toContain("at all");
  });

  it("shows when a schedule fires next, and an address that cannot be dialled", async () => {
    await page.goto(`${dashboard}/cages/shop`);
    await shows(/nightly next\s+2\d{3}-01-01T00:00:00.000Z/i);
    await shows(/dials 127\.0\.0\.1:1\s+not open/i);
    await shows(/not dialled[\s\S]*127\.0\.0\.1:1 is tried again and again: .*ECONNREFUSED/i);
  });

  it("shows retried calls that wait, parks and releases them, and sees them delivered", async () => {
    for (const id of ["a", "b"]) await fetch(`${shop}/orders/${id}`, { method: "POST" });
    await page.goto(`${dashboard}/retries`);
    await shows(/billing\.invoices\.send[\s\S]*waiting[\s\S]*NO_SUCH_CAGE/);
    await page
      .locator("tr", { hasText: "billing.invoices.send" })
      .first()
      .getByRole("button", { name: "Park" })
      .click();
    await shows("1 parked");
    project.write({
      "cages/billing/invoices.ts": "export const send = (id: string) => id;\n",
      "cages/billing/api.ts": 'export * as invoices from "./invoices.ts";\n',
    });
    await project.ok("start", "billing");
    await shows(/0 waiting, 0 running, 1 parked/);
    await page.getByRole("button", { name: "Release all 1 parked" }).click();
    await shows("all were delivered");
  });

  it("shows that a killed cage was started again", async () => {
    await page.goto(dashboard);
    const { pid } = (JSON.parse(await project.ok("list", "--json")) as { cage: string; pid: number }[]).find(
      (row) => row.cage === "billing",
    ) ?? { pid: 0 };
    process.kill(pid, "SIGKILL");
    await page.goto(`${dashboard}/cages/billing`);
    await shows(/restarts\s+1\s+last end\s+SIGKILL/);
    await shows(/state\s+ready/);
  });

  it("shows a new generation on trial, how far it is, and that it stayed", async () => {
    await project.ok("start", "shy");
    project.write({ "cages/shy/web.ts": answering(`"two"`) });
    await project.ok("reload", "shy");
    for (let n = 0; n < 20; n++) await (await fetch(shy)).text();
    await page.goto(dashboard);
    await shows(
      /on trial\s+shy\s+generation 2 takes 50 % of the requests, generation 1 the others; 1\d of 40 so far, 0 failed/,
    );
    expect(await page.locator("tr", { hasText: "shy" }).innerText()).toMatch(/2 on trial/);
    // The dashboard's own look at the address may have come between.
    expect(Number(await page.locator("progress").getAttribute("value"))).toBeCloseTo(0.25, 0);
    expect(await project.ok("list")).toMatch(/shy: generation 2 is on trial against generation 1: 50 % .* 1\d of 40/);
    for (let n = 0; n < 60; n++) await (await fetch(shy)).text();
    await eventually("the end of the trial", async () => !(await body()).includes("on trial"));
    await shows(/shy\s+generation 2\s+web\.ts\s+stayed after its trial/);
  });

  it("shows a generation that did worse on trial, why, and that what it was rolled back to holds", async () => {
    project.write({ "cages/shy/web.ts": answering(`{ throw new Error("worse"); }`) });
    await project.ok("reload", "shy");
    await eventually("the rollback", async () => {
      await (await fetch(shy)).text();
      return /4 held/.test(await project.ok("list"));
    });
    await page.goto(`${dashboard}/cages/shy`);
    await shows(
      /rolled back\s+shy\s+generation 4 is generation 2 again, .*: generation 3 did worse on trial, \d of \d+ requests failed; it holds until the next save/,
    );
    await shows(/generation 4\s+generation 2 again/);
    await page.getByText("rolled back after its trial").click();
    await shows(/\d of \d+ requests failed/);
    project.write({ "cages/shy/web.ts": answering(`"three"`) });
    await eventually("nothing held", async () => !(await body()).includes("it holds until"));
  });

  it("shows what only a restart applies, until it is as it was", async () => {
    await page.goto(dashboard);
    project.write({ "package-lock.json": `{"packages":{"zod":{}}}` });
    await shows(/restart\s+shop\s+packages \(package-lock\.json\) changed: restart to apply/);
    rmSync(join(project.root, "package-lock.json"));
    await eventually("nothing to apply", async () => !(await body()).includes("restart to apply"));
  });

  it("shows type errors beside the generation that serves with them", async () => {
    project.write({ "cages/shop/typed.ts": `export const cents: number = "three";\n` });
    await page.goto(dashboard);
    await shows(/types\s+shop\s+generation \d+ serves with 1 type error/, checkMs);
    expect(await page.locator("tr", { hasText: "shop" }).innerText()).toMatch(/\d+ 1 type error/);
    await page.locator("details", { hasText: "typed.ts:1" }).first().locator("summary").click();
    await shows(`> 1 | export const cents: number = "three";`);
  }, 180_000);

  it("answers this machine's own pages only", async () => {
    const elsewhere = await fetch(`${dashboard}/do`, {
      method: "POST",
      headers: { origin: "http://evil.example", "content-type": "application/x-www-form-urlencoded" },
      body: "verb=reload&cage=shop",
    });
    expect(elsewhere.status).toBe(403);
    expect((await fetch(`${dashboard}/cages/nobody`)).status).toBe(404);
    expect(faults).toEqual([]);
  });
});
