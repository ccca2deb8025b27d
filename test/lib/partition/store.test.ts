import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openStore, type Store } from "../../../lib/partition/store.ts";
import { openDatabase, sql } from "../../../lib/sqlite.ts";

const migrations = [
  {
    name: "n/1",
    sql: "create table n (name text primary key, value integer not null) strict; insert into n values ('a', 0);",
  },
];
let dir: string;
let store: Store;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "store-"));
  store = await openStore(join(dir, "n.sqlite"), { migrations, bucketed: false });
});
afterEach(async () => {
  await store.close();
  rmSync(dir, { recursive: true, force: true });
});

const scope = { bucket: 0 };
const value = () => store.query<{ value: number }>(sql`select value from n where name = 'a'`)[0]?.value;
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

test("transactions never interleave, whatever they wait for in between", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(3), { minLength: 2, maxLength: 12 }), async (pauses) => {
      const before = value() as number;
      let inside = 0;
      await Promise.all(
        pauses.map((pause) =>
          store.transaction(scope, async (tx) => {
            expect(++inside).toBe(1);
            const row = await tx.one<{ value: number }>(sql`select value from n where name = 'a'`);
            for (let n = 0; n < pause; n++) await turn();
            await tx.run(sql`update n set value = ${row!.value + 1} where name = 'a'`);
            inside--;
          }),
        ),
      );
      expect(value()).toBe(before + pauses.length);
    }),
    { numRuns: 20 },
  );
});

test("whatever mix of commits, throws, failed statements and aborts: exactly what committed is there, and the file goes on", async () => {
  const fate = fc.constantFrom("commit", "throw", "fail", "abort", "limit");
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fate, fc.nat(2)), { minLength: 1, maxLength: 15 }), async (plan) => {
      const before = value() as number;
      const outcomes = await Promise.allSettled(
        plan.map(([fate, pause]) => {
          const stop = new AbortController();
          const bounds = fate === "limit" ? { limitMs: 1 } : { signal: stop.signal };
          return store.transaction({ ...scope, ...bounds }, async (tx) => {
            await tx.run(sql`update n set value = value + 1 where name = 'a'`);
            for (let n = 0; n < pause; n++) await turn();
            if (fate === "throw") throw new Error("no");
            if (fate === "fail") void tx.run(sql`insert into n values ('a', 2)`);
            if (fate === "abort") stop.abort(new Error("stop"));
            if (fate === "abort" || fate === "limit") await new Promise(() => {});
          });
        }),
      );
      const commits = plan.filter(([fate]) => fate === "commit").length;
      expect(outcomes.filter((each) => each.status === "fulfilled")).toHaveLength(commits);
      expect(value()).toBe(before + commits);
    }),
    { numRuns: 25 },
  );
});

test("reads see committed data only, and a read sees one state throughout", async () => {
  await store.transaction(scope, async (tx) => {
    await tx.run(sql`update n set value = 5 where name = 'a'`);
    await turn();
    expect(value()).toBe(0);
    expect(await store.read(scope, (db) => db.one(sql`select value from n`))).toEqual({ value: 0 });
  });
  await store.read(scope, async (db) => {
    expect(await db.one(sql`select value from n`)).toEqual({ value: 5 });
    await store.transaction(scope, async (tx) => void (await tx.run(sql`update n set value = 6 where name = 'a'`)));
    expect(await db.one(sql`select value from n`)).toEqual({ value: 5 });
  });
  expect(value()).toBe(6);
});

test("a transaction that throws, or whose statement failed unnoticed, leaves nothing", async () => {
  await expect(
    store.transaction(scope, async (tx) => {
      await tx.run(sql`update n set value = 1 where name = 'a'`);
      throw new Error("no");
    }),
  ).rejects.toThrow("no");
  await expect(
    store.transaction(scope, async (tx) => {
      await tx.run(sql`update n set value = 1 where name = 'a'`);
      void tx.run(sql`insert into n values ('a', 2)`);
    }),
  ).rejects.toThrow(/UNIQUE/);
  expect(value()).toBe(0);
});

