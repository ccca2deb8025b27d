import { afterEach, describe, expect, it } from "vitest";
import type { Serve } from "../../../runtime/engine/engine.ts";
import { CageError, Terminal } from "../../../runtime/errors.ts";
import { kinds } from "../../../runtime/rpc/frame.ts";
import { limits } from "../../../runtime/rpc/limits.ts";
import { Work } from "../../../runtime/rpc/work.ts";
import { carry, deferred, Sessions } from "../../kit/session.ts";

const sessions = new Sessions();
afterEach(() => sessions.end());

type Items = AsyncIterable<unknown>;
/** A callee that answers with what `make` makes of the arguments. */
const streaming =
  (make: (args: readonly unknown[]) => Items): Serve =>
  async (_, __, args, ___, ____, send) =>
    await send(make(args));
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "no error",
    (error: CageError) => error.code,
  );

async function* count(to: number, seen: { made: number; closed?: () => void } = { made: 0 }) {
  try {
    for (let n = 0; n < to; n++) {
      seen.made = n + 1;
      yield n;
    }
  } finally {
    seen.closed?.();
  }
}

async function all(items: Items): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const item of items) found.push(item);
  return found;
}

describe("a stream", () => {
  it("brings every item in order, many windows of them", async () => {
    const { caller } = await sessions.pair({ serve: streaming(() => count(5_000)) });
    const items = (await caller.call("m.f", [], carry)) as Items;
    expect(await all(items)).toEqual(Array.from({ length: 5_000 }, (_, n) => n));
    expect(caller.outstanding).toBe(0);
  });

  it("goes both ways at once", async () => {
    const serve = streaming(async function* ([numbers, factor]) {
      for await (const n of numbers as Items) yield (n as number) * (factor as number);
    });
    const { caller } = await sessions.pair({ serve });
    const given: string[] = [];
    async function* asked() {
      for (let n = 0; n < 3; n++) {
        given.push(`asked ${n}`);
        yield n;
        given.push(`went on ${n}`);
      }
    }
    const found: unknown[] = [];
    for await (const item of (await caller.call("m.f", [asked(), 10], carry)) as Items) found.push(item);
    expect(found).toEqual([0, 10, 20]);
    expect(given.at(-1)).toBe("went on 2");
  });

  it("takes streams as arguments of a call that answers with a value", async () => {
    const { caller } = await sessions.pair({
      serve: async (_, __, [a, between, b]) => [...(await all(a as Items)), between, ...(await all(b as Items))],
    });
    expect(await caller.call("m.f", [count(3), "x", count(2)], carry)).toEqual([0, 1, 2, "x", 0, 1]);
  });

  it("waits for a slow taker: memory holds a window, whatever the length", async () => {
    const seen = { made: 0 };
    const { caller } = await sessions.pair({ serve: streaming(() => count(100_000, seen)) });
    const items = (await caller.call("m.f", [], carry)) as Items;
    let taken = 0;
    for await (const item of items) {
      expect(item).toBe(taken++);
      // In step with the callee, which is in this process: it is never more than a window and an item ahead.
      if (seen.made - taken > limits.streamItems + 1) throw new Error(`${seen.made} made, ${taken} taken`);
    }
    expect(taken).toBe(100_000);
  });

  it("counts bytes too: large items wait sooner, and one larger than the window passes", async () => {
    const seen = { made: 0 };
    const big = async function* () {
      for (let n = 0; n < 20; n++) {
        seen.made++;
        yield new Uint8Array(limits.streamBytes / 2 + n * 40_000);
      }
    };
    const { caller } = await sessions.pair({ serve: streaming(big) });
    const items = ((await caller.call("m.f", [], carry)) as Items)[Symbol.asyncIterator]();
    await items.next();
    expect(seen.made).toBeLessThanOrEqual(4);
    let taken = 1;
    while (!(await items.next()).done) taken++;
    expect(taken).toBe(20);
  });

  it("ends the callee's generator, finally included, when the caller leaves its loop", async () => {
    const closed = deferred<void>();
    const served = deferred<unknown>();
    const serve: Serve = async (_, __, ___, ____, stop, send) => {
      await send(count(100_000, { made: 0, closed: closed.resolve }));
      served.resolve(stop.stopped);
    };
    const { caller } = await sessions.pair({ serve });
    for await (const item of (await caller.call("m.f", [], carry)) as Items) if (item === 3) break;
    await closed.promise;
    // A loop that was left is no failure of the callee's.
    expect(await served.promise).toBeUndefined();
    expect(caller.outstanding).toBe(0);
  });

  it("ends the caller's generator when the callee leaves its loop, or is done without it", async () => {
    for (const serve of [
      async (_: unknown, __: unknown, [items]: readonly unknown[]) => {
        for await (const item of items as Items) if (item === 2) return "enough";
        return "all";
      },
      async () => "enough",
    ]) {
      const closed = deferred<void>();
      const { caller } = await sessions.pair({ serve });
      const items = count(100_000, { made: 0, closed: closed.resolve });
      // One that never began has no finally to run.
      const first = await items.next();
      expect(first.value).toBe(0);
      expect(await caller.call("m.f", [items], carry)).toBe("enough");
      await closed.promise;
    }
  });

  it("carries an error in the middle, typed, after the items before it", async () => {
    const serve = streaming(async function* () {
      yield 1;
      throw new Terminal("no more");
    });
    const { caller } = await sessions.pair({ serve });
    const items = ((await caller.call("m.f", [], carry)) as Items)[Symbol.asyncIterator]();
    expect((await items.next()).value).toBe(1);
    const error = await items.next().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Terminal);
    expect((await items.next()).done).toBe(true);
  });

  it("carries an error of an argument's to the callee", async () => {
    const { caller } = await sessions.pair({
      serve: async (_, __, [items]) => await codeOf(all(items as Items)),
    });
    const broken = async function* () {
      yield 1;
      throw new CageError("SOLD_OUT", "none left");
    };
    expect(await caller.call("m.f", [broken()], carry)).toBe("SOLD_OUT");
  });

  it("refuses an item that cannot be sent, by its path, and closes its generator", async () => {
    const closed = deferred<void>();
    const serve = streaming(async function* () {
      try {
        yield 1;
        yield { save() {} };
      } finally {
        closed.resolve();
      }
    });
    const { caller } = await sessions.pair({ serve });
    const error = (await all((await caller.call("m.f", [], carry)) as Items).catch(
      (thrown: unknown) => thrown,
    )) as CageError;
    expect([error.code, error.message]).toEqual([
      "BAD_INPUT",
      "an item of the stream.save is a function and cannot be sent",
    ]);
    await closed.promise;
  });

  it("stops at both ends when the caller's patience does: what was not taken is dropped", async () => {
    const closed = deferred<void>();
    const { caller } = await sessions.pair({
      serve: streaming(() => count(100_000, { made: 0, closed: closed.resolve })),
    });
    const patience = new Work();
    const items = ((await caller.call("m.f", [], carry, patience)) as Items)[Symbol.asyncIterator]();
    expect((await items.next()).value).toBe(0);
    patience.cancel(new CageError("EXPIRED", "late"));
    expect(await codeOf(items.next())).toBe("EXPIRED");
    await closed.promise;
    expect(caller.outstanding).toBe(0);
  });

  it("of which the connection is lost ends with an unknown outcome here, and is cancelled there", async () => {
    const closed = deferred<void>();
    const waits = deferred<void>();
    const serve = streaming(async function* () {
      try {
        yield 1;
        await waits.promise;
      } finally {
        closed.resolve();
      }
    });
    const { caller, socket } = await sessions.pair({ serve });
    const items = ((await caller.call("m.f", [], carry)) as Items)[Symbol.asyncIterator]();
    expect((await items.next()).value).toBe(1);
    const next = codeOf(items.next());
    socket.destroy();
    expect(await next).toBe("UNKNOWN_OUTCOME");
    waits.resolve();
    await closed.promise;
  });

  it("is finished before its cage is drained", async () => {
    const go = deferred<void>();
    const serve = streaming(async function* () {
      yield 1;
      await go.promise;
      yield 2;
    });
    const { caller, callee } = await sessions.pair({ serve });
    const items = ((await caller.call("m.f", [], carry)) as Items)[Symbol.asyncIterator]();
    await items.next();
    const drained = callee.drain();
    go.resolve();
    expect((await items.next()).value).toBe(2);
    expect((await items.next()).done).toBe(true);
    await drained;
  });

  it("of a peer that keeps to no window ends the connection", async () => {
    const { session, say } = await sessions.byHand();
    await session.ready;
    const call = session.call("m.f", [], carry);
    say([kinds.stream, 1]);
    const items = (await call) as Items;
    say(...Array.from({ length: limits.streamItems + 1 }, (_, n) => [kinds.item, 1, 0, n] as const));
    await expect.poll(() => session.ended).toBe(true);
    await expect(all(items)).rejects.toMatchObject({ code: "UNKNOWN_OUTCOME", cause: { code: "PROTOCOL" } });
  });

  it("may be one of so many among the arguments", async () => {
    const { caller } = await sessions.pair({});
    const many = Array.from({ length: limits.streamsPerCall + 1 }, () => count(1));
    expect(await codeOf(caller.call("m.f", many, carry))).toBe("BAD_INPUT");
  });
});
