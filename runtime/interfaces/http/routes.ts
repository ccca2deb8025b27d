/**
 * Routes: "GET /orders/:id" -> a handler. Compiled once per routes object, so a generation's routes are compiled once.
 * HEAD follows from GET, OPTIONS and 405 from the methods that a path has.
 */
import findMyWay from "find-my-way";
import { CageError } from "../../errors.ts";
import type { Handler } from "../interface.ts";
import { type Reply, reply } from "./answer.ts";
import type { Ask } from "./ask.ts";

export type Answerer = (ask: Ask) => unknown;

/** A route that differs from the others in how its body is read. */
export interface SpecialRoute {
  readonly answer: Answerer;
  /** "stream": the handler runs at once, and reads `ask.stream` as fast as it likes. */
  readonly body?: "whole" | "stream";
  /** In place of the interface's own limit; Infinity for none (a stream holds only what is not read yet). */
  readonly maxBodyBytes?: number;
}

export type Route = Answerer;
export type Routes = Readonly<Record<string, Route | SpecialRoute>>;

export interface Found {
  readonly answer: Answerer;
  readonly streams: boolean;
  readonly maxBodyBytes: number | undefined;
  /** The route as written: what its requests are called in metrics and logs. */
  readonly label: string;
}

export interface Match {
  readonly found: Found;
  readonly params: Readonly<Record<string, string>>;
}

type Router = ReturnType<typeof findMyWay>;
const routers = new WeakMap<Routes, Router>();
const methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] as const;

/** Throws LOAD, naming the route that is none. */
export function compile(routes: Routes): Router {
  let router = routers.get(routes);
  if (router !== undefined) return router;
  router = findMyWay({ ignoreTrailingSlash: false, maxParamLength: 500 });
  for (const [key, route] of Object.entries(routes)) {
    const [method, path, rest] = key.split(" ");
    const answer = typeof route === "function" ? route : route?.answer;
    const { body = "whole", maxBodyBytes } = typeof route === "function" ? ({} as SpecialRoute) : (route ?? {});
    if (
      !methods.includes(method as never) ||
      !path?.startsWith("/") ||
      rest !== undefined ||
      typeof answer !== "function" ||
      !["whole", "stream"].includes(body)
    )
      throw new CageError(
        "LOAD",
        `route '${key}': write it as "GET /path/:name" with a function, or { answer: function, body: "stream" }; methods are ${methods.join(", ")}`,
      );
    const found: Found = { answer, streams: body === "stream", maxBodyBytes, label: key };
    router.on(method as "GET", path, nothing, found);
    if (method === "GET" && routes[`HEAD ${path}`] === undefined) router.on("HEAD", path, nothing, found);
  }
  routers.set(routes, router);
  return router;
}

/** A router wants a function for each route; ours are found with `find` and called by us. */
const nothing = (): void => {};

/**
 * The route of a request, or the answer of a path without one: the module's own come before those of the configuration.
 * Throws NOT_FOUND, METHOD_NOT_ALLOWED.
 */
export function match(module: Handler, answered: Routes | undefined, method: string, path: string): Match | Reply {
  const routes = module["routes"] as Routes | undefined;
  const own = routes && compile(routes);
  const other = answered && compile(answered);
  if (own === undefined && other === undefined)
    throw new CageError("NOT_FOUND", "this interface has no routes; export const routes from its module");
  // "OPTIONS *" asks about the server, and a router would take it for a path.
  const everything = path === "*";
  const hit = everything ? null : find(own, other, method, path);
  if (hit !== null) return { found: hit.store as Found, params: hit.params as Record<string, string> };
  const allowed = everything ? methods : methods.filter((each) => find(own, other, each, path) !== null);
  if (allowed.length === 0) throw new CageError("NOT_FOUND", `nothing is at ${path}`);
  const allow = [...new Set([...allowed, "OPTIONS"])].join(", ");
  if (method === "OPTIONS") return reply({ status: 204, headers: { allow } });
  throw new CageError("METHOD_NOT_ALLOWED", `${path} does not answer ${method}; it answers ${allow}`, {
    details: { allow },
  });
}

const find = (own: Router | undefined, other: Router | undefined, method: string, path: string) =>
  own?.find(method as "GET", path) ?? other?.find(method as "GET", path) ?? null;
