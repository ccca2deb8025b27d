import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { sql } from "../../../lib/sqlite.ts";
import type { NewCall } from "../../../runtime/retry/call.ts";
import { type Journal, type JournalLimits, openJournal } from "../../../runtime/retry/journal.ts";
import { fakeClock } from "./fake-clock.ts";

let dir: string;
let journal: Journal;
const clock = fakeClock();
const open = (limits: Partial<JournalLimits> = {}) => {
  journal = openJournal({ file: join(dir, "retry.sqlite"), clock, limits });
  return journal;
};
const call = (id: string, more: Partial<NewCall> = {}): NewCall => ({
  id,
  cage: "core",
  path: "posts.add",
  args: new Uint8Array([1]),
  trace: { id: "t", span: "s" },
  logLevel: "info",
  ...more,
});

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "journal-"));
});
afterEach(() => {
  journal.close();
  rmSync(dir, { recursive: true, force: true });
});

describe("journal", () => {
  it("puts what one turn enqueues into one transaction, and a failed one spoils no other", async () => {
    open();
    const versions = () => journal.read((db) => db.one<{ n: number }>(sql`select count(*) as n from calls`)?.n);
    const all = Promise.allSettled([
      ...Array.from({ length: 500 }, (_, n) => journal.enqueue(call(`n${n}`))),
      journal.write(() => {
        throw new Error("mine alone");
      }),
      journal.enqueue(call("last")),
    ]);
    expect(versions()).toBe(0); // nothing is written before the turn is over
    const answers = await all;
    expect(answers.filter((answer) => answer.status === "rejected")).toHaveLength(1);
    expect(versions()).toBe(501);
  });

  it("remembers what it acknowledged", async () => {
    await open().enqueue(call("a"));
    journal.close();
    expect(await open().enqueue(call("a"))).toEqual({ id: "a", duplicate: true });
  });

  it("belongs to one process at a time", () => {
    open();
    expect(() => openJournal({ file: join(dir, "retry.sqlite"), clock })).toThrow(
      expect.objectContaining({ code: "UNAVAILABLE", message: expect.stringContaining("one writer") }),
    );
  });

  it("refuses more open calls than its limit, and takes them again when some are done", async () => {
    open({ maxOpen: 3 });
    const answers = await Promise.allSettled(["a", "b", "c", "d"].map((id) => journal.enqueue(call(id))));
    expect(answers.map((answer) => answer.status)).toEqual(["fulfilled", "fulfilled", "fulfilled", "rejected"]);
    expect((answers[3] as PromiseRejectedResult).reason).toMatchObject({
      code: "OVERLOADED",
      details: { retryAfterMs: 10_000 },
    });
    expect(await journal.enqueue(call("a"))).toEqual({ id: "a", duplicate: true });
    await journal.write((db) => db.run(sql`update calls set state = 'done' where id = 'b'`));
    expect(await journal.enqueue(call("d"))).toEqual({ id: "d", duplicate: false });
  });

  it("refuses writes that the disk does not keep up with, and says when it will have", async () => {
    open();
    const writes = Array.from({ length: 20_001 }, () => journal.write(() => undefined));
    await expect(writes.pop()).rejects.toMatchObject({
      code: "OVERLOADED",
      details: { retryAfterMs: expect.toSatisfy((ms: number) => ms >= 1) },
    });
    await Promise.all(writes);
  });

  it("refuses arguments that are too large, with both sizes", async () => {
    open({ maxArgsBytes: 100 });
    await expect(journal.enqueue(call("a", { args: new Uint8Array(101) }))).rejects.toMatchObject({
      code: "TOO_LARGE",
      message: expect.stringMatching(/101 bytes, 100 are allowed/),
    });
    await expect(journal.enqueue(call("x".repeat(600)))).rejects.toMatchObject({ code: "BAD_INPUT" });
    await expect(journal.enqueue(call("a", { maxAttempts: 0.5 }))).rejects.toMatchObject({ code: "BAD_INPUT" });
  });

  it("refuses with the reason when its file may not grow, loses nothing, and goes on when there is room", async () => {
    open({ maxFileBytes: 400_000 });
    let kept = 0;
    const fill = async () => {
      for (let n = 0; n < 500; n++) {
        await journal.enqueue(call(`n${n}`, { args: new Uint8Array(10_000) }));
        kept++;
      }
    };
    await expect(fill()).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("SQLITE_FULL"),
    });
    expect(journal.counts().get("core")?.waiting).toBe(kept);
    await journal.write((db) => db.run(sql`delete from calls where id in ('n1', 'n2', 'n3')`));
    await expect(journal.enqueue(call("again"))).resolves.toMatchObject({ duplicate: false });
  });

  it("forgets done calls after their retention, and gives the space back", async () => {
    open({ doneRetentionMs: 1_000 });
    await Promise.all(
      Array.from({ length: 300 }, (_, n) => journal.enqueue(call(`n${n}`, { args: new Uint8Array(9_000) }))),
    );
    await journal.write((db) => db.run(sql`update calls set state = 'done' where id <> 'n7'`));
    expect(await journal.sweep()).toBe(0);
    await clock.advance(1_001);
    expect(await journal.sweep()).toBe(299);
    await journal.sweep();
    await journal.sweep();
    expect(journal.counts().get("core")).toMatchObject({ waiting: 1, done: 0 });
    journal.close();
    expect(statSync(join(dir, "retry.sqlite")).size).toBeLessThan(500_000);
    open();
  });

  it("keeps no more done calls than its limit", async () => {
    open({ maxDone: 10 });
    await Promise.all(Array.from({ length: 30 }, (_, n) => journal.enqueue(call(`n${n}`))));
    await journal.write((db) => db.run(sql`update calls set state = 'done'`));
    expect(await journal.sweep()).toBe(20);
    expect(journal.counts().get("core")?.done).toBe(10);
  });

  it("counts exactly, by target and state", async () => {
    open();
    await Promise.all(Array.from({ length: 60 }, (_, n) => journal.enqueue(call(`n${n}`, { cage: `c${n % 3}` }))));
    await journal.write((db) => db.run(sql`update calls set state = 'parked' where cage = 'c1' and seq % 2 = 0`));
    await journal.write((db) => db.run(sql`delete from calls where cage = 'c2'`));
    expect(Object.fromEntries(journal.counts())).toEqual({
      c0: { waiting: 20, running: 0, parked: 0, done: 0 },
      c1: { waiting: 10, running: 0, parked: 10, done: 0 },
    });
  });

  it("refuses when closed", async () => {
    open().close();
    await expect(journal.enqueue(call("a"))).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });
});
