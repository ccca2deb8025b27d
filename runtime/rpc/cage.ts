/**
 * Calling another cage, typed by its api without any code generation:
 *
 *     import type * as Billing from "../billing/api.ts";
 *     const billing = cage<typeof Billing>("billing");
 *     const hold = await billing.holds.create({ cents: 100 });            // a call: deadline and trace go along
 *     await billing.retry({ id: "invoice:7" }).invoices.send(7);          // made durable, then delivered until it succeeds
 *
 * A drift between caller and callee is a compile error. Names that mean something here (`then`, `retry`, `at`) cannot be
 * names of an api.
 */
import { current, type RetryOptions } from "../request/request.ts";

type Answer<F, R> = F extends (...args: infer Args) => infer Out
  ? (...args: Args) => Promise<R extends void ? Awaited<Out> : R>
  : never;

/** What can be called: functions, but not the failures that an api declares. */
type IsCalled<F> = F extends { readonly code: string } ? false : F extends (...args: never[]) => unknown ? true : false;

type Module<M, R> = {
  readonly [Name in keyof M as IsCalled<M[Name]> extends true ? Name : never]: Answer<M[Name], R>;
};

/** An api as callers see it: every function answers with a promise (R: what it answers with, when not its own result). */
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

export function cage<Api>(name: string, options: { timeoutMs?: number } = {}): Callable<Api> {
  const to = { cage: name, ...options };
  const calls = path((at, args) => current().services.call(to, at, args));
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
