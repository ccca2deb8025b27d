/**
 * Turns: at most `slots` at once, the others wait in order, and no wait is without end.
 *
 *     const turns = new Turns({ slots: 1, maxWaiting: 1000, waitMs: 10_000, what: "partition p0" });
 *     const release = await turns.take(signal);
 *     try { ... } finally { release(); }
 *
 * A wait ends with the signal's reason, or EXPIRED after `waitMs`; a full queue refuses at once with OVERLOADED.
 */

export interface TurnsOptions {
  readonly slots: number;
  readonly maxWaiting: number;
  readonly waitMs: number;
  /** What is waited for, for messages. */
  readonly what: string;
}

interface Waiter {
  admit(): void;
}

export class Turns {
  readonly #options: TurnsOptions;
  readonly #waiting = new Set<Waiter>();
  #taken = 0;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  async take(signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    const { slots, maxWaiting, what } = this.#options;
    if (this.#taken < slots) this.#taken++;
    else if (this.#waiting.size >= maxWaiting)
      throw Object.assign(new Error(`${what}: ${maxWaiting} already wait; try again later`), { code: "OVERLOADED" });
    else await this.#wait(signal);
    let released = false;
    return () => {
      if (released) return;
      released = true;
      const [next] = this.#waiting;
      // The slot goes straight to the next in line: a newcomer cannot overtake between release and wake-up.
      if (next === undefined) this.#taken--;
      else next.admit();
    };
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
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
        admit: () => {
          done();
          resolve();
        },
      };
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", aborted);
        this.#waiting.delete(waiter);
      };
      this.#waiting.add(waiter);
      signal?.addEventListener("abort", aborted, { once: true });
    });
  }
}
