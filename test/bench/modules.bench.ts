/**
 * The module loader alone: a cage of 100 modules started without and with a compile cache, a save until its code is
 * current (write beside, rename, watcher), a reload by command, what reloads of a module holding 1 MB leave in the heap
 * after collection, and a call from one module into another against the same call in Node's own modules.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";
import { constants, runInNewContext, Script } from "node:vm";
import { events } from "../../runtime/health/events.ts";
import { Loader } from "../../runtime/modules/loader.ts";
import { median, ms, percentile, rounded } from "./figures.ts";
import type { Bench } from "./run.ts";

const modules = 100;

/** A binary tree: module n imports 2n+1 and 2n+2; the last is a leaf with a chain of importers up to the root. */
function text(n: number, version: number): string {
  const children = [2 * n + 1, 2 * n + 2].filter((child) => child < modules);
  const filler = Array.from({ length: 12 }, (_, i) =>
    [
      `export interface Row${i} { id: number; name: string }`,
      `export function part${i}(row: Row${i}): string {\n  return row.name + row.id;\n}`,
    ].join("\n"),
  );
  return [
    ...children.map((child) => `import { f as f${child} } from "./m${child}.ts";`),
    ...filler,
    `export function f(): number {\n  return ${[`${version}`, ...children.map((child) => `f${child}()`)].join(" + ")};\n}`,
  ].join("\n");
}

function loaderIn(root: string, cage = "bench"): Loader<undefined> {
  return new Loader<undefined>({
    root,
    home: resolve(import.meta.dirname, "../.."),
    cage,
    stateDir: join(root, "state"),
    externals: {},
    prepare: async () => ({ attachment: undefined, commit() {}, async abort() {} }),
    runHook: async (_generation, hook) => void (await hook()),
    dispose: async () => {},
  });
}

async function took(work: () => Promise<unknown>): Promise<number> {
  const at = performance.now();
  await work();
  return performance.now() - at;
}

const pause = (forMs: number) => new Promise((next) => setTimeout(next, forMs));

async function saves(root: string, count: number): Promise<number[]> {
  const loader = loaderIn(root);
  await loader.start();
  await loader.watch();
  const leaf = join(root, "cages", "bench", `m${modules - 1}.ts`);
  const taken: number[] = [];
  for (let n = 1; n <= count; n++) {
    await writeFile(`${leaf}.draft`, text(modules - 1, n));
    const done = new Promise<void>((swapped) => {
      const off = events.on("reload.done", () => {
        off();
        swapped();
      });
    });
    const spent = await took(async () => {
      await rename(`${leaf}.draft`, leaf);
      await done;
    });
    if (n > 5) taken.push(spent);
    // Past the settle pass, so that each save stands alone.
    await pause(130);
  }
  await loader.stop();
  return taken;
}

async function reloads(root: string, count: number): Promise<{ taken: number[]; grownMb: number }> {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  const heapMb = () => {
    gc();
    gc();
    return process.memoryUsage().heapUsed / 2 ** 20;
  };
  const loader = loaderIn(root);
  await loader.start();
  const big = join(root, "cages", "bench", "big.ts");
  const taken: number[] = [];
  let base = 0;
  for (let n = 1; n <= count; n++) {
    await writeFile(big, `export const bytes = new Array(131072).fill(${n});\nexport const f = () => bytes[0];\n`);
    const hold = loader.current.hold();
    taken.push(await took(() => loader.reload("command", [big])));
    hold.release();
    // The first fifth warms up.
    if (n === Math.floor(count / 5)) base = heapMb();
  }
  await pause(100);
  const grownMb = heapMb() - base;
  await loader.stop();
  await rm(big);
  return { taken, grownMb };
}

const callee = (end: string) =>
  `export const work = (x) => { let s = x; for (let i = 0; i < 40; i++) s = (s * 31 + i) | 0; return s; }; // ${end}`;
const caller = (from: string) =>
  `import { work } from "${from}"; export function loop(n) { let s = 0; for (let i = 0; i < n; i++) s = (s + work(i)) | 0; return s; }`;

/** Nanoseconds a call, ours after a reload and Node's, best of several. */
async function calls(root: string): Promise<{ ours: number; native: number }> {
  const folder = join(root, "cages", "calls");
  mkdirSync(join(folder, "sub"), { recursive: true });
  const write = async (end: string) => await writeFile(join(folder, "sub", "callee.mjs"), callee(end));
  await write("one");
  await writeFile(join(folder, "sub", "caller.mjs"), caller("./callee.mjs"));
  await writeFile(join(folder, "a.ts"), `export * from "./sub/caller.mjs";`);
  const loader = loaderIn(root, "calls");
  await loader.start();
  await write("two");
  await loader.reload("command", [join(folder, "sub", "callee.mjs")]);
  // Not the import() of this file, which tsx transforms.
  const nativeImport = new Script("(spec) => import(spec)", {
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  }).runInThisContext() as (spec: string) => Promise<{ loop(n: number): number }>;
  const ours = loader.current.module("a")?.["loop"] as (n: number) => number;
  const { loop: native } = await nativeImport(pathToFileURL(join(folder, "sub", "caller.mjs")).href);
  const best = { ours: Number.POSITIVE_INFINITY, native: Number.POSITIVE_INFINITY };
  const rounds = 200_000;
  for (let round = 0; round < 24; round++)
    for (const [name, loop] of [["ours", ours] as const, ["native", native] as const]) {
      const at = performance.now();
      loop(rounds);
      best[name] = Math.min(best[name], ((performance.now() - at) / rounds) * 1e6);
    }
  await loader.stop();
  return best;
}

export const bench: Bench = {
  async run({ quick }) {
    const root = mkdtempSync(join(tmpdir(), "cage-bench-"));
    try {
      const folder = join(root, "cages", "bench");
      mkdirSync(folder, { recursive: true });
      for (let n = 0; n < modules; n++) await writeFile(join(folder, `m${n}.ts`), text(n, 0));
      const starts: number[] = [];
      for (let n = 0; n < 2; n++) {
        const loader = loaderIn(root);
        starts.push(await took(() => loader.start()));
        await loader.stop();
      }
      const [coldMs, warmMs] = starts as [number, number];
      const saved = await saves(root, quick ? 35 : 105);
      const count = quick ? 300 : 1_000;
      const { taken, grownMb } = await reloads(root, count);
      const { ours, native } = await calls(root);
      return {
        rows: [
          ["THE LOADER, 100 MODULES", "P50 MS", "P95 MS", "RUNS"],
          ["start, nothing compiled", ms(coldMs), "", "1"],
          ["start, all compiled before", ms(warmMs), "", "1"],
          ["save -> current", ms(median(saved)), ms(percentile(saved, 0.95)), String(saved.length)],
          ["reload by command", ms(median(taken)), ms(percentile(taken, 0.95)), String(taken.length)],
          [`heap left by ${count} reloads of 1 MB: ${grownMb.toFixed(2)} MB`, "", "", ""],
          [`a call between modules: ${ours.toFixed(1)} ns, in Node's own ${native.toFixed(1)} ns`, "", "", ""],
        ],
        keys: {
          cold_ms: rounded(coldMs),
          warm_ms: rounded(warmMs),
          save_p50_ms: rounded(median(saved)),
          save_p95_ms: rounded(percentile(saved, 0.95)),
          reload_p50_ms: rounded(median(taken)),
          reload_p95_ms: rounded(percentile(taken, 0.95)),
          heap_growth_mb: rounded(grownMb),
          call_ratio: rounded(ours / native),
        },
      };
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  },
};
