import { describe, expect, it } from "vitest";
import type { CageError } from "../../../runtime/errors.ts";
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
});
