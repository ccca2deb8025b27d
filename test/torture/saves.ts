/**
 * npm run torture -- saves [COUNT]: a save by rename, then a second write 2 to 40 ms later, COUNT times (1,000), while
 * the watcher runs. Each time the last text must come to serve. chokidar alone loses nearly all of these.
 */
import { setTimeout as pause } from "node:timers/promises";
import { events } from "../../runtime/health/events.ts";
import { Yard } from "../runtime/modules/yard.ts";

/** What `cages/shop/a.ts` should have become, and by when it had not. A watched yard with `b` that answers `a`. */
export async function torture(yard: Yard, count: number): Promise<number[]> {
  const lost: number[] = [];
  for (let n = 1; n <= count; n++) {
    const [first, last] = [n * 1_000, n * 1_000 + 1];
    yard.renameInto("cages/shop/a.ts", `export const a = ${first};`);
    // The gap is what is tested here: each length of it as often.
    await pause(2 + ((n * 7) % 39));
    yard.write({ "cages/shop/a.ts": `export const a = ${last};` });
    if (!(await serves(yard, last))) lost.push(n);
  }
  return lost;
}

function serves(yard: Yard, value: number): Promise<boolean> {
  const now = () => yard.module("b").b() === value;
  if (now()) return Promise.resolve(true);
  return new Promise((resolve) => {
    const end = (found: boolean) => {
      clearTimeout(timer);
      off();
      resolve(found);
    };
    // Less than the slow sweep, which would find it in the end and hide the loss.
    const timer = setTimeout(() => end(now()), 5_000);
    const off = events.on("reload.done", () => now() && end(true));
  });
}

export async function run(count = 1_000): Promise<boolean> {
  const yard = await Yard.make({
    "cages/shop/a.ts": `export const a = 0;`,
    "cages/shop/b.ts": `import { a } from "./a.ts"; export const b = () => a;`,
  });
  try {
    await yard.loader.start();
    await yard.loader.watch();
    const lost = await torture(yard, count);
    process.stdout.write(`${count - lost.length} of ${count} saves came to serve\n`);
    return lost.length === 0;
  } finally {
    await yard.away();
  }
}
