/**
 * The cages that the reload benchmark edits, as files: a binary tree of modules of about 40 lines each (the last is a
 * leaf under a chain of importers), and a hub that 50 modules import.
 */
import type { Where } from "./load.ts";

export const treeSize = 100;

/** Of the work of a request: some 0.3 ms. */
const laps = 300_000;
const work = (count: number, more = ""): string =>
  `export function work(): number { let sum = 0; for (let n = 0; n < ${Math.round(count)}; n++) sum = (sum * 31 + n) | 0; return sum${more}; }`;

const filler = Array.from(
  { length: 30 },
  (_, line) => `const a${line} = (n: number): number => n + ${line};\nvoid a${line};`,
).join("\n");

export function treeModule(at: number, size: number, version = 0): string {
  const children = [2 * at + 1, 2 * at + 2].filter((child) => child < size);
  const own = at === size - 1 ? `"<${version}>"` : `""`;
  return [
    ...children.map((child) => `import { f as f${child}, work as w${child} } from "./m${child}.ts";`),
    filler,
    `export function f(): string { return [${[own, ...children.map((child) => `f${child}()`)].join(", ")}].join(""); }`,
    work(laps / size, children.map((child) => ` + w${child}()`).join("")),
  ].join("\n");
}

/** cages/NAME/m0.ts ... : saving m(size-1) makes it and its chain of importers anew. */
export function tree(cage: string, size: number): Record<string, string> {
  const files: Record<string, string> = {};
  for (let at = 0; at < size; at++) files[`cages/${cage}/m${at}.ts`] = treeModule(at, size);
  return files;
}

export const hubModule = (version: number): string =>
  `${filler}\nexport const f = (): string => "<${version}>";\nexport const n = ${version};\n`;

/** cages/NAME/hub.ts, with 50 importers and one module above them. */
export function hub(cage: string): Record<string, string> {
  const files: Record<string, string> = { [`cages/${cage}/hub.ts`]: hubModule(0) };
  const names = Array.from({ length: 50 }, (_, at) => `i${at}`);
  for (const name of names)
    files[`cages/${cage}/${name}.ts`] =
      `import { f, n } from "./hub.ts";\n${filler}\nexport const g = () => f();\nexport const twice = n * 2;\n`;
  files[`cages/${cage}/all.ts`] = [
    ...names.map((name) => `import { g as ${name} } from "./${name}.ts";`),
    `export const f = (): string => [${names.join(", ")}].map((g) => g())[49] as string;`,
    work(0),
  ].join("\n");
  return files;
}

export const config = (port: number): string =>
  `import { defineCage } from "#runtime";
export const config = defineCage({ interfaces: { web: { protocol: "http", port: ${port}, running: 200, waiting: 2_000 } } });\n`;

/** Work in a module that no save of the leaf makes anew. */
export const sums = `${work(laps)}\n`;

/** Where the work of a request is done: the modules of the cage share it, or one does it all. */
const routes: Record<Where, string> = { work: "work()", kept: "kept()", anew: "own()" };

/**
 * Answers with the version, with the longest hold-up of the event loop since the last question, and after some work:
 * "/work" does it in all modules of the cage, an equal part in each, of which a save of the leaf makes some anew;
 * "/kept" in one that stays as it is, "/anew" in this one, which imports what is saved and so begins each generation with
 * code that V8 has not optimized yet. A hold-up is a 1 ms timer's lateness less the time for which the kernel ran other
 * programs (run delay, Linux).
 */
export const web = (from: string): string => `import { readFileSync } from "node:fs";
import { keep } from "#runtime";
import { f, work } from "./${from}";
import { work as kept } from "./sums.ts";
const away = () => { try { return Number(readFileSync("/proc/self/schedstat", "latin1").split(" ")[1]) / 1e6; } catch { return 0; } };
const delay = keep("delay", () => {
  const made = { max: 0, at: performance.now(), away: away() };
  setInterval(() => {
    const [at, gone] = [performance.now(), away()];
    made.max = Math.max(made.max, at - made.at - 1 - (gone - made.away));
    made.at = at;
    made.away = gone;
  }, 1).unref();
  return made;
});
export const routes = {
  "GET /": () => f(),
  "GET /block": () => { const { max } = delay; delay.max = 0; return String(max); },
${Object.entries(routes)
  .map(([where, sum]) => `  "GET /${where}": () => f() + ${sum},`)
  .join("\n")}
};
${work(laps).replace("export function work", "function own")}
`;
