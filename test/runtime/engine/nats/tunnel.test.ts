import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { Tunnel, windowBytes } from "../../../../runtime/engine/nats/tunnel.ts";
import { Session } from "../../../../runtime/rpc/session.ts";
import { carry, keyOf } from "../../../kit/session.ts";

interface Wire {
  readonly a: Tunnel;
  readonly b: Tunnel;
  /** What becomes of a message from a to b: it is passed on so many times. */
  copies: (n: number, bytes: Uint8Array) => number;
  /** Bytes of data that left a. */
  sent: number;
  longest: number;
}

const open: Tunnel[] = [];
afterEach(() => {
  for (const tunnel of open.splice(0)) tunnel.destroy();
});

/** Two tunnels, and a wire that delivers in a later turn, as a socket does. */
function wire({ maxPayload = 1024 * 1024 } = {}): Wire {
  let messages = 0;
  const made: Wire = {
    copies: () => 1,
    sent: 0,
    longest: 0,
    a: new Tunnel({
      maxPayload,
      onClose: () => {},
      send(bytes) {
        if (bytes[0] === 2) made.sent += bytes.length - 5;
        made.longest = Math.max(made.longest, bytes.length);
        for (let n = made.copies(++messages, bytes); n > 0; n--) setImmediate(() => made.b.receive(Buffer.from(bytes)));
      },
    }),
    b: new Tunnel({
      maxPayload,
      onClose: () => {},
      send: (bytes) => void setImmediate(() => made.a.receive(Buffer.from(bytes))),
    }),
  };
  open.push(made.a, made.b);
  return made;
}

const all = async (tunnel: Tunnel): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of tunnel) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
};
const noise = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, n) => (n * 7919) % 251));
const errorOf = async (tunnel: Tunnel): Promise<Error> => ((await once(tunnel, "error")) as [Error])[0];

describe("a tunnel", () => {
  it("brings what was written, in order, whatever its size, and ends as it was ended", async () => {
    const { a, b } = wire();
    const bytes = noise(3 * windowBytes + 17);
    const arrived = all(b);
    a.resume();
    for (let at = 0; at < bytes.length; at += 50_021) a.write(bytes.subarray(at, at + 50_021));
    a.end();
    expect(bytes.equals(await arrived)).toBe(true);
    await Promise.all([a, b].map((each) => each.closed || once(each, "close")));
    expect(a.errored ?? b.errored).toBeNull();
  });

  it("sends what is written in one turn as one message, and never more than the server takes", async () => {
    const made = wire({ maxPayload: 4_096 });
    let count = 0;
    made.copies = () => {
      count++;
      return 1;
    };
    const arrived = all(made.b);
    for (let n = 0; n < 100; n++) made.a.write("ten bytes.");
    await new Promise(setImmediate);
    expect(count).toBe(1);
    made.a.end(noise(50_000));
    expect((await arrived).length).toBe(51_000);
    expect(made.longest).toBe(4_096);
  });

  it.each([
    ["was lost", () => 0],
    ["came twice", () => 2],
  ])("ends when a message %s", async (_, copies) => {
    const made = wire();
    made.b.resume();
    made.a.write("one");
    await once(made.b, "data");
    made.copies = (_, bytes) => (bytes[0] === 2 ? copies() : 1);
    const [told, seen] = [errorOf(made.a), errorOf(made.b)];
    made.a.write("two");
    await new Promise((next) => setTimeout(next, 5));
    made.copies = () => 1;
    made.a.write("three");
    expect((await seen).message).toContain("lost, or came twice");
    expect((await told).message).toContain("lost, or came twice");
  });

  it("lets no more than a window be under way to who does not read, and goes on when it does", async () => {
    const made = wire();
    const { a, b } = made;
    const bytes = noise(4 * windowBytes);
    let drained = false;
    a.on("drain", () => (drained = true));
    for (let at = 0; at < bytes.length; at += 16_384) a.write(bytes.subarray(at, at + 16_384));
    await expect.poll(() => made.sent).toBe(windowBytes);
    // What waits can be seen by who writes, and is not sent.
    await new Promise((next) => setTimeout(next, 20));
    expect(made.sent).toBe(windowBytes);
    expect(b.readableLength).toBe(windowBytes);
    expect(a.writableLength).toBeGreaterThan(2 * windowBytes);
    expect(drained).toBe(false);
    a.end();
    expect(bytes.equals(await all(b))).toBe(true);
    expect(a.writableLength).toBe(0);
  });

  it("ends when a peer sends more than the window", async () => {
    const { b } = wire();
    const error = errorOf(b);
    const head = Buffer.from([2, 1, 0, 0, 0]);
    b.receive(Buffer.concat([head, noise(windowBytes + 1)]));
    expect(await error).toMatchObject({ code: "PROTOCOL", message: "the peer sent more than the window" });
  });

  it("tells the other side why it ended", async () => {
    const { a, b } = wire();
    const error = errorOf(b);
    a.on("error", () => {});
    a.destroy(new Error("enough"));
    expect((await error).message).toBe("enough");
  });

  it("ends the session over it by a lost message: what was sent has an unknown outcome", async () => {
    const made = wire();
    const [east, west] = [
      { node: "e", cage: "a" },
      { node: "w", cage: "b" },
    ];
    const quiet = { event: () => {} };
    const caller = new Session(
      made.a,
      { me: east, side: "dialled", proven: west, keyOf },
      { ...quiet, serve: () => undefined },
    );
    let served = 0;
    new Session(made.b, { me: west, side: "accepted", proven: east, keyOf }, { ...quiet, serve: () => ++served });
    expect(await caller.call("m.f", [], carry)).toBe(1);
    made.copies = () => 0;
    const lost = caller.call("m.f", [], carry).catch((error: unknown) => error);
    await new Promise((next) => setTimeout(next, 5));
    made.copies = () => 1;
    const next = caller.call("m.f", [], carry).catch((error: unknown) => error);
    expect(await lost).toMatchObject({ code: "UNKNOWN_OUTCOME" });
    expect(await next).toMatchObject({ code: "UNKNOWN_OUTCOME" });
    expect(served).toBe(1);
  });
});

describe("a session whose peer the transport proves", () => {
  it("refuses who says another name", async () => {
    const made = wire();
    const quiet = { event: () => {}, serve: () => 1 };
    const of = (node: string, cage: string) => ({ node, cage });
    new Session(made.a, { me: of("e", "thief"), side: "dialled", proven: of("w", "b"), keyOf }, quiet);
    const callee = new Session(made.b, { me: of("w", "b"), side: "accepted", proven: of("e", "a"), keyOf }, quiet);
    await expect(callee.ready).rejects.toMatchObject({
      code: "FORBIDDEN",
      message: "who called itself e.thief is e.a",
    });
  });
});
