/**
 * Makes the cells of a candidate: new ones for what is dirty, the serving generation's for all else, each new one
 * linked to the very cells it imports.
 *
 *     const cells = await linker.link({ nodes, dirty }, serving?.cells);
 *
 * Packages that are imported statically are loaded here, before any cell evaluates: a missing one costs no side effect.
 * A lazy `import("driver")` may fail when it is asked for. `import(computed)` reaches packages only, since a file that is
 * no edge of the graph would not be pinned.
 */
import type { Foreign, Namespace } from "./binding.ts";
import { Cell } from "./cell.ts";
import { LoadError } from "./failure.ts";
import type { Node } from "./graph.ts";
import { Natives } from "./native.ts";
import { diskOnce, type Places, type Resolved, resolveIn } from "./resolve.ts";
import type { Source } from "./source.ts";

export interface Links {
  readonly nodes: ReadonlyMap<string, Node>;
  readonly dirty: ReadonlySet<string>;
}

export class Linker {
  readonly #places: Places;
  readonly #natives: Natives;

  constructor(places: Places) {
    this.#places = places;
    this.#natives = new Natives(places.home);
  }

  async link({ nodes, dirty }: Links, old: ReadonlyMap<string, Cell> | undefined): Promise<Map<string, Cell>> {
    const cells = new Map<string, Cell>();
    for (const [file, { source, links }] of nodes) {
      const cell = dirty.has(file) ? undefined : old?.get(file);
      cells.set(file, cell ?? new Cell(source, links, (spec) => this.#computed(spec, file)));
    }
    await Promise.all(
      [...dirty].map(async (file) => {
        const { source, links } = nodes.get(file) as Node;
        for (const [spec, link] of links) {
          const early = source.deps.includes(spec);
          const target = link.kind === "file" ? cells.get(link.file) : await this.#foreign(link, source, spec, early);
          (cells.get(file) as Cell).link(spec, target as Cell | Foreign);
        }
      }),
    );
    return cells;
  }

  async #foreign(
    link: Exclude<Resolved, { kind: "file" }>,
    source: Source,
    written: string,
    early: boolean,
  ): Promise<Foreign> {
    if (link.kind === "external") {
      const namespace = this.#places.externals[link.name] as Namespace;
      return { namespace, load: async () => namespace };
    }
    const { spec } = link;
    const { file, text } = source;
    const natives = this.#natives;
    if (!early) return { load: () => natives.load(spec, file) };
    try {
      const namespace = natives.known(spec, file) ?? (await natives.load(spec, file));
      return { namespace, load: async () => namespace };
    } catch (error) {
      const sentence = (error as Error).message.split("\n")[0] as string;
      throw new LoadError(sentence, { file, text, ...source.find(written), cause: error });
    }
  }

  async #computed(spec: string, file: string): Promise<Namespace> {
    const link = resolveIn(this.#places, spec, file, diskOnce());
    if (link.kind === "native") return await this.#natives.load(link.spec, file);
    if (link.kind === "external") return this.#places.externals[link.name] as Namespace;
    throw new LoadError(`import() of a file needs its name as a literal, so that it can be pinned: ${spec}`, { file });
  }
}
