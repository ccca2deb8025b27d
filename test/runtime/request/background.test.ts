import { describe, expect, it } from "vitest";
import { type Events, events } from "../../../runtime/health/events.ts";
import { Background, background } from "../../../runtime/request/background.ts";
import { current, type Lease, Request, run, type Services } from "../../../runtime/request/request.ts";

const servicesWith = (background = new Background()) => ({ background }) as Services;

function lease(id = 1): Lease & { holds: number } {
  const made = {
    id,
    holds: 1,
    module: () => undefined,
    resource: () => undefined,
    config: {},
    again: () => {
      made.holds++;
      return made;
    },
    release: () => void made.holds--,
  };
  return made;
}

const request = (timeoutMs: number, held: Lease = lease(), services = servicesWith()): Request =>
  new Request({ services, lease: held, interface: "test", label: "a test", timeoutMs });

/** Work that ends when the test says so. */
function stubborn() {
  const ends: (() => void)[] = [];
  return { ends, work: () => new Promise<void>((resolve) => ends.push(resolve)) };
}

describe("background work", () => {
  it("holds the generation of the request that began it, until it is done", async () => {
    const held = lease();
    const one = request(1_000, held);
    const done = new Promise<void>((resolve) => {
      run(one, () =>
        background(async () => {
          await Promise.resolve();
          expect(current().generation).toBe(1);
          expect(held.holds).toBe(1);
          resolve();
        }),
      );
    });
    one.end();
    await done;
    await new Promise(setImmediate);
    expect(held.holds).toBe(0);
  });

  it("holds its generation past its deadline too, until it has really ended", async () => {
    const held = lease();
    const one = request(1_000, held);
    let end = () => {};
    const released = new Promise<void>((resolve) => {
      const off = events.on("request.done", ({ error }) => {
        off();
        expect(error).toMatchObject({ code: "EXPIRED" });
        resolve();
      });
    });
    run(one, () => background(() => new Promise<void>((resolve) => (end = resolve)), { timeoutMs: 20 }));
    one.end();
    await released;
    expect(held.holds).toBe(1);
    end();
    await expect.poll(() => held.holds).toBe(0);
  });

  it("is bounded: beyond what runs and waits its beginner is refused, told when to come again, and it is counted", async () => {
    const all = new Background();
    all.gate.resize({ running: 2, waiting: 1 });
    const held = lease();
    const one = request(60_000, held, servicesWith(all));
    const done: Events["request.done"][] = [];
    const problems: unknown[] = [];
    const off = [
      events.on("request.done", (event) => void done.push(event)),
      events.on("problem", (event) => void problems.push(event)),
    ];
    const { ends, work } = stubborn();
    const begin = () => run(one, () => background(work, { label: "mail" }));
    for (let n = 0; n < 3; n++) begin();
    expect(begin).toThrow(
      expect.objectContaining({
        code: "OVERLOADED",
        message: expect.stringMatching(/^background work: 2 run and 1 wait; try again in/),
        details: { retryAfterMs: expect.any(Number) },
      }),
    );
    expect(all.gate.status()).toMatchObject({ name: "background work", running: 2, waiting: 1, limit: 2 });
    expect([all.running.size, held.holds, problems]).toEqual([3, 4, []]);
    expect(done).toMatchObject([{ label: "a test (background: mail)", error: { code: "OVERLOADED" } }]);

    await expect.poll(() => ends.length).toBe(2);
    const idle = all.idle();
    ends[0]!();
    await expect.poll(() => ends.length).toBe(3);
    for (const end of ends) end();
    await idle;
    expect([all.running.size, all.gate.running, held.holds]).toEqual([0, 0, 1]);
    expect(done.map(({ error }) => error === undefined)).toEqual([false, true, true, true]);
    for (const stop of off) stop();
  });

  it("that waits for its turn past its deadline is given up, and told of", async () => {
    const all = new Background();
    all.gate.resize({ running: 1, waiting: 1 });
    const one = request(60_000, lease(), servicesWith(all));
    const { ends, work } = stubborn();
    const told = new Promise((resolve) => {
      const off = events.on("problem", (event) => {
        off();
        resolve(event);
      });
    });
    run(one, () => background(work));
    run(one, () => background(work, { timeoutMs: 20 }));
    expect(await told).toMatchObject({ what: "a test (background)", error: { code: "EXPIRED" } });
    expect([all.running.size, ends.length]).toEqual([1, 1]);
    ends[0]!();
    await all.idle();
  });

  it("has other bounds after a save, and what runs goes on", async () => {
    const all = new Background();
    all.gate.resize({ running: 1, waiting: 1 });
    const one = request(60_000, lease(), servicesWith(all));
    const { ends, work } = stubborn();
    for (let n = 0; n < 2; n++) run(one, () => background(work));
    await expect.poll(() => ends.length).toBe(1);
    all.gate.resize({ running: 2, waiting: 0 });
    await expect.poll(() => ends.length).toBe(2);
    for (const end of ends) end();
    await all.idle();
  });
});
