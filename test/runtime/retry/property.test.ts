/**
 * Any history of callers, targets, operators, clocks and restarts, against what must hold in every state:
 *
 *   - what was enqueued is in the journal, in one of four states, and the counts are those of the rows
 *   - an id is enqueued once; a done call had its effect exactly once, or was discarded
 *   - a parked call is not delivered; a call that is not done is never forgotten
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CageError, Terminal } from "../../../runtime/errors.ts";
import { settled } from "./fake-clock.ts";
import { stage } from "./stage.ts";

const ids = ["a", "b", "c", "d", "e", "f"] as const;
const id = fc.constantFrom(...ids);
const cage = fc.constantFrom("x", "y");
const some = fc.oneof(
  id.map((one) => ({ ids: [one] })),
  cage.map((target) => ({ target })),
  fc.constant({ state: "parked" as const }),
);

const command = fc.oneof(
  fc.record({
    do: fc.constant("enqueue" as const),
    id,
    cage,
    maxAttempts: fc.option(fc.integer({ min: 1, max: 3 })),
    expires: fc.boolean(),
  }),
  fc.record({
    do: fc.constant("answer" as const),
    cage,
    with: fc.constantFrom("success", "failure", "terminal", "absent"),
  }),
  fc.record({ do: fc.constant("advance" as const), ms: fc.constantFrom(10, 700, 5_000, 70_000, 400_000) }),
  fc.record({ do: fc.constant("jump" as const), ms: fc.constantFrom(-3_600_000, 3_600_000) }),
  fc.record({ do: fc.constant("wake" as const), cage }),
  fc.record({ do: fc.constantFrom("park" as const, "release" as const, "discard" as const, "runNow" as const), some }),
  fc.record({ do: fc.constant("restart" as const) }),
);

describe("any history of retried calls", () => {
  it("keeps every promise of the journal", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 40 }), async (commands) => {
        const at = await stage({ limits: { doneRetentionMs: 1e15 } });
        const target: Record<string, string> = { x: "success", y: "success" };
        const enqueued = new Set<string>();
        const effects = new Map<string, number>();
        const discarded = new Set<string>();
        const parkedAtDelivery: string[] = [];
        at.answer = (call) => {
          if (at.retries.steering.show(call.id)?.state !== "running") parkedAtDelivery.push(call.id);
          switch (target[call.cage]) {
            case "failure":
              throw new Error("no");
            case "terminal":
              throw new Terminal("never");
            case "absent":
              throw new CageError("NO_SUCH_CAGE", "nobody");
            default:
              effects.set(call.id, (effects.get(call.id) ?? 0) + 1);
          }
        };

        for (const step of commands) {
          switch (step.do) {
            case "enqueue": {
              const answer = await at.retries.retry(
                { cage: step.cage },
                {
                  id: step.id,
                  ...(step.maxAttempts ? { maxAttempts: step.maxAttempts } : {}),
                  ...(step.expires ? { expiresIn: "1m" } : {}),
                },
                "f",
                [],
              );
              expect(answer).toEqual({ id: step.id, duplicate: enqueued.has(step.id) });
              enqueued.add(step.id);
              break;
            }
            case "answer":
              target[step.cage] = step.with;
              break;
            case "advance":
              await at.clock.advance(step.ms);
              break;
            case "jump":
              at.clock.jump(step.ms);
              break;
            case "wake":
              at.retries.wake(step.cage);
              break;
            case "restart":
              await at.restart();
              break;
            default: {
              const { steering } = at.retries;
              const before = new Map(ids.map((one) => [one, steering.show(one)?.state]));
              await steering[step.do](step.some);
              if (step.do === "discard")
                for (const one of ids) {
                  const now = steering.show(one);
                  if (before.get(one) !== "done" && now?.error?.code === "DISCARDED") discarded.add(one);
                }
            }
          }
          await settled();

          const { steering } = at.retries;
          const states = [...enqueued].map((one) => ({ id: one, call: steering.show(one) }));
          for (const { id: one, call } of states) {
            expect(call, `${one} was forgotten`).toBeDefined();
            if (call?.state === "done" && !discarded.has(one)) expect(effects.get(one)).toBe(1);
            if (effects.has(one)) expect(call?.state).toBe("done");
            expect(effects.get(one) ?? 0).toBeLessThanOrEqual(1);
          }
          const { waiting, running, parked } = steering.summary();
          const count = (state: string) => states.filter(({ call }) => call?.state === state).length;
          expect({ waiting, running, parked }).toEqual({
            waiting: count("waiting"),
            running: count("running"),
            parked: count("parked"),
          });
          expect(parkedAtDelivery).toEqual([]);
        }

        // With a target that answers, everything that may be delivered is, in the end.
        target["x"] = target["y"] = "success";
        await at.clock.advance(400_000);
        expect(at.retries.steering.summary()).toMatchObject({ waiting: 0, running: 0 });
        await at.end();
      }),
      { numRuns: 60 },
    );
  }, 60_000);
});
