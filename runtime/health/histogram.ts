/**
 * Durations as counts in log-linear buckets: each power of two of microseconds is cut into 16 equal parts, so a
 * percentile is at most 1/16 above the truth, from 1 us to 12 days, in a fixed 2.4 KB.
 *
 *     1 2 3 ... 15 | 16 17 ... 31 | 32 34 ... 62 | 64 68 ... 124 | ...        (lower ends, in microseconds)
 *
 * Mergeable: the sum of two histograms is the histogram of both, which no average of percentiles is.
 */
export interface HistogramJson {
  readonly count: number;
  readonly sumMs: number;
  readonly maxMs: number;
  /** Pairs of bucket and count, empty buckets left out. */
  readonly buckets: readonly (readonly [number, number])[];
}

const parts = 16;
/** 2^40 us; what is longer counts as that. */
const powers = 40;
const size = (powers - 3) * parts;

export class Histogram {
  readonly #counts = new Uint32Array(size);
  #count = 0;
  #sumMs = 0;
  #maxMs = 0;

  get count(): number {
    return this.#count;
  }

  get maxMs(): number {
    return this.#maxMs;
  }

  get meanMs(): number {
    return this.#count === 0 ? 0 : this.#sumMs / this.#count;
  }

  record(ms: number): void {
    if (!(ms >= 0)) return; // NaN, or a clock that went backwards
    this.#counts[bucketOf(ms)]!++;
    this.#count++;
    this.#sumMs += ms;
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  /** The duration that a `share` (0.99) of all did not exceed; 0 when there was none. */
  percentile(share: number): number {
    if (this.#count === 0) return 0;
    const rank = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (let bucket = 0; bucket < size; bucket++) {
      seen += this.#counts[bucket]!;
      if (seen >= rank) return Math.min(this.#maxMs, endOf(bucket) / 1_000);
    }
    return this.#maxMs;
  }

  add(other: Histogram): void {
    for (let bucket = 0; bucket < size; bucket++) this.#counts[bucket]! += other.#counts[bucket]!;
    this.#count += other.#count;
    this.#sumMs += other.#sumMs;
    this.#maxMs = Math.max(this.#maxMs, other.#maxMs);
  }

  clear(): void {
    this.#counts.fill(0);
    this.#count = this.#sumMs = this.#maxMs = 0;
  }

  toJSON(): HistogramJson {
    const buckets: [number, number][] = [];
    this.#counts.forEach((count, bucket) => {
      if (count > 0) buckets.push([bucket, count]);
    });
    return { count: this.#count, sumMs: this.#sumMs, maxMs: this.#maxMs, buckets };
  }

  /** Of another process: what `toJSON` made there. */
  static from(json: HistogramJson): Histogram {
    const histogram = new Histogram();
    for (const [bucket, count] of json.buckets) if (bucket >= 0 && bucket < size) histogram.#counts[bucket] = count;
    histogram.#count = json.count;
    histogram.#sumMs = json.sumMs;
    histogram.#maxMs = json.maxMs;
    return histogram;
  }
}

function bucketOf(ms: number): number {
  const us = Math.floor(ms * 1_000);
  if (us < parts) return us;
  // Below 2^53 a double's exponent is exact; 31 - clz32 would stop at 2^32 us (71 minutes).
  const power = us < 2 ** 31 ? 31 - Math.clz32(us) : Math.min(powers - 1, Math.floor(Math.log2(us)));
  return Math.min(size - 1, (power - 3) * parts + Math.floor(us / 2 ** (power - 4)) - parts);
}

/** The first microsecond past the bucket. */
function endOf(bucket: number): number {
  if (bucket < parts) return bucket + 1;
  const power = Math.floor(bucket / parts) + 3;
  return ((bucket % parts) + parts + 1) * 2 ** (power - 4);
}
