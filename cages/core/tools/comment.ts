/**
 * The tool "comments": short texts below an item, oldest first; a page shows the newest few. The item's channel hears
 * "comment.added" with the comment.
 */

import { timeOfId } from "#lib/partition/id.ts";
import type { Person } from "#lib/social/item.ts";
import { defineTool, operation } from "#lib/social/tool.ts";
import { sql, z } from "#runtime";
import { body } from "../text.ts";

export interface Comment {
  readonly id: string;
  readonly item: string;
  readonly author: Person;
  readonly body: string;
  readonly at: number;
}

const migrations = [
  {
    name: "comment/1",
    sql: `
      create table comment (
        id text primary key, item text not null, author text not null, author_name text not null, body text not null,
        at integer not null, bucket integer not null
      ) strict;
      create index comment_item on comment (item, id);
      create index comment_bucket on comment (bucket);`,
  },
];

interface Row {
  id: string;
  item: string;
  author: string;
  author_name: string;
  body: string;
  at: number;
}

export const comments = defineTool({
  name: "comments",
  migrations,
  settings: z.strictObject({ shown: z.int().min(1).max(200) }),
  operations: {
    add: operation(z.strictObject({ body }), async ({ tx, item, actor, found }, { body }): Promise<Comment> => {
      const id = await tx.id();
      const comment = { id, item, author: actor, body, at: timeOfId(id) };
      await tx.run(sql`insert into comment (id, item, author, author_name, body, at, bucket)
        values (${id}, ${item}, ${actor.id}, ${actor.name}, ${body}, ${comment.at}, ${tx.bucket})`);
      await tx.emit(found.channel, "comment.added", comment);
      return comment;
    }),
  },
  async views(db, items, _viewer, { shown }): Promise<Comment[][]> {
    // For each item a walk of the index that ends after the shown ones, however many there are.
    const rows = await db.all<Row>(sql`
      select c.id, c.item, c.author, c.author_name, c.body, c.at
      from json_each(${JSON.stringify(items)}) i
      join comment c on c.id in (select id from comment where item = i.value order by id desc limit ${shown})
      order by c.id`);
    const byItem = new Map(items.map((item) => [item, [] as Comment[]]));
    for (const { id, item, author, author_name, body, at } of rows)
      byItem.get(item)?.push({ id, item, author: { id: author, name: author_name }, body, at });
    return [...byItem.values()];
  },
});
