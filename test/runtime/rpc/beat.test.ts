import { afterEach, expect, it } from "vitest";
import { speech } from "../../../runtime/rpc/hello.ts";
import { carry, deferred, Sessions } from "../../kit/session.ts";

const sessions = new Sessions();
afterEach(() => sessions.end());

const beatMs = 20;

it("a session whose peer fell silent ends, and what was asked has an unknown outcome", async () => {
  // Both promise to beat, and one does in an hour.
  const options = { caller: { beatMs }, callee: { beatMs: 3_600_000 } };
  const { caller } = await sessions.pair({ serve: () => new Promise(() => {}) }, {}, options);
  const hanging = caller.call("m.f", [], carry);
  await expect(hanging).rejects.toMatchObject({ code: "UNKNOWN_OUTCOME", cause: { message: "callee fell silent" } });
});

it("a session of two that beat, and one with a peer that does not know of it, stay while nothing is said", async () => {
  const silent = await sessions.pair({}, {}, { caller: { beatMs }, callee: { beatMs: 3_600_000 } });
  const both = await sessions.pair({ serve: () => 1 }, {}, { caller: { beatMs }, callee: { beatMs } });
  const older = { version: [1, 1] as const, features: ["streams"] };
  const mixed = await sessions.pair({ serve: () => 2 }, {}, { caller: { beatMs }, callee: { speech: older } });
  expect(speech.features).toContain("beats");
  await Promise.all([both.caller.ready, mixed.caller.ready]);
  // Twice as long as it takes to give a peer up.
  for (const { caller } of [
    silent,
    await sessions.pair({}, {}, { caller: { beatMs }, callee: { beatMs: 3_600_000 } }),
  ]) {
    const ended = deferred<void>();
    caller.onEnd = () => ended.resolve();
    if (!caller.ended) await ended.promise;
  }
  expect([both, mixed].map(({ caller, callee }) => [caller.ended, callee.ended])).toEqual([
    [false, false],
    [false, false],
  ]);
  expect(await both.caller.call("m.f", [], carry)).toBe(1);
  expect(await mixed.caller.call("m.f", [], carry)).toBe(2);
});
