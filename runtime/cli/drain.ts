/**
 * ./cage drain NAME ...: cages leave service and stay listed: no longer advertised, nothing accepted, what runs is finished
 * and the processes end. Their supervisors keep them so until ./cage start NAME.
 */
import { CageError } from "../errors.ts";
import { askOf, named } from "./instances.ts";
import type { Command } from "./main.ts";

export const drain: Command = {
  usage: "NAME ...",
  summary: "finish what runs and leave service, until start",
  async run({ paths, words }) {
    if (words.length === 0)
      throw new CageError("BAD_INPUT", "drain takes the names of cages; ./cage list shows what runs");
    await Promise.all(
      named(paths, words).map(async (cage) => {
        await askOf(paths, cage, "drain");
        process.stdout.write(`${cage} drained; ./cage start ${cage} brings it back\n`);
      }),
    );
    return 0;
  },
};
