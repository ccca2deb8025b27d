/** ./cage diff NAME [FROM [TO]]: what changed between two generations; without them, what the serving one changed. */
import type { Changes } from "../cage/changes.ts";
import { CageError } from "../errors.ts";
import { askOf } from "./instances.ts";
import type { Command } from "./main.ts";

export const diff: Command = {
  usage: "NAME [FROM [TO]]",
  summary: "what changed between generations, as a unified diff",
  async run(given) {
    const [cage, ...generations] = given.words;
    if (cage === undefined || generations.length > 2)
      throw new CageError("BAD_INPUT", "diff takes the name of a cage, and up to two generations");
    const [from, to] = generations.map(generationOf);
    const asked = { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
    const done = (await askOf(given.paths, cage, "diff", asked)) as Changes;
    if (given.flags["json"]) process.stdout.write(`${JSON.stringify(done)}\n`);
    else if (done.diff !== "") process.stdout.write(done.diff);
    else process.stderr.write(`${cage}: generations ${done.from} and ${done.to} have the same texts\n`);
    return 0;
  },
};

export function generationOf(word: string): number {
  const generation = Number(word.replace(/^g/, ""));
  if (Number.isSafeInteger(generation) && generation > 0) return generation;
  throw new CageError("BAD_INPUT", `'${word}' is no number of a generation; ./cage history NAME lists them`);
}
