/**
 * The same files, loaded by Node and by us: names, values, order of evaluation and live bindings must be the same.
 */
import { pathToFileURL } from "node:url";
import { constants, Script } from "node:vm";
import { afterEach, expect, test } from "vitest";
import { type Files, Yard } from "./yard.ts";

let yard: Yard;
afterEach(() => yard.away());

// Node's own import(): the one of this file is the test runner's.
const nodeImport = new Script("(spec) => import(spec)", {
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
}).runInThisContext() as (spec: string) => Promise<object>;

const log = "(globalThis.evaluated ??= []).push(import.meta.filename.split('/').pop());";
const head = (name: string): string => (name.startsWith("sub/") ? log : "");

const cases: Readonly<Record<string, Files>> = {
  "cycle with live bindings": {
    "sub/main.mjs": `import { bump, count } from "./a.mjs"; bump(); bump(); export { count, bump }; export const after = count;`,
    "sub/a.mjs": `import { read } from "./b.mjs"; export let count = 0; export function bump() { count += 1; return read(); } `,
    "sub/b.mjs": `import { count, bump } from "./a.mjs"; export const read = () => count; export const kind = typeof bump;`,
  },
  "a binding used before it is ready": {
    "sub/main.mjs": `import "./a.mjs"; export const fine = true;`,
    "sub/a.mjs": `import { b } from "./b.mjs"; export const a = b;`,
    "sub/b.mjs": `import { a } from "./a.mjs"; export let b; try { b = a; } catch (error) { b = error.name; }`,
  },
  "re-exports of every kind": {
    "sub/main.mjs": `export * from "./x.mjs"; export * as x from "./x.mjs"; export { default, one as uno } from "./x.mjs"; export { v as "string name" } from "./y.mjs"; export * from "./y.mjs";`,
    "sub/x.mjs": `export const one = 1; export default class Named {} export function fn() { return this; } export const { p, q: [r] } = { p: 1, q: [2] };`,
    "sub/y.mjs": `export var v = 1; v = 2; export { one as eins } from "./x.mjs"; export async function* gen() {}`,
  },
  "a name that two stars bring is in neither": {
    "sub/main.mjs": `export * from "./barrel.mjs"; import * as barrel from "./barrel.mjs"; export const has = ["x", "y", "n"].map((name) => name in barrel); export const names = Object.keys(barrel).sort(); const said = (error) => /conflicting star exports/.exec(error.message)?.[0]; export const refused = [await import("./named.mjs").catch(said), await import("./passing.mjs").catch(said)];`,
    "sub/barrel.mjs": `export * from "./a.mjs"; export * from "./b.mjs";`,
    "sub/a.mjs": `export const x = 1, y = 2; export * as n from "./c.mjs"; export default 1;`,
    "sub/b.mjs": `export const x = 1, z = 3; export * as n from "./c.mjs"; export default 2;`,
    "sub/c.mjs": `export const c = 1;`,
    "sub/named.mjs": `import { x } from "./barrel.mjs"; export const never = x;`,
    "sub/passing.mjs": `export { n as other } from "./barrel.mjs";`,
  },
  "one binding by two paths is one name": {
    "sub/main.mjs": `export * from "./stars.mjs"; export * from "./renamed.mjs"; export * from "./imported.mjs"; export * from "./x.mjs"; export * from "node:querystring"; export * from "./query.mjs"; import { x, raise, stringify } from "./main.mjs"; raise(); export const seen = [x, typeof stringify];`,
    "sub/stars.mjs": `export * from "./x.mjs";`,
    "sub/renamed.mjs": `export { inner as x, raise } from "./deep.mjs";`,
    "sub/imported.mjs": `import { inner, raise } from "./deep.mjs"; export { inner as x, raise };`,
    "sub/x.mjs": `export { inner as x, raise } from "./deep.mjs"; export const only = 1;`,
    "sub/deep.mjs": `export let inner = 1; export const raise = () => { inner += 1; };`,
    "sub/query.mjs": `export { stringify } from "node:querystring"; export * from "querystring";`,
  },
  "an own name is before a star's": {
    "sub/main.mjs": `export * from "./a.mjs"; export * from "./b.mjs"; export const x = "own"; export { y } from "./b.mjs";`,
    "sub/a.mjs": `export const x = "a", y = "a", z = "a", toString = "a";`,
    "sub/b.mjs": `export const x = "b", y = "b";`,
  },
  "cycles of stars": {
    "sub/main.mjs": `export * from "./a.mjs"; import * as a from "./a.mjs"; import * as b from "./b.mjs"; import * as c from "./c.mjs"; export const names = [a, b, c].map((each) => Object.keys(each).sort()); export { late } from "./c.mjs"; export const gone = await import("./gone.mjs").catch(() => "refused");`,
    "sub/a.mjs": `export * from "./b.mjs"; export * from "./late.mjs"; export const ofA = 1, both = "a";`,
    "sub/b.mjs": `export * from "./c.mjs"; import { late } from "./c.mjs"; export const ofB = 1, both = "b"; export const read = () => late;`,
    "sub/c.mjs": `export * from "./a.mjs"; export * from "./b.mjs"; export const ofC = 1;`,
    "sub/late.mjs": `export const late = 1;`,
    "sub/gone.mjs": `import { gone } from "./ring.mjs"; export const never = gone;`,
    "sub/ring.mjs": `export { gone } from "./ring2.mjs"; export * from "./ring.mjs";`,
    "sub/ring2.mjs": `export { gone } from "./ring.mjs";`,
  },
  "a namespace takes no other names": {
    "sub/main.mjs": `import * as a from "./a.mjs"; import * as self from "./main.mjs"; const name = (work) => { try { work(); return "fine"; } catch (error) { return error.name; } }; export const added = name(() => { a.more = 1; }); export const set = name(() => { a.x = 2; }); export const removed = name(() => { delete a.x; }); export const own = name(() => { self.more = 1; }); export const open = Object.isExtensible(a);`,
    "sub/a.mjs": `export const x = 1;`,
  },
  "order with top-level await": {
    "sub/main.mjs": `import "./slow.mjs"; import "./fast.mjs"; export const order = [...globalThis.evaluated];`,
    "sub/slow.mjs": `await new Promise((done) => setTimeout(done, 5)); import "./deep.mjs";`,
    "sub/fast.mjs": `import "./deep.mjs";`,
    "sub/deep.mjs": `export {};`,
  },
  "dynamic imports": {
    "sub/main.mjs": `export const early = (await import("./lazy.mjs")).value; export const same = (await import("./lazy.mjs")) === (await import("./lazy.mjs")); export const failed = await import("./bad.mjs").catch((error) => error.message); export const again = await import("./bad.mjs").catch((error) => error.message);`,
    "sub/lazy.mjs": `export const value = import.meta.url.split("/").pop();`,
    "sub/bad.mjs": `throw new Error("bad");`,
  },
  "packages and builtins": {
    "sub/main.mjs": `import def, * as all from "node:path"; import { EventEmitter } from "events"; import cjs, { named } from "old"; import { z } from "new"; export const facts = [typeof def.join, all.join === def.join, EventEmitter.name, cjs.named, named, z];`,
    "node_modules/old/package.json": `{"name":"old","main":"./i.js"}`,
    "node_modules/old/i.js": `exports.named = "n"; exports.other = 1;`,
    "node_modules/new/package.json": `{"name":"new","exports":{"node":{"import":"./m.mjs"},"default":"./none.js"}}`,
    "node_modules/new/m.mjs": `export const z = "esm";`,
  },
  "a line for the shell, and a string that looks like code": {
    "sub/main.mjs": `#!/usr/bin/env node\nimport path, * as all from "node:path";\nexport const text = \`\nexport const x = import("./none.mjs");\n\`; export const same = path.join === all.join;`,
  },
  "this, strict mode and names": {
    "sub/main.mjs": `export const self = typeof this; export const strict = (function () { return this === undefined; })(); export class A { static #x = 1; static has(o) { return #x in o; } } export const name = A.name + (() => {}).name; export const arrow = () => 1; export const arrowName = arrow.name; let exports = 1, module = 2, require = 3; export const sum = exports + module + require;`,
  },
};

