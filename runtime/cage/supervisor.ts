/**
 * The supervisor of one instance: a small parent process that starts the worker, holds its listening sockets, answers
 * the control socket, and starts the worker again when it dies. It loads no code of the cage and never reloads, so
 * nothing that a cage does can hurt it; there is no daemon above it whose death would take others along.
 *
 *     starting --> ready --> (worker dies) restarting --> ready ...
 *                                  `--> more than 5 deaths in 60 s: failed (kept for asking; `start` tries again)
 *
 * Of several workers (`processes: N`) the first leads, and the others serve the generation that it says (link.ts); they
 * share the listening sockets, and one that dies is started again beside those that serve. One of the others that dies again
 * and again is given up for a while, and the instance is told as degraded.
 *
 * A rolling restart replaces them one after another (rolling.ts). A drained instance keeps this process, and nothing else.
 *
 * Whoever started it reads one line from `notify`: { ok, ... } once the worker serves, or why it does not.
 */
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import type { Server } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { getSystemErrorName } from "node:util";
import { CageError } from "../errors.ts";
import { type LogFile, openLogFile } from "../health/logfile.ts";
import type { Snapshot } from "../health/metrics.ts";
import { together } from "../health/together.ts";
import { forget, propose } from "./agreement.ts";
import { alone } from "./claim.ts";
import { answerMs, askControl, serveControl } from "./control.ts";
import { Crashes, intensity } from "./crashes.ts";
import type { ToSupervisor, ToWorker } from "./link.ts";
import { Listeners } from "./listeners.ts";
import { ensureRun, type Paths, socketOf } from "./paths.ts";
import { Process } from "./process.ts";
import { Registry } from "./registry.ts";
import { drained, drainMs, type Posts, replace } from "./rolling.ts";

export interface SupervisorOptions {
  readonly paths: Paths;
  readonly cage: string;
  readonly workerFile: string;
  readonly watch: boolean;
  /** The port on which a debugger may come; 0 is any. */
  readonly inspect?: number;
  /** Also write what the worker says to this process's own output. */
  readonly foreground: boolean;
  notify(
    outcome:
      | { ok: true; status: Status }
      | { ok: false; code: string; message: string; frame?: string; stderr: string[] },
  ): void;
}

export type State = "starting" | "ready" | "restarting" | "failed" | "draining" | "drained" | "stopping";

export interface Status {
  readonly cage: string;
  readonly node: string;
  readonly state: State;
  readonly supervisor: number;
  readonly pid: number | undefined;
  readonly startedAt: number;
  readonly restarts: number;
  readonly lastExit: { readonly at: number; readonly why: string } | undefined;
  readonly stderr: readonly string[];
  /** What the worker says of itself; absent while it cannot. */
  readonly worker?: unknown;
  /** Of `processes: N`, those that died too often and are not there now. */
  readonly degraded: readonly number[];
  /** Of `processes: N`, those beside the first. */
  readonly others: readonly { readonly process: number; readonly pid: number | undefined; readonly worker?: unknown }[];
}

