/** A directory, a fake clock and a scripted target for the tests of retried calls. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Deliver } from "../../../runtime/retry/delivery.ts";
import { openRetries, type Retries, type RetriesOptions } from "../../../runtime/retry/retry.ts";
import { type FakeClock, fakeClock, settled } from "./fake-clock.ts";

export interface Delivered {
  readonly id: string;
  readonly attempt: number;
  readonly cage: string;
  readonly path: string;
  readonly args: readonly unknown[];
  readonly at: number;
  readonly remainingMs: number;
}

export interface Stage {
  readonly clock: FakeClock;
  readonly dir: string;
  readonly delivered: Delivered[];
  /** What the target does; replace it at will. */
  answer: (call: Delivered) => Promise<unknown> | unknown;
  readonly retries: Retries;
  /** The process ends (in order) and the next one opens the same journal. */
  restart(): Promise<void>;
  end(): Promise<void>;
}

export async function stage(options: Partial<RetriesOptions> = {}): Promise<Stage> {
  const dir = mkdtempSync(join(tmpdir(), "retry-"));
  const clock = fakeClock();
  const delivered: Delivered[] = [];
  const deliver: Deliver = async (to, path, args, carry) => {
    const call = {
      id: carry.retry?.id ?? "",
      attempt: carry.retry?.attempt ?? 0,
      cage: to.cage,
      path,
      args,
      at: clock.monotonic(),
      remainingMs: carry.remainingMs,
    };
    delivered.push(call);
    return await it.answer(call);
  };
  const open = async () => {
    const retries = openRetries({ file: join(dir, "retry.sqlite"), clock, random: () => 0.5, deliver, ...options });
    await retries.start();
    return retries;
  };
  const stop = async (retries: Retries) => {
    const stopped = retries.stop(100);
    await clock.advance(200);
    await stopped;
  };
  let retries = await open();
  const it: Stage = {
    clock,
    dir,
    delivered,
    answer: () => undefined,
    get retries() {
      return retries;
    },
    async restart() {
      await stop(retries);
      retries = await open();
      await settled();
    },
    async end() {
      await stop(retries);
      rmSync(dir, { recursive: true, force: true });
    },
  };
  return it;
}
