/** The service Forum of planet.thrift: each question is one call to Core, which has the answer whole. */

import type { Person } from "#lib/social/item.ts";
import { CageError, cage } from "#runtime";
import type * as Core from "../core/api.ts";
import { personOf } from "./accounts.ts";
import { nameKey } from "./names.ts";
import { signedIn, viewerOf } from "./sessions.ts";

const core = cage<typeof Core>("core");

const maxThreads = 100;

export const threads = (limit: number, before?: string) =>
  core.threads.list({ limit: Math.max(1, Math.min(maxThreads, limit)), ...(before ? { before } : {}) });

export async function thread(session: string, id: string, after?: string) {
  return await core.threads.page({ id, limit: 50, ...(await seenBy(session)), ...(after ? { after } : {}) });
}

export async function start(session: string, title: string, body: string, once: string) {
  return await core.threads.start({ author: await signedIn(session), title, body, once });
}

export async function reply(session: string, thread: string, body: string, once: string) {
  return await core.threads.reply({ author: await signedIn(session), thread, body, once });
}

export async function comment(session: string, item: string, body: string, once: string) {
  return await core.tools.comment({ actor: await signedIn(session), item, body, once });
}

export async function rate(session: string, item: string, value: number) {
  return await core.tools.rate({ actor: await signedIn(session), item, value: value as -1 | 0 | 1 });
}

export async function profile(session: string, name: string) {
  const found = await personOf(nameKey(name));
  if (found === undefined) throw new CageError("NOT_FOUND", `there is nobody named ${name.slice(0, 60)}`);
  const person: Person = { id: found.id, name: found.name };
  const page = await core.profiles.page({ id: person.id, ...(await seenBy(session)) });
  return { person, since: found.since, ...page };
}

/** A visitor, and whoever's session has ended, reads without a rating of their own. */
async function seenBy(session: string): Promise<{ viewer?: string }> {
  const viewer = session === "" ? undefined : await viewerOf(session);
  return viewer ? { viewer: viewer.person.id } : {};
}
