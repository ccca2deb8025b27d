/** ./cage restart NAME ...: stops (drains) and starts again; for a new runtime or new packages. Code needs no restart. */
import { CageError } from "../errors.ts";
import { named } from "./instances.ts";
import type { Command } from "./main.ts";
import { start } from "./start.ts";
import { end } from "./stop.ts";

export const restart: Command = {
  usage: "NAME ...",
  summary: "stop and start cages again (code needs no restart: save the file)",
  async run(given) {
    if (given.words.length === 0)
      throw new CageError("BAD_INPUT", "restart takes the names of cages; ./cage list shows what runs");
    await Promise.all(named(given.paths, given.words).map((cage) => end(given, cage)));
    return await start.run(given);
  },
};
