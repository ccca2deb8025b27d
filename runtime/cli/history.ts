/**
 * ./cage history NAME: its generations, newest last: when, why, what changed, how long it took, what it served and how,
 * beside how those before it had done; and the attempts that failed.
 */
import { CageError } from "../errors.ts";
import type { Figure } from "../health/figures.ts";
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
  readonly of?: number;
  readonly serving?: boolean;
  readonly held?: boolean;
  readonly after?: Figure;
  readonly before?: Figure;
  readonly error?: { readonly message: string };
}

const heading = ["GENERATION", "AT", "BY", "MS", "IMPORTERS", "REQUESTS", "ERRORS", "P95 MS", "TYPES", "FILES"];

export const history: Command = {
  usage: "NAME",
  summary: "the generations of a cage, and how each did",
  async run(given) {
    const [cage] = given.words;
    if (cage === undefined) throw new CageError("BAD_INPUT", "history takes the name of a cage");
    const entries = (await askOf(given.paths, cage, "history")) as Entry[];
    if (given.flags["json"]) process.stdout.write(`${JSON.stringify(entries)}\n`);
    else process.stdout.write(table([heading, ...entries.map(row)]));
    return 0;
  },
};

const row = (entry: Entry): string[] => [
  entry.error ? "refused" : `${entry.generation}${entry.held ? " held" : entry.serving ? " serves" : ""}`,
  entry.at,
  entry.of === undefined ? entry.trigger : `${entry.trigger} to ${entry.of}`,
  entry.durationMs.toFixed(0),
  String(entry.dependents),
  entry.after?.requests ? String(entry.after.requests) : "",
  change(
    entry,
    (figure) => figure.errorRate,
    (rate) => `${(rate * 100).toFixed(1)}%`,
  ),
  change(
    entry,
    (figure) => figure.p95Ms,
    (ms) => ms.toFixed(1),
  ),
  entry.after?.typeErrors == null ? "" : String(entry.after.typeErrors),
  entry.error ? `${entry.files.join(", ")}: ${entry.error.message.split("\n")[0]}` : shown(entry.files),
];

/** "0.2% > 4.0%": before, and since. */
function change(entry: Entry, pick: (figure: Figure) => number | null, show: (value: number) => string): string {
  const [before, after] = [entry.before, entry.after].map((figure) => (figure ? pick(figure) : null));
  if (after === null || after === undefined) return "";
  return before === null || before === undefined ? show(after) : `${show(before)} > ${show(after)}`;
}

const shown = (files: readonly string[]): string =>
  files.slice(0, 5).join(", ") + (files.length > 5 ? `, ... (${files.length})` : "");
