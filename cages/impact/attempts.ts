/**
 * A limit on guessing passwords: 10 tries a name in 15 minutes, right ones forgotten. Counted before the password is
 * looked at, so that guesses sent at once count too; for names of nobody as well, so that nothing is learnt from it.
 */

import type { Partition, Tx } from "#lib/partition.ts";
import { CageError, sql } from "#runtime";

const maxTries = 10;
const windowMs = 15 * 60 * 1000;

export async function countTry(home: Partition, key: string): Promise<void> {
  const now = Date.now();
  const tries = await home.transaction(async (tx) => {
    await tx.run(
      sql`delete from attempt where name_key in (select name_key from attempt where since < ${now - windowMs} limit 10)`,
    );
    await tx.run(sql`insert into attempt (name_key, tries, since, bucket) values (${key}, 1, ${now}, ${tx.bucket})
      on conflict (name_key) do update set
        tries = case when since < ${now - windowMs} then 1 else tries + 1 end,
        since = case when since < ${now - windowMs} then ${now} else since end`);
    return (await tx.one<{ tries: number }>(sql`select tries from attempt where name_key = ${key}`))?.tries ?? 0;
  });
  if (tries > maxTries)
    throw new CageError(
      "TOO_MANY",
      "too many tries to sign in with this name; wait a quarter of an hour and try again",
    );
}

export const forgetTries = async (tx: Tx, key: string): Promise<unknown> =>
  tx.run(sql`delete from attempt where name_key = ${key}`);
