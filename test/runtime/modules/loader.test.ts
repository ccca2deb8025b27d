import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, describe, expect, test } from "vitest";
import { registered } from "../../../runtime/modules/stack.ts";
import { events, type Files, failed, Yard } from "./yard.ts";

let yard: Yard;
afterEach(() => yard.away());

async function started(files: Files): Promise<Yard> {
  yard = await Yard.make(files);
  await yard.loader.start();
  return yard;
}

describe("what a module may be", () => {
  test("an empty folder is a generation", async () => {
    await started({});
    expect(yard.loader.current).toMatchObject({ id: 1, names: [], config: {} });
  });

  test("a folder that is not there is said so", async () => {
    yard = await Yard.make({});
    await expect(yard.another({ cage: "none" }).start()).rejects.toMatchObject({
      code: "LOAD",
      message: expect.stringContaining("no cage none"),
    });
  });

  test("bindings are live, and cycles see hoisted functions", async () => {
    await started({
      "cages/shop/a.ts": `import { b } from "./b.ts"; export let count = 0; export function inc() { count++; }
        export function even(n: number): boolean { return n === 0 || b(n - 1); }`,
      "cages/shop/b.ts": `import { even, count } from "./a.ts"; export function b(n: number): boolean { return n !== 0 && even(n - 1); }
        export const seen = () => count; export const early = even(0);`,
    });
    yard.module("a").inc();
    yard.module("a").inc();
    expect(yard.module("b").seen()).toBe(2);
    expect(yard.module("a").even(10)).toBe(true);
    expect(yard.module("b").early).toBe(true);
    expect(() => Object.assign(yard.module("a"), { count: 5 })).toThrow(TypeError);
  });

  test("export *, namespaces, renamed and default exports are what they are in Node", async () => {
    await started({
      "cages/shop/all.ts": `export * from "./sub/one.ts"; export * as two from "./sub/two.ts"; export { default as three, x as ex } from "./sub/three.ts"; export const own = 0;`,
      "cages/shop/sub/one.ts": `export * from "./deep.ts"; export const one = 1; export const own = 1; export default 9;`,
      "cages/shop/sub/deep.ts": `export const deep = "d"; export enum Color { Red = "r" }`,
      "cages/shop/sub/two.ts": `export class Two { x: number = 2; }`,
      "cages/shop/sub/three.ts": `export const x = 3; export default function three() { return x; }`,
    });
    const all = yard.module("all");
    expect(Object.keys(all).sort()).toEqual(["Color", "deep", "ex", "one", "own", "three", "two"]);
    expect([all.one, all.own, all.deep, all.ex, all.three(), new all.two.Two().x, all.Color.Red]).toEqual([
      1,
      0,
      "d",
      3,
      3,
      2,
      "r",
    ]);
    expect(Object.prototype.toString.call(all)).toBe("[object Module]");
  });

  test("a cycle of export * has all names", async () => {
    await started({
      "cages/shop/a.ts": `export * from "./b.ts"; export const a = "a";`,
      "cages/shop/b.ts": `export * from "./a.ts"; export const b = "b";`,
      "cages/shop/c.ts": `import { b } from "./a.ts"; import { a } from "./b.ts"; export const ab = a + b;`,
    });
    expect(yard.module("c").ab).toBe("ab");
    expect(Object.keys(yard.module("b")).sort()).toEqual(["a", "b"]);
  });

  test("a cycle of three that re-export each other too, where an own name comes before a star's", async () => {
    await started({
      "cages/shop/a.ts": `export * from "./b.ts"; export const a = "a"; export const mine = "a";`,
      "cages/shop/b.ts": `export * from "./c.ts"; export const b = "b"; export const mine = "b";`,
      "cages/shop/c.ts": `export * from "./a.ts"; export const c = "c";`,
      "cages/shop/d.ts": `import * as c from "./c.ts"; import { b } from "./c.ts"; export const names = () => Object.keys(c).sort().join() + b;`,
    });
    expect(yard.module("d").names()).toBe("a,b,c,mineb");
  });

  test("top-level await is waited for, also across imports", async () => {
    await started({
      "cages/shop/slow.ts": `export const value = await new Promise<number>((done) => setImmediate(done, 7));`,
      "cages/shop/user.ts": `import { value } from "./slow.ts"; export const twice = value * 2;`,
    });
    expect(yard.module("user").twice).toBe(14);
  });

  test("import type is erased, across cages too; code of another cage is refused", async () => {
    await started({
      "cages/billing/api.ts": `export interface Hold { id: string } throw new Error("not to be run");`,
      "cages/shop/a.ts": `import type { Hold } from "../billing/api.ts"; export const hold: Hold = { id: "x" };`,
    });
    expect(yard.module("a").hold.id).toBe("x");
    const error = failed(await yard.save({ "cages/shop/a.ts": `import { x } from "../billing/api.ts";` }));
    expect(error.message).toContain("code of the cage billing");
    expect(error).toMatchObject({ line: 1, column: 19 });
  });

  test("JSON and text are modules, and change like them", async () => {
    await started({
      "cages/shop/a.ts": `import data from "./data.json" with { type: "json" }; import text from "./q.sql"; export const both = () => [data.n, text];`,
      "cages/shop/data.json": `{"n": 1}`,
      "cages/shop/q.sql": "select 1",
    });
    expect(yard.module("a").both()).toEqual([1, "select 1"]);
    await yard.save({ "cages/shop/data.json": `{"n": 2}`, "cages/shop/q.sql": "select 2" });
    expect(yard.module("a").both()).toEqual([2, "select 2"]);
    const error = failed(await yard.save({ "cages/shop/data.json": `{"n": 2,\n "x": oops}` }));
    expect(error).toMatchObject({ file: yard.path("cages/shop/data.json"), line: 2 });
    expect(yard.module("a").both()[0]).toBe(2);
  });

  test("packages, builtins and the runtime come as in Node, once a process", async () => {
    await started({
      "cages/shop/a.ts": `import Database, { SqliteError } from "better-sqlite3"; import { z } from "zod"; import { join } from "path"; import * as fs from "node:fs";
        import { version } from "#runtime"; export { Database, SqliteError, z, fs, version }; export const path = join("a", "b");`,
    });
    const before = yard.module("a");
    expect([typeof before.Database, typeof before.SqliteError, before.path, before.version]).toEqual([
      "function",
      "function",
      "a/b",
      "1",
    ]);
    await yard.save({ "cages/shop/a.ts": `import { z } from "zod"; export { z };` });
    expect(yard.module("a").z).toBe(before.z);
    const error = failed(await yard.save({ "cages/shop/a.ts": `import { z } from "zod";\nimport "no-such-package";` }));
    expect(error).toMatchObject({ line: 2, column: 8, message: expect.stringContaining("no-such-package") });
  });

  test("a package that is imported lazily may be missing until it is asked for, and found once installed", async () => {
    await started({
      "cages/shop/a.ts": `export const driver = () => import("late-driver"); export const named = (name: string) => import(name);`,
    });
    await expect(yard.module("a").driver()).rejects.toMatchObject({ code: "ERR_MODULE_NOT_FOUND" });
    yard.write({
      "node_modules/late-driver/package.json": `{"name":"late-driver","type":"module","exports":{"import":"./i.js","require":"./r.cjs"}}`,
      "node_modules/late-driver/i.js": `export const kind = "esm";`,
      "node_modules/late-driver/r.cjs": `exports.kind = "cjs";`,
    });
    expect((await yard.module("a").driver()).kind).toBe("esm");
    expect((await yard.module("a").named("late-driver")).kind).toBe("esm");
    await expect(yard.module("a").named("./a.ts")).rejects.toThrow("needs its name as a literal");
  });

  test("a package that is installed anew under a running cage is not mixed with the one that is loaded", async () => {
    const installed = (version: string) => ({
      "node_modules/twin/package.json": `{"name":"twin","version":"${version}","type":"module","exports":{".":"./i.js","./more":"./more.js"}}`,
      "node_modules/twin/i.js": `export const version = "${version}";`,
      "node_modules/twin/more.js": `export { version } from "./i.js"; export const more = "${version}";`,
    });
    await started({
      ...installed("1.0.0"),
      "cages/shop/a.ts": `export { version } from "twin"; export const more = () => import("twin/more");`,
    });
    yard.write(installed("2.0.0"));
    const error = failed(
      await yard.save({ "cages/shop/b.ts": `import { version } from "twin";\nimport "twin/more";` }),
    );
    expect(error).toMatchObject({
      line: 2,
      message: expect.stringContaining(
        "twin is loaded as 1.0.0 and now installed as 2.0.0: restart the cage to apply it",
      ),
    });
    await expect(yard.module("a").more()).rejects.toThrow("restart the cage");
    // What is loaded goes on being of one version, in new modules too.
    await yard.save({ "cages/shop/b.ts": `export { version } from "twin";` });
    expect([yard.module("a").version, yard.module("b").version]).toEqual(["1.0.0", "1.0.0"]);
  });

  test("config and lib belong to the generation", async () => {
    await started({
      "config/shop.ts": `import idl from "../cages/billing/billing.thrift"; export const config = { idl };`,
      "config/defaults.ts": `export const config = { limit: 1 };`,
      "cages/billing/billing.thrift": "service Billing {}",
      "lib/money.ts": `export const cents = (n: number) => n * 100;`,
      "cages/shop/a.ts": `import { cents } from "#lib/money.ts"; import { statement } from "#lib/sql.ts"; export const a = cents(2); export const s = typeof statement;`,
    }).catch(() => {});
    expect(yard.loader.failure?.message).toContain(`"#lib/sql.ts" has no export "statement"`);
    yard.write({ "cages/shop/a.ts": `import { cents } from "#lib/money.ts"; export const a = cents(2);` });
    await yard.loader.start();
    const { own, defaults, cluster } = yard.loader.current.config;
    expect([own?.["config"], defaults?.["config"], cluster]).toEqual([
      { idl: "service Billing {}" },
      { limit: 1 },
      undefined,
    ]);
    expect(yard.module("a").a).toBe(200);
    const first = yard.module("a");
    await yard.save({ "config/shop.ts": `export const config = { idl: "" };` });
    expect(yard.loader.current.config.own?.["config"]).toEqual({ idl: "" });
    expect(yard.module("a")).toBe(first);
    await yard.save({ "lib/money.ts": `export const cents = (n: number) => n * 1000;` });
    expect(yard.module("a").a).toBe(2000);
  });

  test("a file of the cage overrides a shared one, and gives it back when it goes", async () => {
    await started({
      "cages/.shared/mail.ts": `export const who = "shared";`,
      "cages/shop/a.ts": `import { who } from "#shared/mail.ts"; export const mail = who;`,
    });
    expect(yard.module("a").mail).toBe("shared");
    await yard.save({
      "cages/shop/mail.ts": `import * as stock from "#shared/mail.ts"; export const who = "own over " + stock.who;`,
    });
    expect(yard.module("a").mail).toBe("own over shared");
    expect(await yard.remove("cages/shop/mail.ts")).toMatchObject({
      ok: true,
      files: ["cages/shop/a.ts", "cages/shop/mail.ts"],
    });
    expect(yard.module("a").mail).toBe("shared");
    expect(yard.module("mail")).toBeUndefined();
  });

  test("tests and declarations are no modules of the cage", async () => {
    await started({
      "cages/shop/a.test.ts": `throw new Error("x")`,
      "cages/shop/a.d.ts": `declare const x: number;`,
      "cages/shop/a.d.thrift.ts": `declare const x: number;`,
    });
    expect(yard.loader.current.files).toEqual([]);
  });
});

