/** The request this code runs in, as authors see it: `request.remaining`, `request.signal`, `request.id`. */
import { current, type LogLevel, type Trace } from "./request.ts";

export const request = {
  get id(): string {
    return current().id;
  },
  get trace(): Trace {
    return current().trace;
  },
  /** Milliseconds until the deadline. */
  get remaining(): number {
    return current().remaining;
  },
  /** Aborts at the deadline or when the caller stopped waiting; pass it to whatever waits. */
  get signal(): AbortSignal {
    return current().signal;
  },
  get generation(): number {
    return current().generation;
  },
  /** Who asks: as the interface knows it, or as `identify` said. */
  get principal(): unknown {
    return current().principal;
  },
  /** The peer's address or instance ("node.cage"), as text; empty when there is none. */
  get from(): string {
    return current().from;
  },
  /**
   * Says who asks, once that is known (a session was checked): an id, or an object with `id` or `name`. From then on the
   * request has the log level that an operator wants of this one's requests.
   */
  identify(principal: unknown): void {
    current().identify(principal);
  },
  /** Inside a retried call: its id and attempt (from 1). */
  get retry(): { readonly id: string; readonly attempt: number } | undefined {
    return current().retry;
  },
  get logLevel(): LogLevel {
    return current().logLevel;
  },
};
