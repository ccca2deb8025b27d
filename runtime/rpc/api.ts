/**
 * A cage's public face: what its `api.ts` exports, and nothing else, can be called from outside, by its path
 * ("orders.place"). Every cage also answers `self.describe`, `self.health` and `self.echo`, so an empty one is callable.
 *
 * `fn({ input }, handler)` marks a function with what callers need to know: a schema for its one argument (checked here,
 * at the edge), whether it may be repeated (`idempotent`), and whether it computes for so long that it belongs in a thread
 * of its own (`worker`). A plain function serves as well.
 */

import { nearest } from "../../lib/nearest.ts";
import type { z } from "../../lib/schema.ts";
import { CageError } from "../errors.ts";
import { current } from "../request/request.ts";

const brand = Symbol.for("cage.fn");

export interface FnOptions<Input> {
  readonly input?: z.ZodType<Input>;
  /** Doing it twice is the same as once: it may be sent again after an unknown outcome. */
  readonly idempotent?: boolean;
  /**
   * It computes for more than some milliseconds: it runs in a thread, from anywhere it is called, and answers with a
   * promise. It must be exported from its module; arguments and answer are copied; no resources, no calls.
   */
  readonly worker?: boolean;
}

type Handler = (...args: readonly unknown[]) => unknown;
type Marked = Handler & { [brand]?: FnOptions<unknown> & { readonly handler: Handler } };

/** Marks a function of an api with its schema and what is known of it. */
export function fn<Input, Output>(
  options: FnOptions<Input> & { readonly worker: true },
  handler: (input: Input) => Output,
): (input: Input) => Promise<Awaited<Output>>;
export function fn<Input, Output>(
  options: FnOptions<Input>,
  handler: (input: Input) => Output,
): (input: Input) => Output;
export function fn<Input>(options: FnOptions<Input>, handler: (input: Input) => unknown): (input: Input) => unknown {
  const marked = (
    options.worker ? (input: Input) => current().services.compute(marked, [input]) : (input: Input) => handler(input)
  ) as ((input: Input) => unknown) & { [brand]?: FnOptions<Input> & { readonly handler: typeof handler } };
  marked[brand] = { ...options, handler };
  return marked;
}

/** What a marked function was made of, or a plain one itself. */
export const handlerOf = (work: unknown): Handler => (work as Marked)[brand]?.handler ?? (work as Handler);

export type Api = Readonly<Record<string, unknown>>;

/** Runs `path` of an api with validated arguments. NO_SUCH_FUNCTION names the nearest; BAD_INPUT the path of the fault. */
export async function invoke(api: Api | undefined, path: string, args: readonly unknown[]): Promise<unknown> {
  const target = find(api, path);
  const options = target[brand];
  if (options?.input === undefined) return await target(...args);
  const outcome = options.input.safeParse(args[0]);
  if (!outcome.success) {
    const fields = Object.fromEntries(
      outcome.error.issues.map((issue) => [issue.path.map(String).join("."), issue.message]),
    );
    const [at, why] = Object.entries(fields)[0] ?? ["", "invalid"];
    throw new CageError("BAD_INPUT", `${path}: ${at === "" ? "its argument" : at}: ${why}`, { details: fields });
  }
  return await target(outcome.data);
}

/** Every callable path with what is known of it. */
export function paths(api: Api | undefined): { path: string; idempotent: boolean; validated: boolean }[] {
  const found: { path: string; idempotent: boolean; validated: boolean }[] = [];
  for (const [module, value] of Object.entries(api ?? {})) {
    const functions: [string, unknown][] =
      typeof value === "function"
        ? [[module, value]]
        : isNamespace(value)
          ? Object.entries(value).map(([name, f]) => [`${module}.${name}`, f])
          : [];
    for (const [path, f] of functions) {
      if (typeof f !== "function") continue;
      const options = (f as Marked)[brand];
      found.push({ path, idempotent: options?.idempotent ?? false, validated: options?.input !== undefined });
    }
  }
  return found;
}

function find(api: Api | undefined, path: string): Marked {
  let at: unknown = api;
  // As deep as `paths` tells and no deeper: an exported schema or object has functions too, and they are not the api.
  if (path.split(".").length > 2) at = undefined;
  // Own properties only: "constructor" and "__proto__" are not part of anybody's api.
  for (const name of path.split(".")) at = isNamespace(at) && Object.hasOwn(at, name) ? at[name] : undefined;
  if (typeof at === "function") return at as Marked;
  const known = paths(api).map((row) => row.path);
  const near = nearest(path, known);
  throw new CageError(
    "NO_SUCH_FUNCTION",
    `the api has no function '${path}'${near ? `; did you mean '${near}'?` : known.length > 0 ? `; it has ${known.slice(0, 10).join(", ")}` : "; it exports nothing (write an api.ts)"}`,
  );
}

const isNamespace = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
