/**
 * The quick half of watching: one `fs.watch` for each directory, which on Linux tells of every single write, within a
 * millisecond, in the order of the writes.
 *
 *     const folders = new Folders({ wanted, told: (path) => ..., trouble });
 *     await folders.add("/abs/cages/shop");        // with everything below it, now and later
 *
 * chokidar asks the disk after each event, and forgets a second change of a path within 50 ms; this does neither. In
 * turn it knows nothing of links to directories, of folders that do not exist yet and of systems without inotify: for
 * those chokidar stays beside it (watch.ts). A folder that cannot be watched is left to chokidar as well.
 */
import { type FSWatcher, watch } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { within } from "./resolve.ts";

export interface FoldersOptions {
  wanted(path: string): boolean;
  /** Something happened to this path; what, the disk knows. */
  told(path: string): void;
}

export class Folders {
  readonly #options: FoldersOptions;
  readonly #watchers = new Map<string, FSWatcher>();
  #closed = false;

  constructor(options: FoldersOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#watchers.size;
  }

  /** `late`: what is in it may have been written before the watch began, and is told. */
  async add(folder: string, late = false): Promise<void> {
    if (this.#closed || this.#watchers.has(folder) || !this.#options.wanted(folder)) return;
    try {
      const watcher = watch(folder, { persistent: false }, (_, name) => this.#happened(folder, name));
      watcher.on("error", () => this.#drop(folder));
      this.#watchers.set(folder, watcher);
    } catch {
      return;
    }
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) await this.add(path, late);
      else if (late && this.#options.wanted(path)) this.#options.told(path);
    }
  }

  close(): void {
    this.#closed = true;
    for (const folder of [...this.#watchers.keys()]) this.#drop(folder);
  }

  #happened(folder: string, name: string | null): void {
    if (this.#closed || name === null) return;
    const path = join(folder, name);
    // Of a deleted or renamed folder itself the name is its own.
    if (!this.#options.wanted(path) || path === join(folder, folder.slice(dirname(folder).length + 1))) return;
    this.#options.told(path);
    // A name without an ending may be a directory that came or went.
    if (!name.includes(".") || this.#watchers.has(path)) void this.#look(path);
  }

  async #look(path: string): Promise<void> {
    const found = await stat(path).catch(() => undefined);
    // Whether it is the one that was watched or another of its name: watched anew.
    for (const folder of [...this.#watchers.keys()]) if (folder === path || within(path, folder)) this.#drop(folder);
    if (found?.isDirectory()) await this.add(path, true);
  }

  #drop(folder: string): void {
    this.#watchers.get(folder)?.close();
    this.#watchers.delete(folder);
  }
}
