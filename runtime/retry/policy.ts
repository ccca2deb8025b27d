/**
 * When a retried call is tried again, and when no more: pure, with time and chance given in.
 *
 * Backoff is exponential with full jitter (a random part of the whole step): callers that failed together do not come
 * back together. A call has no limit of attempts unless its caller sets one; "parked" is where a call goes that must
 * not be tried on its own, never into nothing.
 */
import { type Code, codes } from "../errors.ts";

export interface Backoff {
  /** The first step, before jitter. */
  readonly baseMs: number;
  /** No step is longer. */
  readonly capMs: number;
  /** No wait is shorter: full jitter alone could be 0, which is a loop. */
  readonly floorMs: number;
}

export const defaultBackoff: Backoff = { baseMs: 1_000, capMs: 5 * 60_000, floorMs: 50 };

/** How long to wait after failure number `failures` (from 1). `random` is in [0, 1). */
export function backoffMs(failures: number, backoff: Backoff, random: () => number): number {
  // 2^30 s is past any cap; a larger exponent would become Infinity, and Infinity * 0 is NaN.
  const step = Math.min(backoff.capMs, backoff.baseMs * 2 ** Math.min(30, Math.max(0, failures - 1)));
  return Math.max(backoff.floorMs, Math.floor(random() * step));
}

/**
 * What a failed attempt says. `unreachable`: nothing was sent, the target is not there. `again`: the same call may
 * succeed later. `never`: it cannot, so it is parked at once.
 */
export type Verdict = "unreachable" | "again" | "never";

/** Not retryable for a plain caller, who cannot know more; but the target may be mended or come back while a call waits. */
const passing: ReadonlySet<string> = new Set<Code>([
  // It may have been done: the target recognises the id if it was.
  "UNKNOWN_OUTCOME",
  "CANCELLED",
  // The target's code as it is now: the next save may mend it.
  "NO_SUCH_FUNCTION",
  "LOAD",
  "CONFIG",
  "PROTOCOL",
]);

export function verdict(error: { readonly code: string; readonly retryable: boolean }): Verdict {
  if (error.code === "NO_SUCH_CAGE" || error.code === "UNAVAILABLE") return "unreachable";
  if (passing.has(error.code)) return "again";
  if (error.code in codes) return codes[error.code as Code].retryable ? "again" : "never";
  return error.retryable ? "again" : "never";
}
