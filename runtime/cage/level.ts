/**
 * The verb "level": log levels of requests, set live (request/levels.ts).
 *
 *     {}                                                  -> rules in force
 *     { "level": "debug", "principal": "42" }             -> the same, with this one
 *     { "off": true }                                     -> none
 */
import { z } from "../../lib/schema.ts";
import { CageError } from "../errors.ts";
import { log } from "../health/log.ts";
import type { LevelConditions, LevelRule, Levels } from "../request/levels.ts";

/** Labels and ids are shorter; the rest is somebody's mistake. */
const word = z.string().min(1).max(500);

const asked = z.strictObject({
  off: z.literal(true).optional(),
  level: z.enum(["debug", "info", "warn", "error"], "write debug, info, warn or error").optional(),
  label: word.optional(),
  principal: word.optional(),
  trace: z
    .string()
    .regex(/^[0-9a-f]{32}$/, "a trace has 32 hex digits")
    .optional(),
  from: word.optional(),
  forMs: z
    .number()
    .min(1_000, "a rule lasts at least a second")
    .max(24 * 60 * 60 * 1_000, "a rule lasts a day at most; a level for good belongs in no rule")
    .default(10 * 60 * 1_000),
});

export function setLevel(levels: Levels, args: unknown): readonly LevelRule[] {
  const outcome = asked.safeParse(args ?? {});
  if (!outcome.success) {
    const [issue] = outcome.error.issues;
    const path = (issue?.path ?? []).filter((each) => each !== "level");
    throw new CageError("BAD_INPUT", `level: ${[...path, issue?.message].join(": ")}`);
  }
  const { off, level, ...rule } = outcome.data;
  if (off) {
    const ended = levels.clear();
    log.info("log levels are the ordinary ones again", { ended });
  } else if (level !== undefined) {
    const made = levels.add({ level, ...rule });
    log.info(`log level ${level} for ${conditionsOf(made)}`, { until: new Date(made.endsAt).toISOString() });
  } else if (conditionsOf(rule) !== every)
    throw new CageError("BAD_INPUT", "level: say which level those requests shall have (debug, info, warn or error)");
  return levels.list();
}

const every = "every request";

/** For people: `label GET /orders, principal 42`. */
export const conditionsOf = ({ label, principal, trace, from }: LevelConditions): string =>
  Object.entries({ label, principal, trace, from })
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name} ${value}`]))
    .join(", ") || every;
