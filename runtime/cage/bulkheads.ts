/**
 * Calls of other cages, each target behind a gate of its own: one that is slow fills its own places and its own line, and
 * calls of all others go on.
 *
 *     defineCage({ calls: { billing: { running: 50, waiting: 200, timeoutMs: 2_000 } } })
 *
 *     bulkheads.configure(plan.calls);
 *     await bulkheads.call(request, { cage: "billing" }, "the call of billing.holds.create",
 *       (remainingMs, signal) => engine.call(...));
 *
 * A call has the least of: what its request has left, its caller's own limit, the target's. When that is over, it ends
 * here with EXPIRED, whatever the callee does, and the callee is told to stop.
 */
import { Gate, type GateStatus, type Limits } from "../request/gate.ts";
import { type Request, type Target, until, within } from "../request/request.ts";
import { Wait } from "../request/wait.ts";

export interface CallLimits extends Limits {
  readonly timeoutMs?: number | undefined;
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

  async call<T>(
    request: Request,
    to: Target,
    what: string,
    send: (remainingMs: number, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const gate = this.#gate(to.cage);
    const limitMs = Math.min(to.timeoutMs ?? longest, limitsOf(this.#limits, to.cage).timeoutMs ?? longest);
    if (limitMs >= request.remaining)
      return await gate.pass(request, () => within(request, what, send(request.remaining, request.signal)));
    const wait = new Wait(request, limitMs, what);
    try {
      return await gate.pass(wait, () => until(wait, send(wait.remaining, wait.signal)));
    } finally {
      wait.end();
    }
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
