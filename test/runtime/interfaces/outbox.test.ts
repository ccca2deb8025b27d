import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { OutboxRow } from "../../../lib/outbox.ts";
import { openStore, type Store } from "../../../lib/partition/store.ts";
import { Host } from "../../../runtime/cage/host.ts";
import { events } from "../../../runtime/health/events.ts";
import type { Interface } from "../../../runtime/interfaces/interface.ts";
import { outbox } from "../../../runtime/interfaces/outbox.ts";
import { type Lease, maybeCurrent, type Services } from "../../../runtime/request/request.ts";

let dir: string;
let store: Store;
let made: Interface | undefined;
let module: Record<string, unknown>;
let swap: () => void;
let client: unknown;
let host: Host;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "outbox-"));
  store = await openStore(join(dir, "a.sqlite"), { name: "a", migrations: [], bucketed: false });
  client = { outboxes: [store.outbox] };
});
afterEach(async () => {
  await made?.drain();
  await made?.stop();
  await store.close();
  rmSync(dir, { recursive: true, force: true });
});

const lease: Lease = {
  id: 1,
  module: () => module,
  resource: () => undefined,
  config: {},
  again: () => lease,
  release: () => {},
};
const start = async (options: object = {}) => {
  const listeners: (() => void)[] = [];
  host = new Host({
    name: "events",
    cage: "shop",
    timeoutMs: 5_000,
    running: 1,
    waiting: 10,
    services: {} as Services,
    lease: () => {
      const held = client;
      return { ...lease, resource: () => held };
    },
    listen: () => Promise.reject(new Error("none")),
    onSwap: (listener) => {
      listeners.push(listener);
      return () => {};
    },
  });
  made = outbox.create(outbox.options.parse({ resource: "a", kind: "event", pollMs: 600_000, ...options }), host);
  await made.start();
  swap = () => {
    for (const listener of listeners) listener();
  };
  swap();
};
const leave = (...numbers: number[]) =>
  store.transaction({ bucket: 0 }, async (tx) => {
    for (const n of numbers) await tx.enlist("event", `k${n}`, n);
  });
/** Deliveries as they come, and a promise for when so many rows have arrived. */
const receiver = (fail: (batch: number) => boolean = () => false) => {
  const batches: unknown[][] = [];
  let reached: (() => void) | undefined;
  let wanted = Number.POSITIVE_INFINITY;
  const count = () => batches.flat().length;
  return {
    batches,
    deliver: async (rows: readonly OutboxRow[]) => {
      if (fail(calls++)) throw new Error("not now");
      batches.push(rows.map((row) => row.payload));
      if (count() >= wanted) reached?.();
    },
    rows: (n: number) =>
      new Promise<unknown[]>((resolve) => {
        wanted = n;
        reached = () => resolve(batches.flat());
        if (count() >= n) reached();
      }),
  };
};
let calls = 0;
beforeEach(() => {
  calls = 0;
});
const numbers = (n: number) => Array.from({ length: n }, (_, at) => at);

test("rows of before the start and rows committed later are delivered in order, in batches, as requests, and removed", async () => {
  await leave(0, 1, 2, 3, 4);
  const to = receiver();
  const contexts: unknown[] = [];
  module = {
    deliver: (rows: readonly OutboxRow[]) => {
      contexts.push(maybeCurrent()?.label);
      return to.deliver(rows);
    },
  };
  await start({ batch: 2 });
  expect(await to.rows(5)).toEqual(numbers(5));
  expect(to.batches.map((batch) => batch.length)).toEqual([2, 2, 1]);
  expect(contexts[0]).toBe("event from a");
  await Promise.all([leave(5), leave(6, 7)]);
  expect(await to.rows(8)).toEqual(numbers(8));
  await made?.drain();
  expect(await store.outbox.waiting("event")).toBe(0);
});

