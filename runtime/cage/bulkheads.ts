/**
 * Calls of other cages, each target behind a gate of its own: one that is slow fills its own places and its own line, and
 * calls of all others go on.
 *
 *     defineCage({ calls: { billing: { running: 50, waiting: 200, timeoutMs: 2_000 } } })
 *
 *     bulkheads.configure(plan.calls);
 *     await bulkheads.call(request, { cage: "billing" }, { what, send: (remainingMs, stop) => engine.call(...), done });
 *
 * A call has the least of: what its request has left, its caller's own limit, the target's. When that is over, or its
 * caller's own signal aborts, it ends here, whatever the callee does, and the callee is told to stop. An answer that is a
 * stream ends likewise; its place is given back when it begins.
 */
import type { Stop } from "../engine/engine.ts";
import { Gate, type GateStatus, type Limits } from "../request/gate.ts";
import type { Request, Stoppable, Target } from "../request/request.ts";
import { Wait } from "../request/wait.ts";
import { isStream } from "../rpc/stream.ts";

export interface CallLimits extends Limits {
  readonly timeoutMs?: number | undefined;
}

/** One call, as it passes here. */
export interface Sending<T> {
  /** For the sentence when it takes too long. */
  readonly what: string;
  send(remainingMs: number, stop: Stop): Promise<T>;
  /** Called once, when it is over, with the time since it was begun; answers what its caller is told of a failure. */
  done(error: unknown, durationMs: number): unknown;
}

/** As of an interface: a cage that calls one other passes on all that it can take. */
export const defaultCallLimits = { running: 1_000, waiting: 1_000 } as const;

/** Targets come from code and are few; names made from somebody's input must not pile up. */
const maxGates = 1_000;
const longest = Number.POSITIVE_INFINITY;

export class Bulkheads {
  readonly #gates = new Map<string, Gate>();
  #limits: Readonly<Record<string, CallLimits>> = {};

  /** Calls under way are not disturbed. */
  configure(limits: Readonly<Record<string, CallLimits>>): void {
    const before = this.#limits;
    this.#limits = limits;
    for (const [cage, gate] of this.#gates) {
      const [old, now] = [before, limits].map((each) => JSON.stringify(limitsOf(each, cage)));
      // Else an adaptive limit would begin anew at each save.
      if (old !== now) gate.resize(limitsOf(limits, cage));
    }
  }

  status(): GateStatus[] {
    return [...this.#gates.values()].map((gate) => gate.status());
  }

  /** With one promise to it: each is a tenth of a call. */
  call<T>(request: Request, to: Target, sending: Sending<T>): Promise<T> {
    const gate = this.#gate(to.cage);
    const ownMs = limitsOf(this.#limits, to.cage).timeoutMs;
    const { timeoutMs, signal } = to;
    if (ownMs === undefined && timeoutMs === undefined && signal === undefined) return through(gate, request, sending);
    const limitMs = Math.min(timeoutMs ?? longest, ownMs ?? longest);
    if (limitMs >= request.remaining && signal === undefined) return through(gate, request, sending);
    const wait = new Wait(request, sending.what, { limitMs, signal });
    return through(gate, wait, sending).then(
      (value) => {
        if (isStream(value)) return ending(value, () => wait.end()) as T;
        wait.end();
        return value;
      },
      (error: unknown) => {
        wait.end();
        throw error;
      },
    );
  }

  #gate(cage: string): Gate {
    let gate = this.#gates.get(cage);
    if (gate !== undefined) return gate;
    if (this.#gates.size >= maxGates)
      for (const [name, { running, waiting }] of this.#gates) if (running + waiting === 0) this.#gates.delete(name);
    gate = new Gate({ name: `calls of ${cage}`, ...limitsOf(this.#limits, cage) });
    this.#gates.set(cage, gate);
    return gate;
  }
}

const limitsOf = (limits: Readonly<Record<string, CallLimits>>, cage: string): CallLimits =>
  (Object.hasOwn(limits, cage) ? limits[cage] : undefined) ?? defaultCallLimits;

/** Waits for a place, sends, and gives the place back. The clock is read as seldom as can be: 60 ns each time. */
function through<T>(gate: Gate, wait: Stoppable, sending: Sending<T>): Promise<T> {
  const startedAt = gate.now();
  let room: Promise<void> | undefined;
  try {
    room = gate.enter(wait);
  } catch (error) {
    return Promise.reject(sending.done(error, gate.now() - startedAt));
  }
  if (room === undefined) return inside(gate, wait, sending, startedAt, startedAt);
  return room.then(
    () => inside(gate, wait, sending, startedAt, gate.now()),
    (error: unknown) => {
      throw sending.done(error, gate.now() - startedAt);
    },
  );
}

function inside<T>(gate: Gate, wait: Stoppable, sending: Sending<T>, startedAt: number, enteredAt: number): Promise<T> {
  const over = (error?: unknown): unknown => {
    const at = gate.now();
    gate.leave(enteredAt, at);
    return sending.done(error, at - startedAt);
  };
  let sent: Promise<T>;
  try {
    // Stopped between being let in and coming here.
    const stopped = wait.stoppedBy(enteredAt);
    if (stopped !== undefined) throw stopped;
    sent = sending.send(Math.max(0, wait.deadline - enteredAt), wait);
  } catch (error) {
    return Promise.reject(over(error));
  }
  return sent.then(
    (value) => {
      over();
      return value;
    },
    (error: unknown) => {
      throw over(error);
    },
  );
}

/** The same stream; `over` is called when it has ended, or its taker left. */
function ending(items: AsyncIterable<unknown>, over: () => void): AsyncIterableIterator<unknown> {
  const iterator = items[Symbol.asyncIterator]();
  const failed = (error: unknown): never => {
    over();
    throw error;
  };
  return {
    next: () =>
      iterator.next().then((step) => {
        if (step.done) over();
        return step;
      }, failed),
    async return(value?: unknown) {
      over();
      return (await iterator.return?.(value)) ?? { done: true, value };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
