import { describe, expect, it } from "vitest";
import { Adaptive, type Range } from "../../../runtime/request/adaptive.ts";

/** A server with `places` places, each taking `baseMs`; past them all are slower together. Always more callers than room. */
function crowd(range: Range, callers = 10_000) {
  const limit = new Adaptive(range);
  let at = 0;
  let seed = 1;
  const server = { places: 40, baseMs: 10 };
  const ends: { at: number; since: number }[] = [];
  const fill = (): void => {
    while (ends.length < Math.min(limit.limit, callers)) {
      // A tenth either way, by a generator that is the same in each run.
      seed = (seed * 48_271) % 2_147_483_647;
      const noise = 0.9 + (0.2 * seed) / 2_147_483_647;
      const takes = server.baseMs * Math.max(1, (ends.length + 1) / server.places) * noise;
      ends.push({ at: at + takes, since: at });
    }
  };
  return {
    server,
    limit: () => limit.limit,
    fail(samples: number, heldMs: number): void {
      for (let n = 0; n < samples; n++) limit.sample(heldMs, limit.limit, true);
    },
    run(samples: number): void {
      for (let n = 0; n < samples; n++) {
        fill();
        ends.sort((a, b) => a.at - b.at);
        const done = ends.shift()!;
        at = done.at;
        limit.sample(done.at - done.since, ends.length + 1);
      }
    },
  };
}

describe("an adaptive limit", () => {
  it("learns nothing from a burst of failures that come at once, and from late ones as from anything late", () => {
    const { run, limit, fail } = crowd({ min: 4, max: 1_000 });
    run(20_000);
    const before = limit();
    fail(5_000, 0.05);
    expect(limit()).toBe(before);
    run(2_000);
    expect(limit()).toBeGreaterThanOrEqual(40);
    fail(250, 1_000);
    expect(limit()).toBeLessThan(40);
  });

  it("finds the knee of a server, from far below", () => {
    const { run, limit } = crowd({ min: 4, max: 1_000 });
    run(20_000);
    expect(limit()).toBeGreaterThanOrEqual(40);
    expect(limit()).toBeLessThanOrEqual(75);
  });

  it("stays there, whatever it measures anew", () => {
    const { run, limit } = crowd({ min: 4, max: 1_000 });
    run(20_000);
    const seen: number[] = [];
    for (let n = 0; n < 400; n++) {
      run(200);
      seen.push(limit());
    }
    // At half for a moment now and then, when it measures.
    expect(Math.min(...seen)).toBeGreaterThanOrEqual(20);
    expect(seen.filter((each) => each >= 40 && each <= 75).length).toBeGreaterThan(360);
  });

  it("follows a server that loses most of its places, and recovers with it", () => {
    const { run, limit, server } = crowd({ min: 4, max: 1_000 });
    run(20_000);
    server.places = 8;
    run(20_000);
    expect(limit()).toBeLessThanOrEqual(20);
    expect(limit()).toBeGreaterThanOrEqual(8);
    server.places = 40;
    run(20_000);
    expect(limit()).toBeGreaterThanOrEqual(40);
    expect(limit()).toBeLessThanOrEqual(75);
  });

  it("takes work that became dearer for what it is: the same number of places", () => {
    const { run, limit, server } = crowd({ min: 4, max: 1_000 });
    run(20_000);
    server.baseMs = 100;
    run(20_000);
    expect(limit()).toBeGreaterThanOrEqual(40);
    expect(limit()).toBeLessThanOrEqual(75);
  });

  it("is not raised by what does not use it, and never leaves its range", () => {
    const idle = crowd({ min: 4, max: 1_000 }, 3);
    idle.run(5_000);
    expect(idle.limit()).toBeLessThanOrEqual(8);
    const narrow = crowd({ min: 10, max: 20 });
    narrow.run(5_000);
    expect(narrow.limit()).toBe(20);
  });
});
