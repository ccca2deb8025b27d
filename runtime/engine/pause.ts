/**
 * The pause between two attempts to connect: 50 to 100 ms at first, doubled with each failure up to `longestMs`. Between half
 * and all of it: those that lost the same peer do not come back at the same moment.
 */
const firstMs = 100;

export class Pause {
  readonly #longestMs: number;
  #wake: () => void = () => {};

  constructor(longestMs: number) {
    this.#longestMs = longestMs;
  }

  after(failures: number): Promise<void> {
    const ms = Math.min(firstMs * 2 ** failures, this.#longestMs);
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
