/**
 * ./cage keys: by what the nodes of a cluster know each other (engine: { kind: "static", ... } in config/cluster.ts).
 *
 *     ./cage keys authority           once, on one machine: a private authority in state/authority
 *     ./cage keys node east west      a certificate and a key for each; says what to copy where
 *     ./cage keys                     what there is, and until when it is good
 *
 * The same command makes a certificate anew; nodes take new files while they run. Keys are never printed.
 */
import { relative } from "node:path";
import { Authority, type Issued } from "../cage/authority.ts";
import { CageError } from "../errors.ts";
import type { Command } from "./main.ts";
import { duration, table } from "./table.ts";

/** An authority outlives the machines; a certificate's holder changes, and a year is what one remembers to renew after. */
const defaultDays = { authority: 3_650, node: 365 };
const mostDays = 36_500;

export const keys: Command = {
  usage: "[authority | node NAME...] [--days N]",
  summary: "certificates by which nodes know each other: make an authority, and one for each node",
  options: { days: { type: "string" } },
  async run({ paths, words: [what = "list", ...names], flags }) {
    const authority = new Authority(paths);
    const shown = (file: string): string => relative(paths.root, file);
    const say = (issued: readonly Issued[], text: string): number => {
      process.stdout.write(flags["json"] ? `${JSON.stringify(issued)}\n` : text);
      return 0;
    };
    if (what === "authority" && names.length === 0) {
      const made = authority.make(daysOf(flags["days"], defaultDays.authority));
      const text = `made an authority, good until ${day(made.until)}: ${shown(authority.folder)}
keep ca-key.pem in there to yourself: whoever has it can be any node
  ./cage keys node NAME...     makes what each node needs
`;
      return say([made], text);
    }
    if (what === "node" && names.length > 0) {
      const days = daysOf(flags["days"], defaultDays.node);
      const made = names.map((name) => authority.certify(name, days));
      const text = made.map(
        ({ node, until, folder }) =>
          `${node}: good until ${day(until)}; copy these into state/keys of that node, where only its user can read them\n  ${shown(folder)}/{ca,node,node-key}.pem\n`,
      );
      return say(made, text.join(""));
    }
    if (what === "list" && names.length === 0) {
      const all = authority.list();
      const rows = all.map((row) => [row.node ?? "the authority", day(row.until), left(row.until), shown(row.file)]);
      return say(
        all,
        all.length === 0
          ? "there are no certificates here; ./cage keys authority begins\n"
          : table([["NODE", "UNTIL", "LEFT", "FILE"], ...rows]),
      );
    }
    throw new CageError("BAD_INPUT", "use: ./cage keys, ./cage keys authority, or ./cage keys node NAME...");
  },
};

const day = (date: Date): string => date.toISOString().slice(0, 10);
const left = (until: Date): string =>
  until.getTime() < Date.now() ? "expired" : duration(until.getTime() - Date.now());

function daysOf(flag: string | boolean | undefined, otherwise: number): number {
  if (flag === undefined) return otherwise;
  const days = Number(flag);
  if (Number.isInteger(days) && days >= 1 && days <= mostDays) return days;
  throw new CageError("BAD_INPUT", `--days takes a number of days from 1 to ${mostDays}, not '${flag}'`);
}
