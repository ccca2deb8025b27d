/**
 * The tool "rating": people for and against an item, one vote a person, changeable. Counted exactly: the counter changes
 * in the transaction of the vote. The item's channel hears "rating.changed".
 */

import { defineTool, operation } from "#lib/social/tool.ts";
import { list, sql, z } from "#runtime";

export interface Rating {
  readonly item: string;
  readonly up: number;
  readonly down: number;
  /** The viewer's own: -1, 0 or 1; absent for a visitor. */
  readonly mine?: number;
}

const migrations = [
  {
    name: "rating/1",
    sql: `
      create table rating (
        item text not null, person text not null, value integer not null, bucket integer not null,
        primary key (item, person)
      ) strict, without rowid;
      create index rating_bucket on rating (bucket);
      create table rating_count (
        item text primary key, up integer not null, down integer not null, bucket integer not null
      ) strict, without rowid;
      create index rating_count_bucket on rating_count (bucket);`,
  },
];

const settings = z.strictObject({ kind: z.enum(["updown"]) });

export const rating = defineTool({
  name: "rating",
  migrations,
  settings,
  operations: {
    /** 1 for, -1 against, 0 takes it back. Doing it again changes nothing. */
    rate: operation(
      z.strictObject({ value: z.union([z.literal(-1), z.literal(0), z.literal(1)], "expected -1, 0 or 1") }),
      async ({ tx, item, actor, found }, { value }): Promise<Rating> => {
        const before = await tx.one<{ value: number }>(
          sql`select value from rating where item = ${item} and person = ${actor.id}`,
        );
        const old = before?.value ?? 0;
        if (old !== value) {
          await tx.run(
            value === 0
              ? sql`delete from rating where item = ${item} and person = ${actor.id}`
              : sql`insert into rating (item, person, value, bucket) values (${item}, ${actor.id}, ${value}, ${tx.bucket})
                    on conflict (item, person) do update set value = excluded.value`,
          );
          const up = Number(value === 1) - Number(old === 1);
          const down = Number(value === -1) - Number(old === -1);
          await tx.run(sql`insert into rating_count (item, up, down, bucket) values (${item}, ${up}, ${down}, ${tx.bucket})
            on conflict (item) do update set up = up + ${up}, down = down + ${down}`);
        }
        const count = await tx.one<{ up: number; down: number }>(
          sql`select up, down from rating_count where item = ${item}`,
        );
        const now = { item, up: count?.up ?? 0, down: count?.down ?? 0 };
        if (old !== value) await tx.emit(found.channel, "rating.changed", now);
        return { ...now, mine: value };
      },
    ),
  },
  async views(db, items, viewer): Promise<Rating[]> {
    const counts = await db.all<{ item: string; up: number; down: number }>(
      sql`select item, up, down from rating_count where item in ${list(items)}`,
    );
    const own = viewer
      ? await db.all<{ item: string; value: number }>(
          sql`select item, value from rating where person = ${viewer} and item in ${list(items)}`,
        )
      : [];
    const count = new Map(counts.map((row) => [row.item, row]));
    const mine = new Map(own.map((row) => [row.item, row.value]));
    return items.map((item) => ({
      item,
      up: count.get(item)?.up ?? 0,
      down: count.get(item)?.down ?? 0,
      ...(viewer ? { mine: mine.get(item) ?? 0 } : {}),
    }));
  },
});
