/**
 * Lists of threads, newest activity first: the front page's and each author's. A thread lives in its own partition, so
 * lists are lookups: a thread's transaction leaves its row in the outbox (kind "listing"), the interface "listing"
 * brings it here, and each list is kept in the partition of its own key. They follow within milliseconds, and a row
 * delivered twice or late changes nothing. Who looks at the front page hears "thread.changed" on channel "front".
 */

import type { OutboxRow } from "#lib/outbox.ts";
import type { Migration } from "#lib/partition.ts";
import { CageError, sql } from "#runtime";
import { content } from "./content.ts";
import type { Thread } from "./items/thread.ts";

export const migrations: readonly Migration[] = [
  {
    name: "listing/1",
    sql: `
      create table listing (
        list text not null, thread text not null, last_at integer not null, posts integer not null, row text not null,
        bucket integer not null, primary key (list, thread)
      ) strict, without rowid;
      create index listing_order on listing (list, last_at, thread);
      create index listing_bucket on listing (bucket);`,
  },
];

/** One forum for now; a forum more is a list more. */
const front = "front:forum";
const byAuthor = (id: string): string => `author:${id}`;

/** The module of the interface "listing". */
export async function deliver(rows: readonly OutboxRow[]): Promise<void> {
  // The last row of a thread says everything that the earlier ones said.
  const threads = [...new Map(rows.map((row) => [row.key, row.payload as Thread])).values()];
  const lists = new Map<string, Thread[]>([[front, threads]]);
  for (const thread of threads) {
    const list = byAuthor(thread.author.id);
    lists.set(list, [...(lists.get(list) ?? []), thread]);
  }
  for (const [list, changed] of lists)
    await content.partition(list).transaction(async (tx) => {
      for (const thread of changed) {
        const { changes } = await tx.run(sql`insert into listing (list, thread, last_at, posts, row, bucket)
          values (${list}, ${thread.id}, ${thread.lastAt}, ${thread.posts}, ${JSON.stringify(thread)}, ${tx.bucket})
          on conflict (list, thread) do update set last_at = excluded.last_at, posts = excluded.posts, row = excluded.row
          where excluded.posts > listing.posts`);
        if (changes > 0 && list === front) await tx.emit("front", "thread.changed", thread);
      }
    });
}

export const latest = (limit: number, before?: string): Promise<Thread[]> => page(front, limit, before);

export const latestBy = (author: string, limit: number): Promise<Thread[]> => page(byAuthor(author), limit);

/**
 * A page begins behind `before`: LASTAT.ID of the last thread shown, as it was shown, so that a thread which moved to the
 * top in the meantime makes no gap and repeats nothing. The id alone serves while the thread stays where it is.
 */
async function page(list: string, limit: number, before?: string): Promise<Thread[]> {
  const [, lastAt, id] = /^(?:(\d{1,15})\.)?([0-7][0-9a-hjkmnp-tv-z]{12})$/.exec(before ?? "") ?? [];
  if (before !== undefined && id === undefined)
    throw new CageError("BAD_INPUT", "before: expected LASTAT.ID of the last thread shown", {
      details: { before: "expected LASTAT.ID" },
    });
  const from =
    id === undefined
      ? sql``
      : lastAt === undefined
        ? sql`and (last_at, thread) < (select last_at, thread from listing where list = ${list} and thread = ${id})`
        : sql`and (last_at, thread) < (${Number(lastAt)}, ${id})`;
  const rows = await content
    .partition(list)
    .read((db) =>
      db.all<{ row: string }>(
        sql`select row from listing where list = ${list} ${from} order by last_at desc, thread desc limit ${limit}`,
      ),
    );
  return rows.map((row) => JSON.parse(row.row) as Thread);
}
