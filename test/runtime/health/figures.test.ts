import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CageError } from "../../../runtime/errors.ts";
import { events } from "../../../runtime/health/events.ts";
import { type Figures, startFigures } from "../../../runtime/health/figures.ts";

let folder: string;
let figures: Figures;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cage-figures-"));
  figures = startFigures({ file: join(folder, "shop", "figures.json") });
});
afterEach(async () => {
  await figures.stop();
  rmSync(folder, { recursive: true, force: true });
});

function serve(generation: number, count: number, durationMs: number, error?: unknown): void {
  for (let n = 0; n < count; n++)
    events.emit("request.done", {
      interface: "web",
      label: "GET /",
      durationMs,
      waitedMs: 0,
      generation,
      error,
      id: "",
    });
}

describe("figures of generations", () => {
  it("count requests, the failures the service is to blame for, and p95", () => {
    serve(1, 90, 2);
    serve(1, 5, 50);
    serve(1, 4, 2, new Error("broken"));
    serve(1, 1, 2, new CageError("NOT_FOUND", "no such thing"));
    expect(figures.of(1)).toMatchObject({ requests: 100, errorRate: 0.04, typeErrors: null });
    expect(figures.of(1).p95Ms).toBeCloseTo(2, 0);
    expect(figures.of(2)).toEqual({ requests: 0, errorRate: null, p95Ms: null, typeErrors: null });
  });

  it("compare with those before together, newest first, until they say something", () => {
    serve(1, 1_000, 500);
    serve(2, 99, 2);
    serve(3, 3, 30, new Error("broken"));
    serve(4, 10, 10);
    expect(figures.before(4)).toMatchObject({ requests: 102, errorRate: 3 / 102 });
    expect(figures.before(4).p95Ms).toBeLessThan(3);
    expect(figures.before(1).requests).toBe(0);
  });

  it("are there after a restart", async () => {
    serve(7, 20, 4);
    events.emit("types.done", { generation: 7, count: 3, errors: [], durationMs: 1 });
    const was = figures.of(7);
    await figures.stop();
    figures = startFigures({ file: join(folder, "shop", "figures.json") });
    expect(figures.of(7)).toEqual(was);
    expect(was.typeErrors).toBe(3);
  });

  it("are bounded to the newest generations", async () => {
    for (let generation = 1; generation <= 250; generation++) serve(generation, 1, 1);
    expect(figures.of(150).requests).toBe(0);
    expect(figures.of(151).requests).toBe(1);
    await figures.stop();
    expect(JSON.parse(readFileSync(join(folder, "shop", "figures.json"), "utf8"))).toHaveLength(100);
  });
});
