/**
 * A process takes the place of another that serves, and refuses nobody:
 *
 *     start beside it --serves--> the old one resigns --> the new one succeeds it --> the old one drains and ends
 *            `--- does not: the old one serves on, and whoever asked is told why
 *
 * Both accept on the same sockets, which the supervisor holds, from the moment that the new one serves until the old one
 * drains. What may be done once only (journal, schedules, outboxes) is done by neither between resigning and succeeding:
 * there is one journal with one writer, and calls that shall be durable wait for it that long.
 */
import { CageError } from "../errors.ts";
import type { Process } from "./process.ts";

/** What the supervisor does for it. */
export interface Posts {
  /** Starts one beside `old`, that is not of the instance yet. */
  beside(old: Process): Process;
  /** `next` is of the instance in the place of `old`, as soon as `work` is done; who asks the instance waits for that. */
  install(next: Process, old: Process, work: () => Promise<void>): Promise<void>;
}

/** As a start has: a first one compiles the cage. */
export const startMs = 60_000;
/** What is delivered, or fired by a schedule, may have its 10 s and the next step as well. */
export const resignMs = 25_000;
export const succeedMs = 10_000;
/** From drain to SIGKILL: the longest request (10 s by default) and a little for flushing. */
export const drainMs = 15_000;

export async function replace(old: Process, posts: Posts): Promise<void> {
  const next = posts.beside(old);
  try {
    await next.serves(startMs);
  } catch (error) {
    next.kill();
    const { code, message } = error as CageError;
    throw new CageError(code, `the new process ${old.number} does not start, the old one serves on: ${message}`, {
      cause: error,
    });
  }
  // One that hangs is no help to anybody; of one that died nothing is left to wait for.
  const left = await old.ask("process.resign", undefined, resignMs).catch(async () => {
    old.kill();
    await old.gone;
  });
  try {
    await posts.install(next, old, async () => {
      try {
        await next.ask("process.succeed", left ?? {}, succeedMs);
      } catch (error) {
        // It is started again as one that crashed.
        next.kill();
        throw error;
      }
    });
  } finally {
    await drained(old);
  }
}

/** Told to drain, ended by force when it takes too long. */
export async function drained(process: Process): Promise<void> {
  process.drain();
  const late = setTimeout(() => process.kill(), drainMs);
  await process.gone;
  clearTimeout(late);
}
