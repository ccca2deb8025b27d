import { expect, it } from "vitest";
import { Crashes } from "../../../runtime/cage/crashes.ts";

it("starts a process again after a pause that doubles, gives it up after five in a minute, and forgives with time", () => {
  let now = 0;
  const crashes = new Crashes(
    () => now,
    () => 0.5,
  );
  const pauses = Array.from({ length: 5 }, () => crashes.died(2));
  expect(pauses.map(({ afterMs }) => afterMs)).toEqual([100, 200, 400, 800, 1_600]);
  expect(crashes.tooMany(2)).toBe(false);
  expect(crashes.died(2)).toEqual({ afterMs: 30_000, tooMany: true });
  expect([crashes.tooMany(2), crashes.tooMany(1)]).toEqual([true, false]);
  expect(crashes.died(1)).toEqual({ afterMs: 100, tooMany: false });
  now = 60_001;
  expect(crashes.tooMany(2)).toBe(false);
  expect(crashes.died(2)).toEqual({ afterMs: 100, tooMany: false });
});
