/** Reverse connections: an engine that dials out, and one that calls over what was dialled, with the real interface between. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { addressOf } from "../../../runtime/engine/dial.ts";
import type { Carry, Serve } from "../../../runtime/engine/engine.ts";
import { Joined } from "../../../runtime/engine/joined.ts";
import { events } from "../../../runtime/health/events.ts";
import { rpc } from "../../../runtime/interfaces/rpc.ts";
import type { KeyOf } from "../../../runtime/rpc/hello.ts";
import { createHost } from "../../kit/host.ts";
import { freePorts } from "../../kit/project.ts";
import { deferred, keyOf } from "../../kit/session.ts";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const carry: Carry = { remainingMs: 5_000, trace: { id: "a".repeat(32), span: "b".repeat(16) }, logLevel: "info" };

/** An engine in a state directory of its own. */
async function engineOf(cage: string, serve: Serve, node = "here", keys: KeyOf = keyOf): Promise<Joined> {
  const folder = mkdtempSync(join(tmpdir(), "dial-"));
  const runDir = join(folder, "run");
  mkdirSync(runDir);
  const engine = new Joined({
    me: { node, cage },
    keyOf: keys,
    runDir,
    stateDir: folder,
    socketOf: (name, process) => join(runDir, `${name}-${process}`),
    listen: (server, path) => new Promise((listening) => void server.listen(path, listening)),
  });
  await engine.start(serve);
  open.push(async () => {
    await engine.stop();
    rmSync(folder, { recursive: true });
  });
  return engine;
}

/** Where an engine's cage can be reached, by those that dial; the host calls its cage "test". */
async function doorOf(engine: Joined, reverse: readonly string[], port = 0) {
  const made = createHost({}, { adopt: (line) => engine.adopt(line) });
  const door = rpc.create(rpc.options.parse({ port, reverse }), made.host);
  await door.start();
  open.push(() => door.stop());
  return { door, port: Number(new URL(door.url as string).port) };
}

/** A wire that can be cut, and led to another place. */
async function wireTo(port: number) {
  const wire = { port: 0, to: port, cut: () => {}, ends: new Set<Socket>() };
  const server = createServer((near) => {
    const far = connect(wire.to, "127.0.0.1");
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      wire.ends.add(one);
      one.pipe(other);
      one.on("error", () => {});
      one.on("close", () => {
        wire.ends.delete(one);
        other.destroy();
      });
    }
  });
  wire.cut = () => {
    for (const end of wire.ends) end.destroy();
  };
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  wire.port = (server.address() as AddressInfo).port;
  open.push(() => {
    wire.cut();
    server.close();
  });
  return wire;
}

const nothing: Serve = async () => undefined;
const outcome = (call: Promise<unknown>): Promise<unknown> => call.catch((error: { code: string }) => error.code);
const problems = () => {
  const seen: { what: string; error: unknown }[] = [];
  open.push(events.on("problem", (problem) => void seen.push(problem)));
  return seen;
};

