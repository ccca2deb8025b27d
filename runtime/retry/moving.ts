/**
 * The retried calls of one process among several, of which one at a time has the journal.
 *
 *     const retries = movingRetries({ open: () => openRetries(...), handOver: (row) => link.ahead("retry.intake", row) });
 *     await retries.start();
 *     await retries.take();            // from now on the journal is here
 *     await retries.give(12_000);      // what runs is finished, the journal is closed: another process may open it
 *
 * Calls are made durable all the time: while `give` waits for running attempts the journal here takes them in, and from the
 * moment it closes whoever has it next.
 */
import type { OutboxRow } from "../../lib/outbox.ts";
import type { RetryOptions, Target } from "../request/request.ts";
import { type Retries, retriesOf } from "./retry.ts";

export interface MovingRetries extends Retries {
  readonly here: boolean;
  take(): Promise<void>;
  give(graceMs: number): Promise<void>;
}

export interface MovingOptions {
  /** Opens the journal; UNAVAILABLE while another process has it. */
  open(): Retries;
  handOver(row: Pick<OutboxRow, "key" | "payload">): Promise<{ id: string; duplicate: boolean }>;
  /** The journal is here from the beginning. */
  readonly here: boolean;
}

export function movingRetries({ open, handOver, here }: MovingOptions): MovingRetries {
  const away = retriesOf(handOver);
  let current = here ? open() : away;
  return {
    get here() {
      return current !== away;
    },
    start: () => current.start(),
    retry: (to: Target, options: RetryOptions, path: string, args: readonly unknown[]) =>
      current.retry(to, options, path, args),
    intake: (row) => current.intake(row),
    wake: (cage) => current.wake(cage),
    get steering() {
      return current.steering;
    },
    async take() {
      if (current !== away) return;
      const taken = open();
      await taken.start();
      current = taken;
    },
    async give(graceMs) {
      const given = current;
      if (given === away) return;
      await given.drain(graceMs);
      // In this order: what was asked for before is still written, what is asked for now goes to whoever is next.
      current = away;
      await given.stop(0);
    },
    drain: (graceMs) => current.drain(graceMs),
    stop: (graceMs) => current.stop(graceMs),
  };
}
