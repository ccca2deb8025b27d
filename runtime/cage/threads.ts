/**
 * A pool of threads for functions that compute for long: `fn({ worker: true }, handler)` runs there, and the event loop
 * stays free for everybody else.
 *
 *     const threads = new Threads({ program, places, stateDir });
 *     await threads.run(generation, resize, [photo]);      // in a request; arguments and answer are structured clones
 *
 * A thread loads the function's module, and what that imports, from the texts of the request's own generation. As many
 * run as there are processors to spare; more requests wait, earliest deadline first. A function that is still at it when
 * its request's deadline has passed, or when nobody waits any more, is ended with its thread: what cannot be interrupted on
 * the event loop can be here. Threads start with the first such call and end when nothing came for a while.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { CageError } from "../errors.ts";
import { events } from "../health/events.ts";
import { relayLog } from "../health/log.ts";
import type { Generation } from "../modules/generation.ts";
import { type Part, partOf } from "../modules/replica.ts";
import { Gate } from "../request/gate.ts";
import { current, type LogLevel, outside, type Request, type Trace } from "../request/request.ts";

export interface ThreadsOptions {
  /** The built thread.ts. */
  readonly program: string;
  readonly places: ThreadData["places"];
  readonly stateDir: string;
  /** Threads at most. One processor is left to the event loop, unless there is only one. */
  readonly size?: number;
  /** A thread holds some 10 MB; one that had nothing to do for so long ends. */
  readonly idleMs?: number;
}

/** What a thread is started with. */
export interface ThreadData {
  readonly places: { readonly root: string; readonly home: string; readonly cage: string };
  readonly stateDir: string;
}

/** One function to run. */
export interface Task {
  readonly generation: number;
  readonly file: string;
  readonly name: string;
  readonly args: readonly unknown[];
  /** Absent when this thread has them. */
  readonly texts: Part["texts"] | undefined;
  readonly request: {
    readonly id: string;
    readonly trace: Trace;
    readonly interface: string;
    readonly label: string;
    readonly remainingMs: number;
    readonly logLevel: LogLevel;
  };
}

export type FromThread =
  | { readonly kind: "answer"; readonly value: unknown }
  | { readonly kind: "error"; readonly error: ThreadError }
  | { readonly kind: "log"; readonly line: string };

export interface ThreadError {
  readonly code: string;
  readonly message: string;
  readonly status: number;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>> | undefined;
  readonly stack: string;
}

/** Requests that may wait for a thread: the deadline of most would pass before their turn. */
const waiting = 1_000;
/** A thread keeps the modules of so many functions and generations, the last used. */
export const maxReplicas = 8;

interface Thread {
  readonly worker: Worker;
  /** Keys of what it has loaded, the last used last: the thread drops in the same order. */
  readonly loaded: string[];
  idle: NodeJS.Timeout | undefined;
}

export const keyOf = ({ generation, file }: Pick<Task, "generation" | "file">): string => `${generation} ${file}`;

/** Of a generation. */
type Modules = Pick<Generation<unknown>, "id" | "cells">;
type Work = (...args: never[]) => unknown;

export class Threads {
  readonly #options: ThreadsOptions;
  readonly #gate: Gate;
  readonly #all = new Set<Thread>();
  readonly #idle: Thread[] = [];
  readonly #homes = new WeakMap<Work, { readonly file: string; readonly name: string }>();

