import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CageError, codes } from "../../../runtime/errors.ts";
import { backoffMs, verdict } from "../../../runtime/retry/policy.ts";

const backoff = { baseMs: 1_000, capMs: 60_000, floorMs: 50 };

describe("backoff", () => {
  it("doubles its step with each failure up to the cap", () => {
    const highest = [1, 2, 3, 6, 7, 8, 500].map((n) => backoffMs(n, backoff, () => 0.999999));
    expect(highest).toEqual([999, 1_999, 3_999, 31_999, 59_999, 59_999, 59_999]);
  });

  it("stays between floor and cap whatever chance and count say", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e9 }),
        fc.double({ min: 0, max: 0.999999999, noNaN: true }),
        (n, chance) => {
          const ms = backoffMs(n, backoff, () => chance);
          expect(ms).toBeGreaterThanOrEqual(backoff.floorMs);
          expect(ms).toBeLessThanOrEqual(backoff.capMs);
        },
      ),
    );
  });
});

describe("verdict", () => {
  it("decides for every code of the table", () => {
    const never = Object.keys(codes).filter((code) => verdict(new CageError(code, "")) === "never");
    expect(never.sort()).toEqual(
      [
        "BAD_INPUT",
        "CONFLICT",
        "FORBIDDEN",
        "METHOD_NOT_ALLOWED",
        "NOT_FOUND",
        "NO_REQUEST",
        "PORT_TAKEN",
        "TERMINAL",
        "TOO_LARGE",
        "UNAUTHORIZED",
        "UNSUPPORTED",
      ].sort(),
    );
    expect(verdict(new CageError("NO_SUCH_CAGE", ""))).toBe("unreachable");
    expect(verdict(new CageError("UNAVAILABLE", ""))).toBe("unreachable");
  });

  it("takes an application's own code as final, unless its author called it retryable", () => {
    expect(verdict(new CageError("SOLD_OUT", "none left"))).toBe("never");
    expect(verdict(new CageError("STOCKTAKING", "come back", { retryable: true }))).toBe("again");
  });
});
