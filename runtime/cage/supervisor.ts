/**
 * The supervisor of one instance: a small parent process that starts the worker, holds its listening sockets, answers
 * the control socket, and starts the worker again when it dies. It loads no code of the cage and never reloads, so
 * nothing that a cage does can hurt it; there is no daemon above it whose death would take others along.
 *
 *     starting --> ready --> (worker dies) restarting --> ready ...
 *                                  `--> more than 5 deaths in 60 s: failed (kept for asking; `start` tries again)
 *
 * Of several workers (`processes: N`) the first leads, and the others serve the generation that it says (link.ts); they
 * share the listening sockets, and one that dies is started again beside those that serve.
 *
 * Whoever started it reads one line from `notify`: { ok, ... } once the worker serves, or why it does not.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { Server } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { getSystemErrorName } from "node:util";
import { CageError } from "../errors.ts";
import { type LogFile, openLogFile } from "../health/logfile.ts";
import type { Snapshot } from "../health/metrics.ts";
import { together } from "../health/together.ts";
import { alone } from "./claim.ts";
import { answerMs, askControl, serveControl } from "./control.ts";
import type { ToSupervisor, ToWorker } from "./link.ts";
import { Listeners } from "./listeners.ts";
import { ensureRun, type Paths, socketOf } from "./paths.ts";
import { Process } from "./process.ts";

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

export type State = "starting" | "ready" | "restarting" | "failed" | "stopping";

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
  /** Of `processes: N`, those beside the first. */
  readonly others: readonly { readonly process: number; readonly pid: number | undefined; readonly worker?: unknown }[];
}

