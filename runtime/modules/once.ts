/**
 * Loads a few files of a cage once, with all that they import, as the loader does. Nothing serves, nothing is watched,
 * and nothing is left on the disk: for a look at what stands there.
 *
 *     const modules = await loadOnce(places, [join(root, "config/shop.ts")]);
 *     modules.get(file)?.namespace
 *
 * Files that do not exist are left out. Throws a LoadError with its place and frame.
 */

import type { Namespace } from "./binding.ts";
import { Compiler } from "./compile.ts";
import { Disk } from "./disk.ts";
import { LoadError } from "./failure.ts";
import { survey } from "./graph.ts";
import { evaluate } from "./life.ts";
import { Linker } from "./linker.ts";
import { diskOnce, type Places, resolveIn } from "./resolve.ts";
import { Source } from "./source.ts";

export interface Module {
  readonly namespace: Namespace;
  readonly text: string;
}

export async function loadOnce(places: Places, files: readonly string[]): Promise<ReadonlyMap<string, Module>> {
  const disk = new Disk();
  const compiler = new Compiler();
  const isFile = diskOnce();
  const roots = files.filter(isFile);
  const nodes = await survey({
    roots,
    cells: new Map(),
    fresh: new Map(),
    reshaped: true,
    async read(file) {
      const text = await disk.read(file);
      if (text === undefined) throw new LoadError("the file is gone", { file });
      return await Source.make({ file, text, generation: 0, compiler });
    },
    resolve: (spec, from) => resolveIn(places, spec, from, isFile),
  });
  const dirty = new Set(nodes.keys());
  const cells = await new Linker(places).link({ nodes, dirty }, undefined);
  await evaluate({ roots, dirty }, cells);
  return new Map([...cells].map(([file, cell]) => [file, { namespace: cell.exports, text: cell.source.text }]));
}
