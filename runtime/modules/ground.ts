/**
 * Where the files of the next generation are read: on the disk, or among the kept texts of an earlier generation
 * (a rollback). The graph is surveyed the same way on either.
 *
 *     const ground = onDisk(places, disk);                     ground.roots()      // absolute, in a fixed order
 *     const ground = onTexts(places, texts);                   ground.read(file)   // undefined: there is no such file
 *
 * Roots are the files of the cage's folder itself, and its configuration; what they import comes with them. On kept
 * texts nothing else exists: a file made since then must not take part in what was before.
 */
import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Held } from "./archive.ts";
import { hashOf } from "./compile.ts";
import type { Disk } from "./disk.ts";
import { LoadError } from "./failure.ts";
import { diskOnce, type IsFile, type Places } from "./resolve.ts";

export interface Ground {
  roots(): Promise<readonly string[]>;
  read(file: string, had?: string): Promise<string | undefined>;
  /** For one look at the graph. */
  look(): IsFile;
}

type Here = Pick<Places, "root" | "cage">;

/** Not declarations (x.d.ts, x.d.thrift.ts), nor tests. */
export const isModule = (name: string): boolean => name.endsWith(".ts") && !/\.(d(\.\w+)?|test)\.ts$/.test(name);

/** `more` are files beside those of the cage's folder: its tests, when it runs for them. */
export function onDisk(here: Here & { more?(): Promise<readonly string[]> }, disk: Disk): Ground {
  const { root, cage } = here;
  return {
    async roots() {
      const folder = join(root, "cages", cage);
      const names = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT") throw error;
        throw new LoadError(`there is no cage ${cage}: make the folder, an empty one will do`, { file: folder });
      });
      const configs = await readdir(join(root, "config")).catch(() => [] as string[]);
      const files = names.filter((entry) => !entry.isDirectory()).map((entry) => join(folder, entry.name));
      const more = (await here.more?.()) ?? [];
      return [...rootsAmong(here, [...files, ...configs.map((name) => join(root, "config", name))]), ...more];
    },
    read: (file, had) => disk.read(file, had),
    look: diskOnce,
  };
}

export function onTexts(here: Here, texts: ReadonlyMap<string, string>): Ground {
  return {
    roots: async () => rootsAmong(here, texts.keys()),
    read: async (file) => texts.get(file),
    look: () => (path) => texts.has(path),
  };
}

export function rootsAmong({ root, cage }: Here, files: Iterable<string>): readonly string[] {
  const folder = join(root, "cages", cage);
  const configs = ["defaults.ts", "cluster.ts", `${cage}.ts`].map((name) => join(root, "config", name));
  const all = new Set(files);
  const own = [...all].filter((file) => dirname(file) === folder && isModule(file));
  return [...configs.filter((file) => all.has(file)), ...own.sort()];
}

/** The roots, with those that were written after the folder was listed, and are there because something imports them. */
export function withLate(here: Here, roots: readonly string[], found: Iterable<string>): readonly string[] {
  const late = rootsAmong(here, found).filter((file) => !roots.includes(file));
  if (late.length === 0) return roots;
  const all = rootsAmong(here, [...roots, ...late]);
  return [...all, ...roots.filter((file) => !all.includes(file))];
}

/** Is there anything on the disk that was not there when the rollback began? `roots` is what was. */
export async function saved(
  held: Held,
  disk: Ground,
  files: Iterable<string>,
  roots: readonly string[],
): Promise<boolean> {
  if ((await disk.roots()).join() !== roots.join()) return true;
  for (const file of files) {
    const known = held.disk.get(file);
    const text = await disk.read(file, known);
    if (known === undefined ? text !== undefined && isModule(file) : text === undefined || hashOf(text) !== known)
      return true;
  }
  return false;
}

export async function hashesOf(ground: Ground, files: Iterable<string>): Promise<Map<string, string>> {
  const hashes = new Map<string, string>();
  for (const file of files) {
    const text = await ground.read(file);
    if (text !== undefined) hashes.set(file, hashOf(text));
  }
  return hashes;
}
