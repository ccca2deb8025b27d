/**
 * What of a request goes to a service that is no cage, as text beside the call: the names, for every transport that has
 * headers. (Cages tell each other the same in frames of their own, rpc/PROTOCOL.md.)
 *
 *     with the call
 *     traceparent       W3C: the trace, and the span that asks        believed of anybody: ids, checked, and no more
 *     tracestate        W3C: as it came
 *     x-deadline-ms     how long, in ms, the answer is waited for     of trusted peers; it only ever shortens a limit
 *     x-log-level       debug, info, warn, error                      of trusted peers: a stranger could fill the disk
 *     with the answer
 *     x-retry-after-ms  of OVERLOADED and its like: when to ask again, in ms
 *
 * A configuration may name the deadline's header otherwise (`deadlineHeader`).
 */
import type { LogLevel, Request } from "./request.ts";
import type { Trace } from "./trace.ts";
import { traceOf, traceparent } from "./traceparent.ts";

export const deadlineName = "x-deadline-ms";
export const levelName = "x-log-level";
const retryAfterName = "x-retry-after-ms";

type Texts = ReadonlyMap<string, string>;

/** What an interface makes of it. */
export interface Carried {
  readonly trace?: Trace;
  /** What the caller still has. */
  readonly timeoutMs?: number;
  readonly logLevel?: LogLevel;
}

/** To go along with a call that `request` makes now. */
export function carriedBy(request: Request, deadlineHeader: string): Texts {
  const { trace, logLevel, remaining } = request;
  const texts = new Map([
    ["traceparent", traceparent(trace)],
    [deadlineHeader, String(Math.floor(remaining))],
    [levelName, logLevel],
  ]);
  if (trace.state !== undefined) texts.set("tracestate", trace.state);
  return texts;
}

const levels: ReadonlySet<unknown> = new Set<LogLevel>(["debug", "info", "warn", "error"]);

export const levelOf = (text: unknown): LogLevel | undefined => (levels.has(text) ? (text as LogLevel) : undefined);

/** What came with a call. What is none of it, or makes no sense, is as if it were not there. */
export function carriedIn(texts: Texts, from: { readonly trusted: boolean; readonly deadlineHeader: string }): Carried {
  const trace = traceOf(texts.get("traceparent"), texts.get("tracestate"));
  const timeoutMs = from.trusted ? milliseconds(texts.get(from.deadlineHeader)) : undefined;
  const logLevel = from.trusted ? levelOf(texts.get(levelName)) : undefined;
  return {
    ...(trace && { trace }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(logLevel && { logLevel }),
  };
}

/** To go along with an answer that is an error with these details. */
export function retryAfterBy(details: Readonly<Record<string, unknown>> | undefined): Texts | undefined {
  const afterMs = details?.["retryAfterMs"];
  return typeof afterMs === "number" && afterMs >= 0 && afterMs < 1e10
    ? new Map([[retryAfterName, String(Math.ceil(afterMs))]])
    : undefined;
}

/** What came with an answer, ms. */
export const retryAfterIn = (texts: Texts): number | undefined => milliseconds(texts.get(retryAfterName));

const milliseconds = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
