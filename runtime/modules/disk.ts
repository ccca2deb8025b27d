/**
 * Reads source files as they settle, and knows which of them differ from what was read.
 *
 *     const text = await disk.read(file, old?.text);     // undefined: there is no such file
 *     const differing = await disk.differing(files);      // by time, size and inode; the hash of the text decides later
 *
 * A file that changed while it was read, became empty, or is missing between the two steps of a rename-save, is looked
 * at again a moment later: it is most likely still being written. If it stays so, that is what it is.
 */
import { readFile, stat } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";

/** Between looks: the two halves of a save are mostly 1 ms apart. A real deletion is seen the sum of these later. */
const pausesMs = [4, 16, 60];
/** Editors and formatters write on within this. */
const settleMs = 40;

interface Stamp {
  readonly mtimeMs: number;
  readonly size: number;
  readonly ino: number;
}

export class Disk {
  readonly #stamps = new Map<string, Stamp | undefined>();

  async read(file: string, had?: string): Promise<string | undefined> {
    for (const pauseMs of [...pausesMs, undefined]) {
      const before = await stamp(file);
      const text = before && (await readFile(file, "utf8").catch(() => undefined));
      const whole = same(before, await stamp(file)) && (had === undefined || had === "" || Boolean(text));
      if (whole || pauseMs === undefined) {
        // The stamp of before the read: whatever was written since then makes a difference.
        this.#stamps.set(file, before);
        return text;
      }
      await pause(pauseMs);
    }
    return undefined;
  }

  /** Are they still being written? Takes a moment to tell. */
  async moving(files: Iterable<string>): Promise<boolean> {
    await pause(settleMs);
    return (await this.differing(files)).length > 0;
  }

  async differing(files: Iterable<string>): Promise<string[]> {
    const found = await Promise.all(
      [...files].map(async (file) => (same(await stamp(file), this.#stamps.get(file)) ? undefined : file)),
    );
    return found.filter((file) => file !== undefined);
  }

  /** Forgets files that no generation has. */
  keep(files: ReadonlySet<string>): void {
    for (const file of this.#stamps.keys()) if (!files.has(file)) this.#stamps.delete(file);
  }
}

async function stamp(file: string): Promise<Stamp | undefined> {
  const found = await stat(file).catch(() => undefined);
  return found?.isFile() ? { mtimeMs: found.mtimeMs, size: found.size, ino: found.ino } : undefined;
}

const same = (a: Stamp | undefined, b: Stamp | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && a.mtimeMs === b.mtimeMs && a.size === b.size && a.ino === b.ino);
