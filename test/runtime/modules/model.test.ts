/**
 * A random graph of modules is edited at random, with faults, while requests run: each request must see exactly the
 * versions that were current when it began, whenever it looks, however it gets there. Once by command, step by step,
 * where it is known which edit must be refused; once with the watcher alone and requests all the time.
 */
import { rmSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Generation, Hold } from "../../../runtime/modules/generation.ts";
import { type Attached, Yard } from "./yard.ts";

interface File {
  readonly version: number;
  readonly imports: readonly number[];
  readonly lazy: readonly number[];
  readonly fault: "none" | "syntax" | "throw" | "missing name" | "missing file" | "refused";
}
type Project = ReadonlyMap<number, File>;

const size = 6;
const modules = fc.nat(size - 1);
const file = fc.record({
  imports: fc.uniqueArray(modules, { maxLength: 3 }),
  lazy: fc.uniqueArray(modules, { maxLength: 2 }),
  fault: fc.oneof(
    { weight: 5, arbitrary: fc.constant("none" as const) },
    fc.constantFrom(
      "syntax" as const,
      "throw" as const,
      "missing name" as const,
      "missing file" as const,
      "refused" as const,
    ),
  ),
});
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("save" as const),
      files: fc.dictionary(modules.map(String), file, { minKeys: 1, maxKeys: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), which: modules }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("begin" as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("end" as const), which: fc.nat(5) }) },
);

const refusal = "// refused when it is prepared";

async function make(): Promise<Yard> {
  const yard = await Yard.make({});
  yard.refuse = (candidate) => {
    for (const path of candidate.files) if (candidate.text(path)?.includes(refusal)) throw new Error("refused");
  };
  return yard;
}

const name = (n: number) => `cages/shop/m${n}.ts`;

function text(n: number, { version, imports, lazy, fault }: File): string {
  return [
    ...imports.map((other) => `import { see as see${other} } from "./m${other}.ts";`),
    fault === "missing name" ? `import { nothing } from "./m${imports[0] ?? n}.ts"; export { nothing };` : "",
    fault === "missing file" ? `import "./gone.ts";` : "",
    `export function see(seen: Record<string, number>) {`,
    `  if (seen[${n}] !== undefined) return seen;`,
    `  seen[${n}] = ${version};`,
    ...imports.map((other) => `  see${other}(seen);`),
    `  return seen;\n}`,
    `export async function late(seen: Record<string, number>) {`,
    `  if (seen[${n}] !== undefined) return seen;`,
    `  seen[${n}] = ${version};`,
    ...[...imports, ...lazy].map((other) => `  await (await import("./m${other}.ts")).late(seen);`),
    `  return seen;\n}`,
    fault === "syntax" ? `const x = ;` : "",
    fault === "throw" ? `throw new Error("at load");` : "",
    fault === "refused" ? refusal : "",
  ].join("\n");
}

const loads = (project: Project): boolean =>
  [...project.values()].every(
    (each) => each.fault === "none" && [...each.imports, ...each.lazy].every((other) => project.has(other)),
  );

function reached(
  project: Project,
  from: number,
  lazily: boolean,
  seen: Record<string, number> = {},
): Record<string, number> {
  const found = project.get(from) as File;
  if (seen[from] !== undefined) return seen;
  seen[from] = found.version;
  for (const other of found.imports) reached(project, other, lazily, seen);
  if (lazily) for (const other of found.lazy) reached(project, other, lazily, seen);
  return seen;
}

test("every request sees exactly one consistent generation", { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 25 }), async (steps) => {
      const yard = await make();
      try {
        await yard.loader.start();
        let project: Project = new Map();
        let good: Project = project;
        let version = 0;
        const requests: { hold: Hold; saw: Project; generation: Generation<Attached> }[] = [];
        const end = async (which: number) => {
          const [request] = requests.splice(which, 1);
          if (request === undefined) return;
          await look(request.generation, request.saw);
          request.hold.release();
        };
        for (const each of steps) {
          if (each.kind === "begin") {
            const generation = yard.loader.current;
            requests.push({ hold: generation.hold(), saw: good, generation });
          } else if (each.kind === "end") await end(each.which);
          else {
            const next = new Map(project);
            const changed: string[] = [];
            if (each.kind === "remove") {
              if (!next.delete(each.which)) continue;
              project = next;
              // Told as a whole, so that the loader need not wait for a rename to end.
              await yard.unlink(name(each.which));
            } else {
              for (const [key, draft] of Object.entries(each.files)) {
                const n = Number(key);
                next.set(n, { ...draft, version: ++version });
                changed.push(name(n));
              }
              project = next;
              yard.write(
                Object.fromEntries(
                  changed.map((path) => [path, text(numberOf(path), next.get(numberOf(path)) as File)]),
                ),
              );
            }
            const result = await yard.loader.reload("command");
            expect(result.ok).toBe(loads(project));
            if (result.ok) good = project;
          }
        }
        while (requests.length > 0) await end(0);
        await expect.poll(() => yard.loader.live.length).toBe(1);
      } finally {
        await yard.away();
      }
    }),
    { numRuns: 40 },
  );
});

