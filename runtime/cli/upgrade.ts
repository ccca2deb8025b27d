/**
 * ./cage upgrade [NAME ...]: cages that run are given the runtime as it is on the disk now, supervisors included, and refuse
 * nobody meanwhile (cage/upgrade.ts). All that run, without a name.
 */
import { join } from "node:path";
import type { CageError } from "../errors.ts";
import { askOf, registered } from "./instances.ts";
import type { Command } from "./main.ts";

export const upgrade: Command = {
  usage: "[NAME ...]",
  summary: "give running cages the runtime that is on the disk now, refusing nobody (all that run, without a name)",
  async run({ paths, build, words }) {
    const all = words.length === 0 || (words.length === 1 && words[0] === "all");
    const cages = all ? registered(paths) : words;
    let code = 0;
    // One after another: a runtime that does not start is found with the first.
    for (const cage of cages) {
      try {
        await askOf(paths, cage, "upgrade", {
          supervisor: join(build, "supervise.js"),
          worker: join(build, "worker.js"),
        });
        process.stdout.write(`${cage} upgraded\n`);
      } catch (error) {
        process.stderr.write(`cage: ${cage}: ${(error as CageError).message}\n`);
        code = 1;
        break;
      }
    }
    if (cages.length === 0) process.stdout.write("nothing runs\n");
    return code;
  },
};
