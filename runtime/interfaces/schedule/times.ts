/**
 * When a schedule fires, as a function of the wall clock alone: the same after a restart, a reload, and on every machine.
 *
 *     timesOf({ cron: "0 3 * * *", timeZone: "Europe/Stockholm" }).next(Date.now())
 *     timesOf({ every: "30s" })        // at :00 and :30 of each minute: whole multiples since 1970 in UTC
 *
 * In the night that clocks change, what is due at a skipped time is due just after it, and what is due at a repeated
 * time once (croner, by the Open Cron Pattern Specification).
 */
import { Cron } from "croner";
import { CageError } from "../../errors.ts";
import { durationMs } from "../../request/duration.ts";

export interface When {
  readonly cron?: string | undefined;
  readonly every?: string | number | undefined;
  readonly timeZone: string;
}

export interface Times {
  /** The first time after `ms` since 1970; undefined when there is none. */
  next(ms: number): number | undefined;
}

/** Faster than this belongs in a loop of the cage's own; a request each would be most of the work. */
const shortestMs = 100;

/** Throws BAD_INPUT, with what is wrong. */
export function timesOf({ cron, every, timeZone }: When): Times {
  if (every !== undefined) {
    const ms = durationMs(every);
    if (ms < shortestMs || !Number.isInteger(ms))
      throw wrong(`${every} is less than ${shortestMs} ms, or no whole ones`);
    return { next: (after) => (Math.floor(after / ms) + 1) * ms };
  }
  const next = (after: number): number | undefined => pattern.nextRun(new Date(after))?.getTime();
  let pattern: Cron;
  try {
    pattern = new Cron(cron ?? "", { timezone: timeZone, paused: true });
    if (next(0) !== undefined) return { next };
  } catch (cause) {
    throw wrong((cause as Error).message, cause);
  }
  throw wrong(`'${cron}' is never due`);
}

const wrong = (sentence: string, cause?: unknown): CageError => new CageError("BAD_INPUT", sentence, { cause });
