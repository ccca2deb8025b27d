/**
 * A request: one unit of work, from the moment an interface accepts it to its answer.
 *
 * It carries an id, an absolute deadline on the monotonic clock, a W3C trace, the log level, who asks, and the
 * generation whose code it runs on. Everything a cage does runs inside one (`run`), and anything deep inside finds it
 * with `current()`. Id, trace, remaining time and log level cross to other cages; the deadline itself never does,
 * because clocks differ.
 *
 *     const request = new Request({ services, lease, timeoutMs: 10_000, interface: "web", label: "GET /" });
 *     await run(request, () => handler());
 *     request.end();
 *
 * When it ends it lets go of its generation: AsyncLocalStorage pins this object through any socket or timer opened
 * inside the request, so what it refers to must be small by then.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import { setMaxListeners } from "node:events";
import { Numbered } from "../../lib/numbered.ts";
import { CageError, Expired } from "../errors.ts";
import type { Background } from "./background.ts";
import { type Alarm, alarmAt, dismiss } from "./deadline.ts";
import type { Levels } from "./levels.ts";
import { newTrace, type Trace } from "./trace.ts";

export type { Trace };

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Where a call goes: a cage by name, one of its instances by node, or all of them. */
export interface Target {
  readonly cage: string;
  readonly node?: string;
  readonly timeoutMs?: number;
  /** Every instance is asked, and what each says collected. */
  readonly via?: "all";
  /** Without an answer after so long an idempotent call is sent to a second instance too. */
  readonly hedgeMs?: number;
  /** Ends the wait for a call's answer; of no meaning to a retried call. */
  readonly signal?: AbortSignal;
}

export interface RetryOptions {
  /** The caller's name for this piece of work: the same id is enqueued once. Scoped by an outer retried call's id. */
  readonly id?: string;
  /** "30s", "15m", "12h", "7d" or milliseconds; without it the call is retried until it succeeds or is discarded. */
  readonly expiresIn?: string | number;
  readonly notBefore?: Date;
  readonly maxAttempts?: number;
  /** A transaction to be durable with: the call exists if that commits, and only then. */
  readonly in?: unknown;
}

/** What the process offers to code inside a request; one object a process, wired by cage/cage.ts. */
export interface Services {
  readonly node: string;
  readonly cage: string;
  /** What operators set live. */
  readonly levels?: Levels;
  readonly background: Background;
  call(to: Target, path: string, args: readonly unknown[]): Promise<unknown>;
  retry(
    to: Target,
    options: RetryOptions,
    path: string,
    args: readonly unknown[],
  ): Promise<{ id: string; duplicate: boolean }>;
  /** Runs a function that is marked `worker: true` off the event loop. */
  compute(work: (...args: never[]) => unknown, args: readonly unknown[]): Promise<unknown>;
}

/** A hold on a generation. `module(name)` is that generation's instance of `name.ts`; `release` ends the hold. */
export interface Lease {
  readonly id: number;
  module(name: string): Readonly<Record<string, unknown>> | undefined;
  /** What the author calls the resource: a typed client, from this generation's configuration. */
  resource(name: string): unknown;
  readonly config: unknown;
  /** Which cages may call which module of its api; undefined: all may (cage/allow.ts). */
  readonly allow?: Readonly<Record<string, readonly string[]>> | undefined;
  /** Another hold on the same generation, for work that outlives the request. */
  again(): Lease;
  release(): void;
}

export interface RequestOptions {
  readonly services: Services;
  readonly lease: Lease;
  readonly interface: string;
  /** What is done, for people: "GET /t/7", "core.posts.add". */
  readonly label: string;
  readonly timeoutMs: number;
  // "Or undefined": an object made of what is there, by spreading, costs 3 us, more than all the rest of a request.
  readonly id?: string | undefined;
  readonly trace?: Trace | undefined;
  readonly logLevel?: LogLevel | undefined;
  readonly principal?: unknown;
  /** The peer's address or instance, as text. */
  readonly from?: string | undefined;
  /** Set inside a retried call: its id and attempt, from 1. */
  readonly retry?: { readonly id: string; readonly attempt: number } | undefined;
}

