/**
 * npm run bench -- NAME [--quick]: runs one benchmark, prints its table and, last, one line of JSON: name, date, machine,
 * versions and its keys. Figures come from this run or are not printed.
 */

import { readdirSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { table } from "../../runtime/cli/table.ts";

export interface Figures {
  readonly rows: readonly (readonly string[])[];
  readonly keys: Readonly<Record<string, number>>;
}

export interface Bench {
  run(options: { quick: boolean }): Promise<Figures>;
}

const { positionals, values } = parseArgs({ allowPositionals: true, options: { quick: { type: "boolean" } } });
const known = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith(".bench.ts"))
  .map((name) => name.slice(0, -".bench.ts".length));
const name = positionals[0] ?? "";
if (!known.includes(name)) {
  process.stderr.write(`there is no benchmark '${name}'; there are ${known.join(", ")}\n`);
  process.exit(2);
}
const { bench } = (await import(`./${name}.bench.ts`)) as { bench: Bench };
const { rows, keys } = await bench.run({ quick: values.quick ?? false });
process.stdout.write(`${table(rows)}\n`);
const [cpu] = cpus();
process.stdout.write(
  `${JSON.stringify({
    name,
    date: new Date().toISOString(),
    machine: `${cpus().length} x ${cpu?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    node: process.versions.node,
    quick: values.quick ?? false,
    ...keys,
  })}\n`,
);
