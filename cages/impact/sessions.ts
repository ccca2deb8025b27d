/**
 * Sessions: a token PERSON.SECRET, of which only the secret's hash is kept, in the person's partition. It ends by signing
 * out, after 30 days, or when the person has 20 newer ones.
 */

import type { Tx } from "#lib/partition.ts";
import type { Person } from "#lib/social/item.ts";
import { newToken, tokenHash } from "#lib/token.ts";
import { CageError, request, sql } from "#runtime";
import { accounts } from "./schema.ts";

export interface Session {
  readonly token: string;
  readonly person: Person;
  readonly expires: number;
}

const lifeMs = 30 * 24 * 60 * 60 * 1000;
const maxSessions = 20;

/** In a transaction of the person's partition. */
export async function openSession(tx: Tx, person: Person): Promise<Session> {
  const secret = newToken();
  const now = Date.now();
  const expires = now + lifeMs;
  await tx.run(sql`insert into session (hash, person, at, expires, bucket)
    values (${tokenHash(secret)}, ${person.id}, ${now}, ${expires}, ${tx.bucket})`);
  await tx.run(sql`delete from session where person = ${person.id} and (expires < ${now} or hash in
    (select hash from session where person = ${person.id} order by at desc limit -1 offset ${maxSessions}))`);
  return { token: `${person.id}.${secret}`, person, expires };
}

export async function closeSession(token: string): Promise<void> {
  const parts = parse(token);
  if (parts === undefined) return;
  await accounts
    .partition(parts.person)
    .transaction((tx) => tx.run(sql`delete from session where hash = ${parts.hash} and person = ${parts.person}`));
}

/** Whose session it is, and how many notices wait for them. From here on the request is this person's. */
export async function viewerOf(token: string): Promise<{ person: Person; notices: number } | undefined> {
  const parts = parse(token);
  if (parts === undefined) return undefined;
  const row = await accounts.partition(parts.person).read((db) =>
    db.one<Person & { notices: number }>(sql`
      select p.id, p.name, (select count(*) from notice n where n.person = p.id and n.seen = 0) as notices
      from session s join person p on p.id = s.person
      where s.hash = ${parts.hash} and s.person = ${parts.person} and s.expires > ${Date.now()}`),
  );
  if (row === undefined) return undefined;
  const person = { id: row.id, name: row.name };
  request.identify(person);
  return { person, notices: row.notices };
}

/** The person of a session that must be one. */
export async function signedIn(token: string): Promise<Person> {
  const viewer = await viewerOf(token);
  if (viewer === undefined)
    throw new CageError("UNAUTHORIZED", "you are not signed in, or not any more; sign in again");
  return viewer.person;
}

function parse(token: string): { person: string; hash: string } | undefined {
  const [, person, secret] = /^([0-7][0-9a-hjkmnp-tv-z]{12})\.([A-Za-z0-9_-]{43})$/.exec(token) ?? [];
  return person && secret ? { person, hash: tokenHash(secret) } : undefined;
}
