/** Nodes of a list that come and go: killed, cut off, drained, started again; several processes of one cage. */
import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { upSubject } from "../../../../runtime/engine/engine.ts";
import type { CageError } from "../../../../runtime/errors.ts";
import { type Link, linkTo } from "../../../kit/cut.ts";
import { List, listen } from "../../../kit/list.ts";
import { carry, deferred } from "../../../kit/session.ts";

const nothing = async () => undefined;
const call = (path: string): [string, [], typeof carry] => [path, [], carry];
const codeOf = (answer: Promise<unknown>): Promise<unknown> => answer.catch((error: CageError) => error.code);
const poll = { timeout: 10_000 };

describe("nodes of a list", () => {
  const ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  async function listOf(cages: Readonly<Record<string, readonly string[]>>): Promise<List> {
    const list = await List.of(cages);
    ends.push(() => list.remove());
    return list;
  }

  /** shop on east; till on north, and on west behind a link that can be cut. */
  async function behindLink(): Promise<{ list: List; link: Link; shop: ReturnType<List["join"]> }> {
    const list = await listOf({ east: ["shop"], west: ["till"], north: ["till"] });
    const link = await linkTo(list.portOf("west", "till"));
    ends.push(() => link.close());
    const shop = list.join("east", "shop", { nodes: { west: { till: link.address } } });
    await shop.start(nothing);
    const describe = { functions: [{ path: "m.safe", idempotent: true }] };
    for (const node of ["west", "north"])
      await list.join(node, "till").start(async (_, path) => (path === "self.describe" ? describe : node));
    await expect.poll(async () => (await shop.discover("till")).length, poll).toBe(2);
    return { list, link, shop };
  }

  // The first: what others leave to be closed in a moment would be counted.
  it("leave nothing open when they stop, whatever was cut and whoever was called before", async () => {
    const open = () => process.getActiveResourcesInfo().filter((kind) => /TCP|TLS|Pipe/.test(kind)).length;
    const before = open();
    const { list, link, shop } = await behindLink();
    const toWest = () => codeOf(shop.call({ cage: "till", node: "west" }, ...call("m.f")));
    expect(await toWest()).toBe("west");
    link.cut();
    await expect.poll(async () => (await shop.discover("till")).length, poll).toBe(1);
    link.heal();
    await expect.poll(toWest, poll).toBe("west");
    expect(open()).toBeGreaterThan(before);
    await list.remove();
    link.close();
    await expect.poll(open, poll).toBe(before);
  }, 30_000);

  it("find each other in whichever order they start, and say so to those who wait for them", async () => {
    const list = await listOf({ east: ["shop"], west: ["till"] });
    const shop = list.join("east", "shop");
    await shop.start(async () => "shop");
    const up: unknown[] = [];
    shop.subscribe(upSubject, (cage, from) => up.push([cage, from.node]));
    expect(await shop.discover("till")).toEqual([]);
    const till = list.join("west", "till");
    await till.start(async () => "till");
    await expect.poll(() => till.discover("shop"), poll).toEqual([{ node: "east", cage: "shop", process: 1 }]);
    await expect.poll(() => shop.discover("till"), poll).toEqual([{ node: "west", cage: "till", process: 1 }]);
    expect(up).toEqual([["till", "west"]]);
    expect(await shop.call({ cage: "till", node: "west" }, ...call("m.f"))).toBe("till");
    expect(await till.call({ cage: "shop", node: "east" }, ...call("m.f"))).toBe("shop");
  });

  it("say at once that one does not run, or is in no list", async () => {
    const list = await listOf({ east: ["shop"], west: ["till"] });
    const shop = list.join("east", "shop");
    await shop.start(nothing);
    const error = await shop.call({ cage: "till" }, ...call("m.f")).catch((thrown: CageError) => thrown);
    expect(error).toMatchObject({
      code: "UNAVAILABLE",
      message: `west.till at 127.0.0.1:${list.portOf("west", "till")} cannot be reached: nobody listens there`,
    });
    expect(await codeOf(shop.call({ cage: "till", node: "north" }, ...call("m.f")))).toBe("NO_SUCH_CAGE");
    expect(await codeOf(shop.call({ cage: "nobody" }, ...call("m.f")))).toBe("NO_SUCH_CAGE");
  });

  it("prove who calls: the node by its certificate, the cage by its node's word", async () => {
    const list = await listOf({ east: ["shop"], west: ["till"] });
    const shop = list.join("east", "shop");
    await shop.start(nothing);
    await list.join("west", "till").start(async (from) => `${from.node}.${from.cage}`);
    // One that is in nobody's list can call all the same.
    const clerk = list.join("east", "clerk");
    await clerk.start(nothing);
    expect(await shop.call({ cage: "till" }, ...call("m.f"))).toBe("east.shop");
    expect(await clerk.call({ cage: "till" }, ...call("m.f"))).toBe("east.clerk");
  });

  it("go on with one that was started again, without its callers' doing anything", async () => {
    const list = await listOf({ east: ["shop"], west: ["till"] });
    const shop = list.join("east", "shop");
    await shop.start(nothing);
    for (const round of ["first", "second", "third"]) {
      const till = list.join("west", "till");
      await till.start(async () => round);
      await expect.poll(() => codeOf(shop.call({ cage: "till" }, ...call("m.f"))), poll).toBe(round);
      await till.stop();
      await expect.poll(() => codeOf(shop.call({ cage: "till" }, ...call("m.f"))), poll).toBe("UNAVAILABLE");
      expect(await shop.discover("till")).toEqual([]);
    }
  });

  it("call each process of a cage at its own port, and all of them where that is wanted", async () => {
    const list = await listOf({ east: ["shop"], west: ["till"] });
    const port = await threeInARow();
    const nodes = { west: { till: `127.0.0.1:${port}-${port + 2}` } };
    const shop = list.join("east", "shop", { nodes });
    await shop.start(nothing);
    for (const process of [1, 2, 3]) await list.join("west", "till", { nodes, process }).start(async () => process);
    await expect.poll(async () => (await shop.discover("till")).length, poll).toBe(3);
    const seen = new Set<unknown>();
    for (let n = 0; n < 60; n++) seen.add(await shop.call({ cage: "till" }, ...call("m.f")));
    expect([...seen].sort()).toEqual([1, 2, 3]);
    expect(await shop.call({ cage: "till", via: "all" }, ...call("m.f"))).toEqual(
      [1, 2, 3].map((process) => ({ node: "west", process, ok: true, value: process })),
    );
  });

  it("are not asked any more once they drain, and finish what they were asked before", async () => {
    const list = await listOf({ east: ["shop"], west: ["till"], north: ["till"] });
    const shop = list.join("east", "shop");
    await shop.start(nothing);
    const [entered, release] = [deferred<void>(), deferred<string>()];
    const west = list.join("west", "till");
    await west.start((_, path) => {
      if (path === "m.quick") return "west";
      entered.resolve();
      return release.promise;
    });
    await list.join("north", "till").start(async () => "north");
    const slow = shop.call({ cage: "till", node: "west" }, ...call("m.slow"));
    await entered.promise;
    const drained = west.drain();
    await expect.poll(async () => (await shop.discover("till")).map(({ node }) => node), poll).toEqual(["north"]);
    for (let n = 0; n < 20; n++) expect(await shop.call({ cage: "till" }, ...call("m.quick"))).toBe("north");
    expect(await codeOf(shop.call({ cage: "till", node: "west" }, ...call("m.quick")))).toBe("UNAVAILABLE");
    release.resolve("done");
    expect(await slow).toBe("done");
    await drained;
  });

  it("miss one that is cut off without a word within 2 s, call the others, and have it back when the link is healed", async () => {
    const { link, shop } = await behindLink();
    expect(await shop.call({ cage: "till", node: "west" }, ...call("m.f"))).toBe("west");
    link.cut();
    const cutAt = performance.now();
    const lost = codeOf(shop.call({ cage: "till", node: "west" }, ...call("m.f")));
    const repeated = Array.from({ length: 20 }, () => shop.call({ cage: "till" }, ...call("m.safe")));
    expect(await lost).toBe("UNKNOWN_OUTCOME");
    expect(new Set(await Promise.all(repeated))).toEqual(new Set(["north"]));
    expect(performance.now() - cutAt).toBeLessThan(2_000);
    await expect.poll(() => shop.discover("till"), poll).toEqual([{ node: "north", cage: "till", process: 1 }]);
    link.heal();
    await expect.poll(async () => codeOf(shop.call({ cage: "till", node: "west" }, ...call("m.f"))), poll).toBe("west");
  }, 20_000);

  it("fail fast towards one that swallows what it gets: only the first that looks for it waits", async () => {
    const { link, shop } = await behindLink();
    link.cut();
    await expect.poll(async () => (await shop.discover("till")).length, poll).toBe(1);
    await codeOf(shop.call({ cage: "till", node: "west" }, ...call("m.f")));
    const startedAt = performance.now();
    const rest = Array.from({ length: 50 }, () => codeOf(shop.call({ cage: "till", node: "west" }, ...call("m.f"))));
    expect(new Set(await Promise.all(rest))).toEqual(new Set(["UNAVAILABLE"]));
    expect(performance.now() - startedAt).toBeLessThan(500);
  }, 20_000);

  it("do not start where their address is taken, and say what to mend", async () => {
    const list = await listOf({ east: ["shop"] });
    await list.join("east", "shop").start(nothing);
    const again = list.join("west", "shop", { nodes: { west: list.options.nodes["east"] ?? {} } });
    await expect(again.start(nothing)).rejects.toMatchObject({
      message: expect.stringMatching(/shop cannot listen on 127.0.0.1:\d+ .*EADDRINUSE.*mend engine.nodes.west.shop/),
    });
  });

  it("do not start when they are not in the list, and say who is", async () => {
    const list = await listOf({ east: ["shop"], west: ["till"] });
    await expect(list.join("north", "shop").start(nothing)).rejects.toMatchObject({
      code: "CONFIG",
      message: expect.stringContaining("engine.nodes in config/cluster.ts has east, west and not this node, north"),
    });
  });
});

/** The first of three free ports, below those that the kernel gives to whoever asks for any. */
async function threeInARow(): Promise<number> {
  for (;;) {
    const first = randomInt(20_000, 32_000);
    const servers = [0, 1, 2].map(() => createServer());
    try {
      await Promise.all(servers.map((server, at) => listen(server, { host: "127.0.0.1", port: first + at })));
      return first;
    } catch {
      // One is taken.
    } finally {
      await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
    }
  }
}
