/**
 * A generation before it serves: linked, evaluated, made ready by the cage, its start hooks run. It becomes the serving one
 * by a swap of pointers, or is refused, and then everything that was begun for it ends.
 *
 *     const candidate = await build(plan, 8, previous, linker, endings, options);     // throws having refused it
 */
import { join } from "node:path";
import type { Cell } from "./cell.ts";
import type { Endings } from "./endings.ts";
import { Generation, type Hold } from "./generation.ts";
import { begin, evaluate } from "./life.ts";
import type { Linker } from "./linker.ts";
import type { LoaderOptions, Prepared } from "./options.ts";
import type { Plan } from "./plan.ts";

export interface Candidate<A> {
  readonly plan: Plan;
  readonly generation: Generation<A>;
  readonly hold: Hold;
  /** Cells whose start hooks ran for it. */
  readonly begun: readonly Cell[];
  readonly prepared: Prepared<A>;
}

export async function build<A>(
  plan: Plan,
  id: number,
  previous: Generation<A> | undefined,
  linker: Linker,
  endings: Endings<A>,
  options: LoaderOptions<A>,
): Promise<Candidate<A>> {
  const cells = await linker.link(plan, previous?.cells);
  const generation = new Generation<A>({
    id,
    cage: options.cage,
    folder: join(options.root, "cages", options.cage),
    configFolder: join(options.root, "config"),
    cells,
    changed: plan.changed,
    of: plan.of,
    idle: (ended) => endings.end(ended),
  });
  const hold = generation.hold();
  const begun: Cell[] = [];
  let prepared: Prepared<A> | undefined;
  try {
    const order = await evaluate(plan, cells, options.loadTimeoutMs);
    prepared = await options.prepare(generation, previous);
    generation.attach(prepared.attachment);
    for (const cell of order) {
      if (cell.hooks.length === 0) continue;
      begun.push(cell);
      await begin(cell, previous?.cells.get(cell.source.file), (hook) => options.runHook(generation, hook));
    }
    return { plan, generation, hold, begun, prepared };
  } catch (error) {
    await endings.refuse(generation, begun, prepared);
    throw error;
  }
}
