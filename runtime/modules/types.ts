/**
 * Checks the types of a cage after its swaps: in the background, when nothing was saved for a second, at a low
 * priority, one cage of a project at a time. A swap never waits for it, unless the cage's configuration says so.
 *
 *     const types = new Types({ where, stateDir, mode: () => "background", current: () => loader.current });
 *     types.start();
 *     await types.gate(candidate);          // throws a LoadError with a frame if the candidate has faults
 *     types.status()                        // { state: "done", generation: 12, count: 2, faults: [...] }
 *
 * Results go out as the event "types.done". They are kept with the stamps of all files that took part: a restart of
 * unchanged code checks nothing, and another cage's api that changed is seen though this one has no new generation.
 * A rollback is not checked: its texts are not what the disk has.
 */
import { link, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { events, type TypeFault } from "../health/events.ts";
import { hashOf } from "./compile.ts";
import { LoadError } from "./failure.ts";
import { within } from "./resolve.ts";
import { check, compilerFor, type Where } from "./tsc.ts";

export type TypesMode = "off" | "background" | "gate";

interface Subject {
  readonly id: number;
  readonly files: readonly string[];
  /** A rollback. */
  readonly of: number | undefined;
}

export interface TypesOptions {
  readonly where: Where;
  readonly stateDir: string;
  mode(): TypesMode;
  current(): Subject;
  /** The disk has what does not load. */
  broken(): boolean;
  readonly quietMs?: number;
  /** After a start: first what is urgent, then this. */
  readonly startMs?: number;
  readonly lookMs?: number;
}

export interface TypesStatus {
  readonly state: "off" | "waiting" | "checking" | "done" | "failed";
  /** Why it is off or failed. */
  readonly why: string | null;
  /** The generation that was checked last. */
  readonly generation: number | null;
  readonly count: number;
  readonly faults: readonly TypeFault[];
}

type Stamps = readonly (readonly [file: string, stamp: string])[];

interface Result {
  readonly stamps: Stamps;
  readonly count: number;
  readonly faults: readonly TypeFault[];
}

const lockPollMs = 250;

export class Types {
  readonly #options: TypesOptions;
  readonly #folder: string;
  #result: Result | undefined;
  #state: TypesStatus["state"] = "off";
  #why: string | null = null;
  #generation: number | null = null;
  #gated: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #running: AbortController | undefined;
  #tail: Promise<void> = Promise.resolve();
  #looking: NodeJS.Timeout | undefined;
  #off: (() => void)[] = [];
  #told = false;
  #stopped = false;

  constructor(options: TypesOptions) {
    this.#options = options;
    this.#folder = join(options.stateDir, options.where.cage, "types");
  }

  start(): void {
    this.#off = [
      events.on("reload.done", ({ trigger }) => this.#soon(trigger === "start")),
      // The disk has what does not load: nothing to be said about what serves.
      events.on("reload.failed", () => this.#cancel()),
    ];
    this.#looking = setInterval(() => void this.#look(), this.#options.lookMs ?? 3_000).unref();
  }

  status(): TypesStatus {
    const { count = 0, faults = [] } = this.#state === "done" ? (this.#result ?? {}) : {};
    return { state: this.#state, why: this.#why, generation: this.#generation, count, faults };
  }

  /** Checks a candidate whose texts lie on the disk; a fault refuses it. */
  async gate(candidate: Subject): Promise<void> {
    const tsc = this.#compiler();
    if (tsc === undefined || candidate.of !== undefined) return;
    this.#cancel();
    await this.#tail;
    const result = await this.#check(tsc, candidate, false, new AbortController().signal);
    const [first] = result.faults;
    if (first === undefined) {
      this.#result = result;
      this.#gated = candidate.id;
      return;
    }
    const more = result.count > 1 ? ` (and ${result.count - 1} more)` : "";
    const file = resolve(this.#options.where.root, first.file);
    const text = await readFile(file, "utf8").catch(() => undefined);
    const { code, message, line, column } = first;
    throw new LoadError(`types: ${code}: ${message}${more}`, { file, text, line, column });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const off of this.#off) off();
    clearInterval(this.#looking);
    this.#cancel();
    await this.#tail;
  }

  #cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#running?.abort();
    if (this.#state === "checking") this.#enter("waiting", null);
  }

  #soon(atStart: boolean): void {
    this.#cancel();
    const { id, of } = this.#options.current();
    if (this.#options.mode() === "off") return this.#enter("off", null);
    if (of !== undefined) return this.#enter("off", "a rollback is not checked");
    if (this.#gated === id) return this.#done(id, performance.now());
    const { quietMs = 1_000, startMs = 5_000 } = this.#options;
    this.#enter("waiting", null);
    this.#timer = setTimeout(() => this.#begin(), atStart ? startMs : quietMs).unref();
  }

  #begin(): void {
    this.#timer = undefined;
    const tsc = this.#compiler();
    if (tsc === undefined || this.#stopped) return;
    const running = new AbortController();
    this.#running = running;
    this.#tail = this.#tail
      .then(async () => {
        if (running.signal.aborted) return;
        const subject = this.#options.current();
        const startedAt = performance.now();
        this.#enter("checking", null);
        if (!(await this.#known(subject))) {
          const unlock = await this.#lock(running.signal);
          try {
            this.#result = await this.#check(tsc, subject, true, running.signal);
            await this.#keep(this.#keyOf(subject), this.#result);
          } finally {
            await unlock();
          }
        }
        if (!running.signal.aborted) this.#done(subject.id, startedAt);
        this.#running = undefined;
      })
      .catch((error: Error) => {
        if (running.signal.aborted) return;
        this.#enter("failed", error.message);
        events.emit("problem", { what: "the check of types", error });
      });
  }

  #enter(state: TypesStatus["state"], why: string | null): void {
    this.#state = state;
    this.#why = why;
  }

  #done(generation: number, startedAt: number): void {
    const { count = 0, faults = [] } = this.#result ?? {};
    this.#generation = generation;
    this.#enter("done", null);
    events.emit("types.done", { generation, count, errors: faults, durationMs: performance.now() - startedAt });
  }

  async #check(tsc: string, { files }: Subject, polite: boolean, signal: AbortSignal): Promise<Result> {
    const { where } = this.#options;
    // Before: what is written meanwhile has another stamp.
    const before = await stampsOf([tsc, ...files]);
    const { count, faults, read } = await check({ where, tsc, folder: this.#folder, files, polite, signal });
    const own = new Set(files);
    const others = read.filter((file) => !own.has(file) && this.#changes(file));
    return { stamps: [...before, ...(await stampsOf(others))], count, faults };
  }

  /** Packages and the runtime stay as they are while this process lives. */
  #changes(file: string): boolean {
    const { home } = this.#options.where;
    return !file.includes("/node_modules/") && !within(join(home, "runtime"), file);
  }

  #keyOf({ files }: Subject): string {
    return hashOf([this.#compiler(), process.version, ...files].join("\n"));
  }

  get #kept(): string {
    return join(this.#folder, "result.json");
  }

  async #keep(key: string, result: Result): Promise<void> {
    await writeFile(this.#kept, JSON.stringify({ key, ...result })).catch(() => {});
  }

  /** Was exactly this checked before the restart? */
  async #known(subject: Subject): Promise<boolean> {
    if (this.#result !== undefined) return false;
    try {
      const kept = JSON.parse(await readFile(this.#kept, "utf8")) as Result & { key: string };
      if (kept.key !== this.#keyOf(subject) || !(await unchanged(kept.stamps))) return false;
      this.#result = kept;
      return true;
    } catch {
      return false;
    }
  }

  /** What takes part by its types alone makes no generation when it changes. */
  async #look(): Promise<void> {
    if (this.#options.broken()) return;
    // A broken save that was taken back makes no generation either.
    if (this.#state === "waiting" && this.#timer === undefined) return this.#soon(false);
    if (this.#state !== "done" || this.#result === undefined) return;
    const { stamps } = this.#result;
    if ((await unchanged(stamps)) || this.#state !== "done" || stamps !== this.#result.stamps) return;
    this.#gated = undefined;
    this.#soon(false);
  }

  #compiler(): string | undefined {
    const tsc = compilerFor(this.#options.where);
    if (tsc !== undefined) return tsc;
    const why = "typescript is not installed; npm install --save-dev typescript turns the check of types on";
    this.#enter("off", why);
    if (!this.#told) events.emit("types.off", { why });
    this.#told = true;
    return undefined;
  }

  /** One check of the project at a time: five cages that use the same file of lib/ would take the whole machine. */
  async #lock(signal: AbortSignal): Promise<() => Promise<void>> {
    const path = join(this.#options.stateDir, "types.lock");
    const mine = `${path}.${process.pid}`;
    await mkdir(this.#options.stateDir, { recursive: true });
    await writeFile(mine, String(process.pid));
    try {
      for (;;) {
        try {
          // Not opened to be written: there it is with its text, or not at all.
          await link(mine, path);
          return () => rm(path, { force: true });
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "EEXIST") return async () => {};
          const owner = await readFile(path, "utf8").catch(() => "");
          // Left by a process that was killed.
          if (owner !== "" && !alive(Number(owner))) await rm(path, { force: true });
          await pause(lockPollMs, undefined, { signal });
        }
      }
    } finally {
      await rm(mine, { force: true });
    }
  }
}

async function stampsOf(files: Iterable<string>): Promise<Stamps> {
  return await Promise.all([...files].map(async (file) => [file, await stampOf(file)] as const));
}

async function unchanged(stamps: Stamps): Promise<boolean> {
  for (const [file, stamp] of stamps) if ((await stampOf(file)) !== stamp) return false;
  return true;
}

async function stampOf(file: string): Promise<string> {
  const found = await stat(file).catch(() => undefined);
  return found === undefined ? "" : `${found.mtimeMs} ${found.size}`;
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
