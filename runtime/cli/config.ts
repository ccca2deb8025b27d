/**
 * ./cage config NAME [--why KEY]: the configuration that serves, and where each value comes from. Secrets are shown by
 * their name only. Of a cage that does not run it is what its files say, and a fault in them is shown with its frame.
 */
import { nearest } from "../../lib/nearest.ts";
import type { Explained } from "../cage/explain.ts";
import { told } from "../cage/fault.ts";
import type { Paths } from "../cage/paths.ts";
import { CageError } from "../errors.ts";
import { failureOf } from "../modules/failure.ts";
import { askOf, named, statusOf } from "./instances.ts";
import type { Command } from "./main.ts";
import { table } from "./table.ts";

export const config: Command = {
  usage: "NAME [--why KEY]",
  summary: "the effective configuration, and where each value comes from",
  options: { why: { type: "string" } },
  async run(given) {
    const [cage] = given.words;
    if (cage === undefined) throw new CageError("BAD_INPUT", "config takes the name of a cage: ./cage config greeter");
    const all = await explained(given.paths, cage);
    const why = given.flags["why"] as string | undefined;
    const rows = why === undefined ? all : all.filter((row) => row.key === why || row.key.startsWith(`${why}.`));
    if (rows.length === 0 && why !== undefined) {
      const near = nearest(
        why,
        all.map((row) => row.key),
      );
      throw new CageError("BAD_INPUT", `${cage} has no value at '${why}'${near ? `; did you mean '${near}'?` : ""}`);
    }
    if (given.flags["json"]) process.stdout.write(`${JSON.stringify(rows)}\n`);
    else if (why === undefined) process.stdout.write(table([["KEY", "VALUE", "FROM"], ...rows.map(short)]));
    else process.stdout.write(rows.map(long).join(""));
    return 0;
  },
};

async function explained(paths: Paths, cage: string): Promise<readonly Explained[]> {
  named(paths, [cage]);
  const status = await statusOf(paths, cage);
  if (status?.state === "ready") return (await askOf(paths, cage, "config")) as Explained[];
  const what = status === undefined ? "does not run" : `is ${status.state}`;
  process.stderr.write(`cage: ${cage} ${what}; this is what its files say\n`);
  const [{ stated }, door] = await Promise.all([import("../cage/stated.ts"), import("../index.ts")]);
  return await stated(paths, cage, door, process.env).catch((error: unknown) => {
    throw told(failureOf(error), paths.root);
  });
}

const text = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));
const origin = ({ from, file }: { from: string; file: string }): string => (file === "" ? from : `${from}: ${file}`);

const maxValue = 60;
const short = (row: Explained): string[] => {
  const value = text(row.value).replaceAll(/\s+/g, " ");
  return [row.key, value.length > maxValue ? `${value.slice(0, maxValue - 3)}...` : value, origin(row)];
};

/** One value with all that was said of it, the winner first. */
const long = (row: Explained): string =>
  `${row.key} = ${text(row.value)}\n  ${origin(row)}\n${row.over.map((each) => `  over ${text(each.value)} of ${origin(each)}\n`).join("")}`;
