/** What a person drives from the terminal to be sure: ./cage test NAME, the gate, ./cage reload, ./cage config. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, sep } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hashOf } from "../../runtime/modules/compile.ts";
import type { Candidate } from "../../runtime/modules/generation.ts";
import { passTests } from "../../runtime/testing/run.ts";
import { createProject, eventually, freePorts, home, launcher, type Project } from "../kit/project.ts";

let project: Project;
let port: number;
const temporary = mkdtempSync(join(tmpdir(), "kit-"));

const prices = (factor: number) => `export const double = (cents: number): number => cents * ${factor};\n`;
const pricesTest = `import assert from "node:assert/strict";
import { test } from "#runtime/testing";
import { double } from "./prices.ts";

test("a price is doubled", () => {
  assert.equal(double(2), 4);
});
`;
const ordersTest = `import assert from "node:assert/strict";
import { test } from "#runtime/testing";
import { hold, place } from "./orders.ts";

test("an order is stored, and its currency is the test's", async () => {
  assert.deepEqual(await place("tea"), { count: 1, currency: "EUR" });
});
test("another cage is asked", async () => assert.equal(await hold(), "hold for tea"));
test("a page is answered", async (shop) => {
  const answer = await shop.fetch("web", "/orders?n=1", { headers: { "x-who": "ann" } });
  assert.deepEqual([answer.status, await answer.json()], [200, { n: "1", who: "ann" }]);
});
`;
const config = (currency: string) => `import { defineCage, secret } from "#runtime";
export const config = defineCage({
  test: "gate",
  interfaces: { web: { protocol: "http", port: ${port} } },
  resources: { db: { protocol: "sqlite", file: "shop.sqlite", migrations: [{ name: "1", sql: "create table o (sku text)" }] } },
  settings: { currency: "${currency}", cookies: secret("cookies"), mail: { password: "hunter2" }, of: "${port}" },
});
`;

beforeAll(async () => {
  [port] = (await freePorts(1)) as [number];
  project = createProject(
    {
      "cages/bare/.keep": "",
      "cages/shop/api.ts": `export * as prices from "./prices.ts";\nexport * as orders from "./orders.ts";\n`,
      "cages/shop/prices.ts": prices(2),
      "cages/shop/inner/prices.test.ts": pricesTest.replace("./prices", "../prices"),
      "cages/shop/orders.ts": `import { cage, config, resources, sql } from "#runtime";
const { db } = resources();
export async function place(sku) {
  await db.run(sql\`insert into o (sku) values (\${sku})\`);
  return { count: (await db.all(sql\`select * from o\`)).length, currency: config().currency };
}
export const hold = () => cage("billing").holds.create({ sku: "tea" });
`,
      "cages/shop/web.ts": `export const routes = { "GET /orders": (ask) => ({ n: ask.query.n, who: ask.headers["x-who"] }) };\n`,
      "cages/shop/orders.test.ts": ordersTest,
      "config/shop.ts": config("USD"),
      "config/shop.test.ts": `export const config = { settings: { currency: "EUR" } };
export const cages = { billing: { holds: { create: ({ sku }: { sku: string }) => \`hold for \${sku}\` } } };
`,
      "config/cluster.ts": `export const config = { timeoutMs: 7_000, settings: { currency: "CHF" } };\n`,
    },
    // Of its own: other tests leave and remove theirs at the same time.
    { CAGE_CONFIG__shop__settings__of: "environment", TMPDIR: temporary },
  );
});
afterAll(async () => {
  await project.remove();
  rmSync(temporary, { recursive: true });
});

const cagesWithTests = () =>
  (readdirSync(join(home, "cages"), { recursive: true }) as string[])
    .filter((path) => path.endsWith(".test.ts"))
    .map((path) => path.split(sep)[0] as string)
    .filter((cage, at, all) => all.indexOf(cage) === at);
const left = () => readdirSync(temporary).filter((name) => name.startsWith("cage-test-"));

describe("./cage test NAME", () => {
  it("runs the cage's tests in the cage: temporary state, configuration and neighbours of its own, no port", async () => {
    const said = await project.ok("test", "shop");
    expect(said).toContain("ok   cages/shop/inner/prices.test.ts: a price is doubled");
    expect(said).toContain("shop: 4 tests, 0 failed");
    expect(await project.ok("test", "shop"), "nothing stays from one run to the next").toContain("4 tests, 0 failed");
    expect(left()).toEqual([]);
  });

  it("runs those of one module when it is named", async () => {
    expect(await project.ok("test", "shop", "inner/prices")).toContain("shop: 1 tests, 0 failed");
  });

  it("exits with 1 for a failing test, shows its place and the lines around, and the others still run", async () => {
    project.write({ "cages/shop/prices.ts": prices(3) });
    const { code, stdout } = await project.cage("test", "shop");
    expect(code).toBe(1);
    expect(stdout).toContain("FAIL cages/shop/inner/prices.test.ts: a price is doubled");
    expect(stdout).toMatch(/cages\/shop\/inner\/prices\.test\.ts:6:10: Expected values to be strictly equal/);
    expect(stdout).toContain(">  6 |   assert.equal(double(2), 4);".replace(">  6", "> 6"));
    expect(stdout).toContain("shop: 4 tests, 1 failed");
    const json = JSON.parse((await project.cage("test", "shop", "--json")).stdout);
    expect(json.rows.map((row: { failure?: { line: number } }) => row.failure?.line)).toEqual([
      6,
      undefined,
      undefined,
      undefined,
    ]);
    project.write({ "cages/shop/prices.ts": prices(2) });
  });

  it("exits with 1 for a promise nobody awaited, a test that hangs, a test that ends the process, and code that does not load", async () => {
    const failing = async (text: string) => {
      project.write({ "cages/shop/bad.test.ts": `import { test } from "#runtime/testing";\n${text}\n` });
      return await project.cage("test", "shop", "bad");
    };
    const stray = await failing(`test("lets go", () => { void Promise.reject(new Error("too late")); });`);
    expect([stray.code, stray.stdout]).toEqual([1, expect.stringContaining("nobody awaited this: too late")]);
    const hung = await failing(`test("hangs", () => new Promise(() => {}), { timeoutMs: 50 });`);
    expect([hung.code, hung.stdout]).toEqual([1, expect.stringContaining("it did not end within 50 ms")]);
    const gone = await failing(`test("leaves", () => process.exit(0));`);
    expect([gone.code, gone.stderr]).toEqual([
      1,
      expect.stringContaining('ended before they did (exit code 0) in "leaves"'),
    ]);
    const broken = await failing(`test("x", ;`);
    expect([broken.code, broken.stderr]).toEqual([1, expect.stringContaining('> 2 | test("x", ;')]);
    await failing(`test("fine", () => {});`);
  });

  it("takes a name that is no cage for a pattern of the suite, and says that a cage is called nearly so", async () => {
    const { code, stderr } = await project.cage("test", "shopp");
    expect(code).toBe(1);
    expect(stderr).toContain("there is no cage 'shopp' (did you mean 'shop'?)");
  });

  it("says so when a cage has no tests, and that is no success", async () => {
    const { code, stderr } = await project.cage("test", "bare");
    expect([code, stderr]).toEqual([1, expect.stringContaining("bare has no tests; write cages/bare/NAME.test.ts")]);
  });

  it("refuses to open a file outside of its own folder", async () => {
    const file = "config/shop.test.ts";
    project.write({ [file]: `export const config = { resources: { db: { file: "/var/lib/shop.sqlite" } } };\n` });
    const { code, stderr } = await project.cage("test", "shop");
    expect([code, stderr]).toEqual([1, expect.stringContaining("resources.db.file is /var/lib/shop.sqlite")]);
    project.write({
      [file]: `export const config = { settings: { currency: "EUR" } };\nexport const cages = { billing: { holds: { create: () => "hold for tea" } } };\n`,
    });
  });
});

describe("the cages that are shipped", () => {
  it("pass their own tests", async () => {
    const tested = cagesWithTests();
    expect(tested).toContain("greeter");
    for (const cage of tested) {
      const { stdout } = await promisify(execFile)(launcher, ["test", cage]);
      expect(stdout).toContain(" 0 failed");
    }
  });
});

describe("a cage that does not watch", () => {
  const served = async () => JSON.parse(await project.ok("call", "shop", "prices.double", "2"));

  it("serves what it started with until ./cage reload, which reports the new generation", async () => {
    await project.ok("start", "shop", "--no-watch");
    project.write({ "cages/shop/more.ts": `export const more = 1;\n` });
    const said = await project.ok("reload", "shop");
    expect(said).toMatch(/^shop: generation 2 \(cages\/shop\/more\.ts\) in \d+ ms/);
    expect(await project.ok("reload", "shop")).toContain("nothing changed, generation 2 serves");
  });

  it("refuses code that does not load: exit code 1, place and frame, and what served serves on", async () => {
    project.write({ "cages/shop/more.ts": `export const more = ;\n` });
    const { code, stderr } = await project.cage("reload", "shop");
    expect(code).toBe(1);
    expect(stderr).toMatch(/cages\/shop\/more\.ts:1:21: /);
    expect(stderr).toContain("> 1 | export const more = ;");
    expect(await served()).toBe(4);
    project.write({ "cages/shop/more.ts": `export const more = 2;\n` });
    expect(await project.ok("reload", "shop")).toContain("generation 3");
  });

  it('refuses code whose own tests fail (test: "gate"), with the test\'s name and frame', async () => {
    project.write({ "cages/shop/prices.ts": prices(5) });
    const { code, stderr } = await project.cage("reload", "shop");
    expect(code).toBe(1);
    expect(stderr).toContain(`the test "a price is doubled" failed: Expected values to be strictly equal`);
    expect(stderr).toContain("cages/shop/inner/prices.test.ts:6:10");
    expect(stderr).toContain("> 6 |   assert.equal(double(2), 4);");
    expect(await served()).toBe(4);
    project.write({ "cages/shop/prices.ts": prices(2).replace("cents *", "2 * cents + 0 *") });
    expect(await project.ok("reload", "shop")).toContain("generation 4 (cages/shop/prices.ts");
  });

  it("keeps its configuration when a save of it is invalid, and names the nearest key, however deep", async () => {
    const tell = async (text: string) => {
      project.write({ "config/shop.ts": text });
      const { code, stderr } = await project.cage("reload", "shop");
      expect(code).toBe(1);
      return stderr;
    };
    expect(await tell(config("GBP").replace("sql:", "sqll:"))).toContain(
      "config/shop.ts: resources.db.migrations.0.sqll: unknown key; did you mean 'sql'?",
    );
    expect(await tell(config("GBP").replace("port:", "timeoutMS: 1, port:"))).toContain(
      "config/shop.ts: interfaces.web.timeoutMS: unknown key; did you mean 'timeoutMs'?",
    );
    expect(await project.ok("config", "shop", "--why", "settings.currency")).toContain("settings.currency = USD");
    project.write({ "config/shop.ts": config("GBP") });
    expect(await project.ok("reload", "shop")).toContain("generation 5");
    expect(await project.ok("config", "shop", "--why", "settings.currency")).toContain("settings.currency = GBP");
  });
});

describe("./cage config NAME", () => {
  it("says where a value comes from, and what it stands over", async () => {
    expect(await project.ok("config", "shop", "--why", "settings")).toBe(
      [
        "settings.currency = GBP",
        "  cage: config/shop.ts",
        "  over CHF of cluster: config/cluster.ts",
        "settings.cookies = secret(cookies)",
        "  cage: config/shop.ts",
        'settings.mail.password = (hidden: say it by secret("name"))',
        "  cage: config/shop.ts",
        "settings.of = environment",
        "  environment: CAGE_CONFIG__shop__settings__of",
        `  over ${port} of cage: config/shop.ts`,
        "",
      ].join("\n"),
    );
    const rows = await project.ok("config", "shop");
    expect(rows).toMatch(/interfaces\.web\.timeoutMs +7000 +cluster: config\/cluster\.ts/);
    expect(rows).toMatch(/interfaces\.web\.host +127\.0\.0\.1 +built in/);
    expect(rows).not.toContain("hunter2");
  });

  it("names the nearest key to one that is none", async () => {
    const { code, stderr } = await project.cage("config", "shop", "--why", "settings.curency");
    expect([code, stderr]).toEqual([2, expect.stringContaining("did you mean 'settings.currency'?")]);
  });
});

describe("the gate of a cage that watches", () => {
  it("holds back a save whose tests fail, tells it as any failed reload, and lets the mended one pass", async () => {
    await project.ok("stop", "shop");
    await project.ok("start", "shop");
    project.write({ "cages/shop/prices.ts": prices(7) });
    const broken = () => project.ok("list", "--json").then((text) => JSON.parse(text)[0].worker.broken ?? undefined);
    expect(await eventually("the refusal", broken)).toMatchObject({
      message: expect.stringContaining(`the test "a price is doubled" failed`),
      frame: expect.stringContaining("assert.equal"),
    });
    expect(JSON.parse(await project.ok("call", "shop", "prices.double", "2"))).toBe(4);
    // It was the test that was wrong: the save of that tries the refused module again.
    project.write({
      "cages/shop/inner/prices.test.ts": pricesTest.replace("./prices", "../prices").replace("4", "14"),
    });
    await eventually("the mended one", async () => (await broken()) === undefined);
    expect(JSON.parse(await project.ok("call", "shop", "prices.double", "2"))).toBe(14);
  });

  it("serves on old code, and refuses nobody, while the tests of the new one run", async () => {
    const started = join(project.root, "started");
    const go = join(project.root, "go");
    project.write({
      "cages/shop/inner/prices.test.ts": `import { existsSync, writeFileSync } from "node:fs";
import { test } from "#runtime/testing";
test("takes its time", async () => {
  writeFileSync(${JSON.stringify(started)}, "");
  while (!existsSync(${JSON.stringify(go)})) await new Promise((again) => setTimeout(again, 5));
});
`,
      "cages/shop/prices.ts": prices(9),
    });
    await eventually("the gate's run", () => existsSync(started));
    const url = `http://127.0.0.1:${port}/orders?n=1`;
    const answers = await Promise.all(Array.from({ length: 50 }, async () => (await fetch(url)).status));
    expect(new Set(answers)).toEqual(new Set([200]));
    const double = async () => JSON.parse(await project.ok("call", "shop", "prices.double", "2"));
    expect(await double()).toBe(14);
    project.write({ go: "" });
    await eventually("the new code", async () => (await double()) === 18);
  });

  it("lets only what was tested serve: a text that changed meanwhile is refused", async () => {
    const base = join(home, "state", "build");
    const { hash } = JSON.parse(readFileSync(join(base, "current.json"), "utf8")) as { hash: string };
    const file = join(project.root, "cages/shop/prices.ts");
    const wanted = { home, root: project.root, cage: "shop" };
    const { signal } = new AbortController();
    const pass = (text: string) =>
      passTests(wanted, join(base, hash), { hashes: new Map([[file, hashOf(text)]]) } as unknown as Candidate, signal);
    await pass(prices(9));
    await expect(pass(prices(10))).rejects.toMatchObject({
      code: "LOAD",
      file,
      message: expect.stringMatching(/changed while its tests ran/),
    });
  });
});
