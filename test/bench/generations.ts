/**
 * What a save costs: from the write to the new code being current, in a cage of 100 modules, and what 1,000 reloads
 * leave behind.
 *
 *     npx tsx test/bench/generations.ts [modules] [reloads]
 *
 * Prints one line of JSON. `saveMs`: write + rename -> swapped, through the watcher. `reloadMs`: the pass alone, by
 * command. `heapGrowthMb`: after collection, over the reloads of a module that holds 1 MB, first fifth left out.
 */
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { events } from "../../runtime/health/events.ts";
import { Loader } from "../../runtime/modules/loader.ts";

const modules = Number(process.argv[2] ?? 100);
const reloads = Number(process.argv[3] ?? 1_000);
setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

const root = await mkdtemp(join(tmpdir(), "cage-bench-"));
const folder = join(root, "cages", "bench");
await mkdir(folder, { recursive: true });
// A binary tree: module n imports 2n+1 and 2n+2; the last one is a leaf with a chain of importers up to the root.
for (let n = 0; n < modules; n++) await writeFile(join(folder, `m${n}.ts`), text(n, 0));

function text(n: number, version: number): string {
  const children = [2 * n + 1, 2 * n + 2].filter((child) => child < modules);
  const imports = children.map((child) => `import { f as f${child} } from "./m${child}.ts";`).join("\n");
  const filler = Array.from(
    { length: 12 },
    (_, i) =>
      `export interface Row${i} { id: number; name: string }\nexport function part${i}(row: Row${i}): string {\n  return row.name + row.id;\n}`,
  ).join("\n");
  const sum = [`${version}`, ...children.map((child) => `f${child}()`)].join(" + ");
  return `${imports}\n${filler}\nexport function f(): number {\n  return ${sum};\n}\n`;
}

const build = () =>
  new Loader<undefined>({
    root,
    home: resolve(import.meta.dirname, "../.."),
    cage: "bench",
    stateDir: join(root, "state"),
    externals: {},
    prepare: async () => ({ attachment: undefined, commit() {}, async abort() {} }),
    runHook: async (_generation, hook) => void (await hook()),
    dispose: async () => {},
  });

const took = async (work: () => Promise<unknown>): Promise<number> => {
  const at = performance.now();
  await work();
  return performance.now() - at;
};
const at = (values: readonly number[], share: number): number =>
  Number([...values].sort((a, b) => a - b)[Math.floor((values.length - 1) * share)]?.toFixed(2));
const heapMb = (): number => {
  gc();
  gc();
  return process.memoryUsage().heapUsed / 2 ** 20;
};

const cold = build();
const coldMs = await took(() => cold.start());
await cold.stop();
const loader = build();
const warmMs = await took(() => loader.start());
await loader.watch();

const leaf = modules - 1;
const saves: number[] = [];
for (let n = 1; n <= 60; n++) {
  const done = new Promise<void>((resolve) => {
    const off = events.on("reload.done", () => {
      off();
      resolve();
    });
  });
  await writeFile(join(folder, ".draft"), text(leaf, n));
  saves.push(
    await took(async () => {
      await rename(join(folder, ".draft"), join(folder, `m${leaf}.ts`));
      await done;
    }),
  );
  // The settle pass of one save must not be counted in the next.
  await new Promise((next) => setTimeout(next, 130));
}
await loader.stop();

const bare = build();
await bare.start();
const passes: number[] = [];
let base = 0;
let collected = 0;
const registry = new FinalizationRegistry(() => collected++);
const big = join(folder, "big.ts");
for (let n = 1; n <= reloads; n++) {
  await writeFile(big, `export const bytes = new Array(131072).fill(${n});\nexport const f = () => bytes[0];\n`);
  const hold = bare.current.hold();
  registry.register(bare.current, n);
  passes.push(await took(() => bare.reload("command", [big])));
  hold.release();
  if (n === Math.floor(reloads / 5)) base = heapMb();
}
await new Promise((next) => setTimeout(next, 100));
const grown = heapMb() - base;
await new Promise((next) => setTimeout(next, 20));
console.log(
  JSON.stringify({
    modules,
    coldMs: Math.round(coldMs),
    warmMs: Math.round(warmMs),
    saveMs: { p50: at(saves, 0.5), p95: at(saves, 0.95) },
    reloadMs: { p50: at(passes, 0.5), p95: at(passes, 0.95) },
    reloads,
    heapGrowthMb: Number(grown.toFixed(2)),
    collected,
  }),
);
await bare.stop();
await rm(root, { recursive: true, force: true });
