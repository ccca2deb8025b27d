import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CageError } from "../../../runtime/errors.ts";
import { events } from "../../../runtime/health/events.ts";
import { startMetrics } from "../../../runtime/health/metrics.ts";

let at = 0;
let metrics: ReturnType<typeof startMetrics>;
beforeEach(() => {
  at = 1_000_000;
  metrics = startMetrics({ now: () => at, wall: () => at + 5_000, maxSeries: 20 });
});
afterEach(() => metrics.stop());

const done = (over: { label?: string; durationMs?: number; error?: unknown; interface?: string; id?: string } = {}) =>
  events.emit("request.done", {
    interface: "web",
    label: "GET /",
    durationMs: 5,
    waitedMs: 1,
    generation: 3,
    error: undefined,
    id: "r1",
    ...over,
  });

describe("metrics", () => {
  it("counts how requests ended, and holds nobody's bad input against the service", () => {
    done();
    done({ error: new CageError("NOT_FOUND", "no such thread") });
    done({ error: new Error("broken") });
    const { requests, total, errors } = metrics.snapshot();
    expect(requests).toMatchObject([{ interface: "web", label: "GET /", success: 1, refused: 1, failure: 1 }]);
    expect(total).toMatchObject({ success: 1, refused: 1, failure: 1 });
    expect(errors.map((error) => error.message)).toEqual(["broken"]);
  });

  it("gives rates over the last 10 and 60 seconds", () => {
    at += 120_000;
    for (let second = 0; second < 60; second++) {
      at += 1_000;
      for (let n = 0; n < (second >= 50 ? 20 : 8); n++) done();
    }
    at += 1_000;
    expect(metrics.snapshot().total).toMatchObject({ rate10: 20, rate60: 10 });
    expect(metrics.snapshot().perSecond).toEqual([...Array(50).fill(8), ...Array(10).fill(20)]);
    at += 30_000;
    expect(metrics.snapshot().total).toMatchObject({ rate10: 0 });
  });

  it("gives latencies of the last minutes apart from those since the start", () => {
    for (let n = 0; n < 100; n++) done({ durationMs: 900 });
    at += 200_000;
    for (let n = 0; n < 100; n++) done({ durationMs: n < 99 ? 10 : 50 });
    const { total } = metrics.snapshot();
    expect(total.recent.count).toBe(100);
    expect(total.recent.p50).toBeCloseTo(10, 0);
    expect(total.recent.max).toBe(50);
    expect(total.total.count).toBe(200);
    expect(total.total.p99).toBeGreaterThan(800);
  });

  it("keeps the last errors with stack and generation, each kind once with its count", () => {
    const broken = new TypeError("x is not a function");
    broken.stack = "TypeError: x is not a function\n    at place (/srv/app/cages/shop/orders.ts:7:3)";
    for (let n = 0; n < 5; n++) done({ error: broken, id: `r${n}` });
    const [error] = metrics.snapshot().errors;
    expect(error).toMatchObject({
      code: "INTERNAL",
      message: "x is not a function",
      count: 5,
      request: "r4",
      where: "orders.ts@3",
      label: "GET /",
    });
    expect(error?.stack).toContain("orders.ts:7:3");
    for (let n = 0; n < 200; n++) done({ error: new Error(`kind ${n}`) });
    expect(metrics.snapshot().errors).toHaveLength(50);
    expect(metrics.snapshot().errors[0]?.message).toBe("kind 199");
  });

  it("bounds the number of series, however many labels there are", () => {
    for (let n = 0; n < 500; n++) {
      done({ label: `GET /${n}`, interface: `i${n}` });
      events.emit("call.done", { cage: `c${n}`, path: "f", durationMs: 1, error: undefined });
    }
    const { requests, interfaces, calls, total } = metrics.snapshot();
    expect(requests.length).toBeLessThan(600);
    expect(interfaces).toHaveLength(21);
    expect(interfaces.find((row) => row.interface === "(other)")?.success).toBe(480);
    expect(calls).toHaveLength(21);
    expect(total.success).toBe(500);
  });

  it("measures calls by the cage called", () => {
    events.emit("call.done", { cage: "core", path: "a", durationMs: 2, error: undefined });
    events.emit("call.done", { cage: "core", path: "b", durationMs: 4, error: new CageError("UNAVAILABLE", "gone") });
    expect(metrics.snapshot().calls).toMatchObject([{ cage: "core", success: 1, failure: 1, items: 0 }]);
    for (const items of [3, 4])
      events.emit("call.done", { cage: "core", path: "list", durationMs: 1, items, error: undefined });
    expect(metrics.snapshot().calls).toMatchObject([{ cage: "core", success: 3, items: 7 }]);
  });

  it("remembers reloads, the failed ones with their code frame", () => {
    events.emit("reload.done", { generation: 2, files: ["a.ts"], dependents: 1, durationMs: 12, trigger: "watch" });
    events.emit("reload.failed", {
      files: ["a.ts"],
      file: "a.ts",
      error: new Error(),
      message: "oops",
      frame: "> 1 | oops(",
    });
    expect(metrics.snapshot().reloads).toMatchObject([
      { ok: false, message: "oops", frame: "> 1 | oops(", generation: null },
      { ok: true, generation: 2, files: ["a.ts"], trigger: "watch" },
    ]);
    for (let n = 0; n < 100; n++)
      events.emit("reload.done", { generation: n, files: [], dependents: 0, durationMs: 1, trigger: "watch" });
    expect(metrics.snapshot().reloads).toHaveLength(30);
  });

  it("is plain JSON, and hears nothing after it stopped", () => {
    done({ error: new Error("x") });
    const snapshot = metrics.snapshot();
    expect(JSON.parse(JSON.stringify(snapshot))).toEqual(snapshot);
    metrics.stop();
    done();
    expect(metrics.snapshot().total.success).toBe(0);
  });
});
