/** ./cage stop [NAME ...]: drains and ends cages (all that run, without a name). What runs to its end is waited for. */
import { existsSync } from "node:fs";
import { askControl } from "../cage/control.ts";
import { socketOf } from "../cage/paths.ts";
import { registered, statusOf } from "./instances.ts";
import type { Command, Given } from "./main.ts";

/** The supervisor kills a worker that drains longer than 15 s. */
const stopMs = 20_000;

export const stop: Command = {
  usage: "[NAME ...]",
  summary: "drain and stop cages (all that run, without a name)",
  async run(given) {
    const cages = given.words.length > 0 ? [...given.words] : registered(given.paths);
    const stopped = await Promise.all(cages.map(async (cage) => [cage, await end(given, cage)] as const));
    for (const [cage, did] of stopped) process.stdout.write(`${cage} ${did ? "stopped" : "was not running"}\n`);
    if (cages.length === 0) process.stdout.write("nothing runs\n");
    return 0;
  },
};

/** True when it ran. Returns once its supervisor is gone. */
export async function end(given: Given, cage: string): Promise<boolean> {
  const status = await statusOf(given.paths, cage);
  if (status === undefined) return false;
  const socket = socketOf(given.paths, "ctl", cage);
  await askControl(socket, "stop").catch(() => {});
  const deadline = Date.now() + stopMs;
  // Its control socket is the last thing a supervisor gives up. (Its pid may stay for a while as a zombie's.)
  while (existsSync(socket) && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
  return true;
}
