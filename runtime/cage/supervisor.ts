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
 * A rolling restart replaces them one after another (rolling.ts). A drained instance keeps this process, and nothing else. An upgrade
 * replaces this process as well (upgrade.ts).
 *
 * Whoever started it reads one line from `notify`: { ok, ... } once the worker serves, or why it does not.
 */
import { chmodSync, mkdirSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { getSystemErrorName } from "node:util";
import { CageError } from "../errors.ts";
import type { Snapshot } from "../health/metrics.ts";
import { together } from "../health/together.ts";
import { forget, propose } from "./agreement.ts";
import { answerMs, askControl } from "./control.ts";
import { Crashes, intensity } from "./crashes.ts";
import type { ToSupervisor, ToWorker } from "./link.ts";
import { Listeners } from "./listeners.ts";
import { Output } from "./output.ts";
import { ensureRun, type Paths, socketOf } from "./paths.ts";
import { Process } from "./process.ts";
import { Registry } from "./registry.ts";
import { drained, drainMs, type Posts, replace, startMs, succeedMs } from "./rolling.ts";
import { Seat } from "./seat.ts";
import type { State, Status } from "./status.ts";
import { bequeath, Heir, type Inheritance } from "./upgrade.ts";

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

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #listeners = new Listeners();
  readonly #startedAt = Date.now();
  readonly #crashes = new Crashes();
  readonly #node = process.env["CAGE_NODE"] ?? (hostname().split(".")[0] as string);
  readonly #registry: Registry;
  readonly #seat: Seat;
  readonly #output: Output;
  /** The instance is this supervisor's: not yet of one that takes over, no more of one that handed over. */
  #owns = true;
  /** Workers of the supervisor before this one. */
  #inherited: readonly (number | undefined)[] = [];
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
  #state: State = "starting";
  #restarts = 0;
  #lastExit: { at: number; why: string } | undefined;
  #notified = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { paths, cage, foreground } = options;
    this.#registry = new Registry(paths, { node: this.#node, cage });
    this.#seat = new Seat(socketOf(paths, "ctl", cage), (verb, args) => this.#answer(verb, args));
    this.#output = new Output(join(paths.logs, cage, "output.log"), foreground);
  }

  async start(): Promise<void> {
    const { paths, cage } = this.#options;
    ensureRun(paths);
    await this.#seat.take(cage);
    this.#prepare();
    await this.#registry.predecessor(drainMs);
    if (this.#state === "starting") this.#spawn();
  }

  #prepare(): void {
    const { paths, cage } = this.#options;
    // Journals and databases are nobody else's to read.
    mkdirSync(join(paths.state, cage), { recursive: true });
    chmodSync(join(paths.state, cage), 0o700);
    this.#output.open();
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void this.stop());
    // A terminal that closes must not end what was meant to stay.
    process.on("SIGHUP", () => {});
  }

  /** Takes an instance over from the supervisor that started this one (upgrade.ts). */
  async inherit(estate: Inheritance): Promise<void> {
    this.#owns = false;
    this.#prepare();
    for (const [bequest, handle] of estate.sockets) this.#listeners.inherit(bequest, handle);
    this.#serving = estate.serving;
    this.#wanted = estate.processes;
    this.#inherited = estate.workers;
    const { watch, inspect } = this.#options;
    for (let number = 1; number <= this.#wanted; number++) {
      const more = { beside: true, again: false, follow: this.#serving, watch: number === 1 && watch };
      const worker = this.#start(number, more, number === 1 && inspect !== undefined ? 0 : undefined);
      if (number === 1) this.#worker = worker;
      else this.#others.set(number, worker);
    }
    await Promise.all(this.#places.map((worker) => worker.serves(startMs)));
    estate.say("serves");
    const yours = await estate.yours;
    // It was killed: its workers drain, and let go of the journal when they are gone.
    if (yours === undefined) await this.#registry.predecessor(drainMs);
    await Promise.all(this.#places.map((each) => each.ask("process.succeed", yours?.left ?? {}, succeedMs)));
    await this.#seat.inherit(estate.control);
    this.#owns = true;
    this.#notified = true;
    this.#enter("ready");
    this.#listeners.sweep();
    this.#muster();
    estate.say("taken");
  }

  /** Hands the instance over to a supervisor of another build; answers with its pid. Its own workers drain then. */
  async #upgrade({ supervisor, worker }: { supervisor: string; worker: string }): Promise<{ supervisor: number }> {
    const { paths, cage, watch, inspect, foreground } = this.#options;
    this.#mayRoll();
    if (foreground)
      throw new CageError("CONFLICT", `cage ${cage} runs in the foreground of a terminal or container; restart that`);
    this.#rolling = true;
    const { home, root } = paths;
    const heir = new Heir(supervisor, {
      home,
      root,
      cage,
      worker,
      watch,
      ...(inspect === undefined ? {} : { inspect }),
    });
    const estate = { serving: this.#serving as number, processes: this.#wanted };
    await bequeath(heir, this.#places, estate, this.#listeners, this.#seat).finally(() => (this.#rolling = false));
    this.#owns = false;
    this.#state = "stopping";
    this.#seat.cede();
    this.#listeners.abandon();
    void Promise.all(this.#all.map(drained)).then(() => this.#leave(0));
    return { supervisor: heir.pid as number };
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
      say: (text, error) => this.#output.write(text, error ? "error" : "word"),
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
        this.#output.write(
          `${this.#options.cage}: process ${from.number} cannot serve generation ${message.generation} (${message.message}), and is started anew\n`,
          "error",
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
        return this.#output.write(`${message.text}\n`);
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
    // Whoever waits for it to serve hears of it, and all of this ends.
    if (!this.#owns) return void this.#beside.delete(worker);
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
    this.#output.write(`${new Date().toISOString()} ${this.#options.cage}: ${shown} ended (${why})\n`, "error");
    const starting = this.#state === "starting";
    if (starting || (!first && !this.#notified && this.#state === "ready")) {
      // It never served: whoever started it is told why, and there is nothing to keep alive.
      const failure = worker.failure ?? { code: "INTERNAL", message: `${shown} ended while starting (${why})` };
      this.#notify({ ok: false, ...failure, stderr: this.#output.last });
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
      this.#output.write(
        `${this.#options.cage}: process ${number} ended more than ${intensity.limit} times in ${intensity.periodMs / 1000} s; the others serve, and it is tried again in ${(afterMs / 1000).toFixed(0)} s\n`,
        "error",
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
    this.#output.write(
      `${this.#options.cage}: more than ${intensity.limit} crashes in ${intensity.periodMs / 1000} s, stopped; mend it and run ./cage start ${this.#options.cage}. Its last words:\n${this.#output.last.join("\n")}\n`,
    );
    if (this.#options.foreground) this.#leave(1);
  }

  // --- rolling -----------------------------------------------------------------------------------------------------

  /** All processes anew, one after another; then what differs on the disk, as a start would have loaded it. */
  async #roll(): Promise<unknown> {
    this.#mayRoll();
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

  #mayRoll(): void {
    const { cage } = this.#options;
    if (this.#rolling) throw new CageError("CONFLICT", `cage ${cage} is being restarted already`);
    if (this.#state !== "ready" || this.#serving === undefined)
      throw new CageError("UNAVAILABLE", `cage ${cage} is ${this.#state}; start it with ./cage start ${cage}`);
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
      case "upgrade":
        return await this.#upgrade(args as { supervisor: string; worker: string });
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
        const leftMs = until - Date.now();
        // While two supervisors change places the one that owns the instance has the journal.
        const value = await (this.#owns
          ? this.#ask(verb, args, leftMs)
          : askControl(socketOf(this.#options.paths, "ctl", this.#options.cage), verb, args, leftMs));
        if (value !== undefined && value !== null) return value;
      } catch (error) {
        if ((this.#owns && asked !== undefined && asked === this.#worker) || Date.now() > until) throw error;
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
      stderr: this.#output.last,
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
    if (!this.#owns) return;
    const processes = this.#places.flatMap((worker) => (worker.ready ? [worker.number] : []));
    try {
      this.#registry.write([...this.#all.map((worker) => worker.pid), ...this.#inherited], processes);
    } catch (error) {
      // A full disk must not end what supervises; the last row stays until there is room.
      this.#output.write(
        `${this.#options.cage}: its registry could not be written: ${(error as Error).message}\n`,
        "error",
      );
    }
  }

  #notify(outcome: Parameters<SupervisorOptions["notify"]>[0]): void {
    if (this.#notified) return;
    this.#notified = true;
    this.#options.notify(outcome);
  }

  #leave(code: number): void {
    if (!this.#owns) process.exit(code);
    this.#listeners.closeAll();
    this.#registry.remove();
    // The sign that nothing of this instance is left.
    this.#seat.leave();
    this.#output.close();
    process.exit(code);
  }
}
