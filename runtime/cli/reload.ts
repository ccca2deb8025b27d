/** ./cage reload NAME: loads what changed on disk as one generation, and reports success or the fault. For --no-watch. */
import { CageError } from "../errors.ts";
import { askOf } from "./instances.ts";
import type { Command } from "./main.ts";

export const reload: Command = {
  usage: "NAME",
  summary: "load what changed on disk, as one generation",
  async run(given) {
    const [cage] = given.words;
    if (cage === undefined) throw new CageError("BAD_INPUT", "reload takes the name of a cage");
    const done = (await askOf(given.paths, cage, "reload")) as {
      generation: number;
      files: string[];
      durationMs: number;
    };
    process.stdout.write(
      done.files.length === 0
        ? `${cage}: nothing changed, generation ${done.generation} serves\n`
        : `${cage}: generation ${done.generation} (${done.files.join(", ")}) in ${done.durationMs.toFixed(0)} ms\n`,
    );
    return 0;
  },
};
