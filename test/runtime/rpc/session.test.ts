import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { stopOf } from "../../../runtime/engine/engine.ts";
import { CageError, Terminal } from "../../../runtime/errors.ts";
import { type Frame, Framer, kinds } from "../../../runtime/rpc/frame.ts";
import { limits } from "../../../runtime/rpc/limits.ts";
import type { Handlers } from "../../../runtime/rpc/session.ts";
import { bytesOf, carry, deferred, Sessions } from "../../kit/session.ts";

const sessions = new Sessions();
afterEach(() => sessions.end());
const pair = sessions.pair.bind(sessions);

describe("a session", () => {
  it("answers a call with the callee's value and tells it who asks, for what, and how long is left", async () => {
    const seen: unknown[] = [];
    const { caller } = await pair({
      serve: async (from, path, args, given) => {
        seen.push(from.cage, path, given.remainingMs, given.trace.id);
        return { sum: (args[0] as number) + 1, when: new Date(0), big: 2n ** 62n, tags: new Set(["a"]) };
      },
    });
    expect(await caller.call("m.f", [1], carry)).toEqual({
      sum: 2,
      when: new Date(0),
      big: 2n ** 62n,
      tags: new Set(["a"]),
    });
    expect(seen).toEqual(["caller", "m.f", 5_000, "0".repeat(32)]);
  });

  it("carries an error by its code, message and details, and keeps the callee's stack for the operator", async () => {
    const { caller } = await pair({
      serve: async () => {
        throw new CageError("SOLD_OUT", "no chairs left", { details: { sku: "chair" } });
      },
    });
    const error = (await caller.call("m.f", [], carry).catch((thrown: unknown) => thrown)) as CageError;
    expect(error).toMatchObject({
      code: "SOLD_OUT",
      message: "no chairs left",
      details: { sku: "chair" },
      status: 422,
    });
    expect(error.stack).toContain("--- in callee ---");
  });

  it("keeps Terminal terminal over the wire", async () => {
    const { caller } = await pair({ serve: () => Promise.reject(new Terminal("never")) });
    expect(await caller.call("m.f", [], carry).catch((e: CageError) => [e.code, e.retryable])).toEqual([
      "TERMINAL",
      false,
    ]);
  });

  it("answers out of order: a slow call delays no other", async () => {
    const slow = deferred<string>();
    const { caller } = await pair({ serve: async (_, path) => (path === "slow" ? await slow.promise : path) });
    const first = caller.call("slow", [], carry);
    expect(await caller.call("fast", [], carry)).toBe("fast");
    slow.resolve("at last");
    expect(await first).toBe("at last");
  });

  it("cancels the callee's work when the caller stops waiting", async () => {
    const cancelled = deferred<string>();
    const controller = new AbortController();
    const { caller } = await pair({
      serve: (_, __, ___, ____, stop) => {
        stop.onStop((why) => cancelled.resolve((why as CageError).code));
        controller.abort(new CageError("CANCELLED", "enough"));
        return new Promise(() => {});
      },
    });
    await expect(caller.call("m.f", [], carry, stopOf(controller.signal))).rejects.toMatchObject({ code: "CANCELLED" });
    expect(await cancelled.promise).toBe("CANCELLED");
  });

  it("reports an unknown outcome when the connection is lost after the call was sent", async () => {
    const arrived = deferred<void>();
    const { caller, socket } = await pair({
      serve: () => {
        arrived.resolve();
        return new Promise(() => {});
      },
    });
    const call = caller.call("m.f", [], carry).catch((thrown: CageError) => thrown.code);
    await arrived.promise;
    socket.destroy();
    expect(await call).toBe("UNKNOWN_OUTCOME");
    expect(await caller.call("m.f", [], carry).catch((thrown: CageError) => thrown.code)).toBe("UNAVAILABLE");
  });

  it("finishes what runs before it is drained, and tells the peer to send no more", async () => {
    const work = deferred<string>();
    const running = deferred<void>();
    const { caller, callee } = await pair({
      serve: () => {
        running.resolve();
        return work.promise;
      },
    });
    const call = caller.call("m.f", [], carry);
    await running.promise;
    const drained = callee.drain();
    work.resolve("done");
    await drained;
    expect(await call).toBe("done");
    expect(caller.leaving).toBe(true);
  });

  it("answers with an error when the callee's value cannot be sent", async () => {
    const { caller } = await pair({ serve: async () => "x".repeat(17 * 1024 * 1024) });
    expect(await caller.call("m.f", [], carry).catch((thrown: CageError) => thrown.code)).toBe("TOO_LARGE");
    expect(await caller.call("m.f", [], carry).catch((thrown: CageError) => thrown.code)).toBe("TOO_LARGE");
  });

  it("answers with an error when the callee's error cannot be sent whole", async () => {
    const { caller } = await pair({
      serve: async () => {
        throw new CageError("OWN", "mine", { details: { f: () => {} } });
      },
    });
    expect(await caller.call("m.f", [], carry).catch((thrown: CageError) => [thrown.code, thrown.message])).toEqual([
      "OWN",
      "mine",
    ]);
  });

  it("refuses arguments that cannot be sent by their path, and goes on", async () => {
    const { caller } = await pair({ serve: async (_, __, args) => args[0] });
    await expect(caller.call("m.f", [{ user: { save() {} } }], carry)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: "args[0].user.save is a function and cannot be sent",
    });
    expect(await caller.call("m.f", [{ user: { name: "Ann" } }], carry)).toEqual({ user: { name: "Ann" } });
    expect(caller.outstanding).toBe(0);
  });
});

