/**
 * ./cage restart NAME ...: stops (drains) and starts again; for new packages. Code needs no restart.
 *
 * With --rolling nobody is refused meanwhile: the processes of each cage are replaced one after another, each by one that
 * serves before the old one drains (cage/rolling.ts). One that does not start leaves the old one serving.
 */
import { CageError } from "../errors.ts";
import { askOf, named } from "./instances.ts";
import type { Command, Given } from "./main.ts";
import { start } from "./start.ts";
import { end } from "./stop.ts";

export const restart: Command = {
  usage: "NAME ... [--rolling]",
  summary: "stop and start cages again, or process by process (code needs no restart: save the file)",
  options: { rolling: { type: "boolean" } },
  async run(given) {
    if (given.words.length === 0)
      throw new CageError("BAD_INPUT", "restart takes the names of cages; ./cage list shows what runs");
    const cages = named(given.paths, given.words);
    if (given.flags["rolling"]) return await roll(given, cages);
    await Promise.all(cages.map((cage) => end(given, cage)));
    return await start.run(given);
  },
};

/** One cage after another: a fault that all of them have is found with the first. */
async function roll({ paths, flags }: Given, cages: readonly string[]): Promise<number> {
  for (const cage of cages) {
    const { others } = (await askOf(paths, cage, "rolling").catch((error: CageError) => {
      throw new CageError(error.code, `${cage}: ${error.message}`, { cause: error });
    })) as { others: readonly unknown[] };
    const count = others.length + 1;
    if (!flags["json"])
      process.stdout.write(`${cage}: ${count === 1 ? "its process was" : `${count} processes were`} replaced\n`);
  }
  return 0;
}
