/**
 * Tells which files may have changed, in batches: files saved together are one batch.
 *
 *     const watcher = new Watcher({ root, folders, batch: (files) => loader.reload("watch", files), settle, extra });
 *     await watcher.start();
 *
 * An event only means "look at this path"; whether anything changed is decided by the hash of the text. A batch is
 * closed when nothing has happened for `quietMs`, and held while git has its index lock (a checkout is one batch).
 *
 * chokidar drops a second change of a path within 50 ms of the first, for good (a rename-save followed by a formatter's
 * write is enough). So after each batch everything is looked at once more, `settleMs` later, and every `sweepMs` for
 * the sake of file systems that send no events. The only importer of chokidar.
 */
import { statSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { basename, dirname, extname, join, resolve } from "node:path";
import { type FSWatcher, watch } from "chokidar";
import { events } from "../health/events.ts";
import { within } from "./resolve.ts";

export interface WatcherOptions {
  readonly root: string;
  /** Watched with everything below them, now and when they appear. */
  readonly folders: readonly string[];
  /** Is this file part of what is loaded? Then it is watched, though it be in none of the folders. */
  extra(path: string): boolean;
  /** A path was seen: time to get ahead with compiling it. */
  seen(path: string): void;
  batch(files: readonly string[]): Promise<unknown>;
  /** Looks at everything loaded, for what no event told. */
  settle(): Promise<unknown>;
}

/** Within this of each other, writes are one save. */
const quietMs = 18;
/** A steady stream of events (a build writing into lib/) must not put reloads off for ever. */
const maxWaitMs = 500;
/** More than chokidar's 50 ms of deafness, counted from the last event of the batch. */
const settleMs = 100;
const sweepMs = 10_000;
const lockPollMs = 20;
/** A lock older than this was left by a git that died. */
const staleLockMs = 120_000;

export class Watcher {
  readonly #options: WatcherOptions;
  #chokidar: FSWatcher | undefined;
  readonly #added = new Set<string>();
  #pending = new Set<string>();
  #quiet: NodeJS.Timeout | undefined;
  #settle: NodeJS.Timeout | undefined;
  #sweep: NodeJS.Timeout | undefined;
  #since = 0;
  #lock: string | undefined;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;
  #troubled = false;

  constructor(options: WatcherOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    this.#lock = await lockOf(this.#options.root);
    const roots = this.#options.folders.map((folder) =>
      isUnder(this.#options.root, folder) ? this.#options.root : folder,
    );
    const watcher = watch([...new Set(roots)], {
      ignoreInitial: true,
      ignored: (path) => !this.#wanted(resolve(path)),
    });
    this.#chokidar = watcher;
    watcher.on("all", (event, path) => {
      if (event !== "addDir" && event !== "unlinkDir") this.#seen(resolve(path));
    });
    watcher.on("error", (error) => this.#trouble(error));
    await new Promise<void>((ready) => watcher.once("ready", ready));
    this.#sweep = setInterval(() => this.#settleIn(0), sweepMs).unref();
    // What was saved between the first load and now.
    await this.#options.settle();
  }

  /** Watches files outside the folders, which became part of what is loaded. */
  add(files: readonly string[]): void {
    const outside = files.filter((file) => !this.#inside(file) && !this.#added.has(file));
    for (const file of outside) this.#added.add(file);
    if (outside.length > 0) this.#chokidar?.add(outside);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#quiet);
    clearTimeout(this.#settle);
    clearInterval(this.#sweep);
    await this.#chokidar?.close();
    await this.#running;
  }

  /** Said once: the inotify limit, for one, fails for every folder. */
  #trouble(error: unknown): void {
    if (this.#troubled) return;
    this.#troubled = true;
    const message = `watching files failed, a look every ${sweepMs / 1_000} s stands in: ${(error as Error).message}`;
    events.emit("log", { level: "warn", message, fields: { error } });
  }

  /** Folders are entered only on the way to what is wanted; state/, logs/ and node_modules/ never are. */
  #wanted(path: string): boolean {
    if (this.#options.extra(path)) return true;
    if (basename(path) === "node_modules" || basename(path) === ".git") return false;
    return this.#inside(path) || this.#options.folders.some((folder) => isUnder(path, folder));
  }

  #inside(path: string): boolean {
    return this.#options.folders.some((folder) => isUnder(folder, path));
  }

  #seen(path: string): void {
    if (this.#stopped || passing(path)) return;
    if (this.#pending.size === 0) this.#since = performance.now();
    this.#pending.add(path);
    this.#options.seen(path);
    clearTimeout(this.#quiet);
    clearTimeout(this.#settle);
    const left = this.#since + maxWaitMs - performance.now();
    this.#quiet = setTimeout(() => this.#close(), Math.max(0, Math.min(quietMs, left)));
  }

  #close(): void {
    if (this.#stopped) return;
    if (this.#locked()) {
      this.#quiet = setTimeout(() => this.#close(), lockPollMs);
      return;
    }
    const files = [...this.#pending];
    this.#pending = new Set();
    this.#run(async () => {
      await this.#options.batch(files);
    });
    this.#settleIn(settleMs);
  }

  #settleIn(ms: number): void {
    clearTimeout(this.#settle);
    this.#settle = setTimeout(() => {
      // Events on their way will bring their own settling.
      if (this.#stopped || this.#pending.size > 0) return;
      if (this.#locked()) return this.#settleIn(lockPollMs);
      this.#run(() => this.#options.settle());
    }, ms).unref();
  }

  #run(work: () => Promise<unknown>): void {
    this.#running = this.#running.then(work).then(
      () => {},
      () => {},
    );
  }

  #locked(): boolean {
    if (this.#lock === undefined) return false;
    const found = statSync(this.#lock, { throwIfNoEntry: false });
    return found !== undefined && Date.now() - found.mtimeMs < staleLockMs;
  }
}

const isUnder = (folder: string, path: string): boolean => path === folder || within(folder, path);

/** Files that editors make in passing. */
function passing(path: string): boolean {
  const name = basename(path);
  return (
    name.startsWith(".") ||
    name.startsWith("#") ||
    name.endsWith("~") ||
    extname(name) === "" ||
    /\.sw[a-z]$/.test(name)
  );
}

/** The index.lock of the repository that the project is in, if it is in one. */
async function lockOf(root: string): Promise<string | undefined> {
  for (let folder = root; ; folder = dirname(folder)) {
    const git = join(folder, ".git");
    const found = await stat(git).catch(() => undefined);
    if (found?.isDirectory()) return join(git, "index.lock");
    if (found?.isFile()) {
      // A work tree: the file names the directory.
      const named = /^gitdir: (.+)$/m.exec(await readFile(git, "utf8"))?.[1];
      return named === undefined ? undefined : join(resolve(folder, named), "index.lock");
    }
    if (dirname(folder) === folder) return undefined;
  }
}
