/**
 * The item type "thread": a subject with its posts, all in one partition, whose bucket its id carries. Lists of threads
 * (the front page, a person's) are kept elsewhere: each change leaves the thread's row in the outbox for listing.ts.
 */

import { timeOfId } from "#lib/partition/id.ts";
import type { Read, Tx } from "#lib/partition.ts";
import { defineItem, type Person } from "#lib/social/item.ts";
import { sql } from "#runtime";

export interface Thread {
  readonly id: string;
  readonly title: string;
  readonly author: Person;
  readonly at: number;
  readonly posts: number;
  readonly lastAt: number;
}

interface Row {
  id: string;
  title: string;
  author: string;
  author_name: string;
  at: number;
  posts: number;
  last_at: number;
}

export const thread = defineItem({
  name: "thread",
  migrations: [
    {
      name: "thread/1",
      sql: `
        create table thread (
          id text primary key, title text not null, author text not null, author_name text not null,
          at integer not null, posts integer not null, last_at integer not null, bucket integer not null
        ) strict;
        create index thread_bucket on thread (bucket);`,
    },
  ],
  tools: [],
  async find(db, id) {
    const row = await threadOf(db, id);
    return row && { author: row.author, channel: `thread:${id}` };
  },
});

export async function threadOf(db: Read, id: string): Promise<Thread | undefined> {
  const row = await db.one<Row>(sql`select * from thread where id = ${id}`);
  return (
    row && {
      id: row.id,
      title: row.title,
      author: { id: row.author, name: row.author_name },
      at: row.at,
      posts: row.posts,
      lastAt: row.last_at,
    }
  );
}

export async function addThread(tx: Tx, title: string, author: Person): Promise<string> {
  const id = await tx.id();
  const at = timeOfId(id);
  await tx.run(sql`insert into thread (id, title, author, author_name, at, posts, last_at, bucket)
    values (${id}, ${title}, ${author.id}, ${author.name}, ${at}, 0, ${at}, ${tx.bucket})`);
  return id;
}

/** Counts a post in, and has the lists of threads follow. */
export async function touchThread(tx: Tx, id: string, at: number): Promise<Thread> {
  await tx.run(sql`update thread set posts = posts + 1, last_at = ${at} where id = ${id}`);
  const row = (await threadOf(tx, id)) as Thread;
  await tx.enlist("listing", id, row);
  return row;
}
