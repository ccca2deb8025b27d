import { describe, expect, it } from "vitest";
import { Bulkheads } from "../../../runtime/cage/bulkheads.ts";
import type { Stop } from "../../../runtime/engine/engine.ts";
import type { Request, Target } from "../../../runtime/request/request.ts";
import { asRequest } from "../../kit/request.ts";

/** A target that answers when told; like any engine it stops waiting when its caller does. */
function target() {
  const asked: { remainingMs: number; stop: Stop; answer(value: unknown): void }[] = [];
  const send = (remainingMs: number, stop: Stop): Promise<unknown> =>
    new Promise((answer, reject) => {
      stop.onStop(reject);
      asked.push({ remainingMs, stop, answer });
    });
  return { asked, send };
}

const quick = async () => "at once";

type Send = ReturnType<typeof target>["send"];
const sending = (what: string, send: Send) => ({ what, send, done: (error: unknown) => error });

const call = (bulkheads: Bulkheads, request: Request, cage: string, send: Send) =>
  bulkheads.call(request, { cage }, sending(`the call of ${cage}.x`, send));

describe("calls of other cages", () => {
  it("of a slow one do not take the places of another", async () => {
    const bulkheads = new Bulkheads();
    bulkheads.configure({ slow: { running: 2, waiting: 1 }, quick: { running: 1, waiting: 1 } });
    const slow = target();
    await asRequest(async (request) => {
      const waiting = [1, 2, 3].map(() => call(bulkheads, request, "slow", slow.send));
      await expect(call(bulkheads, request, "slow", slow.send)).rejects.toMatchObject({
        code: "OVERLOADED",
        message: expect.stringMatching(/^calls of slow: 2 run and 1 wait; try again in/),
        details: { retryAfterMs: expect.any(Number) },
      });
      expect(slow.asked.length).toBe(2);
      expect(await call(bulkheads, request, "quick", quick)).toBe("at once");
      expect(await call(bulkheads, request, "unnamed", quick)).toBe("at once");
      slow.asked[0]!.answer(1);
      await waiting[0];
      await expect.poll(() => slow.asked.length).toBe(3);
      for (const each of slow.asked) each.answer(2);
      expect(await Promise.all(waiting)).toEqual([1, 2, 2]);
    });
  });

  it("have the least of what the request has left, the caller's limit and the target's, and tell the callee to stop", async () => {
    const bulkheads = new Bulkheads();
    bulkheads.configure({ bounded: { running: 10, waiting: 10, timeoutMs: 200 } });
    const silent = target();
    await asRequest(async (request) => {
      const to = { cage: "bounded", timeoutMs: 60_000 };
      await expect(bulkheads.call(request, to, sending("the call of bounded.x", silent.send))).rejects.toMatchObject({
        code: "EXPIRED",
        message: "the call of bounded.x: not done within its limit of 200 ms",
      });
      expect(silent.asked[0]!.remainingMs).toBeLessThanOrEqual(200);
      expect(silent.asked[0]!.stop.stopped).toBeDefined();
      expect([request.stopped, request.signal.aborted]).toEqual([undefined, false]);

      const own = bulkheads.call(
        request,
        { cage: "other", timeoutMs: 200 },
        sending("the call of other.x", silent.send),
      );
      await expect(own).rejects.toMatchObject({ code: "EXPIRED" });

      const end = new AbortController();
      const ended = bulkheads.call(
        request,
        { cage: "other", signal: end.signal },
        sending("the call of other.x", silent.send),
      );
      end.abort();
      await expect(ended).rejects.toMatchObject({ code: "CANCELLED" });

      const all = call(bulkheads, request, "other", silent.send);
      expect(silent.asked.at(-1)!.remainingMs).toBeGreaterThan(1_000);
      request.cancel("enough");
      await expect(all).rejects.toMatchObject({ code: "CANCELLED", message: "enough" });
      expect(silent.asked.at(-1)!.stop.stopped).toBeDefined();
    });
  });

  it("that wait for a place give up with their request, and are never sent", async () => {
    const bulkheads = new Bulkheads();
    bulkheads.configure({ busy: { running: 1, waiting: 10, timeoutMs: 60_000 } });
    const busy = target();
    await asRequest(async (first) => {
      const running = call(bulkheads, first, "busy", busy.send);
      await asRequest(async (second) => {
        const waiting = call(bulkheads, second, "busy", busy.send);
        second.cancel("gone");
        await expect(waiting).rejects.toMatchObject({ code: "CANCELLED" });
      });
      busy.asked[0]!.answer("done");
      expect(await running).toBe("done");
      expect(await call(bulkheads, first, "busy", quick)).toBe("at once");
      expect(busy.asked.length).toBe(1);
    });
  });

  it("have new limits after a reload, and those under way go on", async () => {
    const bulkheads = new Bulkheads();
    bulkheads.configure({ shop: { running: 1, waiting: 5 } });
    const shop = target();
    await asRequest(async (request) => {
      const calls = [1, 2].map(() => call(bulkheads, request, "shop", shop.send));
      expect(shop.asked.length).toBe(1);
      bulkheads.configure({ shop: { running: 2, waiting: 5 } });
      await expect.poll(() => shop.asked.length).toBe(2);
      for (const each of shop.asked) each.answer("ok");
      expect(await Promise.all(calls)).toEqual(["ok", "ok"]);
    });
  });

  describe("whose answer is a stream", () => {
    const one = () => {
      const bulkheads = new Bulkheads();
      bulkheads.configure({ shop: { running: 1, waiting: 0 } });
      const over: { error: unknown; items: number | undefined }[] = [];
      const done = (error: unknown, items?: number) => {
        over.push({ error, items });
        return error;
      };
      const stream = (request: Request, items: AsyncIterable<unknown>, to: Partial<Target> = {}) =>
        bulkheads.call<AsyncIterable<unknown>>(
          request,
          { cage: "shop", ...to },
          { what: "the call of shop.list", send: async () => items, done },
        );
      const running = () => bulkheads.status()[0]?.running;
      return { bulkheads, over, stream, running };
    };
    async function* numbers() {
      yield 1;
      yield 2;
    }

    it("keep their place until it ended, and are done then, with their items counted", async () => {
      const { bulkheads, over, stream, running } = one();
      await asRequest(async (request) => {
        const items = (await stream(request, numbers()))[Symbol.asyncIterator]();
        expect((await items.next()).value).toBe(1);
        expect([running(), over]).toEqual([1, []]);
        await expect(call(bulkheads, request, "shop", quick)).rejects.toMatchObject({ code: "OVERLOADED" });
        await items.next();
        expect((await items.next()).done).toBe(true);
        expect([running(), over]).toEqual([0, [{ error: undefined, items: 2 }]]);
        expect(await call(bulkheads, request, "shop", quick)).toBe("at once");
      });
    });

    it("are done when their taker leaves, or the stream fails", async () => {
      const { over, stream, running } = one();
      await asRequest(async (request) => {
        for await (const _ of await stream(request, numbers())) break;
        expect([running(), over]).toEqual([0, [{ error: undefined, items: 1 }]]);
        async function* broken() {
          yield 1;
          throw new Error("broken");
        }
        const all = async () => {
          for await (const _ of await stream(request, broken()));
        };
        await expect(all()).rejects.toThrow("broken");
        expect([running(), over[1]]).toMatchObject([0, { error: { message: "broken" }, items: 1 }]);
      });
    });

    it("are done when their wait is stopped, and at its deadline, though nobody takes any of it", async () => {
      const { over, stream, running } = one();
      await asRequest(async (request) => {
        const end = new AbortController();
        await stream(request, numbers(), { signal: end.signal });
        end.abort();
        expect([running(), over]).toMatchObject([0, [{ error: { code: "CANCELLED" }, items: 0 }]]);
        await stream(request, numbers(), { timeoutMs: 20 });
        await expect.poll(() => over[1]).toMatchObject({ error: { code: "EXPIRED" }, items: 0 });
        expect(running()).toBe(0);
      });
      await asRequest((request) => stream(request, numbers()), 50);
      await expect.poll(() => over[2]).toMatchObject({ error: { code: "EXPIRED" } });
      expect(running()).toBe(0);
    });
  });
});
