/**
 * The texts of the last generations, so that one of them can be shown or served again, also after a restart.
 *
 *     archive.keep(12, sources);                 // returns at once; written behind
 *     await archive.read(9)                      // Map of absolute file -> text; undefined when they are not kept
 *     await archive.files(9)                     // Map of file as shown -> hash
 *
 *     state/NAME/texts/g12.json                  {"files": [["cages/shop/orders.ts", hash, bytes], ...]}
 *     state/NAME/texts/HASH                      the text; one file however many generations have it
 *     state/NAME/texts/held.json                 which generation a rollback holds, and what the disk had then
 *
 * Bounded in generations and in bytes, the oldest go first. A disk that refuses costs what could have been kept, never a
 * reload. What is read back is checked against its hash.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import { CageError } from "../errors.ts";
import { hashOf } from "./compile.ts";

export interface ArchiveOptions {
  readonly folder: string;
  readonly root: string;
  readonly home: string;
  readonly maxGenerations?: number;
  readonly maxBytes?: number;
}

export interface KeptFile {
  readonly file: string;
  readonly text: string;
  readonly hash: string;
}

/** A rollback that holds. */
export interface Held {
  /** The generation whose texts serve. */
  readonly of: number;
  readonly at: string;
  /** What the disk had when it began, file -> hash: anything else there is a save, and ends it. */
  readonly disk: ReadonlyMap<string, string>;
}

type Row = readonly [path: string, hash: string, bytes: number];

/** A day of busy work; what is older is in the version control. */
const generationsKept = 50;
/** Six cages of a thousand files stay under half a gigabyte. */
const bytesKept = 64 * 1024 * 1024;
/** Generations waiting to be written: saves faster than the disk leave the older ones out. */
const maxWaiting = 20;

export class Archive {
  readonly #options: ArchiveOptions;
  readonly #generations = new Set<number>();
  readonly #texts = new Set<string>();
  #waiting: { readonly generation: number; readonly files: readonly KeptFile[] }[] = [];
  #tail: Promise<void> = Promise.resolve();
  #grownBytes = 0;
  #heldOf: number | undefined;

  constructor(options: ArchiveOptions) {
    this.#options = options;
  }

