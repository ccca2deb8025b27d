import { describe, expect, test } from "vitest";
import { events } from "../../../runtime/health/events.ts";
import { type Clock, Schedule, schedule } from "../../../runtime/interfaces/schedule/schedule.ts";
import { timesOf } from "../../../runtime/interfaces/schedule/times.ts";
import { createHost } from "../../kit/host.ts";

/** Time as told: `pass` lets timers come, `jump` moves the wall clock alone, `sleep` moves it while no timer runs. */
class FakeClock implements Clock {
  #wall: number;
  #monotonic = 0;
  #timers: { at: number; callback: () => void }[] = [];

  constructor(iso: string) {
    this.#wall = Date.parse(iso);
  }

  now(): number {
    return this.#wall;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#monotonic + ms, callback };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((other) => other !== timer));
  }

  get armed(): number {
    return this.#timers.length;
  }

  jump(ms: number): void {
    this.#wall += ms;
  }

  /** Steps from timer to timer, with a turn of the event loop for what each began. */
  async pass(ms: number): Promise<void> {
    const end = this.#monotonic + ms;
    for (;;) {
      const timer = this.#timers.filter((each) => each.at <= end).sort((a, b) => a.at - b.at)[0];
      const to = timer?.at ?? end;
      this.#wall += to - this.#monotonic;
      this.#monotonic = to;
      if (timer === undefined) return;
      this.#timers = this.#timers.filter((other) => other !== timer);
      timer.callback();
      await new Promise((turn) => setImmediate(turn));
    }
  }
}

const noon = "2026-03-01T12:00:00.000Z";
const minute = 60_000;
const hour = 60 * minute;

