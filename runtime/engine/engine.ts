/**
 * What joins cages: finding them, calling them, telling them, and a little shared memory. `local` joins the processes
 * of one host over unix sockets; others join hosts. Cages never see which.
 *
 * Promises: `call` answers, or rejects by the deadline with a code (NO_SUCH_CAGE when nobody runs it, UNAVAILABLE when it
 * cannot be reached and nothing was sent, UNKNOWN_OUTCOME when the connection was lost after sending). `publish` is at
 * most once, in order per publisher. `kv` is lossy memory: what must survive belongs in a store. A call ends at the
 * latest when whoever waits stopped waiting, with the reason; the callee then stops too. A stream lives as long as the call.
 */
import type { CageError } from "../errors.ts";
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
  /** Of a cage of several processes; absent means 1. */
  readonly process?: number;
}

/** Published by each cage when it serves: retried calls that met nobody are due now. */
export const upSubject = "cage.up";

/** What one of several instances said. */
export type Answered<T> = { readonly node: string; readonly process: number } & (
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: CageError }
);

/** Whoever waits, as who is asked sees it: whether it still does. A Request is one; listening costs less than a signal. */
export interface Stop {
  /** Why it stopped waiting; undefined while it waits. */
  readonly stopped: Error | undefined;
  /** Calls back once, at once when that was before. Returns how to stop listening. */
  onStop(listener: (why: Error) => void): () => void;
}

/** A call that is answered here. */
export interface Serving extends Stop {
  /** Who answers may say that nothing of it was done yet: should it be refused then, the caller may ask elsewhere. */
  begun: boolean;
}

export const stopOf = (signal: AbortSignal): Stop => ({
  get stopped() {
    return signal.aborted ? (signal.reason as Error) : undefined;
  },
  onStop(listener) {
    const tell = () => listener(signal.reason as Error);
    if (signal.aborted) tell();
    else signal.addEventListener("abort", tell, { once: true });
    return () => signal.removeEventListener("abort", tell);
  },
});

/**
 * Answers a call, or promises to. Arguments that were streams are async iterables. To answer with a stream it passes it to `send`, which
 * resolves when the stream came to its end at either side; what serve itself answers is then of no account. `from` is
 * proven by the connection, never claimed.
 */
export type Serve = (
  from: Instance,
  path: string,
  args: readonly unknown[],
  carry: Carry,
  stop: Serving,
  send: (items: AsyncIterable<unknown>) => Promise<void>,
) => unknown;

/** Is told once how a call ended. */
export interface Asker {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** A connection over which one proven instance can be called; a session (rpc/session.ts) is one. */
export interface Line {
  readonly peer: Instance | undefined;
  /** Its peer is leaving: calls under way end as they will, new ones belong elsewhere. */
  readonly leaving: boolean;
  readonly ended: boolean;
  call(path: string, args: readonly unknown[], carry: Carry, stop?: Stop): Promise<unknown>;
  ask(path: string, args: readonly unknown[], carry: Carry, stop: Stop | undefined, asker: Asker): void;
}

/** How a connection that is kept open stands, for operators. */
export interface KeptStatus {
  readonly address: string;
  readonly open: boolean;
  /** Why the last attempt, or the last connection, came to its end; "" while it is open, and before the first. */
  readonly why: string;
}

/** A connection that is kept open. */
export interface Kept {
  readonly status: KeptStatus;
  /** Takes no new calls, answers what runs, and closes, after a moment in which another may take its place. */
  close(): Promise<void>;
}

export interface Engine {
  start(serve: Serve): Promise<void>;
  /** Instances that answer now; all cages when no name is given. */
  discover(cage?: string): Promise<readonly Instance[]>;
  /**
   * Of several instances one gets it (rpc/balance.ts); with `via: "all"` each, and what they say is the answer (Answered),
   * a failure of one failing none. An answer that is a stream is an async iterable; an async iterable among the
   * arguments goes as a stream.
   */
  call(to: Target, path: string, args: readonly unknown[], carry: Carry, stop?: Stop): Promise<unknown>;
  /** The cage said that it is there again: what is held against its instances is forgotten. */
  revive(cage: string): void;
  /**
   * An instance that opened its connection itself is one more of its cage, until what is returned is called. A line that
   * ended or whose peer leaves is not asked.
   */
  adopt(line: Line): () => void;
  /**
   * Keeps a connection open to `address` (an interface of another cage, "host:port" or the path of a socket) and answers
   * calls over it as over its own socket, from `start` on. Resolves when it is open, or at the latest after some seconds
   * when it is not: it is tried again and again until closed.
   */
  dial(address: string): Promise<Kept>;
  /** Tells every instance on every node that subscribed to `subject` (dotted words; a last `*` matches the rest). */
  publish(subject: string, data: unknown): Promise<void>;
  /** From now on within the host; on other nodes it is known a moment later. */
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