describe("what a reload does", () => {
  test("a request keeps its generation over awaits and a late lazy import", async () => {
    await started({
      "cages/shop/a.ts": `import { name } from "./b.ts"; export async function work(gate: Promise<void>) { const before = name; await gate; return [before, name, (await import("./sub/late.ts")).late]; }`,
      "cages/shop/b.ts": `export const name = "one";`,
      "cages/shop/sub/late.ts": `export const late = "late one";`,
    });
    const hold = yard.loader.current.hold();
    let open = () => {};
    const working = yard.module("a").work(new Promise<void>((done) => (open = done)));
    await yard.save({
      "cages/shop/b.ts": `export const name = "two";`,
      "cages/shop/sub/late.ts": `export const late = "late two";`,
    });
    await yard.save({ "cages/shop/sub/late.ts": `export const late = "late three";` });
    open();
    expect(await working).toEqual(["one", "one", "late one"]);
    expect(await yard.module("a").work(Promise.resolve())).toEqual(["two", "two", "late three"]);
    expect(yard.loader.live.map(({ id }) => id)).toEqual([1, 3]);
    hold.release();
    hold.release();
    await expect.poll(() => yard.loader.live.map(({ id }) => id)).toEqual([3]);
  });

  test("three files saved together are seen together, by all or none", async () => {
    const at = (n: number) => ({
      "cages/shop/a.ts": `import { b } from "./b.ts"; export const all = () => [${n}, ...b()];`,
      "cages/shop/b.ts": `import data from "./c.json"; export const b = () => [${n}, data.n];`,
      "cages/shop/c.json": `{"n": ${n}}`,
    });
    await started(at(1));
    const result = await yard.save(at(2));
    expect(result).toMatchObject({ ok: true, generation: 2, dependents: 0, files: Object.keys(at(2)) });
    expect(yard.module("a").all()).toEqual([2, 2, 2]);
  });

  test("a module that is written while the folder is being listed is one of the cage's, though only lazily imported", async () => {
    yard = await Yard.make({ "cages/shop/a.ts": `export const a = 1;` });
    let listed = () => {};
    const loader = yard.another({
      more: async () => {
        listed();
        return [];
      },
    });
    await loader.start();
    listed = () => yard.write({ "cages/shop/late.ts": `export const late = 1;` });
    yard.write({ "cages/shop/a.ts": `export const a = () => import("./late.ts");` });
    await loader.reload("command", ["cages/shop/a.ts"]);
    expect([loader.current.names, loader.current.module("late")?.["late"]]).toEqual([["a", "late"], 1]);
    expect(await loader.reload("command")).toMatchObject({ generation: 2, files: [] });
    await loader.stop();
  });

  test("importers are made anew, all others keep their instance and its state", async () => {
    await started({
      "cages/shop/state.ts": `export let n = 0; export const add = () => ++n;`,
      "cages/shop/leaf.ts": `export const leaf = 1;`,
      "cages/shop/user.ts": `import { leaf } from "./leaf.ts"; import { add } from "./state.ts"; export const use = () => [leaf, add()];`,
      "cages/shop/lazy.ts": `export const get = () => import("./leaf.ts");`,
    });
    yard.module("user").use();
    const { state, user, lazy } = Object.fromEntries(
      ["state", "user", "lazy"].map((name) => [name, yard.module(name)]),
    );
    const result = await yard.save({ "cages/shop/leaf.ts": `export const leaf = 2;` });
    expect(result).toMatchObject({ files: ["cages/shop/leaf.ts"], dependents: 2 });
    expect(yard.module("state")).toBe(state);
    expect(yard.module("user")).not.toBe(user);
    expect(yard.module("user").use()).toEqual([2, 2]);
    expect((await lazy.get()).leaf).toBe(1);
    expect((await yard.module("lazy").get()).leaf).toBe(2);
  });

  test("a save that changes nothing makes no generation", async () => {
    await started({ "cages/shop/a.ts": `export const a = 1;` });
    expect(await yard.save({ "cages/shop/a.ts": `export const a = 1;` })).toMatchObject({
      ok: true,
      generation: 1,
      files: [],
    });
    await yard.loader.reload("command");
    expect(yard.loader.history()).toHaveLength(1);
  });

  test.each<[string, string, { message: string; line: number; column: number }]>([
    ["does not parse", "export const a = 1;\nconst b = ;\n", { message: "unexpected token", line: 2, column: 11 }],
    [
      "does not parse, after other letters",
      "const ä = '日本😀'; const b = ;\n",
      { message: "unexpected token", line: 1, column: 29 },
    ],
    [
      "throws at load",
      "export const a: number = 1;\n\ntype T = number;\nthrow new TypeError('boom');",
      { message: "threw while loading: TypeError: boom", line: 4, column: 7 },
    ],
    ["imports a missing file", "import './none.ts';", { message: `cannot find "./none.ts"`, line: 1, column: 8 }],
    [
      "imports without extension",
      "import './b';",
      { message: `cannot find "./b"; did you mean "./b.ts"?`, line: 1, column: 8 },
    ],
    [
      "imports a missing name",
      "import {\n  b,\n  c } from './b.ts';",
      { message: `"./b.ts" has no export "c"; it has b (a type is imported with "import type")`, line: 3, column: 3 },
    ],
    [
      "re-exports a missing name",
      "export { c } from './b.ts';",
      { message: `"./b.ts" has no export "c"; it has b (a type is imported with "import type")`, line: 1, column: 10 },
    ],
    [
      "imports a missing name of a builtin",
      "import { nothing } from 'node:path';",
      {
        message: expect.stringContaining(`"node:path" has no export "nothing"`) as unknown as string,
        line: 1,
        column: 10,
      },
    ],
  ])("a file that %s is refused with its place, and the old generation serves on", async (_what, text, error) => {
    await started({ "cages/shop/a.ts": `export const a = "good";`, "cages/shop/b.ts": `export const b = 1;` });
    expect(failed(await yard.save({ "cages/shop/a.ts": text }))).toMatchObject({
      code: "LOAD",
      file: yard.path("cages/shop/a.ts"),
      ...error,
    });
    expect(yard.module("a").a).toBe("good");
    expect(yard.loader.failure?.frame).toContain("^");
    expect(await yard.save({ "cages/shop/a.ts": `export const a = "again";` })).toMatchObject({
      ok: true,
      generation: 2,
    });
    expect(yard.module("a").a).toBe("again");
    expect(yard.loader.failure).toBeUndefined();
  });

  test("a missing name in a cycle is found too", async () => {
    await started({ "cages/shop/a.ts": `export const a = 1;` });
    const error = failed(
      await yard.save({
        "cages/shop/a.ts": `import { b } from "./b.ts"; export const a = 1; export const f = () => b;`,
        "cages/shop/b.ts": `import { none } from "./a.ts"; export const b = 1; export const g = () => none;`,
      }),
    );
    expect(error.message).toContain(`"./a.ts" has no export "none"`);
  });

  test("an edit that is broken until another file is saved is tried again with it, and reported once", async () => {
    await started({ "cages/shop/a.ts": `export const a = 1;`, "cages/shop/other.ts": `export const o = 1;` });
    const failures: string[] = [];
    const off = events.on("reload.failed", ({ message }) => failures.push(message));
    await yard.save({ "cages/shop/a.ts": `import { b } from "./b.ts"; export const a = b;` });
    await yard.save({ "cages/shop/other.ts": `export const o = 2;` });
    expect(yard.module("other").o).toBe(1);
    await yard.save({ "cages/shop/b.ts": `export const b = "b";` });
    off();
    expect([yard.module("a").a, yard.module("other").o, failures]).toEqual(["b", 2, [`cannot find "./b.ts"`]]);
  });

  test("a file that is still being written is waited for", async () => {
    await started({ "cages/shop/a.ts": `export const a = 1;` });
    yard.write({ "cages/shop/a.ts": "" });
    const reloading = yard.loader.reload("command", ["cages/shop/a.ts"]);
    yard.write({ "cages/shop/a.ts": `export const a = 2;` });
    expect(await reloading).toMatchObject({ ok: true, generation: 2 });
    expect(yard.module("a").a).toBe(2);
  });

  test("deleting a module that is still imported is a failed reload, not an outage", async () => {
    await started({
      "cages/shop/a.ts": `import { b } from "./b.ts"; export const a = () => b;`,
      "cages/shop/b.ts": `export const b = 1;`,
    });
    expect(failed(await yard.remove("cages/shop/b.ts")).message).toContain("cannot find");
    expect(yard.module("a").a()).toBe(1);
    await yard.save({ "cages/shop/a.ts": `export const a = () => 2;` });
    expect(yard.loader.current.names).toEqual(["a"]);
  });

  test("a first generation that does not load is refused with its frame, and may be tried again", async () => {
    yard = await Yard.make({ "cages/shop/a.ts": `export const a = ;` });
    await expect(yard.loader.start()).rejects.toMatchObject({ code: "LOAD", frame: expect.stringContaining("^") });
    expect(() => yard.loader.current).toThrow("has no modules loaded");
    yard.write({ "cages/shop/a.ts": `export const a = 1;` });
    await yard.loader.start();
    expect(yard.module("a").a).toBe(1);
    expect(yard.loader.history().map(({ ok, files }) => [ok, files])).toEqual([
      [false, ["cages/shop/a.ts"]],
      [true, ["cages/shop/a.ts"]],
    ]);
  });

  test("a module that never finishes loading is refused, and blocks nothing", async () => {
    yard = await Yard.make({ "cages/shop/a.ts": `export const a = 1;` });
    const loader = yard.another({ loadTimeoutMs: 50 });
    await loader.start();
    yard.write({ "cages/shop/a.ts": `await new Promise(() => {}); export const a = 2;` });
    expect(failed(await loader.reload("command"))).toMatchObject({
      file: yard.path("cages/shop/a.ts"),
      message: expect.stringContaining("top-level await"),
    });
    yard.write({ "cages/shop/a.ts": `export const a = 3;` });
    expect(await loader.reload("command")).toMatchObject({ ok: true });
    await loader.stop();
  });

  test("what the cage refuses in prepare is refused, and its error is the answer", async () => {
    await started({ "cages/shop/a.ts": `export const a = 1;` });
    yard.refuse = () => {
      throw Object.assign(new Error("the port is taken"), { code: "CONFIG" });
    };
    expect(failed(await yard.save({ "cages/shop/a.ts": `export const a = 2;` }))).toMatchObject({
      code: "CONFIG",
      message: "the port is taken",
    });
    yard.refuse = undefined;
    expect(await yard.loader.reload("command")).toMatchObject({ ok: true, generation: 2 });
    expect(yard.module("a").a).toBe(2);
    await expect.poll(() => yard.log).toEqual(["prepare 1", "commit 1", "prepare 2", "commit 2", "dispose 1"]);
  });

  test("reloads asked for at once are one pass after the running one", async () => {
    await started({ "cages/shop/a.ts": `export const a = 1;` });
    yard.write({ "cages/shop/a.ts": `export const a = 2;` });
    const results = await Promise.all([1, 2, 3].map(() => yard.loader.reload("command", ["cages/shop/a.ts"])));
    expect(results.map((each) => each.ok && each.generation)).toEqual([2, 2, 2]);
  });

  test("the history is kept over restarts, and numbers go on", async () => {
    await started({ "cages/shop/a.ts": `export const a = 1;` });
    await yard.save({ "cages/shop/a.ts": `export const a = ;` });
    await yard.save({ "cages/shop/a.ts": `export const a = 2;` });
    await yard.loader.stop();
    const next = yard.another();
    await next.start();
    expect(next.current.id).toBe(3);
    expect(next.history().map(({ generation, ok, trigger, files }) => [generation, ok, trigger, files])).toEqual([
      [1, true, "start", ["cages/shop/a.ts"]],
      [2, false, "command", ["cages/shop/a.ts"]],
      [2, true, "command", ["cages/shop/a.ts"]],
      [3, true, "start", ["cages/shop/a.ts"]],
    ]);
    expect(next.history()[1]?.error).toMatchObject({ line: 1, column: 18 });
    await next.stop();
  });
});

