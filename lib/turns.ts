/**
 * Turns: at most `slots` at once, the others wait, and no wait is without end. Who gives up first goes first, which is the
 * order of asking where nobody says otherwise.
 *
 *     const turns = new Turns({ slots: 1, maxWaiting: 1000, waitMs: 10_000, what: "partition p0" });
 *     const release = await turns.take(signal);
 *     try { ... } finally { release(); }
 *
 * A wait ends with the signal's reason, or EXPIRED after `waitMs`; a full queue refuses at once with OVERLOADED, whose
 * `details.retryAfterMs` is when those who wait will have had their turns, by how long turns took lately.
 */

import { Line, type Placed } from "./line.ts";

export interface TurnsOptions {
  readonly slots: number;
  readonly maxWaiting: number;
  readonly waitMs: number;
  /** What is waited for, for messages. */
  readonly what: string;
}

/** Of the moving average: the last twenty turns or so count. */
const newestWeight = 0.05;
/** What is said of a turn's time before one was measured. */
const unknownMs = 1_000;

interface Waiter extends Placed {
  admit(): void;
}

export class Turns {
  readonly #options: TurnsOptions;
  readonly #waiting = new Line<Waiter>();
  /** May be changed at any time; nobody who waits is disturbed. */
  maxWaiting: number;
  #taken = 0;
  #heldMs = 0;
  #measured = 0;

  constructor(options: TurnsOptions) {
    this.#options = options;
    this.maxWaiting = options.maxWaiting;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** `deadline`: when who asks gives up, on performance.now(). */
  async take(signal?: AbortSignal, deadline = Number.POSITIVE_INFINITY): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#taken < this.#options.slots) this.#taken++;
    else if (this.#waiting.size >= this.maxWaiting) throw this.#refusal();
    else await this.#wait(signal, deadline);
    const since = performance.now();
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.#heldMs += (performance.now() - since - this.#heldMs) * Math.max(newestWeight, 1 / ++this.#measured);
      const next = this.#waiting.pop();
      // The slot goes straight to the next in line: a newcomer cannot overtake between release and wake-up.
      if (next === undefined) this.#taken--;
      else next.admit();
    };
  }

  #refusal(): Error {
    const { slots, what } = this.#options;
    const { size } = this.#waiting;
    const turnMs = this.#measured > 0 ? this.#heldMs : unknownMs;
    const retryAfterMs = Math.max(1, Math.ceil(((size + 1) * turnMs) / slots));
    return Object.assign(new Error(`${what}: ${size} already wait; try again in ${retryAfterMs} ms`), {
      code: "OVERLOADED",
      details: { retryAfterMs },
    });
  }

  #wait(signal: AbortSignal | undefined, deadline: number): Promise<void> {
    const { waitMs, what } = this.#options;
    return new Promise((resolve, reject) => {
      const leave = (reason: unknown) => {
        done();
        reject(reason);
      };
      const aborted = () => leave(signal?.reason);
      const timer = setTimeout(
        () => leave(Object.assign(new Error(`${what}: no turn within ${waitMs} ms`), { code: "EXPIRED" })),
        waitMs,
      );
      const waiter: Waiter = {
        deadline: Math.min(deadline, performance.now() + waitMs),
        place: -1,
        order: 0,
        admit: () => {
          done();
          resolve();
        },
      };
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", aborted);
        this.#waiting.remove(waiter);
      };
      this.#waiting.push(waiter);
      signal?.addEventListener("abort", aborted, { once: true });
    });
  }
}
