/**
 * A retried call as it is written down, and its life:
 *
 *     enqueue -> waiting --claim--> running --success--> done --retention--> (removed)
 *                  ^  ^                |
 *                  |  +--- failure ----+ (backoff)        park, or any error that time does not heal,
 *                  +----- release ----- parked <--------- expiry, too many attempts
 *
 * A parked call stays until somebody releases or discards it. A done call stays for a while, so that its id is known.
 */
import type { LogLevel, Trace } from "../request/request.ts";

export type CallState = "waiting" | "running" | "parked" | "done";

/** What a caller hands in; times are on the wall clock, in ms. */
export interface NewCall {
  readonly id: string;
  readonly cage: string;
  readonly node?: string | undefined;
  readonly path: string;
  /** The arguments, packed. */
  readonly args: Uint8Array;
  readonly trace: Trace;
  readonly logLevel: LogLevel;
  readonly notBefore?: number | undefined;
  readonly expiresAt?: number | undefined;
  readonly maxAttempts?: number | undefined;
  /** The caller's wish for the time of one attempt. */
  readonly timeoutMs?: number | undefined;
}

/** A row of the journal. */
export interface StoredCall {
  readonly seq: number;
  readonly id: string;
  readonly cage: string;
  readonly node: string | null;
  readonly path: string;
  readonly args: Uint8Array;
  readonly state: CallState;
  /** Times it was taken; fences a late answer of an earlier attempt. */
  readonly claims: number;
  /** Times it reached the target, and so the attempt's number while running. */
  readonly attempts: number;
  /** Times in a row that the target was not there. */
  readonly misses: number;
  readonly maxAttempts: number | null;
  readonly timeoutMs: number | null;
  readonly nextAt: number;
  readonly expiresAt: number | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  readonly traceId: string;
  readonly span: string;
  readonly logLevel: LogLevel;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** A call as operators see it; `show` adds the arguments. */
export interface CallView {
  readonly seq: number;
  readonly id: string;
  readonly to: string;
  readonly path: string;
  readonly state: CallState;
  readonly attempts: number;
  readonly argsBytes: number;
  readonly nextAt: number;
  readonly expiresAt: number | null;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly trace: string;
  readonly createdAt: number;
  readonly updatedAt: number;
}
