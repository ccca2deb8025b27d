/**
 * What a cage's configuration gives to its code, by name and with its types, as of the generation that runs:
 *
 *     const { shop_db } = resources<typeof config>();      // at the top of a module; looked up at each use
 *     const { perPage } = config<{ perPage: number }>();   // settings: inside a function, they change with a save
 */
import { current } from "../request/request.ts";
import type { ClientOf } from "./clients.ts";
import type { CageConfig } from "./config.ts";

export type Resources<C extends CageConfig> = {
  readonly [Name in keyof C["resources"]]: ClientOf<C["resources"][Name]>;
};

/** Lazy by name and member: a module's top level runs before any resource is open, and outlives none of them. */
export function resources<C extends CageConfig>(): Resources<C> {
  return new Proxy(Object.freeze({}), {
    get: (_, name) => (typeof name === "string" ? lazy(name) : undefined),
  }) as Resources<C>;
}

function lazy(name: string): object {
  // A function as the target, so that a client that is itself a function (`db.partition`, `content(key)`) can be called.
  return new Proxy(() => {}, {
    get: (_, member) => {
      const client = current().lease.resource(name) as Record<PropertyKey, unknown>;
      const value = client[member];
      return typeof value === "function" ? value.bind(client) : value;
    },
    apply: (_, __, args: unknown[]) => (current().lease.resource(name) as (...args: unknown[]) => unknown)(...args),
    has: (_, member) => member in (current().lease.resource(name) as object),
  });
}

export function config<Settings>(): Settings {
  return current().lease.config as Settings;
}
