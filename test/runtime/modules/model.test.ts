/**
 * A random graph of modules is edited at random, with faults, while requests run: each request must see exactly the
 * versions that were current when it began, whenever it looks, however it gets there.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Hold } from "../../../runtime/modules/generation.ts";
import { Yard } from "./yard.ts";

interface File {
  readonly version: number;
  readonly imports: readonly number[];
  readonly lazy: readonly number[];
  readonly fault: "none" | "syntax" | "throw" | "missing name" | "missing file";
}
type Project = ReadonlyMap<number, File>;

const size = 6;
const modules = fc.nat(size - 1);
const file = fc.record({
  imports: fc.uniqueArray(modules, { maxLength: 3 }),
  lazy: fc.uniqueArray(modules, { maxLength: 2 }),
  fault: fc.oneof(
    { weight: 5, arbitrary: fc.constant("none" as const) },
    fc.constantFrom("syntax" as const, "throw" as const, "missing name" as const, "missing file" as const),
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
      const yard = await Yard.make({});
      try {
        await yard.loader.start();
        let project: Project = new Map();
        let good: Project = project;
        let version = 0;
        const requests: { hold: Hold; saw: Project; generation: Yard["loader"]["current"] }[] = [];
        const end = async (which: number) => {
          const [request] = requests.splice(which, 1);
          if (request === undefined) return;
          for (const n of request.saw.keys()) {
            // biome-ignore lint/suspicious/noExplicitAny: what the text above exports
            const module = request.generation.module(`m${n}`) as any;
            expect(module.see({})).toEqual(reached(request.saw, n, false));
            expect(await module.late({})).toEqual(reached(request.saw, n, true));
          }
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

const numberOf = (path: string): number => Number(/m(\d)/.exec(path)?.[1]);
