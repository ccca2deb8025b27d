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
 * caller's own signal aborts, it ends here, whatever the callee does, and the callee is told to stop. A call whose answer
 * is a stream is over, and gives its place back, when the stream is: at its end, when its taker leaves or is stopped, and
 * for one that nobody takes at the deadline, until which the callee has its own place taken as well.
 */
import type { Stop } from "../engine/engine.ts";
import { Expired } from "../errors.ts";
import { type Alarm, alarmAt, dismiss } from "../request/deadline.ts";
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
  /**
   * Called once, when it is over, with how many items came of an answer that is a stream and the time since it was begun;
   * answers what its caller is told.
   */
  done(error: unknown, items: number | undefined, durationMs: number): unknown;
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
    this.#limits = limits;
    for (const [cage, gate] of this.#gates) gate.resize(limitsOf(limits, cage));
  }

  status(): GateStatus[] {
    return [...this.#gates.values()].map((gate) => gate.status());
  }

  /** With one promise to it: each is a tenth of a call. */
  call<T>(request: Request, to: Target, sending: Sending<T>): Promise<T> {
    const gate = this.#gate(to.cage);
    const ownMs = limitsOf(this.#limits, to.cage).timeoutMs;
    const { timeoutMs, signal } = to;
    const limitMs = Math.min(timeoutMs ?? longest, ownMs ?? longest);
    if (signal === undefined && (limitMs === longest || limitMs >= request.remaining))
      return through(gate, request, sending);
    const wait = new Wait(request, sending.what, { limitMs, signal });
    return through(gate, wait, sending, wait);
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

/**
 * Waits for a place, sends, and gives the place back; `own` is a wait that ends with the call. The clock is read as seldom
 * as can be: 60 ns each time.
 */
function through<T>(gate: Gate, wait: Stoppable, sending: Sending<T>, own?: Wait): Promise<T> {
  const startedAt = gate.now();
  let room: Promise<void> | undefined;
  try {
    room = gate.enter(wait);
  } catch (error) {
    own?.end();
    return Promise.reject(sending.done(error, undefined, gate.now() - startedAt));
  }
  if (room === undefined) return inside(gate, wait, sending, own, startedAt, startedAt);
  return room.then(
    () => inside(gate, wait, sending, own, startedAt, gate.now()),
    (error: unknown) => {
      own?.end();
      throw sending.done(error, undefined, gate.now() - startedAt);
    },
  );
}

function inside<T>(
  gate: Gate,
  wait: Stoppable,
  sending: Sending<T>,
  own: Wait | undefined,
  startedAt: number,
  enteredAt: number,
): Promise<T> {
  const over = (error?: unknown, items?: number): unknown => {
    const at = gate.now();
    gate.leave(enteredAt, error !== undefined, at);
    own?.end();
    return sending.done(error, items, at - startedAt);
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
      if (isStream(value)) return new Streamed(value, wait, over) as T;
      over();
      return value;
    },
    (error: unknown) => {
      throw over(error);
    },
  );
}

/** The same stream, counted; `over` is called once, when nobody will take more of it. */
class Streamed implements AsyncIterableIterator<unknown> {
  readonly #iterator: AsyncIterator<unknown>;
  readonly #over: (error: unknown, items: number) => unknown;
  readonly #alarm: Alarm;
  #forget: () => void = () => {};
  #items = 0;
  #ended = false;

  constructor(items: AsyncIterable<unknown>, wait: Stoppable, over: (error: unknown, items: number) => unknown) {
    this.#iterator = items[Symbol.asyncIterator]();
    this.#over = over;
    // A request that has ended tells nobody of its deadline.
    this.#alarm = alarmAt(wait.deadline, () => this.#end(new Expired("the stream was not taken to its end in time")));
    this.#forget = wait.onStop((why) => this.#end(why));
  }

  async next(): Promise<IteratorResult<unknown>> {
    try {
      const step = await this.#iterator.next();
      if (step.done) this.#end(undefined);
      else this.#items++;
      return step;
    } catch (error) {
      throw this.#end(error);
    }
  }

  async return(value?: unknown): Promise<IteratorResult<unknown>> {
    this.#end(undefined);
    return (await this.#iterator.return?.(value)) ?? { done: true, value };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #end(error: unknown): unknown {
    if (this.#ended) return error;
    this.#ended = true;
    dismiss(this.#alarm);
    this.#forget();
    return this.#over(error, this.#items);
  }
}
