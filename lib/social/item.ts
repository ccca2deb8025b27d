/**
 * An item type: something of a community that people can act upon (a post, a profile), declared in one file with its
 * tables, and with the tools that may be applied to it.
 *
 *     export const post = defineItem({
 *       name: "post",
 *       migrations,
 *       tools: [rating({ kind: "updown" }), comments({ shown: 50 })],
 *       find: async (db, id) => { ... return { author, channel: `thread:${thread}` }; },
 *     });
 *
 * Items are named "post:ID" wherever a tool refers to one (`ItemName`). A type whose items live in somebody else's system
 * is declared in the same way, with a `key` for its names and a `find` that asks there.
 */
import type { Migration, Read } from "../partition.ts";
import type { Attachment } from "./tool.ts";

/** TYPE:ID. */
export type ItemName = string;

export interface Person {
  readonly id: string;
  readonly name: string;
}

/** What a tool needs to know of the item it is applied to. */
export interface Found {
  readonly author: Person;
  /** Where people who look at the item listen. */
  readonly channel: string;
}

export interface ItemType<Name extends string = string, Tools extends readonly Attachment[] = readonly Attachment[]> {
  readonly name: Name;
  readonly migrations: readonly Migration[];
  readonly tools: Tools;
  /** The partition key of an item, by its id. */
  key(id: string): string;
  /** In the item's own partition; undefined when there is no such item. */
  find(db: Read, id: string): Promise<Found | undefined>;
}

export interface ItemDeclaration<Name extends string, Tools extends readonly Attachment[]> {
  readonly name: Name;
  readonly migrations: readonly Migration[];
  readonly tools: Tools;
  readonly key?: (id: string) => string;
  readonly find: ItemType["find"];
}

export function defineItem<const Name extends string, const Tools extends readonly Attachment[]>(
  declared: ItemDeclaration<Name, Tools>,
): ItemType<Name, Tools> {
  if (!/^[a-z][a-z0-9-]{0,30}$/.test(declared.name))
    throw Object.assign(
      new Error(`'${declared.name}' cannot name an item type; use a-z, 0-9 and -, beginning with a letter`),
      { code: "CONFIG" },
    );
  // An id of ours carries its bucket and so is its own key.
  return { key: (id) => id, ...declared };
}

/** "post:ID" in its two parts; undefined when it is not of that form. Ids of other systems may contain more colons. */
export function parseItem(name: ItemName): { readonly type: string; readonly id: string } | undefined {
  const parts = /^([a-z][a-z0-9-]{0,30}):([^\p{Cc}\p{Z}]{1,200})$/u.exec(name);
  return parts ? { type: parts[1] as string, id: parts[2] as string } : undefined;
}

/** What the tools of a type add to each of its items: one field a tool, of the tool's name. */
export type Views<Type extends ItemType> = {
  readonly [A in Type["tools"][number] as A["name"]]: A extends Attachment<string, infer View> ? View : never;
};

/** Rows of a type with what its tools show of them: one question a tool, however many rows. */
export async function withTools<Type extends ItemType, Row extends { readonly id: string }>(
  type: Type,
  db: Read,
  rows: readonly Row[],
  viewer: string | undefined,
): Promise<(Row & Views<Type>)[]> {
  if (rows.length === 0) return [];
  const names = rows.map((row) => `${type.name}:${row.id}`);
  const columns = await Promise.all(
    type.tools.map(async (tool) => [tool.name, await tool.views(db, names, viewer)] as const),
  );
  return rows.map(
    (row, at) =>
      ({ ...row, ...Object.fromEntries(columns.map(([name, views]) => [name, views[at]])) }) as Row & Views<Type>,
  );
}
