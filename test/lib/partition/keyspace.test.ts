import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { bucketCount } from "../../../lib/partition/bucket.ts";
import { type Keyspace, openKeyspace } from "../../../lib/partition/keyspace.ts";
import { ownerOf, planMap, readMap, writeMap } from "../../../lib/partition/map.ts";
import type { Migration } from "../../../lib/partition.ts";
import { openDatabase, sql } from "../../../lib/sqlite.ts";

const migrations: Migration[] = [
  {
    name: "fact/1",
    sql: "create table fact (n integer primary key, key text not null, bucket integer not null) strict",
  },
];

let dir: string;
const opened: Keyspace[] = [];
const open = async (over: Partial<Parameters<typeof openKeyspace>[0]> = {}) => {
  const keyspace = await openKeyspace({ name: "facts", dir, partitions: 4, migrations, ...over });
  opened.push(keyspace);
  return keyspace;
};

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "keyspace-"));
});
afterEach(async () => {
  for (const keyspace of opened.splice(0)) await keyspace.close();
  rmSync(dir, { recursive: true, force: true });
});

const add = (keyspace: Keyspace, key: string, n: number) =>
  keyspace.partition(key).transaction(async (tx) => {
    await tx.run(sql`insert into fact (n, key, bucket) values (${n}, ${key}, ${tx.bucket})`);
  });
const facts = (keyspace: Keyspace, key: string) =>
  keyspace.partition(key).read((db) => db.all<{ n: number }>(sql`select n from fact where key = ${key} order by n`));

test("every bucket has one owner, evenly; a partition more takes only what it wins", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), (count) => {
      const names = Array.from({ length: count }, (_, at) => `p${at}`);
      const before = planMap(names);
      const after = planMap([...names, `p${count}`]);
      const sizes = new Map<string, number>();
      for (let bucket = 0; bucket < bucketCount; bucket++) {
        const owner = ownerOf(before, bucket);
        sizes.set(owner, (sizes.get(owner) ?? 0) + 1);
        const now = ownerOf(after, bucket);
        if (now !== owner) expect(now).toBe(`p${count}`);
      }
      for (const size of sizes.values()) expect(Math.abs(size / (bucketCount / count) - 1)).toBeLessThan(0.2);
    }),
    { numRuns: 8 },
  );
});

test("what was written by a key is read by it, also after opening again", async () => {
  const first = await open();
  const keys = Array.from({ length: 40 }, (_, n) => `key:${n}`);
  for (const [n, key] of keys.entries()) await add(first, key, n);
  expect(new Set(keys.map((key) => first.partition(key).name)).size).toBe(4);
  await first.close();
  const second = await open();
  for (const [n, key] of keys.entries()) expect(await facts(second, key)).toEqual([{ n }]);
});

test("an id made in a transaction routes to the partition that made it", async () => {
  const keyspace = await open();
  for (let n = 0; n < 50; n++) {
    const home = keyspace.partition(`key:${n}`);
    const id = await home.transaction((tx) => tx.id());
    expect(keyspace.partition(id)).toMatchObject({ name: home.name, bucket: home.bucket });
  }
});

test("ids of a partition only grow, however the clock jumps", async () => {
  let now = Date.UTC(2026, 0, 1);
  const keyspace = await open({ partitions: 1, clock: () => now });
  const ids: string[] = [];
  for (const jump of [0, 0, -5_000, 3, -1, 0, 10_000]) {
    now += jump;
    await keyspace.partition("a:b").transaction(async (tx) => {
      for (let n = 0; n < 1_500; n++) ids.push(await tx.id());
    });
  }
  // All in one bucket: text order is the order of time and sequence.
  expect(ids).toEqual([...new Set(ids)].sort());
});

test("scatter asks every partition once, and says which did not answer in time", async () => {
  const keyspace = await open();
  for (let n = 0; n < 20; n++) await add(keyspace, `key:${n}`, n);
  const counts = await keyspace.scatter(
    async (db) => (await db.one<{ n: number }>(sql`select count(*) as n from fact`))?.n ?? 0,
    { limit: 2, timeoutMs: 5_000 },
  );
  expect(counts).toHaveLength(4);
  expect(counts.reduce((a, b) => a + b)).toBe(20);
  await expect(keyspace.scatter(() => new Promise(() => {}), { limit: 2, timeoutMs: 20 })).rejects.toMatchObject({
    code: "EXPIRED",
  });
});

test("a caller with an old map is told, reads the new one and goes to the new place", async () => {
  const keyspace = await open();
  await add(keyspace, "key:1", 1);
  const map = readMap(join(dir, "map.json"))!;
  // Everything moves to p0, as another process would do it: its epoch first in the partitions, then in the map.
  for (const partition of map.partitions) {
    const db = openDatabase(join(dir, `${partition}.sqlite`));
    db.run(sql`update _about set value = '2' where key = 'epoch'`);
    db.close();
  }
  await expect(add(keyspace, "key:1", 2)).rejects.toMatchObject({ code: "WRONG_PARTITION", mapEpoch: 1, epoch: 2 });
  writeMap(join(dir, "map.json"), { ...map, epoch: 2, owners: map.owners.map(() => 0) });
  await add(keyspace, "key:1", 2);
  expect(keyspace.partition("key:1")).toMatchObject({ name: "p0", epoch: 2 });
  expect(await facts(keyspace, "key:1")).toContainEqual({ n: 2 });
});

test("a keyspace does not open with another number of partitions, or with another's files", async () => {
  await (await open()).close();
  await expect(open({ partitions: 8 })).rejects.toMatchObject({
    code: "CONFIG",
    message: expect.stringContaining("configure 4"),
  });
  await expect(open({ name: "other" })).rejects.toMatchObject({
    code: "CONFIG",
    message: expect.stringContaining("belongs elsewhere"),
  });
});

test("migrations reach every partition once; an edited, repeated, failing or bucketless one refuses to open", async () => {
  await (await open()).close();
  const more = [...migrations, { name: "note/1", sql: "create table note (id text, bucket integer) strict" }];
  const keyspace = await open({ migrations: more });
  expect(
    await keyspace.scatter(async (db) => await db.all(sql`select * from note`), { limit: 4, timeoutMs: 1_000 }),
  ).toHaveLength(4);
  await keyspace.close();
  const refused = (list: Migration[]) => expect(open({ migrations: list })).rejects;
  await refused([...more, more[0]!]).toThrow(/stands twice/);
  await refused([{ name: "fact/1", sql: "create table fact (n integer, bucket integer)" }, more[1]!]).toThrow(
    /edited after/,
  );
  await refused([...more, { name: "x/1", sql: "create table x (y integer)" }]).toThrow(/no column bucket/);
  await refused([...more, { name: "x/1", sql: "create tabel x" }]).toThrow(/migration x\/1 failed/);
  // Code that was rolled back meets a newer schema, and goes forward again.
  await (await open()).close();
  await open({ migrations: more });
});
