import { describe, expect, it } from "vitest";
import { Numbered } from "../../lib/numbered.ts";

describe("what is under way, by its number", () => {
  it("answers as a Map does, whoever comes and goes in whatever order", () => {
    const numbered = new Numbered<{ n: number }>();
    const map = new Map<number, { n: number }>();
    let seed = 7;
    const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
    let next = 1;
    for (let step = 0; step < 20_000; step++) {
      const open = [...map.keys()];
      // Fills and empties in waves, so that it grows, and is nearly empty again.
      if (random(100) < (step % 2_000 < 1_000 ? 60 : 40)) {
        numbered.set(next, { n: next });
        map.set(next, { n: next });
        next += 1 + random(3) * random(50);
      } else if (open.length > 0) {
        const gone = open[random(open.length)] as number;
        expect(numbered.delete(gone)).toEqual(map.get(gone));
        map.delete(gone);
        expect(numbered.get(gone)).toBeUndefined();
      }
      expect(numbered.size).toBe(map.size);
      if (step % 500 === 0) expect(numbered.entries()).toEqual([...map]);
      const some = open[random(open.length + 1)] ?? 0;
      expect(numbered.get(some)).toEqual(map.get(some));
    }
  });

  it("finds numbers beyond 32 bits, and tells those apart that differ only there", () => {
    const numbered = new Numbered<object>();
    const [low, high] = [{}, {}];
    numbered.set(5, low);
    numbered.set(2 ** 40 + 5, high);
    expect([numbered.get(5), numbered.get(2 ** 40 + 5)]).toEqual([low, high]);
    expect(numbered.delete(5)).toBe(low);
    expect([numbered.get(5), numbered.get(2 ** 40 + 5)]).toEqual([undefined, high]);
  });

  it("answers undefined for a number that is not there, and replaces under one that is", () => {
    const numbered = new Numbered<{ text: string }>();
    expect([numbered.get(1), numbered.delete(1), numbered.size]).toEqual([undefined, undefined, 0]);
    numbered.set(1, { text: "a" });
    numbered.set(1, { text: "b" });
    expect([numbered.values(), numbered.size]).toEqual([[{ text: "b" }], 1]);
    numbered.clear();
    expect([numbered.get(1), numbered.size]).toEqual([undefined, 0]);
  });

  it("lets those that `entries` gave be deleted while it is walked", () => {
    const numbered = new Numbered<object>();
    for (let n = 1; n <= 100; n++) numbered.set(n, {});
    for (const [number] of numbered.entries()) numbered.delete(number);
    expect(numbered.size).toBe(0);
  });
});
