/**
 * How often a process of an instance died, and when it is started again: with a pause that doubles, and when it has died too
 * often in a minute it is given up. (The first takes the instance along; one of the others is tried again now and then, while
 * those that stay serve.)
 *
 *     const crashes = new Crashes();
 *     const { afterMs, tooMany } = crashes.died(2);
 *     crashes.tooMany(2)                           // as long as it did
 */
export const intensity = { limit: 5, periodMs: 60_000 } as const;
const firstDelayMs = 100;
const longestDelayMs = 30_000;

export class Crashes {
  readonly #deaths = new Map<number, number[]>();
  readonly #now: () => number;
  readonly #random: () => number;

  constructor(now: () => number = Date.now, random: () => number = Math.random) {
    this.#now = now;
    this.#random = random;
  }

  died(process: number): { readonly afterMs: number; readonly tooMany: boolean } {
    const deaths = [...this.#recent(process), this.#now()];
    this.#deaths.set(process, deaths);
    const tooMany = deaths.length > intensity.limit;
    const afterMs = tooMany ? longestDelayMs : Math.min(longestDelayMs, firstDelayMs * 2 ** (deaths.length - 1));
    return { afterMs: afterMs * (0.75 + this.#random() / 2), tooMany };
  }

  tooMany(process: number): boolean {
    return this.#recent(process).length > intensity.limit;
  }

  /** Somebody has mended it. */
  forget(): void {
    this.#deaths.clear();
  }

  #recent(process: number): number[] {
    const since = this.#now() - intensity.periodMs;
    return (this.#deaths.get(process) ?? []).filter((at) => at > since);
  }
}
