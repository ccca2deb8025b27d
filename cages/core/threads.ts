/** Threads and what is written in them, as other cages call it. */

import { CageError, cage, fn, z } from "#runtime";
import type * as Impact from "../impact/api.ts";
import { content } from "./content.ts";
import { addPost, type Post, postsOf } from "./items/post.ts";
import { addThread, type Thread, threadOf, touchThread } from "./items/thread.ts";
import { latest } from "./listing.ts";
import * as text from "./text.ts";

const impact = cage<typeof Impact>("impact");

/** Posts on one page; the bench and the site agree on 50. */
const maxPage = 50;

export const list = fn(
  {
    input: z.strictObject({ limit: z.int().min(1).max(100), before: z.string().max(40).optional() }),
    idempotent: true,
  },
  ({ limit, before }): Promise<Thread[]> => latest(limit, before),
);

export interface ThreadPage {
  readonly thread: Thread;
  readonly posts: readonly Post[];
  /** Where the next page begins; absent on the last. */
  readonly next?: string;
}

/** A whole page in one call: the thread, its posts with ratings (the viewer's own too) and comments. */
export const page = fn(
  {
    input: z.strictObject({
      id: text.id,
      viewer: text.id.optional(),
      after: text.id.optional(),
      limit: z.int().min(1).max(maxPage).default(maxPage),
    }),
    idempotent: true,
  },
  ({ id, viewer, after, limit }): Promise<ThreadPage> =>
    content.partition(id).read(async (db) => {
      const thread = await threadOf(db, id);
      if (thread === undefined) throw noThread(id);
      return { thread, ...(await postsOf(db, id, { after: after ?? "", limit, viewer })) };
    }),
);

/** A new thread with its first post. The same `once` of the same author gives the thread of the first time. */
export const start = fn(
  {
    input: z.strictObject({ author: text.person, title: text.title, body: text.body, once: text.once }),
    idempotent: true,
  },
  ({ author, title, body, once }): Promise<Thread> => {
    const key = `${author.id}/${once}`;
    // The thread's bucket comes from the act, so that a repetition of it looks in the same place.
    return content.partition(`start:${key}`).transaction((tx) =>
      tx.once(key, async () => {
        const id = await addThread(tx, title, author);
        const first = await addPost(tx, id, author, body);
        return await touchThread(tx, id, first.at);
      }),
    );
  },
);

export const reply = fn(
  {
    input: z.strictObject({ author: text.person, thread: text.id, body: text.body, once: text.once }),
    idempotent: true,
  },
  ({ author, thread: id, body, once }): Promise<Post> =>
    content.partition(id).transaction((tx) =>
      tx.once(`${author.id}/${once}`, async () => {
        const thread = await threadOf(tx, id);
        if (thread === undefined) throw noThread(id);
        const added = await addPost(tx, id, author, body);
        await touchThread(tx, id, added.at);
        await tx.emit(`thread:${id}`, "post.added", added);
        // Durable with the post, or not at all; one's own reply is no news.
        if (author.id !== thread.author.id)
          await impact.retry({ id: `notice:${added.id}`, expiresIn: "7d", in: tx }).notices.add({
            to: thread.author.id,
            kind: "reply",
            thread: id,
            title: thread.title,
            by: author,
            at: added.at,
          });
        return added;
      }),
    ),
);

const noThread = (id: string): CageError => new CageError("NOT_FOUND", `there is no thread ${id}`);
