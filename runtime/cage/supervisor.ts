/**
 * The supervisor of one instance: a small parent process that starts the worker, holds its listening sockets, answers
 * the control socket, and starts the worker again when it dies. It loads no code of the cage and never reloads, so
 * nothing that a cage does can hurt it; there is no daemon above it whose death would take others along.
 *
 *     starting --> ready --> (worker dies) restarting --> ready ...
 *                                  `--> more than 5 deaths in 60 s: failed (kept for asking; `start` tries again)
 *
 * Whoever started it reads one line from `notify`: { ok, ... } once the worker serves, or why it does not.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { Server } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { getSystemErrorName } from "node:util";
import { CageError } from "../errors.ts";
import { type LogFile, openLogFile } from "../health/logfile.ts";
import { alone } from "./claim.ts";
import { answerMs, askControl, serveControl } from "./control.ts";
import type { ToSupervisor, ToWorker } from "./link.ts";
import { Listeners } from "./listeners.ts";
import { ensureRun, type Paths, socketOf } from "./paths.ts";

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
  readonly #asked = new Map<number, (message: Extract<ToSupervisor, { kind: "answer" }>) => void>();
  readonly #node = process.env["CAGE_NODE"] ?? (hostname().split(".")[0] as string);
  #control: Server | undefined;
  #worker: ChildProcess | undefined;
  #output: LogFile | undefined;
  #state: State = "starting";
  #restarts = 0;
  #lastExit: { at: number; why: string } | undefined;
  #nextAsk = 1;
  #notified = false;
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
      this.#worker?.kill("SIGKILL");
      return;
    }
    if (this.#state === "starting")
      this.#notify({ ok: false, code: "CANCELLED", message: "it was stopped while it started", stderr: [] });
    this.#enter("stopping");
    const worker = this.#worker;
    if (worker !== undefined && worker.exitCode === null && worker.signalCode === null) {
      const gone = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
      const late = setTimeout(() => worker.kill("SIGKILL"), drainMs);
      this.#tell({ kind: "drain" });
      await gone;
      clearTimeout(late);
    }
    this.#leave(0);
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

  /** A supervisor that was killed leaves a worker that drains; its journal and ports are free when it is gone. */
  async #predecessor(): Promise<void> {
    const pid = this.#registeredWorker();
    const deadline = Date.now() + drainMs;
    while (pid !== undefined && isWorker(pid, this.#options.cage) && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 20));
  }

  #registeredWorker(): number | undefined {
    try {
      const { worker } = JSON.parse(readFileSync(this.#registry, "utf8")) as { worker?: number };
      return worker;
    } catch {
      return undefined;
    }
  }

  #spawn(): void {
    const { paths, cage, workerFile, watch, inspect } = this.#options;
    const debug = inspect === undefined ? [] : [`--inspect=127.0.0.1:${inspect}`];
    const worker = spawn(process.execPath, [...debug, workerFile], {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      env: {
        ...process.env,
        CAGE_WORKER: JSON.stringify({
          home: paths.home,
          root: paths.root,
          cage,
          node: this.#node,
          watch,
          again: this.#restarts > 0,
        }),
      },
    });
    this.#worker = worker;
    worker.stdout?.setEncoding("utf8").on("data", (text: string) => this.#say(text));
    worker.stderr?.setEncoding("utf8").on("data", (text: string) => this.#say(text, true));
    worker.on("message", (message: ToSupervisor) => this.#hear(message));
    worker.on("exit", (code, signal) => this.#died(worker, signal ?? `exit code ${code}`));
    worker.on("error", (error) => {
      this.#say(`worker: ${error.message}\n`, true);
      // One that could not even be made (no memory, too many processes) never exits.
      if (worker.pid === undefined) this.#died(worker, error.message);
    });
    this.#register();
  }

  #hear(message: ToSupervisor): void {
    switch (message.kind) {
      case "listen": {
        const handle = this.#listeners.take(message.address);
        const reply: ToWorker =
          typeof handle === "number"
            ? {
                kind: "listening",
                id: message.id,
                error: { code: getSystemErrorName(handle), message: `cannot bind: ${getSystemErrorName(handle)}` },
              }
            : { kind: "listening", id: message.id };
        this.#worker?.send(reply, typeof handle === "number" ? undefined : (handle as never));
        return;
      }
      case "release":
        return this.#listeners.release(message.address);
      case "ready":
        this.#enter("ready");
        this.#listeners.sweep();
        return void this.#status().then((status) => this.#notify({ ok: true, status }));
      case "failed":
        this.#failure = {
          code: "LOAD",
          message: message.message,
          ...(message.frame === undefined ? {} : { frame: message.frame }),
        };
        return;
      case "answer":
        this.#asked.get(message.id)?.(message);
        this.#asked.delete(message.id);
        return;
      case "say":
        return this.#say(`${message.text}\n`);
    }
  }

  #died(worker: ChildProcess, why: string): void {
    if (worker !== this.#worker) return;
    this.#worker = undefined;
    this.#listeners.forget();
    for (const settle of this.#asked.values())
      settle({ kind: "answer", id: 0, error: { code: "UNAVAILABLE", message: "the worker ended" } });
    this.#asked.clear();
    if (this.#state === "stopping") return;
    this.#lastExit = { at: Date.now(), why };
    this.#say(`${new Date().toISOString()} ${this.#options.cage}: the worker ended (${why})\n`, true);
    if (this.#state === "starting") {
      // It never served: whoever started it is told why, and there is nothing to keep alive.
      const failure = this.#failure ?? { code: "INTERNAL", message: `the cage ended while starting (${why})` };
      this.#notify({ ok: false, ...failure, stderr: this.#stderr.slice(-10) });
      return this.#leave(1);
    }
    const nowMs = Date.now();
    this.#deaths.push(nowMs);
    while ((this.#deaths[0] as number) < nowMs - crashes.periodMs) this.#deaths.shift();
    if (this.#deaths.length > crashes.limit) {
      this.#enter("failed");
      this.#say(
        `${this.#options.cage}: ${this.#deaths.length} crashes in ${crashes.periodMs / 1000} s, stopped; mend it and run ./cage start ${this.#options.cage}. Its last words:\n${this.#stderr.slice(-10).join("\n")}\n`,
      );
      if (this.#options.foreground) this.#leave(1);
      return;
    }
    this.#enter("restarting");
    const delay =
      Math.min(crashes.longestDelayMs, crashes.firstDelayMs * 2 ** (this.#deaths.length - 1)) *
      (0.75 + Math.random() / 2);
    setTimeout(() => {
      if (this.#state !== "restarting") return;
      this.#restarts++;
      this.#spawn();
    }, delay);
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
      default:
        // A little less than who asks will wait: this answer says more.
        return await this.#ask(verb, args, answerMs(verb) - 1_000);
    }
  }

  async #ask(verb: string, args: unknown, timeoutMs: number): Promise<unknown> {
    if (this.#worker === undefined)
      throw new CageError("UNAVAILABLE", `cage ${this.#options.cage} is ${this.#state}; it cannot do '${verb}' now`);
    const id = this.#nextAsk++;
    return await new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.#asked.delete(id);
        reject(new CageError("EXPIRED", `the worker did not answer '${verb}' within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#asked.set(id, (message) => {
        clearTimeout(late);
        if (message.error) reject(new CageError(message.error.code, message.error.message));
        else resolve(message.value);
      });
      this.#tell({ kind: "ask", id, verb, args });
    });
  }

  async #status(): Promise<Status> {
    const worker =
      this.#state === "ready" ? await this.#ask("status", undefined, 1_000).catch(() => undefined) : undefined;
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
    const ready = this.#state === "ready";
    const row = { node: this.#node, cage, pid: process.pid, worker: this.#worker?.pid, ready };
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

  #tell(message: ToWorker): void {
    if (this.#worker?.connected) this.#worker.send(message);
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
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replace(/[\0 ]+$/, "") === `cage ${cage}`;
  } catch {
    return process.platform !== "linux";
  }
}
