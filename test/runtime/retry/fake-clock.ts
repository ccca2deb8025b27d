/** A clock that moves when told to. `advance` fires what comes due on the way, and lets each firing settle. */
import type { Clock } from "../../../runtime/retry/clock.ts";

export interface FakeClock extends Clock {
  advance(ms: number): Promise<void>;
  /** The wall clock alone, as an administrator or a bad time server moves it. */
  jump(ms: number): void;
}

/** Turns of the event loop in which everything that is not waiting for the clock comes to rest. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 12; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export function fakeClock(wall = Date.UTC(2026, 0, 1)): FakeClock {
  let monotonic = 1_000;
  let offset = wall - monotonic;
  const timers = new Map<object, { at: number; fn: () => void }>();
  return {
    wall: () => monotonic + offset,
    monotonic: () => monotonic,
    after(ms, fn) {
      const key = {};
      timers.set(key, { at: monotonic + ms, fn });
      return () => void timers.delete(key);
    },
    jump(ms) {
      offset += ms;
    },
    async advance(ms) {
      const end = monotonic + ms;
      await settled();
      for (;;) {
        const due = [...timers].filter(([, timer]) => timer.at <= end).sort((a, b) => a[1].at - b[1].at)[0];
        if (due === undefined) break;
        timers.delete(due[0]);
        monotonic = Math.max(monotonic, due[1].at);
        due[1].fn();
        await settled();
      }
      monotonic = end;
    },
  };
}
