import { describe, expect, it } from "vitest";
import { durationMs } from "../../../runtime/request/duration.ts";

describe("durations", () => {
  it("reads numbers with units, and plain milliseconds", () => {
    expect(["250ms", "30s", "15m", "12h", "7d", "1.5s", 42].map((text) => durationMs(text))).toEqual([
      250, 30_000, 900_000, 43_200_000, 604_800_000, 1_500, 42,
    ]);
  });

  it("refuses anything else with the forms that are possible", () => {
    for (const text of ["", "5", "5 s", "-5s", "1y", "s", "1e3s", Number.NaN, -1, Number.POSITIVE_INFINITY])
      expect(() => durationMs(text)).toThrow(/"30s", "15m", "12h", "7d"/);
  });
});
