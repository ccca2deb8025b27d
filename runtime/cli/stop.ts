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
    for (const [cage, did] of stopped) process.stdout.write(`${cage} ${said[did]}\n`);
    if (cages.length === 0) process.stdout.write("nothing runs\n");
    return stopped.some(([, did]) => did === "late") ? 1 : 0;
  },
};

const said = {
  stopped: "stopped",
  absent: "was not running",
  late: `did not stop within ${stopMs / 1000} s; its supervisor does not answer`,
} as const;

/** Returns once its supervisor is gone, or is not gone in time. */
export async function end(given: Given, cage: string): Promise<keyof typeof said> {
  // One that hangs is told too.
  const status = await statusOf(given.paths, cage).catch(() => null);
  if (status === undefined) return "absent";
  const socket = socketOf(given.paths, "ctl", cage);
  await askControl(socket, "stop").catch(() => {});
  const deadline = Date.now() + stopMs;
  // Its control socket is the last thing a supervisor gives up. (Its pid may stay for a while as a zombie's.)
  while (existsSync(socket) && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
  return existsSync(socket) ? "late" : "stopped";
}