const keptLines = 40;
/** What cages print beside their log: small, and the last of it is what is wanted. */
const outputLimits = { maxBytes: 8 * 1024 * 1024, keep: 2 } as const;

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #listeners = new Listeners();
  readonly #startedAt = Date.now();
  readonly #crashes = new Crashes();
  readonly #stderr: string[] = [];
  readonly #node = process.env["CAGE_NODE"] ?? (hostname().split(".")[0] as string);
  readonly #registry: Registry;
  #control: Server | undefined;
  /** The first, which leads. */
  #worker: Process | undefined;
  readonly #others = new Map<number, Process>();
  /** Not of the instance: those that are about to take a place, and those that left one and drain. */
  readonly #beside = new Set<Process>();
  #rolling = false;
  /** The number whose process is being replaced. */
  #replacing: number | undefined;
  /** A place is changing hands: who asks the first waits for that. */
  #handing: Promise<void> = Promise.resolve();
  /** How many processes the configuration wants, and which generation is for good: by the first's word. */
  #wanted = 1;
  #serving: number | undefined;
  /** Died, and not to be started again just yet. */
  readonly #resting = new Set<number>();
  #output: LogFile | undefined;
  #state: State = "starting";
  #restarts = 0;
  #lastExit: { at: number; why: string } | undefined;
  #notified = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#registry = new Registry(options.paths, { node: this.#node, cage: options.cage });
  }

  async start(): Promise<void> {
    const { paths, cage } = this.#options;
    ensureRun(paths);
    await alone(`${socketOf(paths, "ctl", cage)}.lock`, () => this.#takeControl());
    // Journals and databases are nobody else's to read.
    mkdirSync(join(paths.state, cage), { recursive: true });
    chmodSync(join(paths.state, cage), 0o700);
    this.#output = openLogFile({ file: join(paths.logs, cage, "output.log"), ...outputLimits });
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void this.stop());
    // A terminal that closes must not end what was meant to stay.
    process.on("SIGHUP", () => {});
    await this.#registry.predecessor(drainMs);
    if (this.#state === "starting") this.#spawn();
  }

  /** Drains the workers, with SIGKILL when they take too long, then leaves. A second call ends it at once. */
  async stop(): Promise<void> {
    if (this.#state === "stopping") {
      for (const worker of this.#all) worker.kill();
      return;
    }
    if (this.#state === "starting")
      this.#notify({ ok: false, code: "CANCELLED", message: "it was stopped while it started", stderr: [] });
    this.#enter("stopping");
    await this.#empty();
    this.#leave(0);
  }

  /** As `stop`, and stays: the instance is listed as drained until it is started again. */
  async drain(): Promise<void> {
    const { cage } = this.#options;
    if (this.#state === "drained") return;
    if (this.#state === "starting" || this.#state === "stopping")
      throw new CageError("CONFLICT", `cage ${cage} is ${this.#state}; ask again when that is done`);
    this.#enter("draining");
    await this.#empty();
    // It may have been told to stop meanwhile.
    if (this.#state !== "draining") return;
    this.#listeners.closeAll();
    this.#serving = undefined;
    this.#enter("drained");
  }

  /** Whoever looks for an instance finds none from now on; resolves when no worker is left. */
  async #empty(): Promise<void> {
    // No worker will take what comes now: refused at once, it can ask elsewhere; in the kernel's queue it would wait.
    this.#listeners.closeAll();
    const workers = this.#all;
    const gone = Promise.all(workers.map(drained));
    this.#register();
    await gone;
    if (this.#all.length > 0) await this.#empty();
  }

  /** The instance, its first process first. */
  get #places(): Process[] {
    return [...(this.#worker === undefined ? [] : [this.#worker]), ...this.#others.values()];
  }

  get #all(): Process[] {
    return [...this.#places, ...this.#beside];
  }

  async #takeControl(): Promise<void> {
    const { paths, cage } = this.#options;
    const path = socketOf(paths, "ctl", cage);
    try {
      const status = (await askControl(path, "status", undefined, 2_000)) as Status;
      throw new CageError("CONFLICT", `cage ${cage} already runs (pid ${status.pid ?? status.supervisor})`);
    } catch (error) {
      if ((error as CageError).code === "CONFLICT" || (error as CageError).code === "EXPIRED") throw error;
      // Nobody answers: a socket that lies there was left by a supervisor that was killed.
      rmSync(path, { force: true });
    }
    const control = serveControl((verb, args) => this.#answer(verb, args));
    await new Promise<void>((resolve, reject) => {
      control.once("error", reject);
      control.listen(path, resolve);
    });
    // The directory keeps others out already; on a system that ignores that for sockets, this does.
    chmodSync(path, 0o700);
    this.#control = control;
  }

  #spawn(number = 1): Process {
    const first = number === 1;
    const { watch, inspect } = this.#options;
    const worker = this.#start(
      number,
      first ? { watch, again: this.#restarts > 0 } : { watch: false, again: false, follow: this.#serving },
      // A debugger's port is one; it comes to the first.
      first ? inspect : undefined,
    );
    if (first) this.#worker = worker;
    else this.#others.set(number, worker);
    this.#register();
    return worker;
  }

  #start(number: number, more: object, inspect: number | undefined): Process {
    const { paths, cage, workerFile } = this.#options;
    const { home, root } = paths;
    return new Process({
      number,
      workerFile,
      given: { home, root, cage, node: this.#node, process: number, ...more },
      inspect,
      hear: (message, from) => this.#hear(message, from),
      say: (text, error) => this.#say(text, error),
      died: (from, why) => this.#died(from, why),
    });
  }

  #hear(message: Exclude<ToSupervisor, { kind: "answer" }>, from: Process): void {
    switch (message.kind) {
      case "listen": {
        const handle = this.#listeners.take(message.address, from);
        const reply: ToWorker =
          typeof handle === "number"
            ? {
                kind: "listening",
                id: message.id,
                error: { code: getSystemErrorName(handle), message: `cannot bind: ${getSystemErrorName(handle)}` },
              }
            : { kind: "listening", id: message.id };
        return from.tell(reply, typeof handle === "number" ? undefined : handle);
      }
      case "release":
        return this.#listeners.release(message.address, from);
      case "serving":
        this.#serving = message.generation;
        this.#wanted = message.processes;
        for (const other of this.#beyond(from)) other.tell({ kind: "follow", generation: message.generation });
        return this.#muster();
      case "propose":
        return void propose(message.generation, this.#beyond(from)).then((value) =>
          from.tell({ kind: "answered", id: message.id, value }),
        );
      case "cannot":
        this.#say(
          `${this.#options.cage}: process ${from.number} cannot serve generation ${message.generation} (${message.message}), and is started anew\n`,
          true,
        );
        return from.drain();
      case "ahead": {
        const { id, verb, args } = message;
        return void this.#ahead(verb, args, Date.now() + answerMs(verb) - 1_000).then(
          (value) => from.tell({ kind: "answered", id, value }),
          ({ code = "INTERNAL", message }: CageError) => from.tell({ kind: "answered", id, error: { code, message } }),
        );
      }
      case "ready":
        return this.#ready(from);
      case "failed":
        // Whoever waits for it asks the process itself.
        return;
      case "say":
        return this.#say(`${message.text}\n`);
    }
  }

  #ready(from: Process): void {
    if (from === this.#worker) {
      this.#enter("ready");
      this.#listeners.sweep();
    } else {
      if (this.#serving !== undefined) from.tell({ kind: "follow", generation: this.#serving });
      this.#register();
    }
    this.#muster();
  }

  /** As many as are wanted; who waits for the start waits for all of them. */
  #muster(): void {
    if (this.#state !== "ready" || this.#serving === undefined) return;
    for (let number = 2; number <= this.#wanted; number++)
      if (!this.#others.has(number) && number !== this.#replacing && !this.#resting.has(number)) this.#spawn(number);
    for (const [number, other] of this.#others) if (number > this.#wanted && !other.leaving) other.drain();
    this.#register();
    if (this.#places.every((worker) => worker.ready || worker.leaving))
      void this.#status().then((status) => this.#notify({ ok: true, status }));
  }

  /** Those that serve beside it. */
  #beyond(one: Process | undefined): Process[] {
    return this.#all.filter((each) => each !== one && each.ready);
  }

  #died(worker: Process, why: string): void {
    const first = worker === this.#worker;
    const beside = this.#beside.delete(worker);
    if (first) this.#worker = undefined;
    else if (!beside) this.#others.delete(worker.number);
    const unwanted = beside || (!first && worker.number > this.#wanted);
    if (unwanted) this.#listeners.leave(worker);
    else this.#listeners.forget(worker);
    this.#register();
    if (unwanted || ["stopping", "draining", "drained"].includes(this.#state)) return;
    // Left behind by what failed.
    if (!first && this.#state === "failed") return;
    // Not wanted when it was told to leave, and wanted again since.
    if (!first && worker.leaving) return this.#muster();
    this.#lastExit = { at: Date.now(), why };
    const shown = first ? "the worker" : `process ${worker.number}`;
    this.#say(`${new Date().toISOString()} ${this.#options.cage}: ${shown} ended (${why})\n`, true);
    const starting = this.#state === "starting";
    if (starting || (!first && !this.#notified && this.#state === "ready")) {
      // It never served: whoever started it is told why, and there is nothing to keep alive.
      const failure = worker.failure ?? { code: "INTERNAL", message: `${shown} ended while starting (${why})` };
      this.#notify({ ok: false, ...failure, stderr: this.#stderr.slice(-10) });
      return starting ? this.#leave(1) : void this.stop();
    }
    if (first && this.#state === "ready") this.#enter("restarting");
    if (first) forget(this.#beyond(undefined));
    this.#again(worker.number);
  }

  /** Starts it again, when its time has come. */
  #again(number: number): void {
    // Its successor is there already, or on its way.
    if (this.#replacing === number) return;
    const { afterMs, tooMany } = this.#crashes.died(number);
    if (tooMany && number === 1) return this.#fail();
    if (tooMany)
      this.#say(
        `${this.#options.cage}: process ${number} ended more than ${intensity.limit} times in ${intensity.periodMs / 1000} s; the others serve, and it is tried again in ${(afterMs / 1000).toFixed(0)} s\n`,
        true,
      );
    this.#resting.add(number);
    setTimeout(() => {
      this.#resting.delete(number);
      if (number !== 1) return this.#muster();
      if (this.#state !== "restarting" || this.#worker !== undefined) return;
      this.#restarts++;
      this.#spawn();
    }, afterMs);
  }

  #fail(): void {
    this.#enter("failed");
    for (const worker of this.#all) worker.drain();
    this.#say(
      `${this.#options.cage}: more than ${intensity.limit} crashes in ${intensity.periodMs / 1000} s, stopped; mend it and run ./cage start ${this.#options.cage}. Its last words:\n${this.#stderr.slice(-10).join("\n")}\n`,
    );
    if (this.#options.foreground) this.#leave(1);
  }

  // --- rolling -----------------------------------------------------------------------------------------------------

  /** All processes anew, one after another; then what differs on the disk, as a start would have loaded it. */
  async #roll(): Promise<unknown> {
    const { cage } = this.#options;
    if (this.#rolling) throw new CageError("CONFLICT", `cage ${cage} is being restarted already`);
    if (this.#state !== "ready" || this.#serving === undefined)
      throw new CageError("UNAVAILABLE", `cage ${cage} is ${this.#state}; start it with ./cage start ${cage}`);
    this.#rolling = true;
    try {
      for (const old of this.#places) {
        // One that ended or left meanwhile is new already, or not wanted.
        if (!this.#places.includes(old) || !old.ready) continue;
        this.#replacing = old.number;
        await replace(old, this.#posts).finally(() => this.#replaced(old.number));
      }
    } finally {
      this.#rolling = false;
      this.#muster();
    }
    await this.#ask("process.catch up", undefined, answerMs("reload") - 1_000);
    return await this.#status();
  }

  readonly #posts: Posts = {
    beside: (old) => {
      const { watch, inspect } = this.#options;
      const more = { beside: true, again: false, follow: this.#serving, watch: old.number === 1 && watch };
      // The old one has the debugger's port still.
      const next = this.#start(old.number, more, old.number === 1 && inspect !== undefined ? 0 : undefined);
      this.#beside.add(next);
      this.#register();
      return next;
    },
    install: (next, old, work) => {
      this.#beside.delete(next);
      if (!["stopping", "draining"].includes(this.#state)) this.#place(next, old);
      const handed = work();
      this.#handing = handed.catch(() => {});
      return handed;
    },
  };

  /** Well or not: when neither is there in the end, it is as with any that died. */
  #replaced(number: number): void {
    this.#replacing = undefined;
    const there = this.#places.some((worker) => worker.number === number);
    if (!there && ["ready", "restarting"].includes(this.#state)) this.#again(number);
  }

  #place(next: Process, old: Process): void {
    if (old.pid !== undefined && this.#places.includes(old)) this.#beside.add(old);
    if (next.number === 1) {
      this.#worker = next;
      this.#enter("ready");
    } else this.#others.set(next.number, next);
    this.#register();
  }

  async #answer(verb: string, args: unknown): Promise<unknown> {
    switch (verb) {
      case "status":
        return await this.#status();
      case "stop":
        setImmediate(() => void this.stop());
        return { stopping: true };
      case "drain":
        await this.drain();
        return await this.#status();
      case "rolling":
        return await this.#roll();
      case "start":
        if (this.#state !== "failed" && this.#state !== "drained")
          throw new CageError("CONFLICT", `cage ${this.#options.cage} already runs`);
        this.#crashes.forget();
        this.#enter("restarting");
        this.#restarts++;
        this.#spawn();
        return await this.#status();
      case "metrics":
        return together((await this.#askAll(verb, args)) as Snapshot[]);
      case "history": {
        const [, ...others] = this.#others.size > 0 ? await this.#askAll("figures", undefined) : [];
        return await this.#ask(verb, { beside: others.flat() }, answerMs(verb) - 1_000);
      }
      case "level":
        // Each process keeps them for itself, and answers alike.
        return (await this.#askAll(verb, args))[0];
      case "requests":
      case "gates":
        return ((await this.#askAll(verb, args)) as unknown[][]).flat();
      default:
        if (verb.startsWith("process."))
          throw new CageError("BAD_INPUT", `'${verb}' is between a supervisor and its workers`);
        // A little less than who asks will wait: this answer says more.
        return await this.#ask(verb, args, answerMs(verb) - 1_000);
    }
  }

  async #ask(verb: string, args: unknown, timeoutMs: number): Promise<unknown> {
    await this.#handing;
    if (this.#worker === undefined)
      throw new CageError("UNAVAILABLE", `cage ${this.#options.cage} is ${this.#state}; it cannot do '${verb}' now`);
    return await this.#worker.ask(verb, args, timeoutMs);
  }

  /**
   * What may be asked of the first twice: of the next one when this one has resigned (it answers nothing then), or ended
   * before it answered.
   */
  async #ahead(verb: string, args: unknown, until: number): Promise<unknown> {
    for (;;) {
      const asked = this.#worker;
      try {
        const value = await this.#ask(verb, args, until - Date.now());
        if (value !== undefined) return value;
      } catch (error) {
        if ((asked !== undefined && asked === this.#worker) || Date.now() > until) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** The first's answer, then those of the others that have one: a process that hangs hides none of them. */
  async #askAll(verb: string, args: unknown): Promise<unknown[]> {
    const others = [...this.#others.values()].filter((each) => each.ready);
    const [first, ...rest] = await Promise.allSettled([
      this.#ask(verb, args, answerMs(verb) - 1_000),
      ...others.map((each) => each.ask(verb, args, 1_000)),
    ]);
    if (first?.status === "rejected") throw first.reason;
    return [first, ...rest].flatMap((each) => (each?.status === "fulfilled" ? [each.value] : []));
  }

  async #status(): Promise<Status> {
    const asked = (worker: Process | undefined) =>
      worker?.ready ? worker.ask("status", undefined, 1_000).catch(() => undefined) : undefined;
    const [worker, ...others] = await Promise.all([
      this.#state === "ready" ? asked(this.#worker) : undefined,
      ...[...this.#others.values()].map(async (other) => {
        const worker = await asked(other);
        return { process: other.number, pid: other.pid, ...(worker === undefined ? {} : { worker }) };
      }),
    ]);
    return {
      cage: this.#options.cage,
      node: this.#node,
      state: this.#state,
      supervisor: process.pid,
      pid: this.#worker?.pid,
      startedAt: this.#startedAt,
      restarts: this.#restarts,
      lastExit: this.#lastExit,
      stderr: this.#stderr.slice(-10),
      degraded: [...this.#resting].filter((number) => this.#crashes.tooMany(number)),
      ...(worker === undefined ? {} : { worker }),
      others,
    };
  }

  #enter(state: State): void {
    this.#state = state;
    this.#register();
  }

  #register(): void {
    const processes = this.#places.flatMap((worker) => (worker.ready ? [worker.number] : []));
    try {
      this.#registry.write(
        this.#all.map((worker) => worker.pid),
        processes,
      );
    } catch (error) {
      // A full disk must not end what supervises; the last row stays until there is room.
      this.#say(`${this.#options.cage}: its registry could not be written: ${(error as Error).message}\n`, true);
    }
  }

  #notify(outcome: Parameters<SupervisorOptions["notify"]>[0]): void {
    if (this.#notified) return;
    this.#notified = true;
    this.#options.notify(outcome);
  }

  #say(text: string, error = false): void {
    this.#output?.write(text);
    if (this.#options.foreground) (error ? process.stderr : process.stdout).write(text);
    if (!error) return;
    this.#stderr.push(...text.split("\n").filter((line) => line !== ""));
    this.#stderr.splice(0, Math.max(0, this.#stderr.length - keptLines));
  }

  #leave(code: number): void {
    this.#listeners.closeAll();
    this.#registry.remove();
    // Closing a unix server removes its socket: the sign that nothing of this instance is left.
    this.#control?.close();
    this.#output?.close();
    process.exit(code);
  }
}