  /** What is kept, oldest first. */
  get generations(): readonly number[] {
    return [...this.#generations].sort((a, b) => a - b);
  }

  async open(): Promise<void> {
    const names = await readdir(this.#options.folder).catch(() => [] as string[]);
    for (const name of names) {
      const generation = /^g(\d+)\.json$/.exec(name)?.[1];
      if (generation !== undefined) this.#generations.add(Number(generation));
      else if (/^[0-9a-f]{32}$/.test(name)) this.#texts.add(name);
    }
  }

  keep(generation: number, files: Iterable<KeptFile>): void {
    this.#generations.add(generation);
    this.#waiting.push({ generation, files: [...files] });
    if (this.#waiting.length > maxWaiting) this.#generations.delete(this.#waiting.shift()?.generation as number);
    this.#then(async () => {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      try {
        await this.#write(next.generation, next.files);
      } catch {
        this.#generations.delete(next.generation);
      }
      const { maxGenerations = generationsKept, maxBytes = bytesKept } = this.#options;
      // Not at each: it reads what it decides about.
      const many = this.#generations.size > maxGenerations + Math.ceil(maxGenerations / 4);
      if (many || this.#grownBytes > maxBytes / 4) await this.#prune();
    });
  }

  /** It came to nothing: the next one may have its number. */
  drop(generation: number): void {
    this.#generations.delete(generation);
    this.#then(() => rm(join(this.#options.folder, `g${generation}.json`), { force: true }));
  }

  async read(generation: number): Promise<ReadonlyMap<string, string> | undefined> {
    const rows = await this.#rows(generation);
    if (rows === undefined) return undefined;
    const texts = new Map<string, string>();
    for (const [path, hash] of rows) {
      const text = await this.#text(hash);
      if (text === undefined) return undefined;
      texts.set(this.#absolute(path), text);
    }
    return texts;
  }

  async files(generation: number): Promise<ReadonlyMap<string, string> | undefined> {
    const rows = await this.#rows(generation);
    return rows && new Map(rows.map(([path, hash]) => [path, hash]));
  }

  /** The newest before `generation` that consists of something else than `files`. */
  async before(generation: number, files: Iterable<Pick<KeptFile, "file" | "hash">>): Promise<number> {
    const serving = new Map([...files].map(({ file, hash }) => [this.#shown(file), hash]));
    for (const each of [...this.generations].reverse()) {
      if (each >= generation) continue;
      const kept = await this.files(each);
      if (kept === undefined) continue;
      if (kept.size !== serving.size || [...kept].some(([path, hash]) => serving.get(path) !== hash)) return each;
    }
    throw new CageError("NOT_FOUND", `nothing else is kept from before generation ${generation}`);
  }

  missing(generation: number): CageError {
    const kept = this.generations;
    const some = kept.length === 0 ? "none are" : `there are ${kept[0]} to ${kept.at(-1)}`;
    return new CageError("NOT_FOUND", `the texts of generation ${generation} are not kept; ${some}`);
  }

  async text(hash: string): Promise<string | undefined> {
    await this.#tail;
    return await this.#text(hash);
  }

  async held(): Promise<Held | undefined> {
    const { of, at, disk } = await readJson<{ of: number; at: string; disk: [string, string][] }>(this.#heldFile);
    this.#heldOf = of;
    if (of === undefined || at === undefined || disk === undefined) return undefined;
    return { of, at, disk: new Map(disk.map(([path, hash]) => [this.#absolute(path), hash])) };
  }

  hold({ of, at, disk }: Held): void {
    this.#heldOf = of;
    const rows = [...disk].map(([file, hash]) => [this.#shown(file), hash]);
    this.#then(() => this.#put(this.#heldFile, JSON.stringify({ of, at, disk: rows })));
  }

  release(): void {
    this.#heldOf = undefined;
    this.#then(() => rm(this.#heldFile, { force: true }));
  }

  /** Everything so far is on the disk, or will never be. */
  flush(): Promise<void> {
    return this.#tail;
  }

  get #heldFile(): string {
    return join(this.#options.folder, "held.json");
  }

  #then(work: () => Promise<void>): void {
    this.#tail = this.#tail.then(work).catch(() => {});
  }

  async #write(generation: number, files: readonly KeptFile[]): Promise<void> {
    const { folder, maxBytes = bytesKept } = this.#options;
    await mkdir(folder, { recursive: true });
    const rows: Row[] = [];
    let total = 0;
    for (const { file, text, hash } of files) {
      const bytes = Buffer.byteLength(text);
      total += bytes;
      if (total > maxBytes) throw new Error(`generation ${generation} is larger than all that may be kept`);
      rows.push([this.#shown(file), hash, bytes]);
    }
    for (const { text, hash } of files) {
      if (this.#texts.has(hash)) continue;
      await this.#put(join(folder, hash), text);
      this.#texts.add(hash);
      this.#grownBytes += Buffer.byteLength(text);
    }
    // The list comes last: a generation that has one is complete.
    await this.#put(join(folder, `g${generation}.json`), JSON.stringify({ files: rows }));
  }

  /** Renamed into place: whoever is killed here leaves a whole file or none. */
  async #put(path: string, text: string): Promise<void> {
    await writeFile(`${path}.new`, text);
    await rename(`${path}.new`, path);
  }

  async #rows(generation: number): Promise<readonly Row[] | undefined> {
    await this.#tail;
    return (await readJson<{ files: Row[] }>(join(this.#options.folder, `g${generation}.json`))).files;
  }

  async #text(hash: string): Promise<string | undefined> {
    const text = await readFile(join(this.#options.folder, hash), "utf8").catch(() => undefined);
    if (text === undefined || hashOf(text) === hash) return text;
    // Somebody wrote into it: the next generation that has this text keeps it anew.
    this.#texts.delete(hash);
    return undefined;
  }

  async #prune(): Promise<void> {
    const { folder, maxGenerations = generationsKept, maxBytes = bytesKept } = this.#options;
    const used = new Set<string>();
    let total = 0;
    let count = 0;
    this.#grownBytes = 0;
    for (const generation of [...this.generations].reverse()) {
      const file = join(folder, `g${generation}.json`);
      const rows = (await readJson<{ files: Row[] }>(file)).files ?? [];
      const fresh = new Map(rows.flatMap(([, hash, bytes]) => (used.has(hash) ? [] : [[hash, bytes] as const])));
      const more = [...fresh.values()].reduce((sum, bytes) => sum + bytes, 0);
      const room = count < maxGenerations && total + more <= maxBytes;
      if (room || generation === this.#heldOf) {
        for (const hash of fresh.keys()) used.add(hash);
        total += more;
        count++;
      } else if (!this.#waiting.some((each) => each.generation === generation)) {
        this.#generations.delete(generation);
        await rm(file, { force: true });
      }
    }
    for (const hash of this.#texts) {
      if (used.has(hash)) continue;
      this.#texts.delete(hash);
      await rm(join(folder, hash), { force: true });
    }
  }

  /** Relative, so that a project may be moved; the installation is often the project itself. */
  #shown(file: string): string {
    const { root, home } = this.#options;
    if (file.startsWith(root + sep)) return relative(root, file);
    return file.startsWith(home + sep) ? `home:${relative(home, file)}` : file;
  }

  #absolute(path: string): string {
    const { root, home } = this.#options;
    return path.startsWith("home:") ? join(home, path.slice("home:".length)) : resolve(root, path);
  }
}

async function readJson<T extends object>(path: string): Promise<Partial<T>> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as T;
  } catch {
    return {};
  }
}