type StopListener = (why: CageError) => void;

/** Milliseconds on the monotonic clock; never compare it with another process's. */
export const now = (): number => performance.now();

let sequence = 0;
const processId = randomBytes(5).toString("hex");

export class Request {
  readonly interface: string;
  readonly services: Services;
  readonly startedAt = now();
  /** Absolute, on this process's monotonic clock (ms). */
  readonly deadline: number;
  /** The peer's address or instance; empty when there is none. */
  readonly from: string;
  readonly retry: { readonly id: string; readonly attempt: number } | undefined;
  logLevel: LogLevel;
  /** The generation's number stays readable after the end; the generation itself does not. */
  readonly generation: number;
  /** Ascending in this process. */
  readonly number = ++sequence;
  #id: string | undefined;
  #trace: Trace | undefined;
  #label: string;
  #principal: unknown;
  #lease: Lease | undefined;
  #controller: AbortController | undefined;
  #alarm: Alarm | undefined;
  /** Who is to hear of a stop: nearly always one, and a table for it would be the largest part of a request. */
  #listener: StopListener | undefined;
  #listeners: Numbered<StopListener> | undefined;
  #first = 0;
  #listened = 0;
  #stopped: CageError | undefined;

  constructor(options: RequestOptions) {
    this.#id = options.id;
    this.#trace = options.trace;
    this.interface = options.interface;
    this.#label = options.label;
    this.services = options.services;
    this.deadline = this.startedAt + options.timeoutMs;
    this.#principal = options.principal;
    this.from = options.from ?? "";
    this.retry = options.retry;
    this.logLevel = options.logLevel ?? "info";
    this.generation = options.lease.id;
    this.#lease = options.lease;
    this.#follow();
  }

