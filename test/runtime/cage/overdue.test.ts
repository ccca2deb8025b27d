import { afterEach, expect, it, vi } from "vitest";
import { Overdue } from "../../../runtime/cage/overdue.ts";
import { type Events, events } from "../../../runtime/health/events.ts";

afterEach(() => vi.useRealTimers());

it("warns once of a generation that is held for longer than any request may take", () => {
  vi.useFakeTimers();
  let live = [{ id: 1, holds: 2 }];
  const overdue = new Overdue({ live: () => live, current: () => live.at(-1) as never, longestMs: () => 60_000 });
  const told: Events["generation.overdue"][] = [];
  const off = events.on("generation.overdue", (each) => told.push(each));
  const swap = (id: number) => {
    live = [...live, { id, holds: 1 }];
    const done = { generation: id, files: [], dependents: 0, durationMs: 1, trigger: "watch" as const };
    events.emit("reload.done", done);
  };
  swap(2);
  vi.advanceTimersByTime(59_000);
  swap(3);
  expect(told).toEqual([]);
  // 2 ends in time, 1 does not.
  live = live.filter(({ id }) => id !== 2);
  vi.advanceTimersByTime(63_000);
  expect(told).toMatchObject([{ generation: 1, holds: 2 }]);
  overdue.stop();
  off();
});
