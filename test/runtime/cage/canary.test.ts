import { afterAll, afterEach, describe, expect, it } from "vitest";
import { Canary, type CanaryOptions } from "../../../runtime/cage/canary.ts";
import { CageError } from "../../../runtime/errors.ts";
import { type Events, events } from "../../../runtime/health/events.ts";

/** A generation as far as a trial knows it. */
class Version {
  readonly id: number;
  readonly of: number | undefined;
  holds = 0;
  constructor(id: number, of?: number) {
    this.id = id;
    this.of = of;
  }
  hold() {
    this.holds++;
    return { release: () => void this.holds-- };
  }
}

const options: CanaryOptions = { share: 0.25, requests: 40, ms: 60_000, errorRate: 0.1, p95Factor: 2 };
const rolled: number[] = [];
const verdicts: Events["canary.done"][] = [];
const off = events.on("canary.done", (verdict) => verdicts.push(verdict));
let canary: Canary<Version>;

function trial(more: Partial<CanaryOptions> = {}) {
  rolled.length = verdicts.length = 0;
  canary = new Canary<Version>({ rollback: async (to) => void rolled.push(to) });
  const [before, after] = [new Version(1), new Version(2)];
  canary.swapped(after, before, { ...options, ...more });
  return { before, after };
}

afterEach(() => canary.stop());
afterAll(off);

/** One request: enters a generation, takes so long there, fails or not. */
function ask(current: Version, of: (entered: Version) => { ms?: number; error?: unknown } = () => ({})): Version {
  const entered = canary.choose(current);
  const { ms = 5, error } = of(entered);
  const done = {
    interface: "web",
    label: "GET /",
    durationMs: ms,
    waitedMs: 0,
    generation: entered.id,
    error,
    id: "x",
  };
  events.emit("request.done", done);
  return entered;
}

describe("a generation on trial", () => {
  it("says how far it is, and afterwards nothing", () => {
    const { after } = trial({ requests: 10 });
    for (let n = 0; n < 16; n++) ask(after, () => (n === 3 ? { error: new CageError("INTERNAL", "x") } : {}));
    expect(canary.status).toMatchObject({ generation: 2, before: 1, share: 0.25, requests: 4, failed: 1, wanted: 10 });
    expect((canary.status?.until ?? 0) - Date.now()).toBeGreaterThan(0);
    for (let n = 0; n < 24; n++) ask(after);
    expect([canary.status, verdicts.length]).toEqual([undefined, 1]);
  });

  it("takes its share of the requests, the one before takes the others and is held meanwhile", () => {
    const { before, after } = trial();
    const entered = Array.from({ length: 100 }, () => ask(after).id);
    expect([entered.filter((id) => id === 2).length, before.holds]).toEqual([25, 1]);
  });

  it("stays after so many good requests, and takes them all from then on", () => {
    const { before, after } = trial();
    for (let n = 0; n < 160; n++) ask(after);
    expect(verdicts).toMatchObject([{ generation: 2, kept: true, requests: 40 }]);
    expect([ask(after).id, ask(after).id, before.holds, rolled]).toEqual([2, 2, 0, []]);
  });

  it("is rolled back as soon as too many of its requests have failed, and nothing enters it any more", () => {
    const { after } = trial();
    const error = new CageError("INTERNAL", "broken");
    for (let n = 0; n < 60; n++) ask(after, ({ id }) => (id === 2 ? { error } : {}));
    expect(verdicts).toMatchObject([{ generation: 2, kept: false, why: "5 of 5 requests failed" }]);
    expect([rolled, ask(after).id, ask(after).id]).toEqual([[1], 1, 1]);
    canary.swapped(new Version(3, 1), after, options);
    expect(ask(new Version(3)).id).toBe(3);
  });

  it("is not blamed for what its callers did wrong", () => {
    const { after } = trial();
    for (let n = 0; n < 160; n++) ask(after, () => ({ error: new CageError("BAD_INPUT", "no such sku") }));
    expect(verdicts).toMatchObject([{ kept: true }]);
  });

  it("is rolled back when its p95 is worse than that of the others by the factor", () => {
    const { after } = trial();
    for (let n = 0; n < 160; n++) ask(after, ({ id }) => ({ ms: id === 2 && n % 8 === 7 ? 50 : 5 }));
    expect(verdicts).toMatchObject([{ kept: false, why: "p95 50.0 ms against 5.0 ms before" }]);
    expect(rolled).toEqual([1]);
  });

  it("is judged by what there was when its time is over", async () => {
    const judged = new Promise<Events["canary.done"]>((resolve) => {
      const stop = events.on("canary.done", (verdict) => {
        stop();
        resolve(verdict);
      });
    });
    const { after } = trial({ ms: 20 });
    ask(after);
    expect(await judged).toMatchObject({ kept: true, requests: 0 });
  });

  it("that a save replaces hands the trial on: the newest against the same old one", () => {
    const { before, after } = trial();
    const newest = new Version(3);
    canary.swapped(newest, after, options);
    expect([after.holds, before.holds]).toEqual([0, 1]);
    const entered = Array.from({ length: 8 }, () => ask(newest).id);
    expect(entered).toEqual([1, 1, 1, 3, 1, 1, 1, 3]);
  });
});
