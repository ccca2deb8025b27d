/**
 * What this community is made of. An item type is added by its file and its name here; a tool by its file and its name
 * in the declaration of an item: tables, calls and pages follow.
 */
import type { Migration } from "#lib/partition.ts";
import { defineCommunity } from "#lib/social/community.ts";
import { post } from "./items/post.ts";
import { profile } from "./items/profile.ts";
import { thread } from "./items/thread.ts";
import { migrations as listing } from "./listing.ts";

export const community = defineCommunity([thread, post, profile]);

/** The schema of the keyspace; the configuration hands it to the resource. */
export const migrations: readonly Migration[] = [...community.migrations, ...listing];
