/** Several nodes over a real server: who is found, what is published, what a failure costs. */
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import type { Carry, Serve } from "../../../../runtime/engine/engine.ts";
import type { CageError } from "../../../../runtime/errors.ts";
import { events } from "../../../../runtime/health/events.ts";
import { type Link, linkTo } from "../../../kit/cut.ts";
import { type NatsServer, natsServer } from "../../../kit/nats.ts";
import { needing } from "../../../kit/needs.ts";
import { Nodes } from "../../../kit/nodes.ts";
import { freePorts } from "../../../kit/project.ts";

const { describe, it } = needing("nats");
const carry: Carry = { remainingMs: 5_000, trace: { id: "a".repeat(32), span: "b".repeat(16) }, logLevel: "info" };
const nothing: Serve = async () => undefined;
const codeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "no error",
    (error: CageError) => error.code,
  );
const within = { timeout: 15_000 };

describe("nodes over NATS", () => {
  let server: NatsServer;
  let clusters = 0;
  const flocks: Nodes[] = [];
  const ends: (() => unknown)[] = [];
  beforeAll(async () => {
    server = await natsServer();
  });
  afterEach(async () => {
    for (const nodes of flocks.splice(0)) await nodes.remove();
    for (const end of ends.splice(0)) await end();
  });
  afterAll(() => server.stop());

  function cluster(address = server.address): Nodes {
    const nodes = new Nodes({ servers: [address], prefix: `cluster${++clusters}` });
    flocks.push(nodes);
    return nodes;
  }

  function problems(): string[] {
    const heard: string[] = [];
    ends.push(events.on("problem", ({ error }) => heard.push((error as Error).message)));
    return heard;
  }

  it("list the instances of all, spread calls over them, and reach each by its name", async () => {
    const nodes = cluster();
    const asker = nodes.join("one", "asker");
    await asker.start(nothing);
    for (const node of ["one", "two", "tree.example"]) await nodes.join(node, "shop").start(async () => node);
    await nodes.join("two", "shop", 2).start(async () => "two, second");
    const found = (await asker.discover("shop")).map(({ node, process }) => `${node} ${process}`);
    expect(found.sort()).toEqual(["one 1", "tree.example 1", "two 1", "two 2"]);
    const answers = await Promise.all(Array.from({ length: 200 }, () => asker.call({ cage: "shop" }, "f", [], carry)));
    expect([...new Set(answers)].sort()).toEqual(["one", "tree.example", "two", "two, second"]);
    expect(await asker.call({ cage: "shop", node: "tree.example" }, "f", [], carry)).toBe("tree.example");
    expect(await codeOf(asker.call({ cage: "shop", node: "four" }, "f", [], carry))).toBe("NO_SUCH_CAGE");
    const all = (await asker.call({ cage: "shop", via: "all" }, "f", [], carry)) as { node: string; value: unknown }[];
    expect(all.map(({ node, value }) => `${node}: ${value}`).sort()).toEqual([
      "one: one",
      "tree.example: tree.example",
      "two: two",
      "two: two, second",
    ]);
  });

  it("hear what is published once each, in order, whether on the same node or another", async () => {
    const nodes = cluster();
    const heard: Record<string, unknown[]> = {};
    const engines = [
      nodes.join("one", "a"),
      nodes.join("one", "b"),
      nodes.join("two", "c"),
      nodes.join("two", "c", 2),
      nodes.join("three", "d"),
    ];
    for (const [n, engine] of engines.entries()) {
      await engine.start(nothing);
      const row: unknown[] = [];
      heard[n] = row;
      engine.subscribe("news.*", (data, from) => row.push(`${from.node}.${from.cage} ${data}`));
    }
    const sent = Array.from({ length: 100 }, (_, n) => `one.a ${n}`);
    // What another node subscribed to is with the server once that answered.
    for (const engine of engines) await engine.discover();
    for (let n = 0; n < 100; n++) await engines[0]?.publish("news.sport.ball", n);
    for (const n of engines.keys()) await expect.poll(() => heard[n]?.length, within).toBe(100);
    await engines[4]?.publish("news.last", "last");
    for (const n of engines.keys()) await expect.poll(() => heard[n]?.at(-1), within).toBe("three.d last");
    for (const n of engines.keys()) expect(heard[n]?.slice(0, -1)).toEqual(sent);
  });

  it("refuse to publish what the server would not take", async () => {
    const engine = cluster().join("one", "a");
    await engine.start(nothing);
    const large = Buffer.alloc(1024 * 1024 + 1);
    await expect(engine.publish("news", large)).rejects.toMatchObject({ code: "TOO_LARGE" });
  });

  it("carry what is larger than a message of the server, as an argument and as an answer", async () => {
    const nodes = cluster();
    const a = nodes.join("one", "a");
    await a.start(nothing);
    await nodes.join("two", "b").start(async (_, __, [bytes]) => bytes);
    const large = Buffer.alloc(5 * 1024 * 1024, "cage");
    expect(large.equals((await a.call({ cage: "b" }, "f", [large], carry)) as Buffer)).toBe(true);
  });

  it("share memory whose keys and times are what they say", async () => {
    const nodes = cluster();
    const [a, b] = [nodes.join("one", "a"), nodes.join("two", "b")];
    await a.start(nothing);
    await b.start(nothing);
    for (const key of ["", "a b", "ü.*>", "a/b", ".", "x".repeat(200)]) {
      await a.kv.write(key, { key });
      expect((await b.kv.read(key))?.value, key).toEqual({ key });
    }
    await a.kv.write("brief", 1, { ttlMs: -1 });
    expect(await b.kv.read("brief")).toBeUndefined();
    // What is over is absent, also to who writes only where nothing is.
    expect(await b.kv.cas("brief", 2, 0)).toBe(true);
    expect(await a.kv.cas("brief", 3, 0)).toBe(false);
    await a.kv.remove("brief");
    expect(await b.kv.cas("brief", 4, 0)).toBe(true);
    const wins = await Promise.all([a, b, a, b].map((each, n) => each.kv.cas("race", n, 0)));
    expect(wins.filter(Boolean)).toHaveLength(1);
    await expect(a.kv.write("large", Buffer.alloc(1024 * 1024))).rejects.toMatchObject({ code: "TOO_LARGE" });
  });

  it("say what to do when there is no JetStream for memory", async () => {
    const plain = await natsServer({ jetstream: false });
    ends.push(() => plain.stop());
    const engine = cluster(plain.address).join("one", "a");
    await engine.start(nothing);
    await expect(engine.kv.read("k")).rejects.toMatchObject({
      code: "CONFIG",
      message: expect.stringContaining("start it with -js"),
    });
  });

  it("refuse a second one of the same name, and let it in when the first has left", async () => {
    const nodes = cluster();
    const first = nodes.join("one", "a");
    await first.start(async () => "first");
    const second = nodes.join("one", "b", 1, { state: "another" });
    await expect(second.start(nothing)).rejects.toMatchObject({
      code: "CONFIG",
      message: expect.stringContaining("another node of the cluster is called one as well"),
    });
    await first.stop();
    await nodes.join("one", "b", 1, { state: "a third" }).start(nothing);
  });

  it("hand a cage's calls to others while one of it drains: none is lost", async () => {
    const nodes = cluster();
    const asker = nodes.join("one", "asker");
    await asker.start(nothing);
    const leaving = nodes.join("two", "shop");
    await leaving.start(async () => "two");
    await nodes.join("three", "shop").start(async () => "three");
    const failed: string[] = [];
    let over = false;
    const lane = async () => {
      while (!over) {
        const code = await codeOf(asker.call({ cage: "shop" }, "f", [], carry));
        if (code !== "no error") failed.push(code);
      }
    };
    const lanes = Array.from({ length: 8 }, lane);
    await expect.poll(() => asker.peers().length, within).toBe(2);
    await leaving.drain();
    await leaving.stop();
    expect(await asker.call({ cage: "shop" }, "f", [], carry)).toBe("three");
    over = true;
    await Promise.all(lanes);
    expect(failed).toEqual([]);
  });

  it("go on by themselves while NATS is down, say so at once to who needs it, and resume when it is back", async () => {
    const own = await natsServer();
    ends.push(() => own.stop());
    const nodes = cluster(own.address);
    const [a, b, c] = [nodes.join("one", "a"), nodes.join("one", "b"), nodes.join("two", "c")];
    await a.start(nothing);
    await b.start(async () => "local");
    let running: () => void = () => {};
    const begun = new Promise<void>((resolve) => (running = resolve));
    await c.start((_, path) => {
      if (path !== "hang") return "remote";
      running();
      return new Promise(() => {});
    });
    const heard: unknown[] = [];
    c.subscribe("news", (data) => heard.push(data));
    expect(await a.call({ cage: "c" }, "f", [], carry)).toBe("remote");
    await a.kv.write("k", 1);
    const said = problems();

    const hanging = codeOf(a.call({ cage: "c" }, "hang", [], carry));
    await begun;
    await own.kill();
    expect(await hanging).toBe("UNKNOWN_OUTCOME");
    const startedAt = performance.now();
    const error = await a.call({ cage: "c" }, "f", [], carry).catch((thrown: CageError) => thrown);
    expect(error).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("NATS is not reachable") });
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    expect(await a.call({ cage: "b" }, "f", [], carry)).toBe("local");
    expect(await codeOf(a.kv.read("k"))).toBe("UNAVAILABLE");
    await a.publish("news", "to nobody");

    await own.start();
    await expect.poll(() => codeOf(a.call({ cage: "c" }, "f", [], carry)), within).toBe("no error");
    await expect
      .poll(async () => {
        await a.publish("news", "again");
        return heard.at(-1);
      }, within)
      .toBe("again");
    expect(heard).not.toContain("to nobody");
    await expect.poll(() => a.kv.read("k").catch(() => undefined), within).toMatchObject({ value: 1 });
    expect((await a.discover("c")).map(({ node }) => node)).toEqual(["two"]);
    // Three engines, each of which says once that it lost the server, and perhaps that it is refused.
    expect(new Set(said).size).toBeLessThanOrEqual(2);
    expect(said.length).toBeLessThanOrEqual(6);
  });

  it("start while NATS is down, and join when it comes", async () => {
    const [port] = (await freePorts(1)) as [number];
    const nodes = cluster(`127.0.0.1:${port}`);
    const said = problems();
    const [a, b] = [nodes.join("one", "a"), nodes.join("two", "b")];
    await a.start(nothing);
    await b.start(async () => "here");
    expect(await codeOf(a.call({ cage: "b" }, "f", [], carry))).toBe("UNAVAILABLE");
    expect(said[0]).toContain(`NATS is not reachable at 127.0.0.1:${port}`);
    const late = await natsServer({ port });
    ends.push(() => late.stop());
    await expect.poll(() => codeOf(a.call({ cage: "b" }, "f", [], carry)), within).toBe("no error");
  });

  it("end what went through a link that was cut, go elsewhere within 2 s, and come back when it is healed", async () => {
    const nodes = cluster();
    const link: Link = await linkTo(server.port);
    ends.push(() => link.close());
    const asker = nodes.join("one", "asker");
    await asker.start(nothing);
    let executed = 0;
    const described = { functions: [] };
    await nodes.join("two", "shop").start(async (_, path) => (path === "self.describe" ? described : "two"));
    await nodes.join("three", "shop", 1, { servers: [link.address] }).start((_, path) => {
      if (path === "self.describe") return described;
      executed++;
      return path === "hang" ? new Promise(() => {}) : "three";
    });
    await expect.poll(async () => (await asker.discover("shop")).length, within).toBe(2);
    const at = { cage: "shop", node: "three" };
    expect(await asker.call(at, "f", [], carry)).toBe("three");
    const hanging = codeOf(asker.call(at, "hang", [], carry));
    await expect.poll(() => executed, within).toBe(2);
    link.cut();
    const cutAt = performance.now();
    let longestMs = 0;
    const seen = new Set<string>();
    const lane = async () => {
      while (performance.now() - cutAt < 4_000) {
        const startedAt = performance.now();
        const answer = await asker.call({ cage: "shop" }, "f", [], carry).catch((error: CageError) => error.code);
        seen.add(answer as string);
        longestMs = Math.max(longestMs, performance.now() - startedAt);
        await new Promise((next) => setTimeout(next, 5));
      }
    };
    await Promise.all(Array.from({ length: 16 }, lane));
    expect(longestMs).toBeLessThan(2_000);
    expect(await hanging).toBe("UNKNOWN_OUTCOME");
    expect([...seen].filter((each) => !["two", "three", "UNKNOWN_OUTCOME"].includes(each))).toEqual([]);
    expect((await asker.discover("shop")).map(({ node }) => node)).toEqual(["two"]);
    link.heal();
    await expect.poll(() => asker.call(at, "f", [], carry).catch(() => undefined), within).toBe("three");
  });

  it("leave nothing open when they stop, whatever was cut and whoever was called before", async () => {
    const link = await linkTo(server.port);
    ends.push(() => link.close());
    const sockets = () => process.getActiveResourcesInfo().filter((kind) => /TCPSocket|PipeWrap/.test(kind)).length;
    const before = sockets();
    const nodes = cluster();
    const a = nodes.join("one", "a");
    await a.start(nothing);
    await nodes.join("two", "b", 1, { servers: [link.address] }).start(nothing);
    for (let round = 0; round < 2; round++) {
      await expect.poll(() => codeOf(a.call({ cage: "b" }, "f", [], carry)), within).toBe("no error");
      link.cut();
      await expect.poll(async () => (await a.discover("b")).length, within).toBe(0);
      link.heal();
    }
    await expect.poll(() => codeOf(a.call({ cage: "b" }, "f", [], carry)), within).toBe("no error");
    expect(sockets()).toBeGreaterThan(before);
    await nodes.remove();
    await expect.poll(sockets, within).toBe(before);
  });

  it("close a connection whose other end was started anew, and reach the new one", async () => {
    const nodes = cluster();
    const a = nodes.join("one", "a");
    await a.start(nothing);
    const old = nodes.join("two", "b");
    await old.start(async () => "old");
    expect(await a.call({ cage: "b" }, "f", [], carry)).toBe("old");
    await old.stop();
    const anew = nodes.join("two", "b");
    await anew.start(async () => "new");
    expect(await a.call({ cage: "b" }, "f", [], carry)).toBe("new");
  });
});
