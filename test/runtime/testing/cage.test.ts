/** testCage under another test runner: this one. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { current } from "../../../runtime/request/request.ts";
import { type TestCage, type TestOptions, test, testCage } from "../../../runtime/testing.ts";

let root: string;
const open: TestCage[] = [];
const start = async (name: string, options: TestOptions = {}): Promise<TestCage> => {
  const cage = await testCage(name, { root, ...options });
  open.unshift(cage);
  return cage;
};
const write = (files: Readonly<Record<string, string>>): void => {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
};

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "kit-"));
  write({
    "cages/shop/api.ts": `export * as orders from "./orders.ts";\n`,
    "cages/shop/orders.ts": `import { cage, config, CageError, request, resources, secret, sql } from "#runtime";
const { db, bank } = resources();
export const version = () => 1;
export const settings = () => config();
export const place = (sku) => db.transaction(async (tx) => {
  await tx.run(sql\`insert into o (sku) values (\${sku})\`);
  await cage("books").retry({ id: sku, in: tx }).shelf.note(sku, { at: new Date(0) });
});
export const count = async () => (await db.all(sql\`select * from o\`)).length;
export const balance = () => bank.get("/balance");
export const ask = (title) => cage("books").shelf.find(title);
export const key = () => secret("key").reveal();
export const who = () => ({ attempt: request.retry?.attempt, principal: request.principal });
`,
    "cages/shop/web.ts": `export const routes = { "POST /echo": (ask) => ({ got: ask.body, by: ask.headers["x-by"] }) };\n`,
    "cages/books/api.ts": `export * as shelf from "./shelf.ts";\n`,
    "cages/books/shelf.ts": `import { CageError } from "#runtime";
const notes = [];
export const note = (sku, more) => void notes.push({ sku, date: more.at instanceof Date });
export const all = () => notes;
export const find = (title) => {
  if (title === "none") throw new CageError("NO_BOOK", "there is none", { details: { title } });
  return { title };
};
`,
    "config/shop.ts": `export const config = {
  interfaces: { web: { protocol: "http", port: 8080 } },
  resources: {
    db: { protocol: "sqlite", file: "shop.sqlite", migrations: [{ name: "1", sql: "create table o (sku text)" }] },
    bank: { protocol: "http" },
  },
  settings: { a: "cage", b: "cage", c: "cage" },
};
`,
    "config/shop.test.ts": `export const config = { settings: { b: "overlay", c: "overlay" } };
export const resources = { bank: { get: async (path) => ({ path, cents: 7 }) } };
`,
  });
});
afterEach(async () => {
  for (const cage of open.splice(0)) await cage.close();
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("testCage", () => {
  it("is the real cage with state of its own, which is gone afterwards", async () => {
    const shop = await start("shop", { cages: { books: { shelf: { note() {} } } } });
    await shop.call("orders.place", "tea");
    expect(await shop.call("orders.count")).toBe(1);
    expect(existsSync(join(shop.stateDir, "shop.sqlite"))).toBe(true);
    const other = await start("shop");
    expect(await other.call("orders.count")).toBe(0);
    const { stateDir } = shop;
    await open.pop()?.close();
    expect(existsSync(stateDir)).toBe(false);
    expect(existsSync(join(root, "state"))).toBe(false);
  });

  it("takes configuration from config/NAME.test.ts over the cage's, and its own over both", async () => {
    const shop = await start("shop", { config: { settings: { c: "option" } } });
    expect(await shop.call("orders.settings")).toEqual({ a: "cage", b: "overlay", c: "option" });
  });

  it("puts an object in the place of a resource", async () => {
    expect(await (await start("shop")).call("orders.balance")).toEqual({ path: "/balance", cents: 7 });
    const bank = { get: async () => "mine" };
    expect(await (await start("shop", { resources: { bank } })).call("orders.balance")).toBe("mine");
  });

  it("has secrets of its own, the same for all cages of the process", async () => {
    const shop = await start("shop");
    const key = await shop.call("orders.key");
    const later = await start("shop");
    expect(await later.call("orders.key")).toBe(key);
    await open.shift()?.close();
    expect(await shop.call("orders.key")).toBe(key);
  });

  it("is refused as an import by code that serves", async () => {
    write({ "cages/wrong/api.ts": `import { test } from "#runtime/testing";\nexport const x = test;\n` });
    await expect(start("wrong")).rejects.toThrow(`"#runtime/testing" is for tests`);
  });

  it("runs code in a request of the cage, with a retried call's attempt where asked", async () => {
    const shop = await start("shop");
    const { who } = shop.module<{ who(): unknown }>("orders");
    expect(await shop.run(() => who(), { retry: { id: "x", attempt: 3 }, principal: "ann" })).toEqual({
      attempt: 3,
      principal: "ann",
    });
    expect(await shop.run(() => current().services.cage)).toBe("shop");
    await expect(shop.run(() => new Promise(() => {}), { timeoutMs: 20 })).rejects.toMatchObject({ code: "EXPIRED" });
    expect(() => shop.module("order")).toThrow("the cage shop has no module 'order'");
  });

  it("answers fetch by the whole http interface, without a port", async () => {
    const shop = await start("shop");
    const answer = await shop.fetch("web", "/echo", { body: { n: 1 }, headers: { "x-by": "me" } });
    expect([answer.status, await answer.json()]).toEqual([200, { got: { n: 1 }, by: "me" }]);
    expect((await shop.fetch("web", "/nowhere")).status).toBe(404);
    await expect(shop.fetch("wob", "/")).rejects.toThrow("has no interface 'wob'");
  });

  it("joins two real cages: calls, errors by code, and retried calls that wait while one is down", async () => {
    const shop = await start("shop");
    await expect(shop.call("orders.ask", "x")).rejects.toMatchObject({
      code: "NO_SUCH_CAGE",
      message: expect.stringContaining("config/shop.test.ts"),
    });
    const books = await start("books", { beside: shop });
    expect(await shop.call("orders.ask", "x")).toEqual({ title: "x" });
    await expect(shop.call("orders.ask", "none")).rejects.toMatchObject({
      code: "NO_BOOK",
      details: { title: "none" },
    });
    books.down();
    await expect(shop.call("orders.ask", "x")).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await shop.call("orders.place", "tea");
    await books.up();
    await expect.poll(() => books.run(() => books.call("shelf.all"))).toEqual([{ sku: "tea", date: true }]);
  });

  it("loads a save when told to, and keeps what served when that does not load", async () => {
    const shop = await start("shop");
    const text = `export const version = () => 2;\n`;
    write({ "cages/shop/api.ts": `export * as orders from "./two.ts";\n`, "cages/shop/two.ts": text });
    expect(await shop.reload()).toMatchObject({ ok: true, generation: 2 });
    expect(await shop.call("orders.version")).toBe(2);
    write({ "cages/shop/two.ts": "export const version = ;\n" });
    expect(await shop.reload()).toMatchObject({ ok: false, error: { line: 1 } });
    expect(await shop.call("orders.version")).toBe(2);
    write({ "cages/shop/two.ts": text, "cages/shop/api.ts": `export * as orders from "./orders.ts";\n` });
  });

  it("says why a cage cannot be opened, and leaves nothing behind", async () => {
    await expect(start("shopp")).rejects.toThrow("there is no cage shopp");
    await expect(start("shop", { config: { resources: { db: { protocol: "sqlite", file: "/x" } } } })).rejects.toThrow(
      "resources.db.file is /x, which a test would write to",
    );
  });

  it("leaves test() to ./cage test", () => {
    expect(() => test("x", () => {})).toThrow("with another test runner, use its own test and testCage()");
  });
});
