/**
 * The item type "profile": a person as others see them, in the person's own partition, with a rating. People come from
 * Impact's accounts, which tells of each one once.
 */

import type { Tx } from "#lib/partition.ts";
import { defineItem, type Person } from "#lib/social/item.ts";
import { sql } from "#runtime";
import { rating } from "../tools/rating.ts";

export const profile = defineItem({
  name: "profile",
  migrations: [
    {
      name: "profile/1",
      sql: `
        create table profile (
          id text primary key, name text not null, since integer not null, bucket integer not null
        ) strict;
        create index profile_bucket on profile (bucket);`,
    },
  ],
  tools: [rating({ kind: "updown" })],
  async find(db, id) {
    const row = await db.one<Person>(sql`select id, name from profile where id = ${id}`);
    return row && { author: row, channel: `profile:${id}` };
  },
});

export async function addProfile(tx: Tx, person: Person, since: number): Promise<void> {
  await tx.run(sql`insert into profile (id, name, since, bucket) values (${person.id}, ${person.name}, ${since}, ${tx.bucket})
    on conflict (id) do nothing`);
}
