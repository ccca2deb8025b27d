/**
 * A part of a generation loaded once more, in another thread, from its texts: a module with all it imports. Nothing is
 * read from the disk, so it is the very code of that generation, whatever was saved since.
 *
 *     const { file, texts } = partOf(generation.cells, "/abs/cages/shop/sums.ts");    // plain data: it can be sent
 *     const replica = await Replica.load({ file, texts, generation: 7, places, compiler });
 *     replica.exports                                                               // of that file
 *
 * Its module-level state is its own. Hooks do not run: there is no cage around it.
 */
import type { Namespace } from "./binding.ts";
import type { Cell } from "./cell.ts";
import type { Compiler } from "./compile.ts";
import { onTexts } from "./ground.ts";
import { loadOnce } from "./once.ts";
import type { Places } from "./resolve.ts";

export interface Part {
  readonly file: string;
  /** Of the file and of all that it reaches. */
  readonly texts: ReadonlyMap<string, string>;
}

export function partOf(cells: ReadonlyMap<string, Cell>, file: string): Part {
  const texts = new Map<string, string>();
  const queue = [file];
  for (const at of queue) {
    const cell = cells.get(at);
    if (cell === undefined || texts.has(at)) continue;
    texts.set(at, cell.source.text);
    for (const link of cell.resolved.values()) if (link.kind === "file") queue.push(link.file);
  }
  return { file, texts };
}

export class Replica {
  readonly exports: Namespace;
  readonly #cells: ReadonlyMap<string, Cell>;

  static async load(of: Part & { generation: number; places: Places; compiler: Compiler }): Promise<Replica> {
    const { file, texts, places } = of;
    const cells = await loadOnce({ ...of, ground: onTexts(places, texts), roots: [file] });
    return new Replica(file, cells);
  }

  private constructor(file: string, cells: ReadonlyMap<string, Cell>) {
    this.#cells = cells;
    this.exports = (cells.get(file) as Cell).exports;
    for (const cell of cells.values()) cell.hold();
  }

  /** Its names leave the table of stack traces. */
  release(): void {
    for (const cell of this.#cells.values()) cell.release();
  }
}
