import { defineCage } from "#runtime";

/** What holds for every cage unless its own file says otherwise; these are the runtime's own defaults, to be changed here. */
export const config = defineCage({
  timeoutMs: 10_000,
  running: 1_000,
  waiting: 1_000,
  background: { running: 1_000, waiting: 1_000 },
});