  constructor(options: ThreadsOptions) {
    this.#options = options;
    this.#gate = new Gate({
      name: "threads for fn({ worker: true })",
      running: options.size ?? Math.max(1, availableParallelism() - 1),
      waiting,
    });
  }

  async run(generation: Modules, work: Work, args: readonly unknown[]): Promise<unknown> {
    const request = current();
    const { file, name } = this.#homeOf(generation, work);
    return await this.#gate.pass(request, async () => {
      const thread = this.#idle.pop() ?? this.#start();
      clearTimeout(thread.idle);
      try {
        return await this.#ask(thread, request, generation, file, name, args);
      } finally {
        if (this.#all.has(thread)) this.#rest(thread);
      }
    });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#all].map((thread) => this.#end(thread)));
  }

  #ask(
    thread: Thread,
    request: Request,
    generation: Modules,
    file: string,
    name: string,
    args: readonly unknown[],
  ): Promise<unknown> {
    const { id, trace, label, remaining: remainingMs, logLevel } = request;
    const key = keyOf({ generation: generation.id, file });
    const texts = this.#wants(thread, key) ? partOf(generation.cells, file).texts : undefined;
    const task: Task = {
      generation: generation.id,
      file,
      name,
      args,
      texts,
      request: { id, trace, interface: request.interface, label, remainingMs, logLevel },
    };
    return new Promise((resolve, reject) => {
      const settle = (end: () => void): void => {
        forget();
        thread.worker.off("message", hear).off("error", broke).off("exit", left);
        end();
      };
      const hear = (message: FromThread): void => {
        if (message.kind === "log") return relayLog(message.line);
        settle(() => (message.kind === "answer" ? resolve(message.value) : reject(revived(message.error))));
      };
      const broke = (cause: Error): void =>
        settle(() => {
          void this.#end(thread);
          reject(new CageError("INTERNAL", `${name}: its thread ended: ${cause.message}`, { cause }));
        });
      const left = (code: number): void => broke(new Error(`exit code ${code}`));
      const forget = request.onStop((why) =>
        settle(() => {
          void this.#end(thread);
          reject(why);
        }),
      );
      thread.worker.on("message", hear).on("error", broke).on("exit", left);
      try {
        thread.worker.postMessage(task);
      } catch (cause) {
        // The texts went nowhere: the next task brings them.
        if (texts !== undefined) thread.loaded.splice(thread.loaded.indexOf(key), 1);
        settle(() =>
          reject(
            new CageError("BAD_INPUT", `${name}: its arguments cannot go to a thread: ${(cause as Error).message}`, {
              cause,
            }),
          ),
        );
      }
    });
  }

  /** Notes that the thread uses it now; true if it has to be sent. */
  #wants({ loaded }: Thread, key: string): boolean {
    const at = loaded.indexOf(key);
    if (at >= 0) loaded.splice(at, 1);
    loaded.push(key);
    if (loaded.length > maxReplicas) loaded.shift();
    return at < 0;
  }

  /** Where the function is exported: it is known by that in the thread. */
  #homeOf(generation: Modules, work: Work): { file: string; name: string } {
    const known = this.#homes.get(work);
    if (known !== undefined) return known;
    for (const [file, cell] of generation.cells)
      for (const [name, value] of cell.evaluated ? Object.entries(cell.exports) : [])
        if (value === work) {
          const home = { file, name };
          this.#homes.set(work, home);
          return home;
        }
    throw new CageError("LOAD", "a function with worker: true runs elsewhere, by its name: export it from its module");
  }

  #start(): Thread {
    const { program, places, stateDir } = this.#options;
    // Outside the request that happens to need it first, which it would pin.
    const worker = outside(() => new Worker(program, { workerData: { places, stateDir } satisfies ThreadData }));
    worker.unref();
    const thread: Thread = { worker, loaded: [], idle: undefined };
    this.#all.add(thread);
    // What a function left behind may throw when its answer has long been given: nobody waits, but it must be seen, and
    // an error that nobody listens for would end the process.
    worker.on("error", (error) => {
      if (this.#idle.includes(thread))
        events.emit("problem", { what: "a thread ended by what a function left in it", error });
      void this.#end(thread);
    });
    worker.on("exit", () => void this.#end(thread));
    return thread;
  }

  #rest(thread: Thread): void {
    this.#idle.push(thread);
    thread.idle = outside(() => setTimeout(() => void this.#end(thread), this.#options.idleMs ?? 30_000).unref());
  }

  async #end(thread: Thread): Promise<void> {
    this.#all.delete(thread);
    clearTimeout(thread.idle);
    const at = this.#idle.indexOf(thread);
    if (at >= 0) this.#idle.splice(at, 1);
    await thread.worker.terminate();
  }
}

function revived({ code, message, stack, ...rest }: ThreadError): CageError {
  const { details, ...known } = rest;
  const error = new CageError(code, message, { ...known, ...(details ? { details } : {}) });
  // Where it was thrown; the frames of its way here say nothing.
  error.stack = stack;
  return error;
}
