/**
 * A community: the item types that belong together, and applying tools to their items.
 *
 *     export const community = defineCommunity([thread, post, profile]);
 *     community.migrations                                      // of all types and all tools, each once
 *     const rate = community.use(rating, "rate");               // typed by the tool
 *     await rate(content, { item: "post:ID", actor, input: { value: 1 } });
 *
 * Which item types a tool works on follows from their declarations; nothing else lists tools. An act with `once` is done
 * once per actor and key. Errors carry BAD_INPUT (no such type, tool not attached) or NOT_FOUND (no such item).
 */
import type { Migration, Partition } from "../partition.ts";
import { type ItemName, type ItemType, type Person, parseItem } from "./item.ts";
import type { Attachment, Operation, Tool } from "./tool.ts";

export interface Deed<Input> {
  readonly item: ItemName;
  readonly actor: Person;
  readonly input: Input;
  readonly once?: string | undefined;
}

interface Partitioned {
  partition(key: string): Partition;
}

type InputOf<Op> = Op extends Operation<never, infer Input, unknown> ? Input : never;
type OutputOf<Op> = Op extends { run(...args: never[]): Promise<infer Output> } ? Output : never;

export interface Community {
  readonly migrations: readonly Migration[];
  /** An operation of a tool, for whatever item it is attached to. */
  use<Ops, Name extends keyof Ops & string>(
    tool: Tool<string, never, unknown, Ops>,
    operation: Name,
  ): (data: Partitioned, deed: Deed<InputOf<Ops[Name]>>) => Promise<OutputOf<Ops[Name]>>;
  /** The same by names, with an input that is still to be checked. */
  apply(data: Partitioned, tool: string, operation: string, deed: Deed<unknown>): Promise<unknown>;
}

export function defineCommunity(types: readonly ItemType[]): Community {
  const byName = new Map(types.map((type) => [type.name, type]));
  const migrations = new Map<string, Migration>();
  for (const type of types)
    for (const migration of [...type.migrations, ...type.tools.flatMap((tool) => tool.migrations)])
      migrations.set(migration.name, migration);

  const locate = (item: ItemName, tool: string): { type: ItemType; id: string; attached: Attachment } => {
    const parts = parseItem(item);
    const type = parts && byName.get(parts.type);
    if (parts === undefined || type === undefined)
      throw refusal(
        "BAD_INPUT",
        `'${item.slice(0, 60)}' names no item; expected TYPE:ID with one of ${[...byName.keys()].join(", ")}`,
        {
          item: "there is no such kind of item",
        },
      );
    const attached = type.tools.find((each) => each.name === tool);
    if (attached === undefined)
      throw refusal("BAD_INPUT", `a ${type.name} takes no ${tool}; attach it in its declaration`, {
        item: `a ${type.name} takes no ${tool}`,
      });
    return { type, id: parts.id, attached };
  };

  const apply = async (data: Partitioned, tool: string, name: string, deed: Deed<unknown>): Promise<unknown> => {
    const { item, actor, once } = deed;
    const { type, id, attached } = locate(item, tool);
    const operation = Object.hasOwn(attached.operations, name) ? attached.operations[name] : undefined;
    if (operation === undefined)
      throw refusal("BAD_INPUT", `${tool} has no operation '${name}'`, { operation: "unknown" });
    const parsed = operation.input.safeParse(deed.input);
    if (!parsed.success) {
      const fields = Object.fromEntries(parsed.error.issues.map((issue) => [issue.path.join("."), issue.message]));
      throw refusal("BAD_INPUT", `${tool}.${name}: ${Object.entries(fields)[0]?.join(": ")}`, fields);
    }
    return await data.partition(type.key(id)).transaction(async (tx) => {
      const found = await type.find(tx, id);
      if (found === undefined) throw refusal("NOT_FOUND", `there is no ${type.name} ${id}`, {});
      const act = { tx, item, found, actor, settings: attached.settings as never };
      const run = () => operation.run(act, parsed.data as never);
      return once === undefined ? await run() : await tx.once(`${actor.id}/${once}`, run);
    });
  };

  return {
    migrations: [...migrations.values()],
    apply,
    use: (tool, name) => async (data, deed) => (await apply(data, tool.tool, name, deed)) as never,
  };
}

const refusal = (code: string, message: string, details: Readonly<Record<string, string>>): Error =>
  Object.assign(new Error(message), { code, details });
