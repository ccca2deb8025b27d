/**
 * An adaptive limit: finds how many pieces of work can run at once before more only make each other slower.
 *
 *     defineCage({ interfaces: { web: { protocol: "http", port: 80, running: { min: 10, max: 500 } } } })
 *
 *     held ms |             .'        Up to the knee N all take `base`, past it each takes base * c / N: what a server
 *             |           .'          with N places does. The mean of a window of samples shows where c is.
 *        base |_________.'
 *             +---------N------- c
 *
 * After each window (Netflix's gradient limit): limit = limit * base/mean * tolerance + sqrt(limit), the first factor
 * between 1/2 and 1. It settles a little past N: a short line keeps all places busy. `base` is the least mean seen, and
 * is measured anew at half the limit now and then, since code, data and neighbours change; at `min` every window is
 * such a measurement. A limit that is not used is not raised.
 *
 * What fails sooner than `base` says nothing: it was not worked on, and a burst of it (a database that is away, a bug)
 * would make all work that succeeds look slow. What fails late counts as anything else.
 *
 * It believes that slow means crowded. Where time passes otherwise (long polls, one call that takes minutes) say a number.
 */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/** Each piece of work counts for a window once, but a mean of fewer is noise. */
const fewest = 30;
/** Means of equal work differ by as much. */
const tolerance = 1.25;
/** Of the way to the new limit at each window: half, so that one bad window costs little. */
const step = 0.5;
/** Windows between two measurements at half the limit: 2 % of the time. */
const probeEvery = 50;

export class Adaptive {
  readonly #range: Range;
  #limit: number;
  #baseMs = Number.POSITIVE_INFINITY;
  #sumMs = 0;
  #count = 0;
  #busiest = 0;
  #windows = 0;
  /** Measuring at half the limit: the limit to come back to, and samples that began before it was halved. */
  #probe: { readonly limit: number; stale: number } | undefined;

  constructor(range: Range) {
    this.#range = range;
    this.#limit = range.min;
  }

  /** Whole, from `min` to `max`. */
  get limit(): number {
    return Math.floor(this.#limit);
  }

  /** One slot was held for so long, while so many were taken. Answers the limit from now on. */
  sample(heldMs: number, running: number, failed = false): number {
    if (this.#probe !== undefined && this.#probe.stale > 0) {
      this.#probe.stale--;
      return this.limit;
    }
    if (failed && heldMs < this.#baseMs) return this.limit;
    this.#sumMs += heldMs;
    this.#count++;
    if (running > this.#busiest) this.#busiest = running;
    if (this.#count >= Math.max(fewest, this.#limit)) this.#window();
    return this.limit;
  }

  #window(): void {
    // Shorter than the clock can tell is no reason to slow down.
    const mean = Math.max(0.01, this.#sumMs / this.#count);
    const used = this.#busiest * 2 >= this.#limit;
    this.#sumMs = this.#count = this.#busiest = 0;
    if (this.#probe !== undefined) {
      this.#baseMs = mean;
      this.#limit = this.#probe.limit;
      this.#probe = undefined;
      return;
    }
    this.#baseMs = this.limit === this.#range.min ? mean : Math.min(this.#baseMs, mean);
    if (!used) return;
    if (++this.#windows % probeEvery === 0 && this.#limit > this.#range.min) {
      this.#probe = { limit: this.#limit, stale: this.limit };
      this.#limit = this.#clamped(this.#limit / 2);
      return;
    }
    const gradient = Math.min(1, Math.max(0.5, (tolerance * this.#baseMs) / mean));
    const aim = this.#limit * gradient + Math.sqrt(this.#limit);
    this.#limit = this.#clamped(this.#limit + (aim - this.#limit) * step);
  }

  #clamped(limit: number): number {
    return Math.min(this.#range.max, Math.max(this.#range.min, limit));
  }
}
