import { afterAll, afterEach, describe, expect, it } from "vitest";
import { type Events, events } from "../../../runtime/health/events.ts";
import { request } from "../../../runtime/request/door.ts";
import type { Request } from "../../../runtime/request/request.ts";
import { createHost } from "../../kit/host.ts";

const seen = { done: [] as Events["request.done"][], lingered: [] as Events["request.lingered"][] };
const off = [
  events.on("request.done", (done) => void seen.done.push(done)),
  events.on("request.lingered", (lingered) => void seen.lingered.push(lingered)),
];
afterEach(() => {
  seen.done.length = seen.lingered.length = 0;
});

/** Work that ends when the test says so, and not before. */
function stubborn() {
  let end!: (value: string) => void;
  const work = new Promise<string>((resolve) => (end = resolve));
  return { end, handler: () => work };
}

afterAll(() => {
  for (const stop of off) stop();
});

describe("a host", () => {
  it("releases the waiter of work past its deadline at once, and keeps its slot and generation until it has ended", async () => {
    const { host } = createHost({}, { timeoutMs: 30, running: 1 });
    const { end, handler } = stubborn();
    let made!: Request;
    await expect(
      host.serve({ label: "slow" }, (_, request) => {
        made = request;
        return handler();
      }),
    ).rejects.toMatchObject({ code: "EXPIRED", message: "slow: the deadline passed" });
    expect([host.gate.running, host.running.size, made.ended]).toEqual([1, 1, false]);
    expect(seen.done).toMatchObject([{ label: "slow", error: { code: "EXPIRED" } }]);
    expect(seen.done[0]!.durationMs).toBeLessThan(5_000);

    // The only slot is taken: another waits, for as long as it has.
    await expect(host.serve({ label: "next" }, () => "never")).rejects.toMatchObject({ code: "EXPIRED" });
    expect(seen.lingered).toEqual([]);

    end("at last");
    await expect.poll(() => seen.lingered).toMatchObject([{ label: "slow", error: undefined }]);
    expect(seen.lingered[0]!.lingeredMs).toBeGreaterThan(0);
    expect([host.gate.running, host.running.size, made.ended]).toEqual([0, 0, true]);
    expect(seen.done.map((done) => done.label)).toEqual(["slow", "next"]);
    expect(await host.serve({ label: "after" }, () => "served")).toBe("served");
  });

  it("releases the waiter of cancelled work at once, with the reason, and tells the work by its signal", async () => {
    const { host } = createHost({}, { running: 1 });
    const heard: unknown[] = [];
    const { end, handler } = stubborn();
    let accepted!: Request;
    const waiting = host.serve({ label: "left", accepted: (request) => void (accepted = request) }, () => {
      request.signal.addEventListener("abort", () => heard.push((request.signal.reason as Error).message));
      return handler();
    });
    accepted.cancel("the client went away");
    await expect(waiting).rejects.toMatchObject({ code: "CANCELLED", message: "the client went away" });
    expect(heard).toEqual(["the client went away"]);
    expect(host.gate.running).toBe(1);
    end("");
    await expect.poll(() => host.gate.running).toBe(0);
  });

  it("takes back a place in line when who asked goes away, and the work never begins", async () => {
    const { host } = createHost({}, { running: 1 });
    const { end, handler } = stubborn();
    const first = host.serve({ label: "first" }, handler);
    let accepted!: Request;
    let began = false;
    const second = host.serve({ label: "second", accepted: (request) => void (accepted = request) }, () => {
      began = true;
    });
    expect(host.gate.waiting).toBe(1);
    accepted.cancel("the client went away");
    await expect(second).rejects.toMatchObject({ code: "CANCELLED" });
    expect([host.gate.waiting, accepted.ended]).toEqual([0, true]);
    end("");
    await first;
    expect(began).toBe(false);
    expect(seen.lingered).toEqual([]);
  });

  it("says once how each request ended, with its wait, whether it answered, threw, or was refused", async () => {
    const { host } = createHost({}, { running: 1, waiting: 0 });
    const { end, handler } = stubborn();
    const busy = host.serve({ label: "busy" }, handler);
    await expect(host.serve({ label: "refused" }, () => 1)).rejects.toMatchObject({
      code: "OVERLOADED",
      details: { retryAfterMs: expect.any(Number) },
    });
    end("");
    await busy;
    expect(await host.serve({ label: "sync" }, () => 7)).toBe(7);
    const thrower = () => {
      throw new Error("no");
    };
    await expect(host.serve({ label: "threw" }, thrower)).rejects.toThrow("no");
    expect(seen.done.map((done) => [done.label, (done.error as Error | undefined)?.message?.slice(0, 2)])).toEqual([
      ["refused", "in"],
      ["busy", undefined],
      ["sync", undefined],
      ["threw", "no"],
    ]);
    expect(host.gate.running).toBe(0);
  });

  it("knows whom the request is from, whatever the protocol", async () => {
    const { host } = createHost({});
    const [from, principal] = await host.serve({ label: "x", from: "10.0.0.7", principal: 42 }, async () => [
      request.from,
      request.principal,
    ]);
    expect([from, principal]).toEqual(["10.0.0.7", 42]);
  });
});
