/**
 * What joins cages: finding them, calling them, telling them, and a little shared memory. `local` joins the processes
 * of one host over unix sockets; others join hosts. Cages never see which.
 *
 * Promises: `call` answers, or rejects by the deadline with a code (NO_SUCH_CAGE when nobody runs it, UNAVAILABLE when it
 * cannot be reached and nothing was sent, UNKNOWN_OUTCOME when the connection was lost after sending). `publish` is at
 * most once, in order per publisher. `kv` is lossy memory: what must survive belongs in a store.
 */
import type { LogLevel, Target, Trace } from "../request/request.ts";

/** What goes along with a call; times are remaining milliseconds, because clocks differ. */
export interface Carry {
  readonly remainingMs: number;
  readonly trace: Trace;
  readonly logLevel: LogLevel;
  readonly retry?: { readonly id: string; readonly attempt: number };
}

export interface Instance {
  readonly node: string;
  readonly cage: string;
}

export interface Engine {
  start(
    serve: (
      from: Instance,
      path: string,
      args: readonly unknown[],
      carry: Carry,
      signal: AbortSignal,
    ) => Promise<unknown>,
  ): Promise<void>;
  /** Instances that answer now; all cages when no name is given. */
  discover(cage?: string): Promise<readonly Instance[]>;
  call(to: Target, path: string, args: readonly unknown[], carry: Carry, signal?: AbortSignal): Promise<unknown>;
  /** Tells every instance on every node that subscribed to `subject` (dotted words; a last `*` matches the rest). */
  publish(subject: string, data: unknown): Promise<void>;
  subscribe(subject: string, listener: (data: unknown, from: Instance) => void): () => void;
  /** Lossy, shared by all processes: a value may vanish, never be wrong. `cas` writes only over the revision given (0: absent). */
  readonly kv: {
    read(key: string): Promise<{ value: unknown; revision: number } | undefined>;
    write(key: string, value: unknown, options?: { ttlMs?: number }): Promise<number>;
    cas(key: string, value: unknown, revision: number): Promise<boolean>;
    remove(key: string): Promise<void>;
  };
  /** Stops advertising, so that callers turn elsewhere, while running calls finish. */
  drain(): Promise<void>;
  stop(): Promise<void>;
}
