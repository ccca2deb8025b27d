import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type planet from "../../../cages/impact/planet.thrift";
import { binary } from "../../../lib/thrift/binary.ts";
import { readApplicationException } from "../../../lib/thrift/message.ts";
import type { ThriftClient } from "../../../lib/thrift/typed.ts";
import { CageError, Overloaded } from "../../../runtime/errors.ts";
import type { Handler, Interface } from "../../../runtime/interfaces/interface.ts";
import { thrift } from "../../../runtime/interfaces/thrift.ts";
import { current } from "../../../runtime/request/request.ts";
import { thrift as resource } from "../../../runtime/resources/thrift.ts";
import { createHost } from "../../kit/host.ts";
import { asRequest } from "../../kit/request.ts";

const idl = readFileSync(new URL("../../../cages/impact/planet.thrift", import.meta.url), "utf8");
const person = { id: "p1", name: "Ada" };
const rating = { item: "post:1", up: 2, down: 0 };
const post = { id: "1", thread: "t", author: person, body: "hi", at: 1_700_000_000_000, rating, comments: [] };
const page = { thread: { id: "t", title: "T", author: person, at: 1, posts: 1, lastAt: 2 }, posts: [post] };

const nobody = () => {};
const nothing = async () => {};
const accounts = {
  signUp: nothing,
  signIn: nothing,
  signOut: nothing,
  viewer: nothing,
  notices: nothing,
  noticesSeen: nothing,
};
const forum = {
  threads: nothing,
  thread: nothing,
  start: nothing,
  reply: nothing,
  comment: nothing,
  rate: nothing,
  profile: nothing,
};

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function serve(services: Record<string, Handler>, more: Record<string, unknown> = {}, text = idl) {
  const made = createHost({ idl: text, services });
  const door = thrift.create(thrift.options.parse({ port: 0, ...more }), made.host);
  await door.start();
  open.push(() => door.stop());
  return { ...made, door, port: Number(new URL(door.url as string).port) };
}

async function client(port: number, text = idl, more: Record<string, unknown> = {}) {
  const options = resource.options.parse({ port, idl: text, ...more });
  const made = await resource.open(options, { name: "impact", cage: "test", stateDir: "" });
  open.push(() => made.close());
  return made.client as unknown as ThriftClient<typeof planet>;
}

describe("a call", () => {
  test("reaches the handler with positional arguments as a request of its own, and brings back the answer", async () => {
    const seen: unknown[][] = [];
    const { port } = await serve({
      Forum: {
        ...forum,
        thread: (...args: unknown[]) => {
          seen.push([current().label, ...args]);
          return page;
        },
      },
    });
    const { Forum } = await client(port);
    expect(await asRequest(() => Forum.thread("s", "t"))).toEqual(page);
    expect(await asRequest(() => Forum.thread("s", "t", "a"))).toEqual(page);
    expect(seen).toEqual([
      ["Forum.thread", "s", "t", undefined],
      ["Forum.thread", "s", "t", "a"],
    ]);
  });

  test("that is refused by an application's own code arrives as the declared exception with its code", async () => {
    const { port } = await serve({
      Accounts: {
        ...accounts,
        signUp: () => {
          throw new CageError("NAME_TAKEN", "the name is taken", { details: { name: "choose another" } });
        },
      },
    });
    const { Accounts } = await client(port);
    await expect(asRequest(() => Accounts.signUp("a", "b"))).rejects.toMatchObject({
      name: "Refused",
      code: "NAME_TAKEN",
      message: "the name is taken",
      details: { code: "NAME_TAKEN", message: "the name is taken", fields: { name: "choose another" } },
    });
  });

  test("that fails inside tells the caller a code and a sentence, never what happened", async () => {
    const { port } = await serve({
      Forum: {
        ...forum,
        thread: () => {
          throw new Error("SQLITE_CORRUPT at /secret/path");
        },
      },
    });
    const { Forum } = await client(port);
    await expect(asRequest(() => Forum.thread("s", "t"))).rejects.toMatchObject({
      code: "INTERNAL",
      message: "the service could not do this; its operator has the details",
    });
  });

  test("whose answer does not fit its IDL fails alone; the connection goes on", async () => {
    const { port } = await serve({ Forum: { ...forum, thread: () => ({ posts: [] }), rate: () => rating } });
    const { Forum } = await client(port);
    await expect(asRequest(() => Forum.thread("s", "t"))).rejects.toMatchObject({ code: "INTERNAL" });
    expect(await asRequest(() => Forum.rate("s", "post:1", 1))).toEqual(rating);
  });

  test("to a method that nobody serves is answered UNKNOWN_METHOD", async () => {
    const { port } = await serve({ Accounts: accounts });
    const { Forum } = await client(port);
    await expect(asRequest(() => Forum.thread("s", "t"))).rejects.toMatchObject({ code: "NO_SUCH_FUNCTION" });
  });

  test("waits no longer than its request, and a late answer harms nobody", async () => {
    let finish: (value: unknown) => void = nobody;
    const { port } = await serve({
      Forum: { ...forum, thread: () => new Promise((resolve) => (finish = resolve)), rate: () => rating },
    });
    const { Forum } = await client(port);
    await expect(asRequest(() => Forum.thread("s", "t"), 60)).rejects.toMatchObject({ code: "EXPIRED" });
    finish(page);
    expect(await asRequest(() => Forum.rate("s", "x", 1))).toEqual(rating);
  });

  test("is overtaken by a quicker one on the same connection", async () => {
    let finish: (value: unknown) => void = nobody;
    const { port } = await serve({
      Forum: { ...forum, thread: () => new Promise((resolve) => (finish = resolve)), rate: () => rating },
    });
    const { Forum } = await client(port);
    const slow = asRequest(() => Forum.thread("s", "t"));
    expect(await asRequest(() => Forum.rate("s", "x", 1))).toEqual(rating);
    finish(page);
    expect(await slow).toEqual(page);
  });
});

