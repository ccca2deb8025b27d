import { describe, expect, it } from "vitest";
import type { CageError } from "../../../runtime/errors.ts";
import { background } from "../../../runtime/request/background.ts";
import { Gate } from "../../../runtime/request/gate.ts";
import { current, type Lease, Request, run, type Services, within } from "../../../runtime/request/request.ts";

const services = {} as Services;

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

const request = (timeoutMs: number, held: Lease = lease()): Request =>
  new Request({ services, lease: held, interface: "test", label: "a test", timeoutMs });

describe("a request", () => {
  it("is found by whatever runs inside it, across awaits", async () => {
    const one = request(1_000);
    await run(one, async () => {
      await Promise.resolve();
      expect(current()).toBe(one);
    });
    expect(() => current()).toThrow(/outside any request/);
  });

  it("releases a waiter at its deadline, whatever the work does", async () => {
    const one = request(30);
    await expect(within(one, "the wait", new Promise(() => {}))).rejects.toMatchObject({ code: "EXPIRED" });
    expect(one.signal.aborted).toBe(true);
    expect(one.remaining).toBe(0);
  });

  it("stops at once when it is cancelled, and its signal says why", async () => {
    const one = request(60_000);
    const wait = within(one, "the wait", new Promise(() => {}));
    one.cancel("the client went away");
    await expect(wait).rejects.toMatchObject({ code: "CANCELLED", message: "the client went away" });
    expect((one.signal.reason as CageError).code).toBe("CANCELLED");
  });

  it("lets go of its generation when it ends, and only then", () => {
    const held = lease();
    const one = request(1_000, held);
    expect(held.holds).toBe(1);
    one.end();
    one.end();
    expect(held.holds).toBe(0);
    expect(() => one.lease).toThrow(/background/);
    expect(one.generation).toBe(1);
  });

  it("keeps its generation for what it hands to background, until that is done", async () => {
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
});

describe("a gate", () => {
  it("lets in those with the earliest deadline first, whoever came first", async () => {
    const gate = new Gate({ running: 1, waiting: 10 });
    expect(gate.enter(request(1_000))).toBeUndefined();
    const order: number[] = [];
    const waits = [900, 300, 700, 500, 100].map((ms) => gate.enter(request(ms))?.then(() => order.push(ms)));
    for (const _ of waits) {
      gate.leave();
      await new Promise(setImmediate);
    }
    expect(order).toEqual([100, 300, 500, 700, 900]);
  });

  it("refuses at once when its queue is full", () => {
    const gate = new Gate({ running: 1, waiting: 0 });
    gate.enter(request(1_000));
    expect(() => gate.enter(request(1_000))).toThrow(expect.objectContaining({ code: "OVERLOADED" }));
  });

  it("gives up a place in the queue at the deadline", async () => {
    const gate = new Gate({ running: 1, waiting: 5 });
    gate.enter(request(1_000));
    await expect(gate.enter(request(20))).rejects.toMatchObject({ code: "EXPIRED" });
    expect(gate.waiting).toBe(0);
  });
});
