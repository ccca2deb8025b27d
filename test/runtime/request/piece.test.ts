/** Alone in its file: the wheel of deadlines has one timer a process, and here it is a fake one from the beginning. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { events } from "../../../runtime/health/events.ts";
import { Piece } from "../../../runtime/request/piece.ts";
import { type Lease, Request, type Services } from "../../../runtime/request/request.ts";

const services = {} as Services;
const lease = { id: 1, release() {} } as unknown as Lease;

describe("work that does not end", () => {
  afterEach(() => void vi.useRealTimers());

  it("is told of once, ten seconds after its waiter was released", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
    const told: string[] = [];
    const off = [
      events.on("request.done", ({ label }) => void told.push(`${label} done`)),
      events.on("request.overdue", ({ label, overdueMs }) => void told.push(`${label} overdue ${overdueMs}`)),
      events.on("request.lingered", ({ label }) => void told.push(`${label} lingered`)),
    ];
    const ends: (() => void)[] = [];
    for (const label of ["stuck", "late"]) {
      const one = new Request({ services, lease, interface: "test", label, timeoutMs: 1_000 });
      const piece = new Piece<void>(one, { resolve() {}, reject() {} }, { over() {} });
      piece.begin(one.startedAt, () => new Promise<void>((resolve) => ends.push(resolve)));
    }
    await vi.advanceTimersByTimeAsync(5_000);
    ends[1]!();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(told).toEqual(["stuck done", "late done", "late lingered", "stuck overdue 10000"]);
    for (const stop of off) stop();
  });
});
