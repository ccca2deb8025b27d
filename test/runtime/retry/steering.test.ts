import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Terminal } from "../../../runtime/errors.ts";
import { settled } from "./fake-clock.ts";
import { type Stage, stage } from "./stage.ts";

let at: Stage;
const ids = (count: number) => Array.from({ length: count }, (_, n) => `n${n}`);
const sendAll = (names: string[], cage = "core") =>
  Promise.all(names.map((id) => at.retries.retry({ cage }, { id }, "posts.add", [id])));

beforeEach(async () => {
  at = await stage({ recoveryPerSecond: 100_000, concurrency: 100 });
});
afterEach(async () => await at.end());

describe("steering", () => {
  it("summarises by target, with the age of the oldest", async () => {
    at.answer = ({ cage }) => {
      throw cage === "core" ? new Terminal("never") : new Error("later");
    };
    await sendAll(ids(3));
    await at.clock.advance(1_000);
    await sendAll(["later"], "mail");
    await at.clock.advance(100);
    expect(at.retries.steering.summary()).toEqual({
      waiting: 1,
      running: 0,
      parked: 3,
      oldestAgeMs: 1_100,
      byTarget: {
        core: { waiting: 0, running: 0, parked: 3, done: 0 },
        mail: { waiting: 1, running: 0, parked: 0, done: 0 },
      },
    });
  });

  it("lists page by page, newest first, by state and target", async () => {
    at.answer = () => {
      throw new Terminal("never");
    };
    await sendAll(ids(25));
    await sendAll(["other"], "mail");
    await at.clock.advance(1_000);
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = at.retries.steering.list({
        state: "parked",
        target: "core",
        limit: 10,
        ...(cursor ? { cursor } : {}),
      });
      seen.push(...page.calls.map((call) => call.id));
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(seen).toEqual(ids(25).reverse());
    expect(at.retries.steering.list({ ids: ["n3", "other", "unknown"] }).calls.map((call) => call.id)).toEqual([
      "other",
      "n3",
    ]);
    expect(() => at.retries.steering.list({ cursor: "x" })).toThrow(/not a cursor/);
  });

  it("releases parked calls by filter, however many, and they are delivered", async () => {
    at.answer = () => {
      throw new Terminal("never");
    };
    await sendAll(ids(2_500));
    while (at.retries.steering.summary().parked < 2_500) await settled();
    at.answer = () => undefined;
    expect(await at.retries.steering.release({ state: "parked", target: "core" })).toBe(2_500);
    expect(await at.retries.steering.release({ target: "core", ids: ["n1"] })).toBe(0);
    while (at.retries.steering.summary().byTarget["core"]?.done !== 2_500) await at.clock.advance(10);
    expect(at.delivered).toHaveLength(5_000);
  });

  it("parks, so that a call is not delivered until it is released", async () => {
    await at.retries.retry(
      { cage: "core" },
      { id: "a", notBefore: new Date(at.clock.wall() + 5_000) },
      "posts.add",
      [],
    );
    expect(await at.retries.steering.park({ ids: ["a"] })).toBe(1);
    expect(await at.retries.steering.park({ ids: ["a"] })).toBe(0);
    await at.clock.advance(60_000);
    expect(at.delivered).toHaveLength(0);
    await at.retries.steering.release({ ids: ["a"] });
    await settled();
    expect(at.delivered).toHaveLength(1);
  });

  it("runs a waiting call now", async () => {
    await at.retries.retry({ cage: "core" }, { id: "a", notBefore: new Date(at.clock.wall() + 1e9) }, "posts.add", []);
    expect(await at.retries.steering.runNow({ ids: ["a"] })).toBe(1);
    await settled();
    expect(at.delivered).toHaveLength(1);
  });

  it("discards for good, but knows the id", async () => {
    at.answer = () => {
      throw new Terminal("never");
    };
    await sendAll(["a"]);
    await settled();
    expect(await at.retries.steering.discard({ state: "parked" })).toBe(1);
    expect(await at.retries.steering.release({ ids: ["a"] })).toBe(0);
    expect(await sendAll(["a"])).toEqual([{ id: "a", duplicate: true }]);
    expect(at.retries.steering.show("a")).toMatchObject({ state: "done", error: { code: "DISCARDED" } });
  });

  it("lets a call that was parked while it ran stay parked if it fails, and be done if it succeeds", async () => {
    const answers: Record<string, (fail: boolean) => void> = {};
    at.answer = ({ id }) =>
      new Promise<void>((resolve, reject) => {
        answers[id] = (fail) => (fail ? reject(new Error("no")) : resolve());
      });
    await sendAll(["fails", "succeeds"]);
    await settled();
    await at.retries.steering.park({ target: "core" });
    answers["fails"]?.(true);
    answers["succeeds"]?.(false);
    await at.clock.advance(60_000);
    expect(at.retries.steering.show("fails")?.state).toBe("parked");
    expect(at.retries.steering.show("succeeds")?.state).toBe("done");
    expect(at.delivered).toHaveLength(2);
  });

  it("lifts a passed expiry when it releases", async () => {
    at.answer = () => {
      throw new Error("no");
    };
    await at.retries.retry({ cage: "core" }, { id: "a", expiresIn: "2s" }, "posts.add", []);
    await at.clock.advance(60_000);
    expect(at.retries.steering.show("a")?.state).toBe("parked");
    at.answer = () => undefined;
    await at.retries.steering.release({ ids: ["a"] });
    await at.clock.advance(1_000);
    expect(at.retries.steering.show("a")?.state).toBe("done");
  });

  it("asks what is meant when nothing is named", async () => {
    await expect(at.retries.steering.discard({})).rejects.toMatchObject({ code: "BAD_INPUT" });
  });
});
