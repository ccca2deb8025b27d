import { describe, expect, it } from "vitest";
import { Levels } from "../../../runtime/request/levels.ts";
import { type Lease, Request, type Services } from "../../../runtime/request/request.ts";

const lease = { id: 1, release() {} } as unknown as Lease;

function desk() {
  let at = 1_000_000;
  const levels = new Levels(() => at);
  const services = { levels } as unknown as Services;
  const made = (more: object = {}) =>
    new Request({ services, lease, interface: "web", label: "GET /t/7", timeoutMs: 1_000, ...more });
  return { levels, made, pass: (ms: number) => void (at += ms) };
}

const forMs = 60_000;

describe("log levels set live", () => {
  it("hold for requests made from then on, until they end by themselves", () => {
    const { levels, made, pass } = desk();
    expect(made().logLevel).toBe("info");
    levels.add({ level: "debug", forMs });
    expect(made().logLevel).toBe("debug");
    expect(made({ logLevel: "warn" }).logLevel).toBe("debug");
    pass(forMs);
    expect(made().logLevel).toBe("info");
    expect([levels.any, levels.list()]).toEqual([false, []]);
  });

  it("hold for who asks once that is known, by id or name, and for a cage by its name", () => {
    const { levels, made } = desk();
    levels.add({ level: "debug", principal: "42", forMs });
    levels.add({ level: "debug", principal: "n1.shop", forMs });
    const one = made();
    expect(one.logLevel).toBe("info");
    one.identify({ id: 42, name: "Ada" });
    expect(one.logLevel).toBe("debug");
    expect(made({ principal: "42" }).logLevel).toBe("debug");
    expect(made({ principal: { node: "n1", cage: "shop" } }).logLevel).toBe("debug");
    expect(made({ principal: { node: "n2", cage: "shop" } }).logLevel).toBe("info");
    expect(made({ principal: undefined }).logLevel).toBe("info");
  });

  it("hold for a label once that is known, as it is or by its beginning", () => {
    const { levels, made } = desk();
    levels.add({ level: "debug", label: "GET /t/:id", forMs });
    const one = made();
    expect(one.logLevel).toBe("info");
    one.label = "GET /t/:id";
    expect(one.logLevel).toBe("debug");
    levels.add({ level: "debug", label: "POST *", forMs });
    expect(made({ label: "POST /t" }).logLevel).toBe("debug");
    expect(made({ label: "PUT /t" }).logLevel).toBe("info");
  });

  it("hold for a trace and for an address, also one that comes as IPv6", () => {
    const { levels, made } = desk();
    levels.add({ level: "debug", trace: "a".repeat(32), forMs });
    levels.add({ level: "debug", from: "10.0.0.7", forMs });
    expect(made({ trace: { id: "a".repeat(32), span: "b".repeat(16) } }).logLevel).toBe("debug");
    expect(made({ from: "::ffff:10.0.0.7" }).logLevel).toBe("debug");
    expect(made({ from: "10.0.0.8" }).logLevel).toBe("info");
  });

  it("need all their conditions; the newest that matches decides; the same conditions again replace the rule", () => {
    const { levels, made } = desk();
    levels.add({ level: "debug", principal: "42", from: "10.0.0.7", forMs });
    expect(made({ principal: "42" }).logLevel).toBe("info");
    levels.add({ level: "error", from: "10.0.0.7", forMs });
    expect(made({ principal: "42", from: "10.0.0.7" }).logLevel).toBe("error");
    levels.add({ level: "warn", from: "10.0.0.7", forMs });
    expect(levels.list().length).toBe(2);
  });

  it("are bounded in number, and can all be ended", () => {
    const { levels } = desk();
    for (let n = 0; n < 50; n++) levels.add({ level: "debug", principal: String(n), forMs });
    expect(() => levels.add({ level: "debug", principal: "50", forMs })).toThrow(/50 rules already/);
    expect(levels.clear()).toBe(50);
    expect(levels.list()).toEqual([]);
  });
});
