/**
 * The item type "post": what somebody wrote in a thread. It lives in the thread's partition, can be rated and commented,
 * and whoever looks at the thread hears of it: "post.added" with the whole post.
 */

import { timeOfId } from "#lib/partition/id.ts";
import type { Read, Tx } from "#lib/partition.ts";
import { defineItem, type Person, type Views, withTools } from "#lib/social/item.ts";
import { sql } from "#runtime";
import { comments } from "../tools/comment.ts";
import { rating } from "../tools/rating.ts";

interface Row {
  id: string;
  thread: string;
  author: string;
  author_name: string;
  body: string;
  at: number;
}

export interface PostRow {
  readonly id: string;
  readonly thread: string;
  readonly author: Person;
  readonly body: string;
  readonly at: number;
}

/** A post with what its tools show of it. */
export type Post = PostRow & Views<typeof post>;

export const post = defineItem({
  name: "post",
  migrations: [
    {
      name: "post/1",
      sql: `
        create table post (
          id text primary key, thread text not null, author text not null, author_name text not null, body text not null,
          at integer not null, bucket integer not null
        ) strict;
        create index post_thread on post (thread, id);
        create index post_bucket on post (bucket);`,
    },
  ],
  tools: [rating({ kind: "updown" }), comments({ shown: 50 })],
  async find(db, id) {
    const row = await db.one<Row>(sql`select thread, author, author_name from post where id = ${id}`);
    return row && { author: { id: row.author, name: row.author_name }, channel: `thread:${row.thread}` };
  },
});

export async function addPost(tx: Tx, thread: string, author: Person, body: string): Promise<Post> {
  const id = await tx.id();
  const row = { id, thread, author, body, at: timeOfId(id) };
  await tx.run(sql`insert into post (id, thread, author, author_name, body, at, bucket)
    values (${id}, ${thread}, ${author.id}, ${author.name}, ${body}, ${row.at}, ${tx.bucket})`);
  const [added] = await withTools(post, tx, [row], undefined);
  return added as Post;
}

/** Posts of a thread in order of writing, after the one with id `after`. Ids only grow: a page never shifts. */
export async function postsOf(
  db: Read,
  thread: string,
  page: { after: string; limit: number; viewer: string | undefined },
): Promise<{ posts: Post[]; next?: string }> {
  const rows = await db.all<Row>(sql`select id, thread, author, author_name, body, at from post
    where thread = ${thread} and id > ${page.after} order by id limit ${page.limit + 1}`);
  const shown = rows.slice(0, page.limit).map((row) => ({
    id: row.id,
    thread: row.thread,
    author: { id: row.author, name: row.author_name },
    body: row.body,
    at: row.at,
  }));
  const posts = await withTools(post, db, shown, page.viewer);
  const last = shown.at(-1);
  return rows.length > page.limit && last ? { posts, next: last.id } : { posts };
}
