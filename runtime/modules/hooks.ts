/**
 * Code that a module has run when it comes into service and when its last request has ended.
 *
 *     export const life = hooks<typeof import("./prices.ts")>({
 *       async handover(old) { table = old.table; },   // before start, if an older version of this file is serving
 *       async start() { timer = setInterval(refresh, 1_000); },
 *       async stop() { clearInterval(timer); },
 *     });
 *
 * `handover` and `start` run on the candidate before it serves, and a throw refuses the reload; the old version is
 * still serving then, so leave what it uses intact. `stop` runs when no request is left that could reach this instance,
 * also for an instance whose reload was refused after its `start`. A module that did not change keeps its instance, and
 * none of these run. Only modules that load with the cage may have hooks, not ones that come by a lazy import().
 */
export interface Hooks<Old = Readonly<Record<string, unknown>>> {
  start?(): unknown;
  stop?(): unknown;
  handover?(old: Old): unknown;
}

// A symbol of the whole process: the cage's copy of this file need not be the loader's.
const brand = Symbol.for("cage.hooks");

export function hooks<Old = Readonly<Record<string, unknown>>>(life: Hooks<Old>): Hooks<Old> {
  return Object.freeze(Object.defineProperty({ ...life }, brand, { value: true }));
}

export const isHooks = (value: unknown): value is Hooks =>
  typeof value === "object" && value !== null && (value as Record<symbol, unknown>)[brand] === true;
