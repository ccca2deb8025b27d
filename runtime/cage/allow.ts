/**
 * Who may call what of a cage:
 *
 *     defineCage({ allow: { orders: ["shop"], "*": ["health", "cli"] } })
 *
 * lets shop call `orders`, and health and the operator's `./cage call` (whose name is "cli") call everything. What is not
 * named is refused; a list may say "*" for any cage. Without `allow` any cage of the node may call all of the api. A cage
 * may always call itself, and anybody ask `self` (health, description). A call is judged by the generation that serves it:
 * during a trial by either of two (canary.ts), and one that waited in line by that under which it came. The caller's name
 * is proven by its connection (rpc/hello.ts), never taken from the call.
 */
import type { Instance } from "../engine/engine.ts";
import { CageError } from "../errors.ts";

export type Allow = Readonly<Record<string, readonly string[]>>;

/** Throws FORBIDDEN with what to change. */
export function permit(allow: Allow | undefined, me: string, from: Instance, path: string): void {
  if (allow === undefined || from.cage === me) return;
  const [module] = path.split(".") as [string];
  const named = (row: string): boolean =>
    Object.hasOwn(allow, row) && (allow[row] as readonly string[]).some((each) => each === from.cage || each === "*");
  if (named(module) || named("*")) return;
  const who = from.cage === "cli" ? "./cage call, whose name is cli," : from.cage;
  throw new CageError(
    "FORBIDDEN",
    `${who} may not call ${path} of ${me}; to let it, add "${from.cage}" to allow.${module} in config/${me}.ts`,
  );
}