  /** Unique among all processes; made on first use, as the trace: most requests call nobody and log nothing. */
  get id(): string {
    return (this.#id ??= `${processId}-${this.number.toString(36)}`);
  }

  get trace(): Trace {
    return (this.#trace ??= newTrace());
  }

  get label(): string {
    return this.#label;
  }

  /** An interface that learns more says it better: "GET /t/7" becomes "GET /t/:id", of which there are few. */
  set label(label: string) {
    this.#label = label;
    this.#follow();
  }

  /** Who asks, as far as it is known. */
  get principal(): unknown {
    return this.#principal;
  }

  /** It became known who asks. */
  identify(principal: unknown): void {
    this.#principal = principal;
    this.#follow();
  }

  /** Its log level is what an operator wants of requests like this one (levels.ts). */
  #follow(): void {
    const { levels } = this.services;
    if (levels?.any) this.logLevel = levels.of(this) ?? this.logLevel;
  }

  get remaining(): number {
    return Math.max(0, this.deadline - now());
  }

  get expired(): boolean {
    return now() >= this.deadline;
  }

  get ended(): boolean {
    return this.#lease === undefined;
  }

  /** The generation this request runs on. Throws after the end: what outlives a request says so with background(). */
  get lease(): Lease {
    if (this.#lease === undefined)
      throw new CageError(
        "NO_REQUEST",
        `request ${this.id} (${this.label}) has ended; work that outlives it belongs in background(fn)`,
      );
    return this.#lease;
  }

  /** Why it was stopped before its end: CANCELLED, or EXPIRED once the deadline passed. */
  get stopped(): CageError | undefined {
    return this.stoppedBy(now());
  }

  /** As `stopped`, for who has read the clock. */
  stoppedBy(at: number): CageError | undefined {
    if (this.#stopped === undefined && at >= this.deadline)
      this.#stop(new Expired(`${this.label}: the deadline passed`));
    return this.#stopped;
  }

  /** Calls back once, at the deadline or on cancel; at once when that was before. Returns how to stop listening. */
  onStop(listener: StopListener): () => void {
    const already = this.stopped;
    if (already !== undefined) {
      listener(already);
      return () => {};
    }
    const number = this.listen(listener);
    return () => this.forget(number);
  }

  /** As `onStop` without looking at the clock (a deadline that has passed is told soon); `forget` takes what it answers. */
  listen(listener: StopListener): number {
    if (this.#stopped !== undefined) {
      listener(this.#stopped);
      return 0;
    }
    this.#alarm ??= alarmAt(this.deadline, () => this.stopped);
    const number = ++this.#listened;
    if (this.#listener === undefined) {
      this.#listener = listener;
      this.#first = number;
    } else (this.#listeners ??= new Numbered()).set(number, listener);
    return number;
  }

  forget(number: number): void {
    if (number === this.#first) this.#listener = undefined;
    else this.#listeners?.delete(number);
  }

  /** Aborts at the deadline or on cancel. Made on first use: most requests never ask, and a signal costs 3 us. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      // As many waits as the request has at once listen; each stops listening when it is over.
      setMaxListeners(0, controller.signal);
      this.#controller = controller;
      this.onStop((why) => controller.abort(why));
    }
    return this.#controller.signal;
  }

  cancel(reason: string): void {
    this.#stop(new CageError("CANCELLED", reason));
  }

  #stop(why: CageError): void {
    if (this.#stopped !== undefined || this.ended) return;
    this.#stopped = why;
    // Inside: what listens to the signal is its own code, and neither the wheel's nor that of whoever cancels.
    if (this.#listener !== undefined || this.#listeners !== undefined)
      run(this, () => {
        this.#listener?.(why);
        // Each may be forgotten by one before it.
        for (const [number] of this.#listeners?.entries() ?? []) this.#listeners?.get(number)?.(why);
      });
    this.#listener = this.#listeners = undefined;
  }

  /** Lets go of the generation, the deadline and every listener. Idempotent. */
  end(): void {
    this.#lease?.release();
    this.#lease = undefined;
    this.#listener = this.#listeners = undefined;
    if (this.#alarm) dismiss(this.#alarm);
    this.#alarm = undefined;
  }
}

const storage = new AsyncLocalStorage<Request>();

/** The request this code runs in. */
export function current(): Request {
  const request = storage.getStore();
  if (request === undefined)
    throw new CageError(
      "NO_REQUEST",
      "this runs outside any request; start it from an interface, a start hook or background(fn)",
    );
  return request;
}

export const maybeCurrent = (): Request | undefined => storage.getStore();

export const run = <T, A extends unknown[]>(request: Request, fn: (...args: A) => T, ...args: A): T =>
  storage.run(request, fn, ...args);

/** Runs `fn` outside any request: for sockets, pools and timers of the runtime, which must not pin one. */
export const outside = <T>(fn: () => T): T =>
  // Not storage.exit(fn): that switches the hooks of all promises off and on again, some microseconds each time.
  storage.run(undefined as unknown as Request, fn);

/** What can end before the work that it waits for: a request, or a shorter wait inside one (wait.ts). */
export type Stoppable = Pick<Request, "deadline" | "remaining" | "stopped" | "stoppedBy" | "onStop" | "signal">;

/**
 * Waits for `work`, but no longer than the request has. The work itself goes on (it may not be abortable); its waiter
 * is released with EXPIRED or CANCELLED.
 */
export const within = <T>(request: Request, what: string, work: Promise<T>): Promise<T> =>
  until(request, work, (why) =>
    why.code === "EXPIRED" ? new Expired(`${what}: the deadline of ${request.label} passed`, { cause: why }) : why,
  );

/** As `within`, for anything that stops; `told` makes of the reason what the waiter is told. */
export function until<T>(
  wait: Pick<Stoppable, "onStop">,
  work: Promise<T>,
  told: (why: CageError) => CageError = (why) => why,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const forget = wait.onStop((why) => reject(told(why)));
    work.then(
      (value) => {
        forget();
        resolve(value);
      },
      (error) => {
        forget();
        reject(error);
      },
    );
  });
}
