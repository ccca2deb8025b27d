/**
 * Calling another cage, typed by its api without any code generation:
 *
 *     import type * as Billing from "../billing/api.ts";
 *     const billing = cage<typeof Billing>("billing");
 *     const hold = await billing.holds.create({ cents: 100 });            // a call: deadline and trace go along
 *     await billing.retry({ id: "invoice:7" }).invoices.send(7);          // made durable, then delivered until it succeeds
 *     for await (const row of billing.invoices.list()) ...               // an async generator there is a stream here
 *     cage<typeof Billing>("billing", { timeoutMs: 200, signal })         // less patience than the request has
 *
 * Arguments may be async iterables too. A stream begins with the call, at most a window ahead of who takes it; leaving the
 * loop runs the generator's `finally`.
 * A drift between caller and callee is a compile error. Names that mean something here (`then`, `retry`, `at`) cannot be
 * names of an api.
 */
import { current, type RetryOptions } from "../request/request.ts";
import { isStream } from "./stream.ts";

type Answer<F, R> = F extends (...args: infer Args) => infer Out
  ? (
      ...args: Args
    ) => R extends void
      ? Awaited<Out> extends AsyncIterable<infer T>
        ? AsyncIterable<T>
        : Promise<Awaited<Out>>
      : Promise<R>
  : never;

/** What can be called: functions, but not the failures that an api declares. */
type IsCalled<F> = F extends { readonly code: string } ? false : F extends (...args: never[]) => unknown ? true : false;

type Module<M, R> = {
  readonly [Name in keyof M as IsCalled<M[Name]> extends true ? Name : never]: Answer<M[Name], R>;
};

/**
 * An api as callers see it: every function answers with a promise, and one that makes a stream with an async iterable.
 * R: what it answers with, when not its own result.
 */
export type Remote<Api, R = void> = {
  readonly [Name in keyof Api as Api[Name] extends { readonly code: string } ? never : Name]: IsCalled<
    Api[Name]
  > extends true
    ? Answer<Api[Name], R>
    : Module<Api[Name], R>;
};

export interface Retried {
  readonly id: string;
  /** A call with this id was accepted before; this one adds nothing. */
  readonly duplicate: boolean;
}

export type Callable<Api> = Remote<Api> & { retry(options?: RetryOptions): Remote<Api, Retried> };

export interface CallOptions {
  /** At most this long for one call, if the request has more. */
  readonly timeoutMs?: number;
  /** Aborting it cancels the calls made here. */
  readonly signal?: AbortSignal;
}

export function cage<Api>(name: string, options: CallOptions = {}): Callable<Api> {
  const to = { cage: name, ...options };
  const calls = path((at, args) => iterable(current().services.call(to, at, args)));
  return new Proxy(calls, {
    get: (target, member, receiver) =>
      member === "retry"
        ? (retry: RetryOptions = {}) => path((at, args) => current().services.retry(to, retry, at, args))
        : Reflect.get(target, member, receiver),
  }) as Callable<Api>;
}

/** `x.a.b(1)` -> send("a.b", [1]). Awaiting the proxy itself must not look like a call of "then". */
function path(send: (path: string, args: unknown[]) => unknown, at = ""): object {
  return new Proxy(() => {}, {
    get: (_, member) =>
      typeof member !== "string" || member === "then" ? undefined : path(send, at === "" ? member : `${at}.${member}`),
    apply: (_, __, args: unknown[]) => send(at, args),
  });
}

/** Whether the answer is a stream is not known before it comes: what a call gives can be awaited, and iterated. */
function iterable(answer: Promise<unknown>): Promise<unknown> {
  (answer as Promise<unknown> & { [Symbol.asyncIterator]?: typeof iterate })[Symbol.asyncIterator] = iterate;
  return answer;
}

async function* iterate(this: Promise<unknown>): AsyncGenerator<unknown> {
  const answer = await this;
  if (!isStream(answer)) throw new TypeError("the answer of this call is no stream; await it");
  yield* answer;
}
