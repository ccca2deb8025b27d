import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CageError, Terminal } from "../../../runtime/errors.ts";
import { events } from "../../../runtime/health/events.ts";
import { settled } from "./fake-clock.ts";
import { type Stage, stage } from "./stage.ts";

let at: Stage;
beforeEach(async () => {
  at = await stage();
});
afterEach(async () => await at.end());

const send = (
  id: string,
  options: { cage?: string; maxAttempts?: number; expiresIn?: string; notBefore?: Date } = {},
) => {
  const { cage = "core", ...rest } = options;
  return at.retries.retry({ cage }, { id, ...rest }, "posts.add", [id]);
};
const state = (id: string) => at.retries.steering.show(id)?.state;

describe("delivery", () => {
  it("delivers at once what can be delivered, with id, attempt, arguments and time", async () => {
    expect(await send("a")).toEqual({ id: "a", duplicate: false });
    await settled();
    expect(at.delivered).toMatchObject([
      { id: "a", attempt: 1, cage: "core", path: "posts.add", args: ["a"], remainingMs: 10_000 },
    ]);
    expect(state("a")).toBe("done");
  });

  it("says so when an id is known, and delivers it once", async () => {
    const answers = await Promise.all([send("a"), send("a"), send("b")]);
    await settled();
    answers.push(await send("a"));
    await settled();
    expect(answers.map((answer) => answer.duplicate)).toEqual([false, true, false, true]);
    expect(at.delivered.map((call) => call.id)).toEqual(["a", "b"]);
  });

  it("tries a failing call again with growing waits, until it succeeds", async () => {
    at.answer = ({ attempt }) => {
      if (attempt < 5) throw new Error("not yet");
    };
    await send("a");
    await at.clock.advance(60_000);
    const waits = at.delivered.slice(1).map((call, n) => call.at - at.delivered[n]!.at);
    expect(waits).toEqual([500, 1_000, 2_000, 4_000]); // random is held at one half
    expect(state("a")).toBe("done");
  });

  it("parks at once what can never succeed, with its error", async () => {
    at.answer = () => {
      throw new Terminal("no such account");
    };
    await send("a");
    await at.clock.advance(60_000);
    expect(at.delivered).toHaveLength(1);
    expect(at.retries.steering.show("a")).toMatchObject({
      state: "parked",
      error: { code: "TERMINAL", message: "no such account" },
    });
  });

  it("parks after the attempts that the caller allowed", async () => {
    at.answer = () => {
      throw new Error("no");
    };
    await send("a", { maxAttempts: 3 });
    await at.clock.advance(60_000);
    expect(at.delivered.map((call) => call.attempt)).toEqual([1, 2, 3]);
    expect(state("a")).toBe("parked");
  });

  it("parks what expired, and gives its last attempts no more than the time left", async () => {
    at.answer = () => {
      throw new Error("no");
    };
    await send("a", { expiresIn: "3s" });
    await at.clock.advance(20_000);
    expect(Math.max(...at.delivered.map((call) => call.remainingMs))).toBeLessThanOrEqual(3_000);
    expect(at.retries.steering.show("a")).toMatchObject({ state: "parked", error: { code: "EXPIRED" } });
  });

  it("shows as parked what expires while its target is away", async () => {
    at.answer = () => {
      throw new CageError("NO_SUCH_CAGE", "nobody runs core");
    };
    for (const id of ["a", "b", "c", "d"]) await send(id, { expiresIn: "20s" });
    await at.clock.advance(121_000);
    expect(at.retries.steering.summary()).toMatchObject({ waiting: 0, parked: 4 });
  });

  it("delivers nothing before its time", async () => {
    await send("a", { notBefore: new Date(at.clock.wall() + 90_000) });
    await at.clock.advance(89_000);
    expect(at.delivered).toHaveLength(0);
    await at.clock.advance(2_000);
    expect(at.delivered).toHaveLength(1);
  });

  it("probes an absent target with one call at a time, counting no attempt, and goes on at once when it is seen", async () => {
    let up = false;
    at.answer = () => {
      if (!up) throw new CageError("NO_SUCH_CAGE", "nobody runs core");
    };
    for (let n = 0; n < 50; n++) await send(`n${n}`, { maxAttempts: 1 });
    await at.clock.advance(600_000);
    // Eight had been taken together; after that, one a backoff.
    expect(at.delivered.length).toBeLessThan(40);
    expect(at.retries.steering.summary()).toMatchObject({ waiting: 50, parked: 0 });
    up = true;
    at.delivered.length = 0;
    at.retries.wake("core");
    await settled();
    expect(at.delivered.length).toBeGreaterThan(0);
    await at.clock.advance(2_000);
    expect(at.retries.steering.summary()).toMatchObject({ waiting: 0, parked: 0 });
    expect(at.delivered.every((call) => call.attempt === 1)).toBe(true);
  });

  it("lets a recovering target have only so many a second", async () => {
    let up = false;
    at.answer = () => {
      if (!up) throw new CageError("UNAVAILABLE", "connection refused");
    };
    for (let n = 0; n < 500; n++) await send(`n${n}`);
    await at.clock.advance(1_000);
    up = true;
    at.delivered.length = 0;
    at.retries.wake("core");
    await at.clock.advance(1_000);
    expect(at.delivered.length).toBeGreaterThan(50);
    expect(at.delivered.length).toBeLessThan(130); // 100 a second, and the first burst
    await at.clock.advance(5_000);
    expect(at.retries.steering.summary().waiting).toBe(0);
  });

  it("lets no dead target hold up another", async () => {
    at.answer = ({ cage }) => {
      if (cage === "dead") throw new CageError("UNAVAILABLE", "connection refused");
    };
    for (let n = 0; n < 20; n++) await send(`d${n}`, { cage: "dead" });
    for (let n = 0; n < 20; n++) await send(`c${n}`);
    await settled();
    await at.clock.advance(500);
    expect(at.retries.steering.summary().byTarget).toMatchObject({ core: { done: 20 }, dead: { waiting: 20 } });
  });

  it("runs no more calls of one target at once than allowed", async () => {
    let running = 0;
    let most = 0;
    const answers: (() => void)[] = [];
    at.answer = () => {
      most = Math.max(most, ++running);
      return new Promise<void>((resolve) => answers.push(resolve)).finally(() => running--);
    };
    for (let n = 0; n < 30; n++) await send(`n${n}`);
    for (let round = 0; round < 30; round++) {
      await at.clock.advance(100);
      answers.shift()?.();
    }
    await at.clock.advance(100);
    expect(most).toBe(8);
    expect(at.retries.steering.summary().waiting).toBe(0);
  });

  it("gives up an attempt that never answers, and tries again", async () => {
    at.answer = ({ attempt }) => (attempt === 1 ? new Promise(() => {}) : undefined);
    await send("a");
    await at.clock.advance(11_500);
    await at.clock.advance(1_000);
    expect(at.delivered.map((call) => call.attempt)).toEqual([1, 2]);
    expect(state("a")).toBe("done");
  });

  it("continues after a restart with everything that was waiting or running", async () => {
    at.answer = ({ id }) => {
      if (id === "hangs") return new Promise(() => {});
      throw new Error("no");
    };
    await send("hangs");
    await send("fails");
    await settled();
    at.answer = () => undefined;
    await at.restart();
    await at.clock.advance(2_000);
    expect([state("hangs"), state("fails")]).toEqual(["done", "done"]);
    expect(await send("hangs")).toEqual({ id: "hangs", duplicate: true });
  });

  it("neither loses a call nor hurries it when the wall clock jumps", async () => {
    at.answer = () => {
      throw new Error("no");
    };
    await send("a");
    await at.clock.advance(100);
    at.clock.jump(86_400_000);
    await at.clock.advance(100);
    expect(at.delivered).toHaveLength(1);
    at.clock.jump(-2 * 86_400_000);
    await at.restart();
    at.answer = () => undefined;
    await at.clock.advance(5 * 60_000 + 1_000);
    expect(state("a")).toBe("done");
  });

  it("announces what happens", async () => {
    const seen: string[] = [];
    const off = [
      events.on("retry.enqueued", (e) => seen.push(`enqueued ${e.id}`)),
      events.on("retry.failed", (e) => seen.push(`failed ${e.id} ${e.attempts} ${e.parked}`)),
      events.on("retry.done", (e) => seen.push(`done ${e.id} ${e.attempts}`)),
    ];
    at.answer = ({ attempt }) => {
      if (attempt === 1) throw new Error("no");
    };
    await send("a");
    await at.clock.advance(5_000);
    for (const stop of off) stop();
    expect(seen).toEqual(["enqueued a", "failed a 1 false", "done a 2"]);
  });
});
