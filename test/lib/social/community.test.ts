import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, expectTypeOf, test } from "vitest";
import { type Keyspace, openKeyspace } from "../../../lib/partition/keyspace.ts";
import type { Read } from "../../../lib/partition.ts";
import { z } from "../../../lib/schema.ts";
import { defineCommunity } from "../../../lib/social/community.ts";
import { defineItem, parseItem, type Views, withTools } from "../../../lib/social/item.ts";
import { type Act, defineTool, operation } from "../../../lib/social/tool.ts";
import { list, sql } from "../../../lib/sql.ts";

/** A tool of an application's own, in one place: people star things. */
const stars = defineTool({
  name: "stars",
  migrations: [
    {
      name: "stars/1",
      sql: "create table star (item text, person text, bucket integer not null, primary key (item, person)) strict",
    },
  ],
  settings: z.strictObject({ most: z.int() }),
  operations: {
    give: operation(
      z.strictObject({ why: z.string().max(20) }),
      async ({ tx, item, actor, found, settings }: Act<{ most: number }>, { why }) => {
        await tx.run(
          sql`insert into star (item, person, bucket) values (${item}, ${actor.id}, ${tx.bucket}) on conflict do nothing`,
        );
        const given = (await tx.one<{ n: number }>(sql`select count(*) as n from star where item = ${item}`))?.n ?? 0;
        if (given > settings.most) throw new Error("too many stars");
        await tx.emit(found.channel, "stars.changed", { item, given, why });
        return { given };
      },
    ),
  },
  async views(db: Read, items): Promise<number[]> {
    const rows = await db.all<{ item: string; n: number }>(
      sql`select item, count(*) as n from star where item in ${list(items)} group by item`,
    );
    return items.map((item) => rows.find((row) => row.item === item)?.n ?? 0);
  },
});

const photo = defineItem({
  name: "photo",
  migrations: [{ name: "photo/1", sql: "create table photo (id text primary key, bucket integer not null) strict" }],
  tools: [stars({ most: 2 })],
  async find(db, id) {
    const row = await db.one<{ id: string }>(sql`select id from photo where id = ${id}`);
    return row && { author: { id: "1", name: "Ann" }, channel: `photo:${id}` };
  },
});
/** An item of somebody else's system: known by its id there, found without a table here. */
const product = defineItem({
  name: "product",
  migrations: [],
  tools: [stars({ most: 100 })],
  key: (id) => `product:${id}`,
  find: async (_db, id) =>
    id.startsWith("sku") ? { author: { id: "shop", name: "Shop" }, channel: `product:${id}` } : undefined,
});
const bare = defineItem({ name: "bare", migrations: [], tools: [], find: async () => undefined });

const community = defineCommunity([photo, product, bare]);
const give = community.use(stars, "give");
const ann = { id: "1", name: "Ann" };
const bob = { id: "2", name: "Bob" };

let dir: string;
let data: Keyspace;
let id: string;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "social-"));
  data = await openKeyspace({ name: "social", dir, partitions: 2, migrations: community.migrations });
  id = await data.partition("a:b").transaction(async (tx) => {
    const id = await tx.id();
    await tx.run(sql`insert into photo (id, bucket) values (${id}, ${tx.bucket})`);
    return id;
  });
});
afterEach(async () => {
  await data.close();
  rmSync(dir, { recursive: true, force: true });
});

test("a tool attached to two types brings its tables once", () => {
  expect(community.migrations.map((each) => each.name)).toEqual(["photo/1", "stars/1"]);
});

test("a tool is applied to an item in the item's partition, with its event, and seen on a page", async () => {
  expect(await give(data, { item: `photo:${id}`, actor: ann, input: { why: "light" } })).toEqual({ given: 1 });
  const [seen] = await data.partition(id).read((db) => withTools(photo, db, [{ id, title: "x" }], undefined));
  expect(seen).toEqual({ id, title: "x", stars: 1 });
  expectTypeOf<Views<typeof photo>>().toEqualTypeOf<{ readonly stars: number }>();
  const home = data.outboxes.find((each) => each.name.endsWith(data.partition(id).name));
  expect((await home?.take("event", 10))?.map((row) => row.payload)).toEqual([
    { channel: `photo:${id}`, type: "stars.changed", data: { item: `photo:${id}`, given: 1, why: "light" } },
  ]);
});

test("an item of another system takes the same tools, by its id there", async () => {
  expect(await give(data, { item: "product:sku:7/ä", actor: ann, input: { why: "" } })).toEqual({ given: 1 });
  expect(await give(data, { item: "product:sku:7/ä", actor: bob, input: { why: "" } })).toEqual({ given: 2 });
  await expect(give(data, { item: "product:none", actor: bob, input: { why: "" } })).rejects.toMatchObject({
    code: "NOT_FOUND",
  });
});

test("an act that fails leaves nothing, and settings count for each attachment", async () => {
  for (const actor of [ann, bob]) await give(data, { item: `photo:${id}`, actor, input: { why: "" } });
  await expect(give(data, { item: `photo:${id}`, actor: { id: "3", name: "C" }, input: { why: "" } })).rejects.toThrow(
    "too many",
  );
  const [seen] = await data.partition(id).read((db) => withTools(photo, db, [{ id }], undefined));
  expect(seen?.stars).toBe(2);
});

test("an act with the same once is done once per actor", async () => {
  const deed = { item: `photo:${id}`, input: { why: "" }, once: "k" };
  expect(await give(data, { ...deed, actor: ann })).toEqual({ given: 1 });
  expect(await give(data, { ...deed, actor: bob })).toEqual({ given: 2 });
  expect(await give(data, { ...deed, actor: ann })).toEqual({ given: 1 });
});

test("what does not fit is refused with the field: unknown type, tool not attached, bad input, unknown operation", async () => {
  const bad = (deed: Parameters<typeof community.apply>[3], name = "give") =>
    expect(community.apply(data, "stars", name, deed)).rejects;
  await bad({ item: "song:1", actor: ann, input: { why: "" } }).toMatchObject({
    code: "BAD_INPUT",
    details: { item: expect.anything() },
  });
  await bad({ item: "nonsense", actor: ann, input: { why: "" } }).toMatchObject({ code: "BAD_INPUT" });
  await bad({ item: "bare:1", actor: ann, input: { why: "" } }).toThrow(/a bare takes no stars/);
  await bad({ item: `photo:${id}`, actor: ann, input: { why: 3 } }).toMatchObject({
    code: "BAD_INPUT",
    details: { why: expect.anything() },
  });
  await bad({ item: `photo:${id}`, actor: ann, input: {} }, "constructor").toThrow(/no operation/);
});

test("an item's name is TYPE:ID, where an id may hold colons but no spaces or control characters", () => {
  expect(parseItem("post:06xy035tyfh00")).toEqual({ type: "post", id: "06xy035tyfh00" });
  expect(parseItem("shop:a:b")).toEqual({ type: "shop", id: "a:b" });
  for (const wrong of ["", "post", "post:", ":1", "Post:1", "post:a b", "post:a\u0000", `post:${"x".repeat(201)}`])
    expect(parseItem(wrong)).toBeUndefined();
});
