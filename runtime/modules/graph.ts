/**
 * Which files a generation consists of, and which of them need a new instance.
 *
 *     const nodes = await survey({ roots, cells, fresh, ... });   // all that is reached from the roots
 *     const { changed, dirty } = difference(nodes, cells);
 *
 * Dirty is what changed, and everything that imports it directly or not, by `import` or by a literal `import()`: links
 * of a cell never change, so whoever links to a new cell must be new. A cycle is therefore dirty as a whole. A link
 * that now means another file (an override appeared, a file came or went) changes its importer too.
 */
import type { Cell } from "./cell.ts";
import { LoadError } from "./failure.ts";
import { type Resolved, Unresolved } from "./resolve.ts";
import type { Source } from "./source.ts";

export interface Node {
  readonly source: Source;
  readonly links: ReadonlyMap<string, Resolved>;
}

export interface Survey {
  readonly roots: readonly string[];
  /** The serving generation's. */
  readonly cells: ReadonlyMap<string, Cell>;
  /** New versions of files among them. */
  readonly fresh: ReadonlyMap<string, Source>;
  /** Files came or went: what specifiers mean has to be asked again. */
  readonly reshaped: boolean;
  read(file: string): Promise<Source>;
  resolve(spec: string, from: string): Resolved;
}

export async function survey(options: Survey): Promise<Map<string, Node>> {
  const { cells, fresh } = options;
  const nodes = new Map<string, Node>();
  let queue: Iterable<string> = options.roots;
  for (;;) {
    const unread: string[] = [];
    const next = new Set<string>();
    const add = (file: string, source: Source) => {
      const cell = cells.get(file);
      const links = cell?.source === source && !options.reshaped ? cell.resolved : linksOf(source, options.resolve);
      nodes.set(file, { source, links });
      for (const link of links.values()) if (link.kind === "file" && !nodes.has(link.file)) next.add(link.file);
    };
    for (const file of queue) {
      if (nodes.has(file)) continue;
      const source = fresh.get(file) ?? cells.get(file)?.source;
      if (source === undefined) unread.push(file);
      else add(file, source);
    }
    const read = await Promise.allSettled(unread.map((file) => options.read(file)));
    const failed = read.find((each) => each.status === "rejected");
    if (failed) throw failed.reason;
    for (const each of read) if (each.status === "fulfilled") add(each.value.file, each.value);
    if (next.size === 0) return nodes;
    queue = next;
  }
}

function linksOf(source: Source, resolve: Survey["resolve"]): ReadonlyMap<string, Resolved> {
  const links = new Map<string, Resolved>();
  for (const spec of [...source.deps, ...source.dynamicDeps]) {
    try {
      links.set(spec, resolve(spec, source.file));
    } catch (error) {
      if (!(error instanceof Unresolved)) throw error;
      throw new LoadError(error.message, { file: source.file, text: source.text, ...source.find(spec), cause: error });
    }
  }
  return links;
}

export function difference(
  nodes: ReadonlyMap<string, Node>,
  cells: ReadonlyMap<string, Cell>,
): { readonly changed: readonly string[]; readonly dirty: ReadonlySet<string> } {
  const changed: string[] = [];
  const importers = new Map<string, string[]>();
  for (const [file, node] of nodes) {
    const cell = cells.get(file);
    if (cell?.source !== node.source || !sameLinks(cell.resolved, node.links)) changed.push(file);
    for (const link of node.links.values()) {
      if (link.kind !== "file") continue;
      const row = importers.get(link.file);
      if (row) row.push(file);
      else importers.set(link.file, [file]);
    }
  }
  const dirty = new Set(changed);
  for (const file of dirty) for (const importer of importers.get(file) ?? []) dirty.add(importer);
  return { changed, dirty };
}

function sameLinks(a: ReadonlyMap<string, Resolved>, b: ReadonlyMap<string, Resolved>): boolean {
  if (a === b) return true;
  if (a.size !== b.size) return false;
  for (const [spec, link] of a) {
    const other = b.get(spec);
    if (other?.kind !== link.kind) return false;
    if (link.kind === "file" && other.kind === "file" && other.file !== link.file) return false;
  }
  return true;
}