describe("a cage that only dialled out", () => {
  it("is called over its connection, as who proved its name, at its node and beside others", async () => {
    const shop = await engineOf("shop", nothing);
    const { port } = await doorOf(shop, ["till"]);
    const serve: Serve = async (from, path, args, given) => [from.cage, path, args, given.trace.id];
    const till = await engineOf("till", serve, "there");
    await till.dial(`127.0.0.1:${port}`);
    await expect
      .poll(() => outcome(shop.call({ cage: "till" }, "m.f", [1n], carry)))
      .toEqual(["test", "m.f", [1n], carry.trace.id]);
    expect(await outcome(shop.call({ cage: "till", node: "there" }, "m.f", [], carry))).toHaveLength(4);
    expect(await outcome(shop.call({ cage: "till", node: "here" }, "m.f", [], carry))).toBe("NO_SUCH_CAGE");
    expect(await shop.discover("till")).toEqual([{ node: "there", cage: "till", process: 1 }]);
    const again = await engineOf("till", serve, "there");
    await again.dial(`127.0.0.1:${port}`);
    await expect.poll(() => shop.discover("till")).toHaveLength(2);
    expect(await shop.call({ cage: "till", via: "all" }, "m.f", [], carry)).toMatchObject([
      { node: "there", process: 1, ok: true },
      { node: "there", process: 2, ok: true },
    ]);
  });

  it("leaves with its connection: what ran has an unknown outcome, what follows meets nobody, until it dials again", async () => {
    const shop = await engineOf("shop", nothing);
    const { port } = await doorOf(shop, ["till"]);
    const wire = await wireTo(port);
    const begun = deferred<void>();
    const till = await engineOf("till", (_, path) => {
      if (path !== "m.hang") return 7;
      begun.resolve();
      return new Promise(() => {});
    });
    await till.dial(`127.0.0.1:${wire.port}`);
    await expect.poll(() => outcome(shop.call({ cage: "till" }, "m.f", [], carry))).toBe(7);
    const hanging = outcome(shop.call({ cage: "till" }, "m.hang", [], carry));
    await begun.promise;
    const [nowhere] = (await freePorts(1)) as [number];
    wire.to = nowhere;
    wire.cut();
    expect(await hanging).toBe("UNKNOWN_OUTCOME");
    expect(await outcome(shop.call({ cage: "till" }, "m.f", [], carry))).toBe("NO_SUCH_CAGE");
    wire.to = port;
    await expect.poll(() => outcome(shop.call({ cage: "till" }, "m.f", [], carry)), { timeout: 15_000 }).toBe(7);
  });

  it("answers what runs before it goes, and what is new goes to another", async () => {
    const shop = await engineOf("shop", nothing);
    const { port } = await doorOf(shop, ["till"]);
    const [begun, end] = [deferred<void>(), deferred<string>()];
    const one = await engineOf("till", (_, path) => {
      if (path !== "m.long") return "one";
      begun.resolve();
      return end.promise;
    });
    const kept = await one.dial(`127.0.0.1:${port}`);
    await expect.poll(() => outcome(shop.call({ cage: "till" }, "m.f", [], carry))).toBe("one");
    const long = shop.call({ cage: "till" }, "m.long", [], carry);
    await begun.promise;
    const two = await engineOf("till", () => "two");
    await two.dial(`127.0.0.1:${port}`);
    await expect.poll(() => shop.discover("till")).toHaveLength(2);
    const closed = kept.close();
    await expect.poll(() => shop.discover("till")).toHaveLength(1);
    for (let n = 0; n < 20; n++) expect(await shop.call({ cage: "till" }, "m.f", [], carry)).toBe("two");
    end.resolve("done");
    expect(await long).toBe("done");
    await closed;
  });

  it("can be called all the time while the interface that it dialled is replaced", async () => {
    const shop = await engineOf("shop", nothing);
    const first = await doorOf(shop, ["till"]);
    const wire = await wireTo(first.port);
    const till = await engineOf("till", () => 7);
    await till.dial(`127.0.0.1:${wire.port}`);
    await expect.poll(() => outcome(shop.call({ cage: "till" }, "m.f", [], carry))).toBe(7);
    wire.to = (await doorOf(shop, ["till"])).port;
    let replaced = false;
    const leaving = first.door
      .drain()
      .then(() => first.door.stop())
      .then(() => (replaced = true));
    while (!replaced) {
      expect(await shop.call({ cage: "till" }, "m.f", [], carry)).toBe(7);
      await new Promise(setImmediate);
    }
    await leaving;
    expect(await shop.call({ cage: "till" }, "m.f", [], carry)).toBe(7);
  });

  it("can be called all the time while it turns to another address", async () => {
    const shop = await engineOf("shop", nothing);
    const [one, two] = [await doorOf(shop, ["till"]), await doorOf(shop, ["till"])];
    const till = await engineOf("till", () => 7);
    const kept = await till.dial(`127.0.0.1:${one.port}`);
    await expect.poll(() => outcome(shop.call({ cage: "till" }, "m.f", [], carry))).toBe(7);
    let turned = false;
    const turning = till
      .dial(`127.0.0.1:${two.port}`)
      .then(() => kept.close())
      .then(() => (turned = true));
    while (!turned) {
      expect(await shop.call({ cage: "till" }, "m.f", [], carry)).toBe(7);
      await new Promise(setImmediate);
    }
    await turning;
    await one.door.stop();
    expect(await shop.call({ cage: "till" }, "m.f", [], carry)).toBe(7);
  });

  it("is not called where it is not named", async () => {
    const shop = await engineOf("shop", nothing);
    const { port } = await doorOf(shop, ["till"]);
    const other = await engineOf("other", () => 7);
    await other.dial(`127.0.0.1:${port}`);
    const till = await engineOf("till", () => 7);
    await till.dial(`127.0.0.1:${port}`);
    // The one that came later is there: so the other is not on its way.
    await expect.poll(() => outcome(shop.call({ cage: "till" }, "m.f", [], carry))).toBe(7);
    expect(await outcome(shop.call({ cage: "other" }, "m.f", [], carry))).toBe("NO_SUCH_CAGE");
  });

  it("is refused, and refuses, with a key that is not of the name", async () => {
    const seen = problems();
    const shop = await engineOf("shop", nothing);
    const { port } = await doorOf(shop, ["till"]);
    const wrong =
      (of: string): KeyOf =>
      (cage) =>
        cage === of ? Buffer.from("made up") : keyOf(cage);
    const forged = await engineOf("till", () => 7, "there", wrong("till"));
    await forged.dial(`127.0.0.1:${port}`);
    const wary = await engineOf("till", () => 7, "there", wrong("test"));
    await wary.dial(`127.0.0.1:${port}`);
    await expect.poll(() => seen).toHaveLength(2);
    const error = expect.objectContaining({ code: "FORBIDDEN" });
    expect(seen).toEqual(Array(2).fill({ what: expect.stringContaining(`dialling 127.0.0.1:${port}`), error }));
    await expect.poll(() => outcome(shop.call({ cage: "till" }, "m.f", [], carry))).toBe("NO_SUCH_CAGE");
  });

  it("tries until somebody is there, and says once why nobody is", async () => {
    const seen = problems();
    const [port] = (await freePorts(1)) as [number];
    const till = await engineOf("till", () => 7);
    await till.dial(`127.0.0.1:${port}`);
    const shop = await engineOf("shop", nothing);
    await doorOf(shop, ["till"], port);
    await expect.poll(() => outcome(shop.call({ cage: "till" }, "m.f", [], carry)), { timeout: 10_000 }).toBe(7);
    expect(seen).toEqual([
      { what: expect.stringContaining("dialling"), error: expect.objectContaining({ code: "UNAVAILABLE" }) },
    ]);
  });
});

it.each([
  ["shop.example.org:7100", { host: "shop.example.org", port: 7100 }],
  ["[::1]:7100", { host: "::1", port: 7100 }],
  ["/run/shop.sock", { path: "/run/shop.sock" }],
  ["shop.example.org", undefined],
  ["shop:0", undefined],
  ["shop:70000", undefined],
  ["run/shop.sock", undefined],
  ["http://shop:80/", undefined],
  [`/${"x".repeat(107)}`, undefined],
])("an address to dial: %s", (text, where) => {
  expect(addressOf(text)).toEqual(where);
});
