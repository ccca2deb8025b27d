/**
 * Tells which files may have changed, in batches: files saved together are one batch.
 *
 *     const watcher = new Watcher({ root, folders, batch: (files) => loader.reload("watch", files), missed, ... });
 *     await watcher.start();
 *
 *     write ---- event -- ahead: read, compile, survey ----|---- close ---- evaluate, swap
 *     0 ms       0.5      3.5                           20.5 or 40         +0.2   +0.8
 *
 * An event only means "look at this path"; whether anything changed is decided by the hash of the text. A batch is
 * closed when nothing was written for 40 ms, or for 20.5 ms if it is one file's and requests are coming in: only then
 * does anybody gain by the rest. Writes within 20 ms are one save, so nobody can be answered by new code sooner: the
 * answer would come from half of it if another write followed. It is held while git has its index lock (a checkout is
 * one batch). What needs none of the new code to run is made ready meanwhile, so the wait is all but 1 ms of the time
 * from save to new code. The wait is exact: a batch closes only after a poll of the event loop that began when the time
 * was over, which let in whatever the kernel had queued.
 *
 * Measured and left: counting from the file's own time instead of the event (the kernel's clock for files ticks each
 * 4 ms, which cut a wait of 16 to 12); evaluating during the wait as well (0.5 ms, for which half-saved code would have
 * run); chokidar's events alone (3 ms later than the folder's own, 25 at 500 modules).
 *
 * Events come from one fs.watch a directory (folders.ts), and from chokidar, for what that cannot see. chokidar drops a
 * second change of a path within 50 ms of the first, for good (a rename-save followed by a formatter's write is
 * enough). So after each batch everything is looked at once more, `settleMs` later, and every `sweepMs` for the sake of
 * file systems that send no events. What a look finds is waited on like an event: it may be half of a save. The only
 * importer of chokidar.
 */
import { statSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { basename, dirname, extname, join, resolve } from "node:path";
import { type FSWatcher, watch } from "chokidar";
import { events } from "../health/events.ts";
import { isCode } from "./compile.ts";
import { Folders } from "./folders.ts";
import { within } from "./resolve.ts";

export interface WatcherOptions {
  readonly root: string;
  /** Watched with everything below them, now and when they appear. */
  readonly folders: readonly string[];
  /** Is this file part of what is loaded? Then it is watched, though it be in none of the folders. */
  extra(path: string): boolean;
  /** The batch so far: time to get ahead with it. Called again if more comes. */
  ahead(files: readonly string[]): void;
  batch(files: readonly string[]): Promise<unknown>;
  /** Looks at everything loaded, for what no event told: the paths that differ. */
  missed(): Promise<readonly string[]>;
  /** How many requests there have been: if it grows during the wait, somebody waits with us. */
  asked(): number;
  readonly sweepMs?: number;
}

/** Within this of each other, writes are one save. */
const quietMs = 40;
/** The same for one file that requests wait for. */
const hurriedMs = 20.5;
/** The writes of one save (truncate, write, rename) come within this. */
const strokeMs = 3;
/** Timers are late by up to this; the rest of the wait is counted in turns of the loop. */
const coarseMs = 1.5;
/** Of a larger batch (a checkout) the head start would be made again and again. */
const maxAhead = 32;
/** A steady stream of events (a build writing into lib/) must not put reloads off for ever. */
const maxWaitMs = 500;
/** More than chokidar's 50 ms of deafness, counted from the last event of the batch. */
const settleMs = 100;
/** chokidar tells of a write later than the folder's own watch, but not later than this. */
const echoMs = 1_000;
const defaultSweepMs = 10_000;
const lockPollMs = 20;
/** A lock older than this was left by a git that died. */
const staleLockMs = 120_000;

export class Watcher {
  readonly #options: WatcherOptions;
  #chokidar: FSWatcher | undefined;
  readonly #added = new Set<string>();
  readonly #folders: Folders;
  readonly #told = new Map<string, number>();
  #pending = new Set<string>();
  #last = 0;
  /** Two files have come, or one twice: a tool is at work, and half of its work helps nobody. */
  #busy = false;
  /** An event is among what the batch is of, so another one may have been dropped. */
  #heard = false;
  /** When code was last written in this batch. */
  #stroke: number | undefined;
  #askedBefore = 0;
  #quiet: NodeJS.Timeout | undefined;
  #ahead: NodeJS.Timeout | undefined;
  #lookAgain: NodeJS.Timeout | undefined;
  #sweep: NodeJS.Timeout | undefined;
  #since = 0;
  #lock: string | undefined;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;
  #troubled = false;

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.#folders = new Folders({
      wanted: (path) => this.#inside(path) && this.#wanted(path),
      told: (path) => {
        this.#told.set(path, performance.now());
        this.#heard = true;
        this.#seen(path);
      },
    });
  }

  /** Directories under a watch of our own. */
  get watched(): number {
    return this.#folders.count;
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
      if (event === "addDir") void this.#folders.add(resolve(path), true);
      else if (event !== "unlinkDir") this.#echo(resolve(path));
    });
    watcher.on("error", (error) => this.#trouble(error));
    // chokidar looks at every file first, which takes a while and can: our own watches see, and this makes up for it.
    watcher.once("ready", () => this.#lookIn(0));
    for (const folder of this.#options.folders) await this.#folders.add(folder);
    this.#sweep = setInterval(() => this.#lookIn(0), this.#sweepMs).unref();
    // What was saved between the first load and now.
    await this.#look();
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
    clearTimeout(this.#ahead);
    clearTimeout(this.#lookAgain);
    clearInterval(this.#sweep);
    this.#folders.close();
    await this.#chokidar?.close();
    await this.#running;
  }

  /** Said once: the inotify limit, for one, fails for every folder. */
  #trouble(error: unknown): void {
    if (this.#troubled) return;
    this.#troubled = true;
    const message = `watching files failed, a look every ${this.#sweepMs / 1_000} s stands in: ${(error as Error).message}`;
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

  get #sweepMs(): number {
    return this.#options.sweepMs ?? defaultSweepMs;
  }

  /** chokidar's word: news only of what the folder's own watch did not tell. */
  #echo(path: string): void {
    const told = this.#told.get(path);
    if (told !== undefined && performance.now() - told <= echoMs) return;
    this.#heard = true;
    this.#seen(path);
  }

  #seen(path: string): void {
    if (this.#stopped || passing(path)) return;
    const now = performance.now();
    if (this.#pending.size === 0) {
      this.#since = now;
      this.#askedBefore = this.#options.asked();
    }
    // An editor's draft, renamed a while later, is no second file.
    if (isCode(path) || this.#options.extra(path)) {
      if (this.#stroke !== undefined && now - this.#stroke > strokeMs) this.#busy = true;
      this.#stroke = now;
    }
    this.#last = now;
    this.#pending.add(path);
    clearTimeout(this.#lookAgain);
    clearTimeout(this.#ahead);
    this.#ahead = setTimeout(() => this.#getAhead(), strokeMs);
    this.#wait();
  }

  /** Until when nothing more may come for the batch to be closed. */
  get #closesAt(): number {
    const hurried = !this.#busy && this.#options.asked() > this.#askedBefore;
    return Math.min(this.#last + (hurried ? hurriedMs : quietMs), this.#since + maxWaitMs);
  }

  #wait(): void {
    clearTimeout(this.#quiet);
    // Requests may come until it would be time for them.
    const until = this.#busy ? this.#closesAt : this.#last + hurriedMs;
    this.#quiet = setTimeout(() => this.#turn(), Math.max(0, Math.floor(until - performance.now() - coarseMs)));
  }

  /** Through the loop's poll phase once more, which may bring an event that moves the time. */
  #turn(): void {
    const last = this.#last;
    const before = performance.now();
    setImmediate(() => {
      if (this.#stopped || this.#last !== last) return;
      // By the time before the poll: what was written while it ran may still be queued.
      const left = this.#closesAt - before;
      if (left <= 0) return this.#close();
      if (left <= coarseMs) return this.#turn();
      this.#quiet = setTimeout(() => this.#turn(), Math.max(0, Math.floor(left - coarseMs)));
    });
  }

  #getAhead(): void {
    if (this.#stopped || this.#pending.size > maxAhead || this.#locked()) return;
    this.#options.ahead([...this.#pending]);
  }

  #close(): void {
    if (this.#stopped) return;
    if (this.#locked()) {
      clearTimeout(this.#quiet);
      this.#quiet = setTimeout(() => this.#close(), lockPollMs);
      return;
    }
    const files = [...this.#pending];
    this.#pending = new Set();
    this.#busy = false;
    this.#stroke = undefined;
    this.#run(async () => {
      await this.#options.batch(files);
    });
    // What a look found needs no further look: a folder that is gone would be looked at for ever.
    if (this.#heard) this.#lookIn(settleMs);
    this.#heard = false;
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#lookAgain);
    this.#lookAgain = setTimeout(() => {
      // Events on their way will bring a look of their own.
      if (this.#stopped || this.#pending.size > 0) return;
      if (this.#locked()) return this.#lookIn(lockPollMs);
      this.#told.clear();
      this.#run(() => this.#look());
    }, ms).unref();
  }

  async #look(): Promise<void> {
    for (const path of await this.#options.missed()) if (!this.#pending.has(path)) this.#seen(path);
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
