/** What the compiler prints is read whole: with it, what a module imports and exports. */
import { expect, test } from "vitest";
import { Compiler } from "../../../runtime/modules/compile.ts";

const entriesOf = async (text: string) => (await new Compiler().compile("/x.ts", text)).entries;

test("every kind of import and export is read, whatever comments stand around it", async () => {
  const entries = await entriesOf(`#!/usr/bin/env node
    /** a license; import { no } from "./no.ts"; */
    "use strict";
    import type { T } from "./types.ts";
    import data from "./data.json" with { type: "json" };
    /* between */ import { a as b, type U } from "./a.ts"; // after
    import "./side.ts";
    import whole, * as all from "./whole.ts";
    /** of K */
    export class K { x = b }
    // a star
    export * from "./s.ts"; export * as s from "./s.ts";
    export { b, all, whole as "a name", type T };
    export { "odd name" as "other name", default as def } from "./odd.ts";
    export enum E { One }
    /** of fn */ export const fn = () => data, { p, q: [r] } = { p: 1, q: [2] };
    export default b;
    const decoy = \`
Object.defineProperty(__vite_ssr_exports__, "decoy", { enumerable: true, configurable: true, get() { return decoy; } });
\`;
    export * from "./late.ts";
    import { ä } from "./late.ts";
    export { ä };`);
  expect(entries.stars).toEqual(["./s.ts", "./late.ts"]);
  expect(entries.imports).toEqual([
    ["./data.json", ["default"]],
    ["./a.ts", ["a"]],
    ["./whole.ts", ["default"]],
    ["./odd.ts", ["odd name", "default"]],
    ["./late.ts", ["ä"]],
  ]);
  expect({ ...entries.exports }).toEqual({
    K: null,
    s: null,
    b: ["./a.ts", "a"],
    all: null,
    "a name": ["./whole.ts", "default"],
    "other name": ["./odd.ts", "odd name"],
    def: ["./odd.ts", "default"],
    E: null,
    fn: null,
    p: null,
    r: null,
    default: null,
    ä: ["./late.ts", "ä"],
  });
});

test("a module without imports or exports has none", async () => {
  expect(await entriesOf(`const x = 1;`)).toMatchObject({ imports: [], stars: [], exports: {} });
});
