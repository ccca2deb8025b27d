/**
 * Notices: what happened that concerns a person. Others leave them by a retried call; however often that is delivered,
 * there is one notice. The person's pages hear "notice.added" on channel `person:ID`.
 */

import type { Person } from "#lib/social/item.ts";
import { fn, request, sql, z } from "#runtime";
import { accounts } from "./schema.ts";

export interface Notice {
  readonly id: string;
  readonly kind: string;
  readonly thread: string;
  readonly title: string;
  readonly by: Person;
  readonly at: number;
  readonly seen: boolean;
}

interface Row {
  id: string;
  kind: string;
  thread: string;
  title: string;
  by_id: string;
  by_name: string;
  at: number;
  seen: number;
}

/** Shown, and about as many are kept; what is older was either read or will not be. */
const shown = 50;
const kept = 200;

export const add = fn(
  {
    input: z.strictObject({
      to: z.string().min(1).max(40),
      kind: z.string().max(40),
      thread: z.string().max(40),
      title: z.string().max(300),
      by: z.strictObject({ id: z.string().max(40), name: z.string().max(60) }),
      at: z.int(),
    }),
    idempotent: true,
  },
  ({ to, kind, thread, title, by, at }): Promise<{ id: string }> =>
    accounts.partition(to).transaction((tx) => {
      const store = async () => {
        const id = await tx.id();
        await tx.run(sql`insert into notice (id, person, kind, thread, title, by_id, by_name, at, bucket)
          values (${id}, ${to}, ${kind}, ${thread}, ${title}, ${by.id}, ${by.name}, ${at}, ${tx.bucket})`);
        await tx.run(sql`delete from notice where person = ${to} and id in
          (select id from notice where person = ${to} order by id desc limit 10 offset ${kept})`);
        await tx.emit(`person:${to}`, "notice.added", {
          id,
          kind,
          thread,
          title,
          by,
          at,
          seen: false,
        } satisfies Notice);
        return { id };
      };
      // The retried call's id is remembered with the effect: the inbox.
      const call = request.retry?.id;
      return call === undefined ? store() : tx.once(`retry/${call}`, store);
    }),
);

export async function noticesOf(person: Person): Promise<Notice[]> {
  const rows = await accounts.partition(person.id).read((db) =>
    db.all<Row>(sql`select id, kind, thread, title, by_id, by_name, at, seen from notice
      where person = ${person.id} order by id desc limit ${shown}`),
  );
  return rows.map(({ by_id, by_name, seen, ...row }) => ({
    ...row,
    by: { id: by_id, name: by_name },
    seen: seen === 1,
  }));
}

export async function seen(person: Person): Promise<void> {
  await accounts
    .partition(person.id)
    .transaction((tx) => tx.run(sql`update notice set seen = 1 where person = ${person.id} and seen = 0`));
}
