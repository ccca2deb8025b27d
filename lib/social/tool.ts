/**
 * A tool: something that people do to items of any type (rate, comment), declared in one file with its tables, its
 * operations and what a page shows of it.
 *
 *     export const rating = defineTool({
 *       name: "rating",
 *       migrations,
 *       settings: z.strictObject({ kind: z.enum(["updown"]) }),
 *       operations: { rate: operation(z.strictObject({ value: z.int() }), async (act, { value }) => { ... }) },
 *       views: async (db, items, viewer) => [...],                    // one for each item, in their order
 *     });
 *     tools: [rating({ kind: "updown" })]                             // in an item's declaration: attached, with settings
 *
 * An operation runs in a transaction of the item's partition after the item was found, so it changes its own tables and
 * emits its events on `act.found.channel`, all or nothing.
 */
import type { Migration, Read, Tx } from "../partition.ts";
import type { z } from "../schema.ts";
import type { Found, ItemName, Person } from "./item.ts";

/** One application of a tool. */
export interface Act<Settings = unknown> {
  readonly tx: Tx;
  readonly item: ItemName;
  readonly found: Found;
  readonly actor: Person;
  readonly settings: Settings;
}

export interface Operation<Settings, Input, Output> {
  readonly input: z.ZodType<Input>;
  run(act: Act<Settings>, input: Input): Promise<Output>;
}

/** States an operation with the schema of its input. */
export const operation = <Settings, Input, Output>(
  input: z.ZodType<Input>,
  run: (act: Act<Settings>, input: Input) => Promise<Output>,
): Operation<Settings, Input, Output> => ({ input, run });

/** Of whatever inputs: methods compare bivariantly, which lets one table hold operations of different inputs. */
interface AnyOperation<Settings> {
  readonly input: z.ZodType<unknown>;
  run(act: Act<Settings>, input: never): Promise<unknown>;
}

type Operations<Settings> = Readonly<Record<string, AnyOperation<Settings>>>;

/** A tool as attached to one item type. */
export interface Attachment<Name extends string = string, View = unknown> {
  readonly name: Name;
  readonly migrations: readonly Migration[];
  readonly settings: unknown;
  readonly operations: Operations<never>;
  views(db: Read, items: readonly ItemName[], viewer: string | undefined): Promise<readonly View[]>;
}

export interface ToolDeclaration<Name extends string, Settings, View, Ops extends Operations<Settings>> {
  readonly name: Name;
  readonly migrations: readonly Migration[];
  readonly settings: z.ZodType<Settings>;
  readonly operations: Ops;
  readonly views: (
    db: Read,
    items: readonly ItemName[],
    viewer: string | undefined,
    settings: Settings,
  ) => Promise<readonly View[]>;
}

export interface Tool<Name extends string = string, Settings = never, View = unknown, Ops = unknown> {
  (settings: Settings): Attachment<Name, View>;
  readonly tool: Name;
  readonly operations: Ops;
}

export function defineTool<const Name extends string, Settings, View, Ops extends Operations<Settings>>(
  declared: ToolDeclaration<Name, Settings, View, Ops>,
): Tool<Name, Settings, View, Ops> {
  const { name, migrations, operations, views } = declared;
  const attach = (given: Settings): Attachment<Name, View> => {
    const settings = declared.settings.parse(given);
    return {
      name,
      migrations,
      settings,
      operations: operations as unknown as Operations<never>,
      views: (db, items, viewer) => views(db, items, viewer, settings),
    };
  };
  return Object.assign(attach, { tool: name, operations });
}