test("a delivery that throws is tried again before anything behind it, and is seen as a failed request", async () => {
  const failed: string[] = [];
  const off = events.on("request.done", (done) => {
    if (done.error) failed.push((done.error as Error).message);
  });
  const to = receiver((call) => call < 3);
  module = { deliver: to.deliver };
  await start({ batch: 1 });
  await leave(0, 1);
  expect(await to.rows(2)).toEqual([0, 1]);
  expect(failed).toEqual(["not now", "not now", "not now"]);
  off();
});

test("mended code is tried at once after a swap, without waiting for the pause to end", async () => {
  let broken: (() => void) | undefined;
  const fell = new Promise<void>((resolve) => (broken = resolve));
  module = {
    deliver: () => {
      broken?.();
      throw new Error("a bug");
    },
  };
  await start();
  await leave(0);
  await fell;
  const to = receiver();
  module = { deliver: to.deliver };
  swap();
  expect(await to.rows(1)).toEqual([0]);
});

test("a resource that was replaced is followed, and the old one left alone", async () => {
  const to = receiver();
  module = { deliver: to.deliver };
  await start();
  await leave(0);
  await to.rows(1);
  const other = await openStore(join(dir, "b.sqlite"), { name: "b", migrations: [], bucketed: false });
  client = { outboxes: [other.outbox] };
  await other.transaction({ bucket: 0 }, (tx) => tx.enlist("event", "k", "other"));
  swap();
  expect(await to.rows(2)).toEqual([0, "other"]);
  await leave(1);
  expect(await store.outbox.waiting("event")).toBe(1);
  await made?.drain();
  await other.close();
});

test("draining finishes the batch at hand and takes no other", async () => {
  let enter: (() => void) | undefined;
  let leaveIt: (() => void) | undefined;
  const entered = new Promise<void>((resolve) => (enter = resolve));
  const gate = new Promise<void>((resolve) => (leaveIt = resolve));
  const to = receiver();
  module = {
    deliver: async (rows: readonly OutboxRow[]) => {
      enter?.();
      await gate;
      await to.deliver(rows);
    },
  };
  await start({ batch: 1 });
  await leave(0, 1);
  await entered;
  const drained = made?.drain();
  leaveIt?.();
  await drained;
  expect(to.batches).toEqual([[0]]);
  expect(await store.outbox.waiting("event")).toBe(1);
});

test("a module without deliver, and a resource without outbox, are failed requests that name the remedy", async () => {
  const seen: string[] = [];
  let failed: (() => void) | undefined;
  const failure = () => new Promise<void>((resolve) => (failed = resolve));
  const off = events.on("request.done", (done) => {
    if (done.error === undefined) return;
    seen.push((done.error as Error).message);
    failed?.();
  });
  module = {};
  await leave(0);
  const first = failure();
  await start();
  await first;
  const second = failure();
  client = {};
  swap();
  await second;
  off();
  expect(() => outbox.validate?.(module, outbox.options.parse({ resource: "a", kind: "event" }))).toThrow(
    /no function deliver/,
  );
  expect(seen).toEqual([
    "cages/shop/events.ts exports no function deliver(rows)",
    "interface events: resource a has no outbox; name one of protocol partitions or sqlite",
  ]);
});

test("a swap that comes while it still looks for outboxes of the generation before is not missed", async () => {
  const other = await openStore(join(dir, "b.sqlite"), { name: "b", migrations: [], bucketed: false });
  await other.transaction({ bucket: 0 }, (tx) => tx.enlist("event", "k7", 7));
  const to = receiver();
  module = { deliver: to.deliver };
  // Its look takes its generation, and waits for the only slot.
  await start();
  let free = () => {};
  const busy = host.serve({ label: "busy" }, () => new Promise<void>((resolve) => (free = resolve)));
  await expect.poll(() => host.gate.waiting).toBe(1);
  client = { outboxes: [other.outbox] };
  swap();
  await new Promise(setImmediate);
  free();
  await busy;
  expect(await to.rows(1)).toEqual([7]);
  await made?.drain();
  await other.close();
});
