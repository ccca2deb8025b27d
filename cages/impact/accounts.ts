/** The service Accounts of planet.thrift: people, their passwords, sessions and notices. */

import { timeOfId } from "#lib/partition/id.ts";
import { checkPassword, hashPassword } from "#lib/password.ts";
import type { Person } from "#lib/social/item.ts";
import { CageError, cage, request, sql } from "#runtime";
import type * as Core from "../core/api.ts";
import { countTry, forgetTries } from "./attempts.ts";
import { acceptName, nameHome, nameKey, refused } from "./names.ts";
import { type Notice, noticesOf, seen } from "./notices.ts";
import { accounts } from "./schema.ts";
import { closeSession, openSession, type Session, signedIn, viewerOf } from "./sessions.ts";

export type { Session };

const core = cage<typeof Core>("core");

/** Beyond 200 characters a password is only work for the hash. */
const passwordLength = { min: 8, max: 200 };

export async function signUp(rawName: string, password: string): Promise<Session> {
  const name = acceptName(rawName);
  if (password.length < passwordLength.min || password.length > passwordLength.max)
    throw refused("password", `a password has ${passwordLength.min} to ${passwordLength.max} characters`);
  const key = nameKey(name);
  const home = accounts.partition(nameHome(key));
  const taken = () => refused("name", "this name is taken; choose another", "CONFLICT");
  // Looked at before the dear hash, and made sure of in the transaction.
  if (await personOf(key)) throw taken();
  const hash = await hashPassword(password, request.signal);
  return await home.transaction(async (tx) => {
    const id = await tx.id();
    const since = timeOfId(id);
    const { changes } = await tx.run(sql`insert into person (id, name, name_key, password, since, bucket)
      values (${id}, ${name}, ${key}, ${hash}, ${since}, ${tx.bucket}) on conflict (name_key) do nothing`);
    if (changes === 0) throw taken();
    await core.retry({ id: `profile:${id}`, in: tx }).profiles.add({ person: { id, name }, since });
    return await openSession(tx, { id, name });
  });
}

export async function signIn(rawName: string, password: string): Promise<Session> {
  const key = nameKey(rawName);
  const home = accounts.partition(nameHome(key));
  await countTry(home, key);
  const person = await home.read((db) =>
    db.one<Person & { password: string }>(sql`select id, name, password from person where name_key = ${key}`),
  );
  if (
    !(await checkPassword(password.slice(0, passwordLength.max), person?.password, request.signal)) ||
    person === undefined
  )
    throw new CageError("UNAUTHORIZED", "the name or the password is wrong");
  return await home.transaction(async (tx) => {
    await forgetTries(tx, key);
    return await openSession(tx, { id: person.id, name: person.name });
  });
}

export const signOut = (session: string): Promise<void> => closeSession(session);

export async function viewer(session: string): Promise<{ person: Person; notices: number }> {
  return (await viewerOf(session)) ?? { person: await signedIn(session), notices: 0 };
}

export const notices = async (session: string): Promise<Notice[]> => await noticesOf(await signedIn(session));

export const noticesSeen = async (session: string): Promise<void> => await seen(await signedIn(session));

/** Somebody by name, for the other services here. */
export async function personOf(key: string): Promise<(Person & { since: number }) | undefined> {
  return await accounts
    .partition(nameHome(key))
    .read((db) => db.one<Person & { since: number }>(sql`select id, name, since from person where name_key = ${key}`));
}