const edit = fc.record({
  files: fc.dictionary(modules.map(String), file, { minKeys: 1, maxKeys: 3 }),
  removed: fc.option(modules, { freq: 4 }),
  /** Until the next edit: in ms, both sides of what the watcher takes for one save; or until it has found this one. */
  after: fc.oneof(
    { weight: 2, arbitrary: fc.nat(15) },
    { weight: 2, arbitrary: fc.integer({ min: 16, max: 90 }) },
    { weight: 1, arbitrary: fc.constant("found" as const) },
  ),
});
/** An event comes within ms; so long may a machine be busy that all the same fails no test. */
const patienceMs = 60_000;
/** No sequence begins later than this: on a busy machine fewer of them, rather than more time. */
const sequencesMs = 12_000;

test("whatever the watcher finds, and when, each request sees one generation, and the newest text serves or is refused", {
  timeout: 180_000,
}, async () => {
  const last = performance.now() + sequencesMs;
  const sequence = async (edits: readonly (typeof edit extends fc.Arbitrary<infer E> ? E : never)[]) => {
    // Not fast-check's own limit, which leaves a sequence running behind the end of the test.
    if (performance.now() > last) return;
    const yard = await make();
    const written = new Map<string, File>();
    let version = 0;
    const disk = new Map<number, File>();
    const save = (files: ReadonlyMap<number, Omit<File, "version">>) => {
      const texts: Record<string, string> = {};
      for (const [n, draft] of files) {
        const next = { ...draft, version: ++version };
        disk.set(n, next);
        written.set((texts[name(n)] = text(n, next)), next);
      }
      yard.write(texts);
    };
    const projectOf = (generation: Generation<Attached>): Project =>
      new Map(
        [...Array(size).keys()].flatMap((n) => {
          const found = written.get(generation.text(yard.path(name(n))) ?? "");
          return found === undefined ? [] : [[n, found] as const];
        }),
      );
    save(new Map([...Array(size).keys()].map((n) => [n, { imports: [(n + 1) % size], lazy: [], fault: "none" }])));
    const newest = () => JSON.stringify([...projectOf(yard.loader.current)]) === JSON.stringify(sorted(disk));
    const found = () => (loads(disk) ? newest() : yard.loader.failure !== undefined);
    let over = false;
    const untilFound = async () => {
      const late = performance.now() + patienceMs;
      while (!over && !found()) {
        if (performance.now() > late) throw new Error(`the newest text is not found after ${patienceMs} ms`);
        await pause(5);
      }
    };
    const requests = async (thinkMs: number) => {
      while (!over) {
        const generation = yard.loader.current;
        const hold = generation.hold();
        const saw = projectOf(generation);
        expect(loads(saw)).toBe(true);
        await look(generation, saw);
        await pause(thinkMs);
        await look(generation, saw);
        hold.release();
      }
    };
    const changes = async () => {
      for (const { files, removed, after } of edits) {
        if (over) return;
        save(new Map(Object.entries(files).map(([n, draft]) => [Number(n), draft])));
        if (removed !== null && disk.delete(removed)) rmSync(yard.path(name(removed)));
        await (after === "found" ? untilFound() : pause(after));
      }
      // Quick edits hide each other's faults from a slow machine: one that stays is refused by any.
      save(new Map([[0, { ...bare, fault: "throw" }]]));
      await untilFound();
      save(new Map([...Array(size).keys()].map((n) => [n, { ...(disk.get(n) ?? bare), fault: "none" }])));
      await untilFound();
    };
    try {
      await yard.loader.start();
      await yard.loader.watch();
      const sides = [changes(), requests(1), requests(10), requests(50)].map((side) =>
        side.finally(() => {
          over = true;
        }),
      );
      // None of them goes on in a yard that is gone.
      await Promise.allSettled(sides);
      await Promise.all(sides);
      await expect.poll(() => yard.loader.failure, { timeout: patienceMs }).toBeUndefined();
      await expect.poll(() => yard.loader.live.length, { timeout: patienceMs }).toBe(1);
    } finally {
      await yard.away();
    }
  };
  await fc.assert(fc.asyncProperty(fc.array(edit, { minLength: 2, maxLength: 10 }), sequence), { numRuns: 14 });
});

const bare: Omit<File, "version"> = { imports: [], lazy: [], fault: "none" };
const sorted = (project: Project) => [...project].sort(([a], [b]) => a - b);

/** Every module of what a request saw when it began, with all that it reaches, at once and over awaits. */
async function look(generation: Generation<Attached>, saw: Project): Promise<void> {
  for (const n of saw.keys()) {
    // biome-ignore lint/suspicious/noExplicitAny: what the text above exports
    const module = generation.module(`m${n}`) as any;
    expect(module.see({})).toEqual(reached(saw, n, false));
    expect(await module.late({})).toEqual(reached(saw, n, true));
  }
}

const numberOf = (path: string): number => Number(/m(\d)/.exec(path)?.[1]);
