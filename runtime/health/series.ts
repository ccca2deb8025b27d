/**
 * One row of metrics: how often something was done, how it ended, how long it took, and how fast it goes now.
 *
 * `total` is since the start of the process; `recent` covers the last one to two minutes (a window that is full becomes
 * the previous one), which is what an operator looks at. Rates come from a ring of one-second counters.
 */
import { Histogram } from "./histogram.ts";

/** `refused`: the caller's fault (a 4xx); it says nothing bad of the service, so it is not a failure. */
export type Ending = "success" | "refused" | "failure";

export interface Latency {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export interface SeriesJson {
  readonly success: number;
  readonly refused: number;
  readonly failure: number;
  readonly rate10: number;
  readonly rate60: number;
  readonly failures60: number;
  /** Milliseconds. */
  readonly recent: Latency;
  readonly total: Latency;
}

const windowMs = 60_000;
const seconds = 64; // more than the longest rate looks back, and cheap to index

export class Series {
  readonly #total = new Histogram();
  #current = new Histogram();
  #previous = new Histogram();
  #windowEnd: number;
  readonly #born: number;
  readonly #ends: Record<Ending, number> = { success: 0, refused: 0, failure: 0 };
  readonly #ring = new Uint32Array(seconds);
  readonly #failed = new Uint32Array(seconds);
  readonly #second = new Float64Array(seconds).fill(-1);

  constructor(now: number) {
    this.#born = now;
    this.#windowEnd = now + windowMs;
  }

  record(now: number, ms: number, ending: Ending): void {
    this.#turn(now);
    this.#ends[ending]++;
    this.#total.record(ms);
    this.#current.record(ms);
    const second = Math.floor(now / 1_000);
    const slot = second % seconds;
    if (this.#second[slot] !== second) {
      this.#second[slot] = second;
      this.#ring[slot] = this.#failed[slot] = 0;
    }
    this.#ring[slot]!++;
    if (ending === "failure") this.#failed[slot]!++;
  }

  json(now: number): SeriesJson {
    this.#turn(now);
    const recent = new Histogram();
    recent.add(this.#current);
    recent.add(this.#previous);
    return {
      ...this.#ends,
      rate10: this.#perSecond(now, 10),
      rate60: this.#perSecond(now, 60),
      failures60: this.#sum(this.#failed, now, 60),
      recent: latency(recent),
      total: latency(this.#total),
    };
  }

  /** How many in each of the last 60 whole seconds, oldest first: for a small drawing. */
  perSecond(now: number): number[] {
    const last = Math.floor(now / 1_000) - 1;
    return Array.from({ length: 60 }, (_, at) => {
      const second = last - 59 + at;
      const slot = ((second % seconds) + seconds) % seconds;
      return this.#second[slot] === second ? this.#ring[slot]! : 0;
    });
  }

  /** Adds this one's recent durations to a sum over several. */
  addRecentTo(sum: Histogram): void {
    sum.add(this.#current);
    sum.add(this.#previous);
  }

  #turn(now: number): void {
    if (now < this.#windowEnd) return;
    const full = this.#previous;
    this.#previous = this.#current;
    this.#current = full;
    full.clear();
    // Nothing happened for a whole window: both are old.
    if (now >= this.#windowEnd + windowMs) this.#previous.clear();
    this.#windowEnd = now + windowMs;
  }

  /** The running second is left out: it is not over, and would make every rate look like a dip. */
  #sum(ring: Uint32Array, now: number, span: number): number {
    const last = Math.floor(now / 1_000) - 1;
    let sum = 0;
    for (let slot = 0; slot < seconds; slot++) {
      const second = this.#second[slot]!;
      if (second > last - span && second <= last) sum += ring[slot]!;
    }
    return sum;
  }

  #perSecond(now: number, span: number): number {
    // Of a newcomer: never by less than ten seconds, or its first request would look like a crowd.
    const lived = Math.min(span, Math.max(10, (now - this.#born) / 1_000));
    return Math.round((this.#sum(this.#ring, now, span) / lived) * 100) / 100;
  }
}

export function latency(histogram: Histogram): Latency {
  const round = (ms: number) => Math.round(ms * 1_000) / 1_000;
  return {
    count: histogram.count,
    p50: round(histogram.percentile(0.5)),
    p90: round(histogram.percentile(0.9)),
    p99: round(histogram.percentile(0.99)),
    max: round(histogram.maxMs),
  };
}
