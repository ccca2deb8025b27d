import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { sql } from "../../../lib/sql.ts";
import { type Lease, Request, run, type Services } from "../../../runtime/request/request.ts";
import { type Partitions, type PartitionsOptions, partitions } from "../../../runtime/resources/partitions.ts";
import type { Resource } from "../../../runtime/resources/resource.ts";
import { type SqliteClient, sqlite } from "../../../runtime/resources/sqlite.ts";

const lease: Lease = {
  id: 1,
  module: () => undefined,
  resource: () => undefined,
  config: {},
  again: () => lease,
  release: () => {},
};
const inRequest = async <T>(fn: () => Promise<T>, timeoutMs = 5_000): Promise<T> => {
  const request = new Request({ services: {} as Services, lease, interface: "test", label: "a test", timeoutMs });
  try {
    return await run(request, fn);
  } finally {
    request.end();
  }
};
const never = () => new Promise<never>(() => {});
const migrations = [
  { name: "n/1", sql: "create table n (n integer primary key, bucket integer not null default 0) strict" },
];

let dir: string;
let open: Resource<unknown>[] = [];
const host = () => ({ name: "data", cage: "shop", stateDir: dir });
const openSqlite = async (over: object = {}) => {
  const resource = await sqlite.open(sqlite.options.parse({ file: "x.sqlite", migrations, ...over }), host());
  open.push(resource);
  return resource;
};
const openPartitions = async (over: Partial<PartitionsOptions> = {}) => {
  const resource = await partitions.open(partitions.options.parse({ migrations, ...over }), host());
  open.push(resource);
  return resource;
};

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "resource-"));
});
afterEach(async () => {
  for (const resource of open) await resource.close();
  open = [];
  rmSync(dir, { recursive: true, force: true });
});

const add = (client: SqliteClient, n: number) => client.run(sql`insert into n (n) values (${n})`);

test("sqlite: reads, writes, transactions; a write by `all` is refused rather than blocking", async () => {
  const { client, check } = await openSqlite();
  await check();
  await inRequest(async () => {
    expect(await add(client, 1)).toMatchObject({ changes: 1 });
    await client.transaction(async (tx) => void (await tx.run(sql`insert into n (n) values (2)`)));
    expect(await client.one(sql`select n from n where n = 2`)).toEqual({ n: 2 });
    expect(await client.all(sql`select n from n order by n`)).toEqual([{ n: 1 }, { n: 2 }]);
    await expect(client.all(sql`insert into n (n) values (3) returning n`)).rejects.toThrow(/readonly/);
  });
});

test("sqlite: outside a request it is refused", async () => {
  const { client } = await openSqlite();
  await expect(client.all(sql`select 1`)).rejects.toMatchObject({ code: "NO_REQUEST" });
});

test("both: the request's deadline ends a transaction that hangs and frees its place", async () => {
  const { client } = await openSqlite();
  const { client: keyspace } = await openPartitions();
  await expect(inRequest(() => client.transaction(never), 60)).rejects.toMatchObject({ code: "EXPIRED" });
  await expect(inRequest(() => keyspace.partition("a:b").transaction(never), 60)).rejects.toMatchObject({
    code: "EXPIRED",
  });
  await expect(inRequest(() => keyspace.partition("a:b").read(never), 60)).rejects.toMatchObject({ code: "EXPIRED" });
  await inRequest(() => add(client, 1));
  expect(await inRequest(() => keyspace.partition("a:b").transaction(async (tx) => await tx.id()))).toHaveLength(13);
});

test("both: of those who wait for a turn the most urgent goes first, and no more wait than configured", async () => {
  const { client } = await openSqlite({ waiting: 2 });
  const { client: keyspace } = await openPartitions({ waiting: 2 });
  for (const transaction of [client.transaction, keyspace.partition("a:b").transaction]) {
    let release = () => {};
    const order: string[] = [];
    const inTurn = (name: string, timeoutMs: number) =>
      inRequest(() => transaction(async () => void order.push(name)), timeoutMs);
    const first = inRequest(() => transaction(() => new Promise<void>((resolve) => (release = resolve))));
    const rest = [inTurn("patient", 8_000), inTurn("urgent", 4_000)];
    await expect(inTurn("one too many", 6_000)).rejects.toMatchObject({ code: "OVERLOADED" });
    await new Promise(setImmediate);
    release();
    await Promise.all([first, ...rest]);
    expect(order).toEqual(["urgent", "patient"]);
  }
});

test("both: opened anew with another migration while the old one is in use; a failing one leaves the old one serving", async () => {
  const old = await openPartitions();
  const count = (resource: Resource<Partitions>, table: string) =>
    inRequest(() =>
      resource.client
        .partition("a:b")
        .read((db) => db.one(sql`select count(*) as n from ${sql([table] as unknown as TemplateStringsArray)}`)),
    );
  await expect(
    openPartitions({ migrations: [...migrations, { name: "m/1", sql: "create tabel m" }] }),
  ).rejects.toMatchObject({ code: "CONFIG" });
  expect(await count(old, "n")).toEqual({ n: 0 });
  const next = await openPartitions({
    migrations: [...migrations, { name: "m/1", sql: "create table m (bucket integer)" }],
  });
  expect(await count(next, "m")).toEqual({ n: 0 });
  await old.close();
  expect(await count(next, "n")).toEqual({ n: 0 });
});

test("partitions: scatter reaches all, and options that do not fit are named", async () => {
  const { client } = await openPartitions({ partitions: 3 });
  expect(await inRequest(() => client.scatter(async (_, name) => name, { limit: 1, timeoutMs: 1_000 }))).toEqual([
    "p0",
    "p1",
    "p2",
  ]);
  expect(client.outboxes.map((outbox) => outbox.name)).toEqual(["data/p0", "data/p1", "data/p2"]);
  for (const wrong of [{ partitions: 0, migrations }, { migrations: [{ name: "x" }] }, { migrations, bucket: 1 }, {}])
    expect(partitions.options.safeParse(wrong).success).toBe(false);
});
