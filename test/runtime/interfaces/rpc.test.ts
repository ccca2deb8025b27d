import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { z } from "../../../lib/schema.ts";
import { events } from "../../../runtime/health/events.ts";
import type { Handler } from "../../../runtime/interfaces/interface.ts";
import { rpc } from "../../../runtime/interfaces/rpc.ts";
import { current } from "../../../runtime/request/request.ts";
import { fn } from "../../../runtime/rpc/api.ts";
import { Session } from "../../../runtime/rpc/session.ts";
import { createHost } from "../../kit/host.ts";
import { keyOf } from "../../kit/session.ts";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const carry = { remainingMs: 5_000, trace: { id: "a".repeat(32), span: "b".repeat(16) }, logLevel: "debug" } as const;

async function serve(module: Handler, answers: Record<string, string> = {}, options: object = { port: 0 }) {
  const greeter = { hello: (who: string) => `hello, ${who}`, given: (...args: unknown[]) => args };
  const made = createHost(module, { answers, modules: () => ({ greeter }) });
  const door = rpc.create(rpc.options.parse(options), made.host);
  await door.start();
  open.push(() => door.stop());
  const url = door.url as string;
  const socket = url.startsWith("rpc+unix:")
    ? connect(url.slice("rpc+unix:".length))
    : connect(Number(new URL(url).port), "127.0.0.1");
  const handlers = { serve: () => Promise.reject(new Error("nobody asks here")), event: () => {} };
  const session = new Session(socket, { me: { node: "n", cage: "asker" }, side: "dialled", keyOf }, handlers);
  open.push(() => session.close());
  const call = (path: string, ...args: unknown[]) => session.call(path, args, carry);
  return { ...made, door, call, session };
}

describe("a call over an rpc interface", () => {
  test("reaches what the module of its name exports, as calls between cages reach an api", async () => {
    const place = fn({ input: z.object({ cents: z.int() }) }, (order) => order.cents);
    const { call } = await serve({ orders: { place }, version: () => 7n });
    expect(await call("orders.place", { cents: 5 })).toBe(5);
    expect(await call("version")).toBe(7n);
    await expect(call("orders.place", { cents: "5" })).rejects.toMatchObject({
      code: "BAD_INPUT",
      details: { cents: expect.any(String) },
    });
  });

  test("comes to the module's own first, and then to what the configuration names", async () => {
    const answers = { "a.hello": "greeter.hello", "a.own": "greeter.hello", "b.pick": "greeter.given($2, $9?)" };
    const { call } = await serve({ a: { own: () => "own" } }, answers);
    expect(await call("a.own", "you")).toBe("own");
    expect(await call("a.hello", "you")).toBe("hello, you");
    expect(await call("b.pick", 1, 2)).toEqual([2, undefined]);
  });

  test("by a name that nobody has gives no name to the metrics, and to the caller no list of what there is", async () => {
    const { call } = await serve({ secretly: { named: () => 1 } });
    const labels: string[] = [];
    open.push(events.on("request.done", ({ label }) => labels.push(label)));
    const error = await call("x".repeat(1_000)).catch((thrown: Error) => thrown);
    expect(error).toMatchObject({ code: "NO_SUCH_FUNCTION" });
    expect((error as Error).message).not.toContain("secretly");
    expect(labels).toEqual(["(no function)"]);
  });

  test("takes from a peer its time, its trace and the name that it proved, and no log level", async () => {
    const { call, session } = await serve({ look: () => pick() });
    const pick = () => {
      const { trace, logLevel, principal, remaining, from } = current();
      return { trace: trace.id, logLevel, principal, from, soon: remaining <= 5_000 };
    };
    expect(await call("look")).toEqual({
      trace: "a".repeat(32),
      logLevel: "info",
      principal: { node: "n", cage: "asker" },
      from: "127.0.0.1",
      soon: true,
    });
    const odd = { remainingMs: Number.NaN, trace: { id: "'; drop", span: "" }, logLevel: "debug" } as const;
    await expect(session.call("look", [], odd)).rejects.toMatchObject({ code: "EXPIRED" });
    expect(await session.call("look", [], { ...odd, remainingMs: 1e300 })).toMatchObject({
      trace: expect.stringMatching(/^[0-9a-f]{32}$/),
    });
  });

  test("may run beside so many others of its peer, and is refused beyond", async () => {
    let end = () => {};
    const wait = () => new Promise<void>((resolve) => (end = resolve));
    const { call } = await serve({ wait, quick: () => 1 }, {}, { port: 0, runningPerPeer: 1 });
    const first = call("wait");
    await expect(call("quick")).rejects.toMatchObject({
      code: "OVERLOADED",
      details: { retryAfterMs: expect.any(Number) },
    });
    end();
    await first;
    expect(await call("quick")).toBe(1);
  });

  test("is answered over a unix socket too", async () => {
    const folder = mkdtempSync(join(tmpdir(), "rpc-"));
    open.push(() => rmSync(folder, { recursive: true }));
    const { call } = await serve({}, { "hi.hello": "greeter.hello" }, { path: join(folder, "door.sock") });
    expect(await call("hi.hello", "you")).toBe("hello, you");
  });
});

test("a connection that comes to a door which drains is told to go elsewhere as soon as it has said who it is", async () => {
  const made = createHost({ hello: () => 1 });
  const door = rpc.create(rpc.options.parse({ port: 0 }), made.host);
  await door.start();
  open.push(() => door.stop());
  const socket = connect(Number(new URL(door.url as string).port), "127.0.0.1");
  // Its hello: it was accepted.
  await new Promise((resolve) => socket.once("readable", resolve));
  await door.drain();
  const handlers = { serve: () => Promise.reject(new Error("nobody asks here")), event: () => {} };
  const session = new Session(socket, { me: { node: "n", cage: "asker" }, side: "dialled", keyOf }, handlers);
  open.push(() => session.close());
  await new Promise<void>((resolve) => (session.onLeaving = resolve));
  expect(session.leaving).toBe(true);
  await expect(session.call("hello", [], carry)).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test.each([
  [{}, "say either a port or a path"],
  [{ port: 0, path: "/x" }, "say either a port or a path"],
  [{ path: "x.sock" }, "an absolute path of at most 107 bytes"],
  [{ path: `/${"x".repeat(107)}` }, "an absolute path of at most 107 bytes"],
])("an rpc interface at %j is refused", (options, message) => {
  expect(rpc.options.safeParse(options).error?.issues[0]?.message).toBe(message);
});
