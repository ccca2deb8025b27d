/** ./cage rollback NAME [GENERATION]: serves an earlier generation again, at once, until the next save. */
import { CageError } from "../errors.ts";
import { generationOf } from "./diff.ts";
import { askOf } from "./instances.ts";
import type { Command } from "./main.ts";

export const rollback: Command = {
  usage: "NAME [GENERATION]",
  summary: "serve an earlier generation again, until the next save",
  async run(given) {
    const [cage, generation] = given.words;
    if (cage === undefined) throw new CageError("BAD_INPUT", "rollback takes the name of a cage");
    const to = generation === undefined ? {} : { generation: generationOf(generation) };
    const done = (await askOf(given.paths, cage, "rollback", to)) as {
      generation: number;
      of?: number;
      files: string[];
      durationMs: number;
    };
    if (given.flags["json"]) process.stdout.write(`${JSON.stringify(done)}\n`);
    else
      process.stdout.write(
        done.of === undefined
          ? `${cage}: generation ${done.generation} has the same texts, it serves on\n`
          : `${cage}: generation ${done.generation} is generation ${done.of} again (${done.files.join(", ")}), in ${done.durationMs.toFixed(0)} ms; it holds until the next save\n`,
      );
    return 0;
  },
};
