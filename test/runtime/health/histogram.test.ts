import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Histogram } from "../../../runtime/health/histogram.ts";

const of = (durations: readonly number[]): Histogram => {
  const histogram = new Histogram();
  for (const ms of durations) histogram.record(ms);
  return histogram;
};
const duration = fc.double({ min: 0.001, max: 1e8, noNaN: true });

describe("histogram", () => {
  it("gives percentiles at most a sixteenth above the truth, and never below it", () => {
    fc.assert(
      fc.property(
        fc.array(duration, { minLength: 1, maxLength: 300 }),
        fc.constantFrom(0.5, 0.9, 0.99, 1),
        (all, share) => {
          const sorted = [...all].sort((a, b) => a - b);
          const truth = sorted[Math.max(0, Math.ceil(share * all.length) - 1)]!;
          const said = of(all).percentile(share);
          expect(said).toBeGreaterThanOrEqual(truth);
          expect(said).toBeLessThanOrEqual(truth * (1 + 1 / 16) + 0.001);
        },
      ),
    );
  });

  it("merges into what one histogram of both would be", () => {
    fc.assert(
      fc.property(fc.array(duration), fc.array(duration), (one, two) => {
        const merged = of(one);
        merged.add(of(two));
        const { sumMs, ...rest } = merged.toJSON();
        const both = of([...one, ...two]).toJSON();
        expect(rest).toEqual({ count: both.count, maxMs: both.maxMs, buckets: both.buckets });
        expect(sumMs).toBeCloseTo(both.sumMs, 0);
      }),
    );
  });

  it("crosses to another process as JSON", () => {
    const here = of([0.5, 3, 3, 40, 5_000_000]);
    const there = Histogram.from(JSON.parse(JSON.stringify(here)));
    expect(there.toJSON()).toEqual(here.toJSON());
    expect(there.percentile(0.5)).toBe(here.percentile(0.5));
  });

  it("takes nonsense without harm", () => {
    const histogram = of([Number.NaN, -1, Number.POSITIVE_INFINITY, 0, 1e300]);
    expect(histogram.count).toBe(3);
    expect(new Histogram().percentile(0.99)).toBe(0);
  });
});
