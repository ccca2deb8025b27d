/**
 * Calling another cage, typed by its api without any code generation:
 *
 *     import type * as Billing from "../billing/api.ts";
 *     const billing = cage<typeof Billing>("billing");
 *     const hold = await billing.holds.create({ cents: 100 });            // a call: deadline and trace go along
 *     await billing.retry({ id: "invoice:7" }).invoices.send(7);          // made durable, then delivered until it succeeds
 *     for await (const row of billing.invoices.list()) ...               // an async generator there is a stream here
 *     cage<typeof Billing>("billing", { timeoutMs: 200, signal })         // less patience than the request has
 *     cage<typeof Billing>("billing", { hedgeMs: 50 })                    // idempotent: after that a second instance too
 *     await cage<typeof Billing>("billing", { via: "all" }).caches.drop() // every instance; each one's answer or error
 *     billing.at("east").holds.create({ cents: 100 })                     // on that node
 *
 * Arguments may be async iterables too. A stream begins with the call, at most a window ahead of who takes it; leaving the
 * loop runs the generator's `finally`.
 * A drift between caller and callee is a compile error. Names that mean something here (`then`, `retry`, `at`) cannot be
 * names of an api.
 */
import type { Answered } from "../engine/engine.ts";
import { current, type RetryOptions, type Target } from "../request/request.ts";
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

export type Callable<Api> = Remote<Api> & {
  retry(options?: RetryOptions): Remote<Api, Retried>;
  at(node: string): Callable<Api>;
};

type Collected<F> = F extends (...args: infer Args) => infer Out
  ? (...args: Args) => Promise<readonly Answered<Awaited<Out>>[]>
  : never;

/** An api of which every instance is asked. */
export type Everywhere<Api> = {
  readonly [Name in keyof Api as Api[Name] extends { readonly code: string } ? never : Name]: IsCalled<
    Api[Name]
  > extends true
    ? Collected<Api[Name]>
    : {
        readonly [Inner in keyof Api[Name] as IsCalled<Api[Name][Inner]> extends true ? Inner : never]: Collected<
          Api[Name][Inner]
        >;
      };
};

export interface CallOptions {
  /** At most this long for one call, if the request has more. */
  readonly timeoutMs?: number;
  /** Aborting it cancels the calls made here. */
  readonly signal?: AbortSignal;
  /** An idempotent call without an answer after so long is sent to a second instance too; the first answer counts. */
  readonly hedgeMs?: number;
}

export function cage<Api>(name: string, options: CallOptions & { readonly via: "all" }): Everywhere<Api>;
export function cage<Api>(name: string, options?: CallOptions): Callable<Api>;
export function cage<Api>(name: string, options: CallOptions = {}): Callable<Api> {
  return calling({ cage: name, ...options }) as Callable<Api>;
}

function calling(to: Target): object {
  const calls = path((at, args) => iterable(current().services.call(to, at, args)));
  return new Proxy(calls, {
    get(target, member, receiver) {
      if (member === "retry")
        return (retry: RetryOptions = {}) => path((at, args) => current().services.retry(to, retry, at, args));
      if (member === "at") return (node: string) => calling({ ...to, node });
      return Reflect.get(target, member, receiver);
    },
  });
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