test("the signal ends a transaction that hangs: rolled back, the next one goes on, the old tx is dead", async () => {
  const stop = new AbortController();
  let late: Promise<unknown> | undefined;
  const hanging = store.transaction({ ...scope, signal: stop.signal }, async (tx) => {
    await tx.run(sql`update n set value = 1 where name = 'a'`);
    stop.abort(new Error("too late"));
    late = turn().then(() => tx.run(sql`update n set value = 2 where name = 'a'`));
    await new Promise(() => {});
  });
  await expect(hanging).rejects.toThrow("too late");
  await store.transaction(
    scope,
    async (tx) => void (await tx.run(sql`update n set value = value + 10 where name = 'a'`)),
  );
  await expect(late).rejects.toThrow("too late");
  expect(value()).toBe(10);
});

test("without a signal the limit ends it, and a wait for a turn ends with its signal", async () => {
  const held = store.transaction({ ...scope, limitMs: 60 }, () => new Promise(() => {}));
  const stop = new AbortController();
  const waiting = store.transaction({ ...scope, signal: stop.signal }, async () => "never");
  stop.abort(new Error("gave up"));
  await expect(waiting).rejects.toThrow("gave up");
  await expect(held).rejects.toMatchObject({ code: "EXPIRED" });
  expect(await store.transaction(scope, async () => "free")).toBe("free");
});

test("a transaction inside another on the same store is refused at once instead of waiting for itself", async () => {
  await expect(store.transaction(scope, () => store.transaction(scope, async () => 1))).rejects.toMatchObject({
    code: "BAD_STATE",
  });
});

test("a tx is refused after its end", async () => {
  const tx = await store.transaction(scope, async (tx) => tx);
  await expect(tx.run(sql`update n set value = 9`)).rejects.toThrow(/is over/);
  const db = await store.read(scope, async (db) => db);
  await expect(db.all(sql`select 1`)).rejects.toThrow(/is over/);
});

test("once does a thing once per key, and forgets it when the transaction does", async () => {
  let done = 0;
  const act = (fail: boolean) =>
    store.transaction(scope, async (tx) => {
      const answer = await tx.once("key", async () => ({ done: ++done }));
      if (fail) throw new Error("later failure");
      return answer;
    });
  await expect(act(true)).rejects.toThrow("later failure");
  expect(await act(false)).toEqual({ done: 2 });
  expect(await act(false)).toEqual({ done: 2 });
  expect(done).toBe(2);
});

test("outbox rows exist if the transaction committed, wake after it, and go in order", async () => {
  let woken = 0;
  store.outbox.onAdded("event", () => woken++);
  await expect(
    store.transaction(scope, async (tx) => {
      await tx.emit("x", "never", {});
      await turn();
      throw new Error("no");
    }),
  ).rejects.toThrow("no");
  expect(woken).toBe(0);
  await store.transaction(scope, async (tx) => {
    await tx.emit("thread:1", "post.added", { n: 1 });
    await tx.enlist("retry", "r1", { other: true });
    await tx.emit("thread:1", "post.added", { n: 2 });
    await turn();
    expect(await store.outbox.take("event", 10)).toEqual([]);
  });
  expect(woken).toBe(1);
  const rows = await store.outbox.take("event", 10);
  expect(rows.map((row) => row.payload)).toEqual([
    { channel: "thread:1", type: "post.added", data: { n: 1 } },
    { channel: "thread:1", type: "post.added", data: { n: 2 } },
  ]);
  expect(new Set(rows.map((row) => row.key)).size).toBe(2);
  await store.outbox.remove(rows.map((row) => row.seq));
  expect(await store.outbox.waiting("event")).toBe(0);
  expect(await store.outbox.waiting("retry")).toBe(1);
});

test("the same file opened twice is one store, closed by the last", async () => {
  const again = await openStore(join(dir, "n.sqlite"), { migrations, bucketed: false });
  await Promise.all(
    [store, again].flatMap((each) =>
      [1, 2, 3].map(() =>
        each.transaction(scope, async (tx) => {
          await turn();
          await tx.run(sql`update n set value = value + 1 where name = 'a'`);
        }),
      ),
    ),
  );
  await store.close();
  expect(await again.read(scope, (db) => db.one(sql`select value from n`))).toEqual({ value: 6 });
  await again.close();
  await expect(again.transaction(scope, async () => {})).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("another connection's lock is waited for without blocking the loop", async () => {
  const other = openDatabase(join(dir, "n.sqlite"));
  other.run(sql`begin immediate`);
  const waiting = store.transaction(
    scope,
    async (tx) => void (await tx.run(sql`update n set value = 3 where name = 'a'`)),
  );
  for (let n = 0; n < 20; n++) await turn();
  other.run(sql`commit`);
  other.close();
  await waiting;
  expect(value()).toBe(3);
});
