/** ./cage history NAME: its generations, newest last: when, why, what changed, how long it took, and failures. */
import { CageError } from "../errors.ts";
import { askOf } from "./instances.ts";
import type { Command } from "./main.ts";
import { table } from "./table.ts";

interface Entry {
  readonly generation: number;
  readonly at: string;
  readonly files: readonly string[];
  readonly dependents: number;
  readonly durationMs: number;
  readonly trigger: string;
  readonly error?: { readonly message: string };
}

export const history: Command = {
  usage: "NAME",
  summary: "the generations of a cage",
  async run(given) {
    const [cage] = given.words;
    if (cage === undefined) throw new CageError("BAD_INPUT", "history takes the name of a cage");
    const entries = (await askOf(given.paths, cage, "history")) as Entry[];
    if (given.flags["json"]) process.stdout.write(`${JSON.stringify(entries)}\n`);
    else process.stdout.write(table([["GENERATION", "AT", "BY", "MS", "IMPORTERS", "FILES"], ...entries.map(row)]));
    return 0;
  },
};

const row = (entry: Entry): string[] => [
  entry.error ? "refused" : String(entry.generation),
  entry.at,
  entry.trigger,
  entry.durationMs.toFixed(0),
  String(entry.dependents),
  entry.error ? `${entry.files.join(", ")}: ${entry.error.message.split("\n")[0]}` : entry.files.slice(0, 5).join(", "),
];