async function started(options: Record<string, unknown>, more: Parameters<typeof createHost>[1] = {}, at = noon) {
  const clock = new FakeClock(at);
  const fired: string[] = [];
  const fire: { work: () => unknown } = { work: () => {} };
  const made = createHost(
    {
      fire: () => {
        fired.push(new Date(clock.now()).toISOString().slice(11, 19));
        return fire.work();
      },
    },
    more,
  );
  const scheduled = new Schedule(schedule.options.parse(options), made.host, clock);
  await scheduled.start();
  return { clock, fired, fire, schedule: scheduled, ...made };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("a schedule", () => {
  test("does what it could claim only, and says when it could not know", async () => {
    const problems: string[] = [];
    const off = events.on("problem", ({ what }) => void problems.push(what));
    const claims: number[] = [];
    const claim = async (at: number) => {
      claims.push(at - Date.parse(noon));
      if (claims.length === 3) throw new Error("nobody knows");
      return claims.length !== 2;
    };
    const { clock, fired, schedule: scheduled } = await started({ every: "30s" }, { claim });
    await clock.pass(121_000);
    await scheduled.drain();
    off();
    expect(claims).toEqual([30_000, 60_000, 90_000, 120_000]);
    expect(fired).toEqual(["12:00:30", "12:02:00"]);
    expect(problems).toEqual(["a firing of test that was not claimed, and is not done"]);
  });

  test("fires at whole multiples of its interval, whenever it was started", async () => {
    const { clock, fired } = await started({ every: "30s" }, {}, "2026-03-01T12:00:11.500Z");
    await clock.pass(80_000);
    expect(fired).toEqual(["12:00:30", "12:01:00", "12:01:30"]);
  });

  test("fires by cron in its time zone, also over the nights that clocks change", () => {
    const times = timesOf({ cron: "30 2 * * *", timeZone: "Europe/Stockholm" });
    const days = (from: string) => {
      const found: string[] = [];
      for (let at = Date.parse(from); found.length < 3; ) {
        at = times.next(at) as number;
        found.push(new Date(at).toISOString().slice(0, 16));
      }
      return found;
    };
    expect(days("2026-03-28T00:00Z")).toEqual(["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"]);
    expect(days("2026-10-24T00:00Z")).toEqual(["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"]);
  });

  test("says when it fires next, and when it last did", async () => {
    const { clock, schedule: made } = await started({ cron: "0 * * * *" });
    expect(made.status).toEqual({ next: "2026-03-01T13:00:00.000Z", last: null, skipped: 0 });
    await clock.pass(hour);
    expect(made.status).toEqual({ next: "2026-03-01T14:00:00.000Z", last: "2026-03-01T13:00:00.000Z", skipped: 0 });
  });

  test("makes up for all it missed with one firing, after a sleep or a clock moved forward", async () => {
    const { clock, fired } = await started({ every: "1m" });
    await clock.pass(minute);
    clock.jump(5 * hour + 20_000);
    await clock.pass(10_000);
    expect(fired).toEqual(["12:01:00", "17:01:30"]);
    await clock.pass(minute);
    expect(fired).toEqual(["12:01:00", "17:01:30", "17:02:00"]);
  });

  test("does not fire again when its clock is set right by seconds", async () => {
    const { clock, fired } = await started({ every: "1m" });
    await clock.pass(minute + 1_000);
    clock.jump(-5_000);
    await clock.pass(65_000);
    expect(fired).toEqual(["12:01:00", "12:02:00"]);
  });

  test("begins anew when its clock is moved back by much, instead of waiting for the old time", async () => {
    const { clock, fired } = await started({ every: "1m" });
    await clock.pass(minute);
    clock.jump(-24 * hour);
    await clock.pass(2 * minute);
    expect(fired.length).toBe(3);
  });

  test("skips what is due while its work still runs, and counts it", async () => {
    const { clock, fired, fire, schedule: made } = await started({ every: "1m" });
    let finish = () => {};
    fire.work = () => new Promise<void>((resolve) => (finish = resolve));
    await clock.pass(3 * minute);
    expect(fired).toEqual(["12:01:00"]);
    expect(made.status).toMatchObject({ skipped: 2 });
    fire.work = () => {};
    finish();
    await turn();
    await clock.pass(minute);
    expect(fired).toEqual(["12:01:00", "12:04:00"]);
  });

  test("follows running work with one of those that were due, when told to queue", async () => {
    const { clock, fired, fire } = await started({ every: "1m", overlap: "queue" });
    let finish = () => {};
    fire.work = () => new Promise<void>((resolve) => (finish = resolve));
    await clock.pass(4 * minute + 1_000);
    fire.work = () => {};
    finish();
    await expect.poll(() => fired).toEqual(["12:01:00", "12:04:01"]);
    await clock.pass(minute);
    expect(fired).toEqual(["12:01:00", "12:04:01", "12:05:00"]);
  });

  test("still counts as running when its deadline only released who waited", async () => {
    const { clock, fired, fire } = await started({ every: "1m" }, { timeoutMs: 30 });
    fire.work = () => new Promise(() => {});
    const released = new Promise((resolve) => events.on("request.done", resolve));
    await clock.pass(minute);
    await released;
    await turn();
    await clock.pass(minute);
    expect(fired).toEqual(["12:01:00"]);
  });

  test("goes on after work that failed, or that was refused", async () => {
    const { clock, fired, fire } = await started({ every: "1m" });
    fire.work = () => {
      throw new Error("broken");
    };
    await clock.pass(2 * minute);
    expect(fired).toEqual(["12:01:00", "12:02:00"]);
  });

  test("runs the code that is current when it fires", async () => {
    const { clock, fired, swap } = await started({ every: "1m" });
    await clock.pass(minute);
    const after: number[] = [];
    swap({ fire: () => after.push(1) });
    await clock.pass(minute);
    expect([fired.length, after.length]).toEqual([1, 1]);
  });

  test("is quiet while the current configuration does not name it: before the swap, and once it was replaced", async () => {
    let named = false;
    const { clock, fired } = await started({ every: "1m" }, { named: () => named });
    await clock.pass(2 * minute);
    named = true;
    await clock.pass(minute);
    named = false;
    await clock.pass(2 * minute);
    expect(fired).toEqual(["12:03:00"]);
  });

  test("that drains finishes its work and fires no more", async () => {
    const { clock, fired, fire, schedule: made } = await started({ every: "1m", overlap: "queue" });
    let finish = () => {};
    fire.work = () => new Promise<void>((resolve) => (finish = resolve));
    await clock.pass(2 * minute);
    const drained = made.drain();
    expect(clock.armed).toBe(0);
    finish();
    await drained;
    await turn();
    expect(fired).toEqual(["12:01:00"]);
  });
});

describe("the options of a schedule", () => {
  const fault = (given: unknown) => schedule.options.safeParse(given).error?.issues[0];

  test.each([
    [{}, [], "say either cron or every"],
    [{ cron: "@daily", every: "1s" }, [], "say either cron or every"],
    [{ cron: "every day" }, ["cron"], "CronPattern"],
    [{ cron: "0 0 30 2 *" }, ["cron"], "'0 0 30 2 *' is never due"],
    [{ cron: "@daily", timeZone: "Nowhere/Land" }, ["cron"], "Nowhere/Land"],
    [{ every: "soon" }, ["every"], '"soon" is not a duration'],
    [{ every: "5ms" }, ["every"], "less than 100 ms"],
  ])("%j are refused at their place", (given, path, message) => {
    expect(fault(given)).toMatchObject({ path, message: expect.stringContaining(message) });
  });

  test("take only literals for what they answer", () => {
    const answer = (argument: object) => ({ text: "a.b(who)", module: "a", function: "b", arguments: [argument] });
    const check = (argument: object) => () =>
      schedule.checkName?.("fire", answer(argument) as never, schedule.options.parse({ every: "1s" }));
    expect(check({ field: "who", optional: false })).toThrow("there is no field 'who'");
    expect(check({ json: '"you"' })).not.toThrow();
  });
});
