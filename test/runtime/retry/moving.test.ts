/** One journal with one writer, which moves from a process to the next while calls are made durable. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type MovingRetries, movingRetries } from "../../../runtime/retry/moving.ts";
import { openRetries } from "../../../runtime/retry/retry.ts";

it("moves the journal to the next process: every call is taken in by one of them, and delivered once", async () => {
  const folder = mkdtempSync(join(tmpdir(), "moving-"));
  const file = join(folder, "retry.sqlite");
  const delivered: unknown[] = [];
  let leader: Promise<MovingRetries>;
  const one = (here: boolean): MovingRetries =>
    movingRetries({
      here,
      open: () =>
        openRetries({
          file,
          deliver: async (_, __, args) => {
            await new Promise((later) => setTimeout(later, 5));
            delivered.push(args[0]);
          },
        }),
      handOver: async (row) => await (await leader).intake(row),
    });
  const old = one(true);
  const next = one(false);
  leader = Promise.resolve(old);
  await Promise.all([old.start(), next.start()]);
  const ids = Array.from({ length: 120 }, (_, n) => `call-${n}`);
  const asked: Promise<unknown>[] = [];
  let moved: Promise<void> | undefined;
  for (const [n, id] of ids.entries()) {
    asked.push((n % 2 === 0 ? old : next).retry({ cage: "mail" }, { id }, "send", [id]));
    if (n === 40) {
      leader = old.give(10_000).then(async () => {
        expect(() => old.steering).toThrow("the first process of this cage has its retried calls");
        await next.take();
        return next;
      });
      moved = leader.then(() => {});
    }
    if (n % 10 === 0) await new Promise((later) => setImmediate(later));
  }
  expect(await Promise.all(asked)).toEqual(ids.map((id) => ({ id, duplicate: false })));
  await moved;
  await expect.poll(() => delivered.length).toBe(ids.length);
  expect([...delivered].sort()).toEqual([...ids].sort());
  expect([old.here, next.here]).toEqual([false, true]);
  await next.stop(1_000);
  rmSync(folder, { recursive: true, force: true });
});
