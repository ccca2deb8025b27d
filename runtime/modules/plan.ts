/**
 * What the next generation would consist of: files read and compiled, the graph surveyed, nothing run.
 *
 *     const plan = await planOf({ places, ground, serving, pending, asked: false, of: undefined, make, listed, always: false });
 *     plan?.dirty                        // modules to be made anew; undefined: it would be the same generation
 */
import type { Cell } from "./cell.ts";
import { hashOf } from "./compile.ts";
import { LoadError } from "./failure.ts";
import { difference, survey } from "./graph.ts";
import { type Ground, withLate } from "./ground.ts";
import type { Links } from "./linker.ts";
import { type Places, resolveIn } from "./resolve.ts";
import type { Source } from "./source.ts";

export interface Plan extends Links {
  readonly roots: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** Of a rollback: the generation whose texts it has. */
  readonly of: number | undefined;
}

export interface Planning {
  readonly places: Places;
  readonly ground: Ground;
  readonly serving: { readonly cells: ReadonlyMap<string, Cell>; readonly roots: readonly string[] } | undefined;
  /** Files that may differ. */
  readonly pending: ReadonlySet<string>;
  /** What imports resolve to may differ as well. */
  readonly asked: boolean;
  readonly of: number | undefined;
  make(file: string, text: string): Promise<Source>;
  /** Is told the roots, also of what will not load. */
  listed(roots: readonly string[]): void;
  /** A plan also of what would be the same. */
  readonly always: boolean;
}

export async function planOf(planning: Planning): Promise<Plan | undefined> {
  const { places, ground, serving, pending, asked, of, make, always } = planning;
  const cells = serving?.cells ?? new Map<string, Cell>();
  const before = serving?.roots ?? [];
  const fresh = new Map<string, Source>();
  let reshaped = asked || serving === undefined;
  const listing = ground.roots();
  listing.catch(() => {});
  const looked = await Promise.allSettled(
    [...pending].map(async (file) => {
      const old = cells.get(file)?.source;
      const text = await ground.read(file, old?.text);
      // A draft that an editor renamed away is no news of anything.
      if (old === undefined && text === undefined) return;
      if (old === undefined || text === undefined) reshaped = true;
      else if (hashOf(text) !== old.hash) fresh.set(file, await make(file, text));
    }),
  );
  const listed = await listing;
  planning.listed(listed);
  const failed = looked.find((each) => each.status === "rejected");
  if (failed) throw failed.reason;
  if (listed.join() !== before.join()) reshaped = true;
  if (!reshaped && fresh.size === 0) return undefined;
  const isFile = ground.look();
  const nodes = await survey({
    roots: listed,
    cells,
    fresh,
    reshaped,
    read: async (file) => {
      const text = await ground.read(file);
      if (text === undefined) throw new LoadError("the file is gone", { file });
      return await make(file, text);
    },
    resolve: (spec, from) => resolveIn(places, spec, from, isFile),
  });
  const roots = withLate(places, listed, nodes.keys());
  const { changed, dirty } = difference(nodes, cells);
  const same = dirty.size === 0 && nodes.size === cells.size && roots.join() === before.join();
  if (same && serving !== undefined && !always) return undefined;
  const removed = [...pending].filter((file) => cells.has(file) && !nodes.has(file));
  return { roots, nodes, changed, removed, dirty, of };
}