const crashes = { limit: 5, periodMs: 60_000, firstDelayMs: 100, longestDelayMs: 30_000 } as const;
const keptLines = 40;
/** Between SIGTERM and SIGKILL: the longest request (10 s by default) and a little for flushing. */
const drainMs = 15_000;
/** What cages print beside their log: small, and the last of it is what is wanted. */
const outputLimits = { maxBytes: 8 * 1024 * 1024, keep: 2 } as const;

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #listeners = new Listeners();
  readonly #startedAt = Date.now();
  readonly #deaths: number[] = [];
  readonly #stderr: string[] = [];
  readonly #node = process.env["CAGE_NODE"] ?? (hostname().split(".")[0] as string);
  #control: Server | undefined;
  /** The first, which leads. */
  #worker: Process | undefined;
  readonly #others = new Map<number, Process>();
  /** How many processes the configuration wants, and which generation is for good: by the first's word. */
  #wanted = 1;
  #serving: number | undefined;
  /** What all of them served before that, to go back to; undefined while they do. */
  #before: number | undefined;
  #goingBack = false;
  #output: LogFile | undefined;
  #state: State = "starting";
  #restarts = 0;
  #lastExit: { at: number; why: string } | undefined;
  #notified = false;
  #gone: () => void = () => {};
  #failure: { code: string; message: string; frame?: string } | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
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
    await this.#predecessor();
    if (this.#state === "starting") this.#spawn();
  }

  /** SIGTERM to the worker (it drains), SIGKILL when it takes too long, then leaves. A second call ends it at once. */
  async stop(): Promise<void> {
    if (this.#state === "stopping") {
      for (const worker of this.#all) worker.kill();
      return;
    }
    if (this.#state === "starting")
      this.#notify({ ok: false, code: "CANCELLED", message: "it was stopped while it started", stderr: [] });
    this.#enter("stopping");
    // No worker will take what comes now: refused at once, it can ask elsewhere; in the kernel's queue it would wait.
    this.#listeners.closeAll();
    const gone = new Promise<void>((resolve) => (this.#gone = resolve));
    const late = setTimeout(() => this.#all.map((worker) => worker.kill()), drainMs);
    for (const worker of this.#all) worker.drain();
    // Whoever looks for an instance finds none from now on.
    this.#register();
    if (this.#all.length > 0) await gone;
    clearTimeout(late);
    this.#leave(0);
  }

  get #all(): Process[] {
    return [...(this.#worker === undefined ? [] : [this.#worker]), ...this.#others.values()];
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

  /** A supervisor that was killed leaves workers that drain; its journal and ports are free when they are gone. */
  async #predecessor(): Promise<void> {
    const pids = this.#registeredWorkers();
    const deadline = Date.now() + drainMs;
    while (pids.some((pid) => isWorker(pid, this.#options.cage)) && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 20));
  }

  #registeredWorkers(): readonly number[] {
    try {
      const { workers } = JSON.parse(readFileSync(this.#registry, "utf8")) as { workers?: readonly number[] };
      return workers ?? [];
    } catch {
      return [];
    }
  }

  #spawn(number = 1): void {
    const { paths, cage, workerFile, watch, inspect } = this.#options;
    const { home, root } = paths;
    const first = number === 1;
    const worker = new Process({
      number,
      workerFile,
      given: {
        home,
        root,
        cage,
        node: this.#node,
        process: number,
        ...(first ? { watch, again: this.#restarts > 0 } : { watch: false, again: false, follow: this.#serving }),
      },
      // A debugger's port is one; it comes to the first.
      inspect: first ? inspect : undefined,
      hear: (message, from) => this.#hear(message, from),
      say: (text, error) => this.#say(text, error),
      died: (from, why) => this.#died(from, why),
    });
    if (first) this.#worker = worker;
    else this.#others.set(number, worker);
    this.#register();
  }

  #hear(message: Exclude<ToSupervisor, { kind: "answer" }>, from: Process): void {
    switch (message.kind) {
      case "listen": {
        const handle = this.#listeners.take(message.address, from.number);
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
        return this.#listeners.release(message.address, from.number);
      case "serving":
        if (message.generation !== this.#serving) {
          this.#before = this.#goingBack ? undefined : this.#serving;
          this.#goingBack = false;
        }
        this.#serving = message.generation;
        this.#wanted = message.processes;
        for (const other of this.#others.values())
          if (other.ready) other.tell({ kind: "follow", generation: message.generation });
        return this.#muster();
      case "cannot":
        return this.#goBack(from, message.generation, message.message);
      case "ahead": {
        const { id, verb, args } = message;
        return void this.#ask(verb, args, answerMs(verb) - 1_000).then(
          (value) => from.tell({ kind: "answered", id, value }),
          ({ code = "INTERNAL", message }: CageError) => from.tell({ kind: "answered", id, error: { code, message } }),
        );
      }
      case "ready":
        return this.#ready(from);
      case "failed":
        if (from !== this.#worker && this.#notified) return;
        this.#failure = {
          code: "LOAD",
          message: message.message,
          ...(message.frame === undefined ? {} : { frame: message.frame }),
        };
        return;
      case "say":
        return this.#say(`${message.text}\n`);
    }
  }

  #ready(from: Process): void {
    from.ready = true;
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
    for (let number = 2; number <= this.#wanted; number++) if (!this.#others.has(number)) this.#spawn(number);
    for (const [number, other] of this.#others) if (number > this.#wanted && !other.leaving) other.drain();
    this.#register();
    if (this.#all.every((worker) => worker.ready || worker.leaving))
      void this.#status().then((status) => this.#notify({ ok: true, status }));
  }

  /** All swap or none: what one of them cannot serve, none does. */
  #goBack(from: Process, generation: number, why: string): void {
    if (generation !== this.#serving || from.leaving || this.#goingBack) return;
    const { cage } = this.#options;
    const failed = (sentence: string): void => {
      this.#goingBack = false;
      this.#say(`${cage}: process ${from.number} cannot serve generation ${generation} (${why}); ${sentence}\n`, true);
    };
    if (this.#before === undefined || this.#worker === undefined) {
      failed("there is none to go back to, so it is started anew");
      return from.tell({ kind: "drain" });
    }
    failed(`all go back to generation ${this.#before}`);
    this.#goingBack = true;
    this.#worker.ask("rollback", { generation: this.#before }, answerMs("rollback")).catch((error: Error) => {
      failed(`nor can they go back: ${error.message}`);
      from.tell({ kind: "drain" });
    });
  }

  #died(worker: Process, why: string): void {
    this.#listeners.forget(worker.number);
    const first = worker === this.#worker;
    if (first) this.#worker = undefined;
    else this.#others.delete(worker.number);
    this.#register();
    if (this.#all.length === 0) this.#gone();
    if (this.#state === "stopping") return;
    // Not wanted any more, or left behind by what failed.
    if (!first && (worker.number > this.#wanted || this.#state === "failed")) return;
    // Not wanted when it was told to leave, and wanted again since.
    if (!first && worker.leaving) return this.#muster();
    this.#lastExit = { at: Date.now(), why };
    const shown = first ? "the worker" : `process ${worker.number}`;
    this.#say(`${new Date().toISOString()} ${this.#options.cage}: ${shown} ended (${why})\n`, true);
    if (this.#state === "starting") {
      // It never served: whoever started it is told why, and there is nothing to keep alive.
      const failure = this.#failure ?? { code: "INTERNAL", message: `the cage ended while starting (${why})` };
      this.#notify({ ok: false, ...failure, stderr: this.#stderr.slice(-10) });
      return this.#leave(1);
    }
    if (!first && !this.#notified && this.#state === "ready") {
      // Likewise; the first has only begun to.
      const failure = this.#failure ?? { code: "INTERNAL", message: `${shown} ended while starting (${why})` };
      this.#notify({ ok: false, ...failure, stderr: this.#stderr.slice(-10) });
      return void this.stop();
    }
    const nowMs = Date.now();
    this.#deaths.push(nowMs);
    while ((this.#deaths[0] as number) < nowMs - crashes.periodMs) this.#deaths.shift();
    if (this.#deaths.length > crashes.limit) return this.#fail();
    if (first) this.#enter("restarting");
    const delay =
      Math.min(crashes.longestDelayMs, crashes.firstDelayMs * 2 ** (this.#deaths.length - 1)) *
      (0.75 + Math.random() / 2);
    setTimeout(() => {
      if (!first) return this.#muster();
      if (this.#state !== "restarting") return;
      this.#restarts++;
      this.#spawn();
    }, delay);
  }

  #fail(): void {
    this.#enter("failed");
    for (const worker of this.#all) worker.drain();
    this.#say(
      `${this.#options.cage}: ${this.#deaths.length} crashes in ${crashes.periodMs / 1000} s, stopped; mend it and run ./cage start ${this.#options.cage}. Its last words:\n${this.#stderr.slice(-10).join("\n")}\n`,
    );
    if (this.#options.foreground) this.#leave(1);
  }

  async #answer(verb: string, args: unknown): Promise<unknown> {
    switch (verb) {
      case "status":
        return await this.#status();
      case "stop":
        setImmediate(() => void this.stop());
        return { stopping: true };
      case "start":
        if (this.#state !== "failed") throw new CageError("CONFLICT", `cage ${this.#options.cage} already runs`);
        this.#deaths.length = 0;
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
        // A little less than who asks will wait: this answer says more.
        return await this.#ask(verb, args, answerMs(verb) - 1_000);
    }
  }

  async #ask(verb: string, args: unknown, timeoutMs: number): Promise<unknown> {
    if (this.#worker === undefined)
      throw new CageError("UNAVAILABLE", `cage ${this.#options.cage} is ${this.#state}; it cannot do '${verb}' now`);
    return await this.#worker.ask(verb, args, timeoutMs);
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
      ...(worker === undefined ? {} : { worker }),
      others,
    };
  }

  #enter(state: State): void {
    this.#state = state;
    this.#register();
  }

  get #registry(): string {
    return `${socketOf(this.#options.paths, "ctl", this.#options.cage)}.json`;
  }

  /** The registry that discovery reads: who runs here, and whether it serves now. Never half a file. */
  #register(): void {
    const { cage } = this.#options;
    const workers = this.#all.map((worker) => worker.pid);
    const processes = this.#all.flatMap((worker) => (worker.ready ? [worker.number] : []));
    const row = { node: this.#node, cage, pid: process.pid, workers, processes };
    try {
      writeFileSync(`${this.#registry}.new`, JSON.stringify(row));
      renameSync(`${this.#registry}.new`, this.#registry);
    } catch (error) {
      // A full disk must not end what supervises; the last row stays until there is room.
      this.#say(`${cage}: its registry could not be written: ${(error as Error).message}\n`, true);
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
    rmSync(this.#registry, { force: true });
    // Closing a unix server removes its socket: the sign that nothing of this instance is left.
    this.#control?.close();
    this.#output?.close();
    process.exit(code);
  }
}

/** By its title too, where the system shows that: a number may have become another process since. */
function isWorker(pid: number, cage: string): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return (
      readFileSync(`/proc/${pid}/cmdline`, "utf8")
        .replace(/[\0 ]+$/, "")
        .split(" #")[0] === `cage ${cage}`
    );
  } catch {
    return process.platform !== "linux";
  }
}