describe("what a reload leaves behind", () => {
  test("a generation that nobody holds is garbage, its stack names are forgotten", async () => {
    setFlagsFromString("--expose-gc");
    const gc = runInNewContext("gc") as () => void;
    await started({
      "cages/shop/a.ts": `import { big } from "./big.ts"; export const a = () => big.length;`,
      "cages/shop/big.ts": `export const big = new Array(100_000).fill(0);`,
    });
    let collected = 0;
    const registry = new FinalizationRegistry(() => collected++);
    const names = registered();
    for (let n = 1; n <= 20; n++) {
      registry.register(yard.loader.current, n);
      registry.register(yard.module("big").big, n);
      const hold = yard.loader.current.hold();
      await yard.save({ "cages/shop/big.ts": `export const big = new Array(100_000).fill(${n});` });
      hold.release();
    }
    await expect
      .poll(() => {
        gc();
        return collected;
      })
      .toBeGreaterThanOrEqual(38);
    expect(registered()).toBe(names);
  });

  test("a refused attempt leaves no names behind", async () => {
    await started({ "cages/shop/a.ts": `export const a = 1;` });
    const names = registered();
    await yard.save({ "cages/shop/a.ts": `export const a = 2;`, "cages/shop/b.ts": `throw new Error("no");` });
    await yard.save({ "cages/shop/c.ts": `await 0; const x = ;` });
    expect(registered()).toBe(names);
  });
});