describe("a call over the header transport", () => {
  const header = { transport: "header" };
  const local = { trusted: ["127.0.0.1"] };

  async function crossed(service: Record<string, unknown>, asking: Record<string, unknown> = header, timeoutMs = 5000) {
    let there = {} as { trace: string; parent: string | undefined; level: string; remaining: number };
    const look = () => {
      const { trace, logLevel, remaining } = current();
      there = { trace: trace.id, parent: trace.parent, level: logLevel, remaining };
      return rating;
    };
    const { port } = await serve({ Forum: { ...forum, rate: look } }, service);
    const { Forum } = await client(port, idl, asking);
    return await asRequest(async (request) => {
      request.logLevel = "debug";
      expect(await Forum.rate("s", "x", 1)).toEqual(rating);
      return { here: request, there };
    }, timeoutMs);
  }

  test.each(["binary", "compact"])(
    "(%s) goes on with its caller's trace, level and time at a service that trusts it",
    async (encoding) => {
      const { here, there } = await crossed(local, { ...header, encoding });
      expect(there).toMatchObject({ trace: here.trace.id, parent: here.trace.span, level: "debug" });
      expect(there.remaining).toBeLessThanOrEqual(5000);
    },
  );

  test("of a stranger goes on with its trace only", async () => {
    const { here, there } = await crossed({});
    expect(there).toMatchObject({ trace: here.trace.id, level: "info" });
    expect(there.remaining).toBeGreaterThan(5000);
  });

  test("has no more time than the interface gives, however much its caller has", async () => {
    const { there } = await crossed({ ...local, timeoutMs: 2000 }, header, 60_000);
    expect(there.remaining).toBeLessThanOrEqual(2000);
  });

  test("finds its time by the name that both sides configured", async () => {
    const name = { deadlineHeader: "client_timeout" };
    expect((await crossed({ ...local, ...name }, { ...header, ...name })).there.remaining).toBeLessThanOrEqual(5000);
    expect((await crossed(local, { ...header, ...name })).there.remaining).toBeGreaterThan(5000);
  });

  test("goes packed where that is configured, which the framed transport cannot", async () => {
    const { port } = await serve({ Forum: { ...forum, thread: () => ({ ...page, posts: Array(50).fill(post) }) } });
    const { Forum } = await client(port, idl, { ...header, compress: true });
    expect((await asRequest(() => Forum.thread("s".repeat(5000), "t"))).posts).toHaveLength(50);
    expect(() => resource.options.parse({ port, idl, compress: true })).toThrow('transport: \\"header\\"');
  });

  test("that is refused for now learns when to ask again", async () => {
    const full = () => {
      throw new Overloaded("too much to do", { details: { retryAfterMs: 700 } });
    };
    const text = "service Full { void now() }";
    const { port } = await serve({ Forum: { ...forum, rate: full } });
    const { Forum } = await client(port, idl, header);
    await expect(asRequest(() => Forum.rate("s", "x", 1))).rejects.toMatchObject({
      name: "Refused",
      code: "OVERLOADED",
      details: { retryAfterMs: 700 },
    });
    const bare = await serve({ Full: { now: full } }, {}, text);
    const { Full } = (await client(bare.port, text, header)) as unknown as {
      Full: { now(): Promise<void> };
    };
    await expect(asRequest(() => Full.now())).rejects.toMatchObject({
      code: "OVERLOADED",
      details: { retryAfterMs: 700 },
    });
  });
});