describe("a peer that does not read", () => {
  async function deaf(serve: Handlers["serve"], says: readonly Frame[] = []) {
    const { session, socket, peer, say } = await sessions.byHand({ serve });
    await session.ready;
    peer.removeAllListeners("data").pause();
    say(...says);
    return { session, socket };
  }
  const megabyte = "x".repeat(1024 * 1024);
  const most = limits.unsentBytes + 2 * megabyte.length;

  it("misses events instead of having them pile up", async () => {
    const { session, socket } = await deaf(async () => undefined);
    for (let n = 0; n < 60; n++) session.publish("news", megabyte);
    expect(socket.writableLength).toBeLessThan(most);
    expect(session.ended).toBe(false);
    await expect(session.call("m.f", [], carry)).rejects.toMatchObject({
      code: "OVERLOADED",
      details: { retryAfterMs: limits.refusedMs },
    });
  });

  it("loses its connection when it asks on and on", async () => {
    const calls = Array.from(
      { length: 60 },
      (_, n): Frame => [kinds.call, n + 1, "m.f", [], 5, "t", "s", "info", null],
    );
    const { session, socket } = await deaf(async () => megabyte, calls);
    await new Promise<void>((resolve) => (session.onEnd = () => resolve()));
    expect(socket.writableLength).toBeLessThan(most);
  });
});

describe("frames", () => {
  it("come back as they were, however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(), fc.string(), fc.array(fc.jsonValue()))),
        fc.infiniteStream(fc.integer({ min: 1, max: 40 })),
        (calls, cuts) => {
          const writer = new Framer();
          const reader = new Framer();
          const frames: Frame[] = calls.map(([id, path, args]) => [
            kinds.call,
            id,
            path,
            args,
            5,
            "t",
            "s",
            "info",
            null,
          ]);
          let bytes = Buffer.concat(frames.map((frame) => bytesOf(writer, frame)));
          const read: Frame[] = [];
          while (bytes.length > 0) {
            const cut = cuts.next().value;
            reader.decode(bytes.subarray(0, cut), (frame) => read.push(frame));
            bytes = bytes.subarray(cut);
          }
          expect(normal(read)).toEqual(normal(frames));
        },
      ),
      { numRuns: 200 },
    );
  });

  it("never crash the reader: random bytes are frames or a PROTOCOL error", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          new Framer().decode(Buffer.from(bytes), () => {});
        } catch (error) {
          expect((error as CageError).code).toBe("PROTOCOL");
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

/** -0 and own `__proto__` keys are the listed exceptions of the codec. */
const normal = (value: unknown): unknown => JSON.parse(JSON.stringify(value).replaceAll('"__proto__"', '"__proto_"'));
