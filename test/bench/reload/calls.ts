/**
 * A call from one module of a cage into another, after a reload, against the same call in Node's own modules; and what a
 * request's context (AsyncLocalStorage) costs. Best of several, in turns.
 */
import { mkdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { constants, Script } from "node:vm";
import { current, type Lease, Request, run, type Services } from "../../../runtime/request/request.ts";
import { loaderIn } from "./loader.ts";

const callee = (end: string) =>
  `export const work = (x) => { let s = x; for (let i = 0; i < 40; i++) s = (s * 31 + i) | 0; return s; }; // ${end}`;
const caller = (from: string) =>
  `import { work } from "${from}"; export function loop(n) { let s = 0; for (let i = 0; i < n; i++) s = (s + work(i)) | 0; return s; }`;

export interface Calls {
  readonly ours: number;
  readonly native: number;
  /** Nanoseconds: `current()`, and entering a request. */
  readonly context: number;
  readonly enter: number;
}

export async function calls(root: string): Promise<Calls> {
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
  // Short and many: on a busy machine some of them are undisturbed.
  const rounds = 20_000;
  for (let round = 0; round < 300; round++)
    for (const [name, loop] of [["ours", ours] as const, ["native", native] as const])
      best[name] = Math.min(
        best[name],
        timed(rounds, () => loop(rounds)),
      );
  await loader.stop();
  return { ...best, ...contexts() };
}

function contexts(): { context: number; enter: number } {
  const lease: Lease = {
    id: 1,
    module: () => undefined,
    resource: () => undefined,
    config: {},
    again: () => lease,
    release() {},
  };
  const request = new Request({
    services: {} as Services,
    lease,
    interface: "bench",
    label: "bench",
    timeoutMs: 60_000,
  });
  const rounds = 100_000;
  const best = { context: Number.POSITIVE_INFINITY, enter: Number.POSITIVE_INFINITY };
  for (let round = 0; round < 12; round++) {
    run(request, () => {
      best.context = Math.min(
        best.context,
        timed(rounds, () => {
          for (let n = 0; n < rounds; n++) current();
        }),
      );
    });
    best.enter = Math.min(
      best.enter,
      timed(rounds, () => {
        for (let n = 0; n < rounds; n++) run(request, () => n);
      }),
    );
  }
  request.end();
  return best;
}

/** Nanoseconds for one of them. */
function timed(rounds: number, work: () => unknown): number {
  const at = performance.now();
  work();
  return ((performance.now() - at) / rounds) * 1e6;
}