test("a framed call that is refused for now learns when to ask again from an exception that has a field for it", async () => {
  const text = `exception Refused { 1: string code, 2: string message, 3: optional i32 retryAfterMs }
    service Full { void now() throws (1: Refused refused) }`;
  const now = () => {
    throw new Overloaded("too much to do", { details: { retryAfterMs: 700 } });
  };
  const { port } = await serve({ Full: { now } }, {}, text);
  const { Full } = (await client(port, text)) as unknown as {
    Full: { now(): Promise<void> };
  };
  await expect(asRequest(() => Full.now())).rejects.toMatchObject({
    code: "OVERLOADED",
    details: { retryAfterMs: 700 },
  });
});

describe("a generation", () => {
  test("with another IDL answers the next call; the call that runs ends as it began", async () => {
    let finish: (value: unknown) => void = nobody;
    const { port, swap } = await serve({
      Forum: { ...forum, thread: () => new Promise((resolve) => (finish = resolve)) },
    });
    const before = await client(port);
    const running = asRequest(() => before.Forum.thread("s", "t"));
    await expect.poll(() => finish).not.toBe(nobody);
    const small = "service Forum { i32 count(1: string what) }\nservice Other { void ping() }";
    swap({ idl: small, services: { Forum: { count: (what: string) => what.length }, Other: { ping() {} } } });
    finish(page);
    expect(await running).toEqual(page);
    const after = (await client(port, small)) as unknown as { Forum: { count(what: string): Promise<number> } };
    expect(await asRequest(() => after.Forum.count("four"))).toBe(4);
  });

  test.each([
    ["no IDL", {}, "exports its IDL"],
    ["an IDL with an error", { idl: "service Forum {\n  Nope x()\n}", services: {} }, "idl:2:3: unknown type Nope"],
    [
      "a service that the IDL has not",
      { idl: "service A {}", services: { B: {} } },
      "services.B: the IDL has no service B",
    ],
    ["a method without a handler", { idl: "service A { void x() }", services: { A: {} } }, "services.A.x is missing"],
  ])("with %s is refused before the swap", (_, module, message) => {
    expect(() => thrift.validate?.(module as Handler, thrift.options.parse({ port: 0 }))).toThrow(message);
  });
});

async function dial(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  return socket;
}

async function everything(socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of socket) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

const framed = (bytes: Buffer) => Buffer.concat([Buffer.from([0, 0, bytes.length >> 8, bytes.length]), bytes]);

describe("bytes that are no call", () => {
  test.each([
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["a frame of garbage", framed(Buffer.from("!!!!!!!!!"))],
    ["an empty frame", Buffer.from([0, 0, 0, 0])],
    ["a frame larger than allowed", Buffer.from([0x7f, 0, 0, 0])],
    ["an answer", framed(Buffer.from("80010002000000017800000001 00".replace(" ", ""), "hex"))],
    ["arguments cut short", framed(Buffer.from("80010001000000067468726561640000000a0b0001000000ff", "hex"))],
  ])("(%s) are answered with an exception, and the connection ends", async (_, bytes) => {
    const { port } = await serve({ Forum: forum });
    const socket = await dial(port);
    socket.write(bytes);
    const answer = await everything(socket);
    const input = binary.input(answer.subarray(4));
    expect(input.messageBegin().type).toBe(3);
    expect(["PROTOCOL_ERROR", "INVALID_MESSAGE_TYPE"]).toContain(readApplicationException(input).type);
  });

  test("that stop inside a frame end the connection when their time is over", async () => {
    const { port } = await serve({ Forum: forum }, { frameTimeoutMs: 50 });
    const socket = await dial(port);
    socket.write(Buffer.from([0, 0, 1, 0, 1, 2, 3]));
    const input = binary.input((await everything(socket)).subarray(4));
    input.messageBegin();
    expect(readApplicationException(input).message).toBe("a frame that began is not whole after 50 ms");
  });

  test("that stop inside a frame hold nothing up: the interface stops", async () => {
    const { port, door } = await serve({ Forum: forum });
    const socket = await dial(port);
    socket.write(Buffer.from([0, 0, 1, 0, 1, 2, 3]));
    socket.on("error", () => {});
    const gone = new Promise((resolve) => socket.on("close", resolve));
    await door.stop();
    await gone;
  });
});

describe("draining", () => {
  test("finishes the calls that run, closes idle connections and takes no new ones", async () => {
    let finish: (value: unknown) => void = nobody;
    const { port, door } = await serve({
      Forum: { ...forum, thread: () => new Promise((resolve) => (finish = resolve)) },
    });
    const { Forum } = await client(port);
    const idle = await dial(port);
    const running = asRequest(() => Forum.thread("s", "t"));
    await expect.poll(() => finish).not.toBe(nobody);
    const drained = (door as Interface).drain();
    idle.resume();
    await once(idle, "end");
    idle.end();
    finish(page);
    expect(await running).toEqual(page);
    await drained;
    await expect(asRequest(() => Forum.thread("s", "t"))).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });
});
