import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDatabase, sql } from "../../../lib/sqlite.ts";
import { Memory } from "../../../runtime/engine/memory.ts";

let dir: string;
let memory: Memory;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "memory-"));
  memory = new Memory(join(dir, "memory.sqlite"));
});
afterEach(() => {
  memory.close();
  rmSync(dir, { recursive: true, force: true });
});

/** Rows that the file holds, whether they can be read or not. */
function rows(): number {
  const db = openDatabase(join(dir, "memory.sqlite"));
  const { n } = db.one<{ n: number }>(sql`select count(*) as n from memory`) ?? { n: -1 };
  db.close();
  return n;
}

describe("memory", () => {
  it("does not grow by what expired, however much is written, and keeps what has not", async () => {
    await memory.write("kept", 1);
    await memory.write("later", 2, { ttlMs: 60_000 });
    for (let n = 0; n < 1_000; n++) await memory.write(`session ${n}`, n, { ttlMs: -1 });
    expect(rows()).toBeLessThanOrEqual(2 + 64);
    expect([(await memory.read("kept"))?.value, (await memory.read("later"))?.value]).toEqual([1, 2]);
  });

  it("gets rid of what others left behind a bounded piece at a time", async () => {
    for (let n = 0; n < 64; n++) await memory.write(`session ${n}`, n, { ttlMs: -1 });
    const before = rows();
    const next = new Memory(join(dir, "memory.sqlite"));
    await next.write("kept", 1);
    next.close();
    expect([before > 32, rows()]).toEqual([true, 1]);
  });

  it("does not change what expired, as if it were there", async () => {
    const revision = await memory.write("brief", 1, { ttlMs: -1 });
    expect(await memory.cas("brief", 2, revision)).toBe(false);
    expect(await memory.cas("brief", 2, 0)).toBe(true);
    expect(await memory.read("brief")).toEqual({ value: 2, revision: 1 });
  });
});
