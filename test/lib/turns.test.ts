import { expect, test } from "vitest";
import { Turns } from "../../lib/turns.ts";

const turns = (over: object = {}) => new Turns({ slots: 1, maxWaiting: 2, waitMs: 5_000, what: "the pump", ...over });

test("turns are given in order of asking, and a newcomer cannot overtake a waiter", async () => {
  const pump = turns({ maxWaiting: 10 });
  const order: number[] = [];
  const first = await pump.take();
  const waiting = [1, 2].map(async (n) => {
    const release = await pump.take();
    order.push(n);
    release();
  });
  first();
  first();
  const late = pump.take().then((release) => {
    order.push(3);
    release();
  });
  await Promise.all([...waiting, late]);
  expect(order).toEqual([1, 2, 3]);
});

test("the earliest deadline goes first; who has none stands as if it gave up at the end of its wait", async () => {
  const pump = turns({ maxWaiting: 10 });
  const order: (number | undefined)[] = [];
  const first = await pump.take();
  const now = performance.now();
  const waiting = [undefined, 9_000, 3_000, 1_000, 2_000].map(async (inMs) => {
    const release = await pump.take(undefined, inMs && now + inMs);
    order.push(inMs);
    release();
  });
  first();
  await Promise.all(waiting);
  expect(order).toEqual([1_000, 2_000, 3_000, undefined, 9_000]);
});

test("a full queue says when to ask again: when those who wait will have had their turns, as long as they took lately", async () => {
  const pump = turns({ slots: 2, maxWaiting: 3 });
  const asked = () =>
    pump.take().catch((error: Error & { details: { retryAfterMs: number } }) => error.details.retryAfterMs);
  const began = performance.now();
  const first = [await pump.take(), await pump.take()];
  const waiting = [1, 2, 3].map(() => pump.take());
  expect(await asked()).toBe(2_000);
  const since = performance.now();
  while (performance.now() - since < 20);
  for (const release of first) release();
  // Two of three waiters have the slots now; two more fill the line.
  const more = [1, 2].map(() => pump.take());
  const longestMs = performance.now() - began;
  const after = (await asked()) as number;
  expect(after).toBeGreaterThanOrEqual(40);
  expect(after).toBeLessThanOrEqual(Math.ceil(longestMs * 2));
  for (const turn of [...waiting, ...more]) (await turn)();
});

test("a full queue refuses at once; a wait ends with its signal or its limit, and is forgotten", async () => {
  const pump = turns({ waitMs: 20 });
  const release = await pump.take();
  const gone = new AbortController();
  const aborted = pump.take(gone.signal);
  const limited = pump.take();
  await expect(pump.take()).rejects.toMatchObject({ code: "OVERLOADED" });
  gone.abort(new Error("gone"));
  await expect(aborted).rejects.toThrow("gone");
  await expect(limited).rejects.toMatchObject({ code: "EXPIRED" });
  expect(pump.waiting).toBe(0);
  release();
  (await pump.take())();
});
