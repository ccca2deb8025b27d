/**
 * The pause between two attempts to connect: 50 to 100 ms at first, doubled with each failure up to `longestMs`. Between half
 * and all of it: those that lost the same peer do not come back at the same moment.
 *
 *     while (open) { const startedAt = performance.now(); await attempt(); pause.ended(startedAt); await pause.over(); }
 */
const firstMs = 100;
/** One that lasted so long was well: the next pause is a short one again. */
const steadyMs = 5_000;

export class Pause {
  readonly #longestMs: number;
  #failures = 0;
  #wake: () => void = () => {};

  constructor(longestMs: number) {
    this.#longestMs = longestMs;
  }

  /** The attempt, and the connection that came of it, is over. True when that lasted long enough to have been well. */
  ended(startedAt: number): boolean {
    const steady = performance.now() - startedAt > steadyMs;
    this.#failures = steady ? 0 : this.#failures + 1;
    return steady;
  }

  over(): Promise<void> {
    const ms = Math.min(firstMs * 2 ** this.#failures, this.#longestMs);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms * (0.5 + Math.random() / 2)).unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Ends the one that lasts. */
  end(): void {
    this.#wake();
  }
}
