/** Profiles, as other cages call them. */

import { withTools } from "#lib/social/item.ts";
import { fn, z } from "#runtime";
import { content } from "./content.ts";
import { addProfile, profile } from "./items/profile.ts";
import type { Thread } from "./items/thread.ts";
import { latestBy } from "./listing.ts";
import * as text from "./text.ts";
import type { Rating } from "./tools/rating.ts";

/** Threads on a profile's page. */
const threadsShown = 20;

export interface ProfilePage {
  readonly rating: Rating;
  readonly threads: readonly Thread[];
}

/** Told by Impact once a person has signed up; again changes nothing. */
export const add = fn(
  { input: z.strictObject({ person: text.person, since: z.int() }), idempotent: true },
  ({ person, since }): Promise<void> => content.partition(person.id).transaction((tx) => addProfile(tx, person, since)),
);

/** What Core knows of a person: their rating and their latest threads. */
export const page = fn(
  { input: z.strictObject({ id: text.id, viewer: text.id.optional() }), idempotent: true },
  async ({ id, viewer }): Promise<ProfilePage> => {
    const [threads, [row]] = await Promise.all([
      latestBy(id, threadsShown),
      content.partition(id).read((db) => withTools(profile, db, [{ id }], viewer)),
    ]);
    return { rating: (row as { rating: Rating }).rating, threads };
  },
);
