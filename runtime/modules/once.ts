/**
 * Loads a few files and all that they import, once, as the loader loads a generation: for a look at what stands there, or
 * for another thread (replica.ts). Nothing serves, nothing is watched, no hook runs.
 *
 *     const cells = await loadOnce({ places, ground: onDisk(places, new Disk()), roots: [file], compiler: new Compiler() });
 *     cells.get(file)?.exports
 *
 * A compiler without a folder keeps nothing. Throws a LoadError with its place and frame.
 */
import type { Cell } from "./cell.ts";
import type { Compiler } from "./compile.ts";
import { LoadError } from "./failure.ts";
import { survey } from "./graph.ts";
import type { Ground } from "./ground.ts";
import { evaluate } from "./life.ts";
import { Linker } from "./linker.ts";
import { type Places, resolveIn } from "./resolve.ts";
import { Source } from "./source.ts";

export interface Once {
  readonly places: Places;
  readonly ground: Ground;
  readonly roots: readonly string[];
  readonly compiler: Compiler;
  /** As stack traces name it. */
  readonly generation?: number;
}

export async function loadOnce(of: Once): Promise<ReadonlyMap<string, Cell>> {
  const { places, ground, roots, compiler, generation = 0 } = of;
  const isFile = ground.look();
  const nodes = await survey({
    roots,
    cells: new Map(),
    fresh: new Map(),
    reshaped: true,
    async read(file) {
      const text = await ground.read(file);
      if (text === undefined) throw new LoadError("the file is gone", { file });
      return await Source.make({ file, text, generation, compiler });
    },
    resolve: (spec, from) => resolveIn(places, spec, from, isFile),
  });
  const dirty = new Set(nodes.keys());
  const cells = await new Linker(places).link({ nodes, dirty }, undefined);
  await evaluate({ roots, dirty }, cells);
  return cells;
}
