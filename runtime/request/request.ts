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
import { CageError, Expired } from "../errors.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Where a call goes: a cage by name, one of its instances by node, or all of them. */
export interface Target {
  readonly cage: string;
  readonly node?: string;
  readonly timeoutMs?: number;
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
  call(to: Target, path: string, args: readonly unknown[]): Promise<unknown>;
  retry(
    to: Target,
    options: RetryOptions,
    path: string,
    args: readonly unknown[],
  ): Promise<{ id: string; duplicate: boolean }>;
}

/** A hold on a generation. `module(name)` is that generation's instance of `name.ts`; `release` ends the hold. */
export interface Lease {
  readonly id: number;
  module(name: string): Readonly<Record<string, unknown>> | undefined;
  /** What the author calls the resource: a typed client, from this generation's configuration. */
  resource(name: string): unknown;
  readonly config: unknown;
  /** Another hold on the same generation, for work that outlives the request. */
  again(): Lease;
  release(): void;
}

export interface Trace {
  /** 32 hex digits. */
  readonly id: string;
  /** 16 hex digits: this piece of work. */
  readonly span: string;
  readonly parent?: string;
}

export interface RequestOptions {
  readonly services: Services;
  readonly lease: Lease;
  readonly interface: string;
  /** What is done, for people: "GET /t/7", "core.posts.add". */
  readonly label: string;
  readonly timeoutMs: number;
  readonly id?: string;
  readonly trace?: Trace;
  readonly logLevel?: LogLevel;
  readonly principal?: unknown;
  /** Set inside a retried call: its id and attempt, from 1. */
  readonly retry?: { readonly id: string; readonly attempt: number };
}

/** Milliseconds on the monotonic clock; never compare it with another process's. */
export const now = (): number => performance.now();

let sequence = 0;
const processId = randomBytes(5).toString("hex");

export class Request {
  readonly id: string;
  readonly trace: Trace;
  readonly interface: string;
  readonly label: string;
  readonly services: Services;
  readonly startedAt = now();
  /** Absolute, on this process's monotonic clock (ms). */
  readonly deadline: number;
  readonly principal: unknown;
  readonly retry: { readonly id: string; readonly attempt: number } | undefined;
  logLevel: LogLevel;
  /** The generation's number stays readable after the end; the generation itself does not. */
  readonly generation: number;
  #lease: Lease | undefined;
  #controller: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #cancelled: CageError | undefined;

  constructor(options: RequestOptions) {
    this.id = options.id ?? `${processId}-${(++sequence).toString(36)}`;
    this.trace = options.trace ?? { id: randomBytes(16).toString("hex"), span: randomBytes(8).toString("hex") };
    this.interface = options.interface;
    this.label = options.label;
    this.services = options.services;
    this.deadline = this.startedAt + options.timeoutMs;
    this.principal = options.principal;
    this.retry = options.retry;
    this.logLevel = options.logLevel ?? "info";
    this.generation = options.lease.id;
    this.#lease = options.lease;
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

  /** Aborts at the deadline or on cancel. Made on first use: most requests never ask, and a signal costs 3 us. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cancelled) this.#controller.abort(this.#cancelled);
      else if (this.#lease !== undefined)
        this.#timer = setTimeout(
          () => this.#controller?.abort(new Expired(`${this.label}: the deadline passed`)),
          this.remaining,
        ).unref();
    }
    return this.#controller.signal;
  }

  cancel(reason: string): void {
    this.#cancelled ??= new CageError("CANCELLED", reason);
    this.#controller?.abort(this.#cancelled);
  }

  get cancelled(): CageError | undefined {
    return this.#cancelled;
  }

  /** Lets go of the generation and the timer. Idempotent. */
  end(): void {
    this.#lease?.release();
    this.#lease = undefined;
    if (this.#timer) clearTimeout(this.#timer);
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

export const run = <T>(request: Request, fn: () => T): T => storage.run(request, fn);

/** Runs `fn` outside any request: for sockets, pools and timers of the runtime, which must not pin one. */
export const outside = <T>(fn: () => T): T => storage.exit(fn);

/**
 * Waits for `work`, but no longer than the request has. The work itself goes on (it may not be abortable); its waiter
 * is released with EXPIRED or CANCELLED.
 */
export async function within<T>(request: Request, what: string, work: Promise<T>): Promise<T> {
  if (request.cancelled) throw request.cancelled;
  const signal = request.signal;
  return await new Promise<T>((resolve, reject) => {
    const stop = () => {
      const reason = signal.reason as { code?: string };
      reject(
        reason?.code === "EXPIRED"
          ? new Expired(`${what}: the deadline of ${request.label} passed`, { cause: reason })
          : reason,
      );
    };
    if (signal.aborted) {
      work.catch(() => {});
      return stop();
    }
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
