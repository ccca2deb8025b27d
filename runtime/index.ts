/**
 * The only door that cages use: `import { cage, resources, log } from "#runtime"`.
 *
 *     fn, z                    an api's functions and their schemas
 *     cage, request            calls to other cages; the request this code runs in
 *     resources, sql, list     ways out by name, and SQL that can only bind
 *     hooks, background, keep  the life of a module, work that outlives its request, values that outlive generations
 *     reply, defineCage, secret, config, log, operator
 *     CageError, Terminal, Expired, Cancelled, Overloaded, Unavailable, UnknownOutcome     errors with a code
 *     failure, isFailure       errors that an api declares, and how its callers tell them apart
 */

export { z } from "../lib/schema.ts";
export { list, sql } from "../lib/sql.ts";
export { defineCage } from "./cage/config.ts";
export { config, resources } from "./cage/given.ts";
export { keep } from "./cage/keep.ts";
export { operator } from "./cage/operator.ts";
export type { Overrides } from "./cage/overrides.ts";
export { type Secret, secret } from "./cage/secret.ts";
export type { Status } from "./cage/status.ts";
export type { Answered } from "./engine/engine.ts";
export {
  CageError,
  Cancelled,
  coded,
  Expired,
  Overloaded,
  Terminal,
  told,
  Unavailable,
  UnknownOutcome,
} from "./errors.ts";
export { type Log, log } from "./health/log.ts";
export type { Snapshot } from "./health/metrics.ts";
export type { CometSession } from "./interfaces/comet/conversation.ts";
export { type Ask, type Reply, type Route, type Routes, reply } from "./interfaces/http/http.ts";
export type { Entry } from "./modules/history.ts";
export { hooks } from "./modules/hooks.ts";
export { background } from "./request/background.ts";
export { request } from "./request/door.ts";
export type { CallView } from "./retry/call.ts";
export type { RetrySummary } from "./retry/steering.ts";
export { fn } from "./rpc/api.ts";
export { cage } from "./rpc/cage.ts";
export { type Failed, type Failure, failure, isFailure } from "./rpc/failure.ts";