const shown = (namespace: object): unknown =>
  Object.fromEntries(
    Object.keys(namespace)
      .sort()
      .map((key) => [
        key,
        String(
          JSON.stringify((namespace as Record<string, unknown>)[key]) ??
            typeof (namespace as Record<string, unknown>)[key],
        ),
      ]),
  );

test.each(Object.entries(cases))("%s: as in Node", async (_title, files) => {
  const all = Object.entries(files).map(
    ([name, text]) =>
      [`cages/shop/${name}`, text.startsWith("#!") ? `${text}\n${log}` : `${head(name)} ${text}`.trim()] as const,
  );
  yard = await Yard.make(
    Object.fromEntries(all.map(([name, text]) => [name, name.includes("node_modules") ? text.replace(log, "") : text])),
  );
  const world = globalThis as { evaluated?: string[] };
  world.evaluated = [];
  const native = await nodeImport(pathToFileURL(yard.path("cages/shop/sub/main.mjs")).href);
  const nativeOrder = world.evaluated;
  world.evaluated = [];
  yard.write({ "cages/shop/root.ts": `import * as main from "./sub/main.mjs"; export { main };` });
  await yard.loader.start();
  const ours = yard.module("root").main;
  expect(shown(ours)).toEqual(shown(native));
  expect(world.evaluated).toEqual(nativeOrder);
  expect(nativeOrder.length).toBeGreaterThan(0);
});
