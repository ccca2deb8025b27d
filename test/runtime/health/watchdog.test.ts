import { pbkdf2Sync } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Events, events } from "../../../runtime/health/events.ts";
import { startMetrics } from "../../../runtime/health/metrics.ts";
import { startWatchdog } from "../../../runtime/health/watchdog.ts";
import { asRequest } from "../../kit/request.ts";

let watchdog: { stop(): void };
beforeAll(() => {
  watchdog = startWatchdog();
});
afterAll(() => watchdog.stop());

/** Does it until it is told: a busy machine may give the watching thread no time while it lasts. */
async function toldOf(hold: () => unknown): Promise<Events["loop.blocked"]> {
  const found: Events["loop.blocked"][] = [];
  const off = events.on("loop.blocked", (each) => found.push(each));
  await expect
    .poll(async () => {
      await hold();
      // What the thread says arrives in a turn of its own.
      await new Promise((resolve) => setTimeout(resolve, 60));
      return found.length;
    })
    .toBeGreaterThan(0);
  off();
  return found[0] as Events["loop.blocked"];
}

function holdTheLoop(ms: number): number {
  let sum = 0;
  for (const until = performance.now() + ms; performance.now() < until; ) sum += Math.sqrt(sum + 1);
  return sum;
}

describe("a turn of the event loop that takes too long", () => {
  it("is told with the request that took it, the lines, and how long it was", async () => {
    const metrics = startMetrics();
    const ids: string[] = [];
    const found = await toldOf(() =>
      asRequest(async (request) => {
        // Deep in the request, after an await: not where it was entered.
        await new Promise((resolve) => setTimeout(resolve, 5));
        holdTheLoop(400);
        ids.push(request.id);
      }),
    );
    expect(found).toMatchObject({ interface: "test", label: "test", generation: 1 });
    expect(ids).toContain(found.id);
    expect(found.durationMs).toBeGreaterThan(300);
    // Not always in the first line: it may have been in what that calls.
    expect(found.stack).toMatch(/ {4}at holdTheLoop \(.*watchdog\.test\.ts/);
    expect(metrics.snapshot().errors).toMatchObject([{ code: "BLOCKED", label: "test", request: found.id }]);
    metrics.stop();
  });

  it("is told of a native call by the line that made it", async () => {
    const hash = async () => {
      await null;
      return pbkdf2Sync("a", "b", 1_500_000, 64, "sha512");
    };
    expect((await toldOf(() => asRequest(hash))).stack).toContain("at hash (");
  });

  it("is told outside of any request too", async () => {
    expect(await toldOf(() => holdTheLoop(300))).toMatchObject({ id: "", label: "outside any request" });
  });
});
