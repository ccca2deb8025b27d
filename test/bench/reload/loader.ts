/**
 * The module loader alone, in this process: a reload by command beside a bare transform-and-evaluate of the same files,
 * and what reloads of a module that holds 1 MB leave behind, in heap and in open handles.
 */
import { mkdirSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext, Script } from "node:vm";
import { Compiler } from "../../../runtime/modules/compile.ts";
import { Loader } from "../../../runtime/modules/loader.ts";
import { median } from "../figures.ts";
import { treeModule, treeSize } from "./cages.ts";

export function loaderIn(root: string, cage: string): Loader<undefined> {
  return new Loader<undefined>({
    root,
    home: resolve(import.meta.dirname, "../../.."),
    cage,
    stateDir: join(root, "state", "bench"),
    externals: {},
    prepare: async () => ({ attachment: undefined, commit() {}, async abort() {} }),
    runHook: async (_generation, hook) => void (await hook()),
    dispose: async () => {},
  });
}

const fileOf = (root: string, cage: string, at: number): string => join(root, "cages", cage, `m${at}.ts`);

/** Medians in ms, measured in turns: ours by command, and the least that any reload must do. */
export async function floor(root: string, cage: string, count: number): Promise<{ ours: number; bare: number }> {
  const loader = loaderIn(root, cage);
  await loader.start();
  const chain: number[] = [];
  for (let at = treeSize - 1; ; at = Math.floor((at - 1) / 2)) {
    chain.push(at);
    if (at === 0) break;
  }
  const evaluate = await evaluator(root, cage, chain);
  const file = fileOf(root, cage, treeSize - 1);
  const ours: number[] = [];
  const bare: number[] = [];
  const timed = async (into: number[], work: () => Promise<unknown>, n: number) => {
    const at = performance.now();
    await work();
    if (n > count / 10) into.push(performance.now() - at);
  };
  for (let n = 1; n <= count; n++) {
    await writeFile(file, treeModule(treeSize - 1, treeSize, 2 * n));
    await timed(ours, () => loader.reload("command", [file]), n);
    // Another text, so that neither finds the other's work in a cache.
    await writeFile(file, treeModule(treeSize - 1, treeSize, 2 * n + 1));
    await timed(bare, () => evaluate(), n);
  }
  await loader.stop();
  return { ours: median(ours), bare: median(bare) };
}

const head = "(async (__vite_ssr_exports__, __vite_ssr_import__, __vite_ssr_exportAll__) => {\n";
type Body = (exports: object, load: (spec: string) => Promise<object>, all: () => void) => Promise<void>;

/** Reads and transforms the leaf, compiles it, and runs it and its importers, whose scripts are at hand as in ours. */
async function evaluator(root: string, cage: string, chain: readonly number[]): Promise<() => Promise<void>> {
  const compiler = new Compiler();
  const script = async (at: number, text: string) =>
    new Script(`${head}${(await compiler.compile(fileOf(root, cage, at), text)).code}\n})`);
  const scripts = new Map<number, Script>();
  for (const at of chain) scripts.set(at, await script(at, treeModule(at, treeSize)));
  const leaf = chain[0] as number;
  return async () => {
    const made = new Map<string, object>();
    const fresh = await script(leaf, await readFile(fileOf(root, cage, leaf), "utf8"));
    for (const at of chain) {
      const exports = {};
      const body = (at === leaf ? fresh : (scripts.get(at) as Script)).runInThisContext() as Body;
      await body(
        exports,
        async (spec) => made.get(spec) ?? { f: () => "" },
        () => {},
      );
      made.set(`./m${at}.ts`, exports);
    }
  };
}

export interface Left {
  /** The fitted slope of the collected heap, times 10,000 reloads. */
  readonly heapGrowthMb: number;
  readonly handlesBefore: number;
  readonly handlesAfter: number;
  readonly takenMs: number;
}

export async function leftBehind(root: string, count: number): Promise<Left> {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  const heapMb = () => {
    gc();
    gc();
    return process.memoryUsage().heapUsed / 2 ** 20;
  };
  const handles = () => process.getActiveResourcesInfo().filter((name) => !/Timeout|Immediate/.test(name)).length;
  mkdirSync(join(root, "cages", "big"), { recursive: true });
  const big = join(root, "cages", "big", "big.ts");
  await writeFile(big, "export const n = 0;\n");
  const loader = loaderIn(root, "big");
  await loader.start();
  await loader.watch();
  const taken: number[] = [];
  const points: [number, number][] = [];
  let handlesBefore = 0;
  for (let n = 1; n <= count; n++) {
    await writeFile(big, `export const bytes = new Array(131_072).fill(${n});\nexport const f = () => bytes[0];\n`);
    const hold = loader.current.hold();
    const at = performance.now();
    await loader.reload("command", [big]);
    taken.push(performance.now() - at);
    hold.release();
    if (n < warmUpOf(count) || n % Math.ceil(count / 40) !== 0) continue;
    handlesBefore ||= handles();
    // The old generation ends a moment after it was let go, and what is kept of it is written behind.
    await new Promise((next) => setTimeout(next, 150));
    points.push([n, heapMb()]);
  }
  const handlesAfter = handles();
  await loader.stop();
  await rm(join(root, "cages", "big"), { recursive: true });
  return { heapGrowthMb: slope(points) * 10_000, handlesBefore, handlesAfter, takenMs: median(taken) };
}

/** The first part fills what is bounded: history, compiled texts, V8's own caches. */
const warmUpOf = (count: number): number => Math.max(count / 5, Math.min(1_000, count / 2));

/** Least squares; of a handful of points the odd one would tilt it, hence forty. */
function slope(points: readonly (readonly [number, number])[]): number {
  const mean = (at: 0 | 1) => points.reduce((sum, point) => sum + point[at], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const over = points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0);
  return over / points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0);
}