describe("hooks", () => {
  const life = (name: string, more = "") => `import { hooks, note } from "#runtime"; ${more}
    export const state = { from: "${name}" };
    export const life = hooks({ start() { note("start ${name}"); }, stop() { note("stop ${name}"); }, handover(old) { note("${name} from " + old.state.from); } });`;
  const notes = () => yard.log.filter((line) => !/^(prepare|commit|dispose|abort) /.test(line));

  test("start before it serves, hand over from the old version, stop after the last request", async () => {
    await started({ "cages/shop/a.ts": life("one"), "cages/shop/b.ts": "export const b = 1;" });
    const hold = yard.loader.current.hold();
    await yard.save({ "cages/shop/b.ts": "export const b = 2;" });
    expect(notes()).toEqual(["start one"]);
    await yard.save({ "cages/shop/a.ts": life("two") });
    expect(notes()).toEqual(["start one", "two from one", "start two"]);
    hold.release();
    await expect.poll(notes).toEqual(["start one", "two from one", "start two", "stop one"]);
    await yard.loader.stop();
    expect(notes().at(-1)).toBe("stop two");
  });

  test("a start hook that throws refuses the reload, and what had started is stopped", async () => {
    await started({ "cages/shop/a.ts": life("a1"), "cages/shop/b.ts": "export const b = 1;" });
    const error = failed(
      await yard.save({
        "cages/shop/a.ts": life("a2"),
        "cages/shop/b.ts": `import { hooks } from "#runtime"; import "./a.ts";\nexport const life = hooks({ start() {\n  throw new Error("no");\n} });`,
      }),
    );
    expect(error).toMatchObject({
      file: yard.path("cages/shop/b.ts"),
      line: 3,
      column: 9,
      message: "its start hook failed: no",
    });
    expect(notes()).toEqual(["start a1", "a2 from a1", "start a2", "stop a2"]);
    expect(yard.log.at(-1)).toBe("abort 2");
    expect(yard.module("b").b).toBe(1);
  });

  test("a module with hooks may not come lazily", async () => {
    await started({
      "cages/shop/a.ts": `export const get = () => import("./sub/b.ts");`,
      "cages/shop/sub/b.ts": life("b"),
    });
    for (let time = 1; time <= 2; time++)
      await expect(yard.module("a").get()).rejects.toThrow("a module with hooks loads with the cage");
  });
});

describe("stack traces", () => {
  test("show the author's line and the generation, for two versions of a file at once", async () => {
    await started({
      "cages/shop/a.ts": `interface Gone {\n  x: number;\n}\nexport async function fail(gate: Promise<void>) {\n  await gate;\n  throw new Error("old");\n}`,
    });
    const hold = yard.loader.current.hold();
    let open = () => {};
    const old = yard.module("a").fail(new Promise<void>((done) => (open = done)));
    await yard.save({
      "cages/shop/a.ts": `export async function fail(gate: Promise<void>) {\n  await gate; throw new Error("new");\n}`,
    });
    open();
    const stacks = await Promise.all(
      [old, yard.module("a").fail(Promise.resolve())].map((each) => each.catch((error: Error) => error.stack)),
    );
    const file = yard.path("cages/shop/a.ts");
    expect(stacks[0]).toContain(`Error: old\n    at Module.fail [g1] (${file}:6:9)`);
    expect(stacks[1]).toContain(`Error: new\n    at Module.fail [g2] (${file}:2:21)`);
    hold.release();
  });
});
