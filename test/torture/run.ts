/** npm run torture -- NAME [COUNT]: the long form of a promise that the suite checks briefly. Exits with 1 if it broke. */
import { readdirSync } from "node:fs";

const [name = "", count] = process.argv.slice(2);
const known = readdirSync(import.meta.dirname)
  .filter((file) => file !== "run.ts")
  .map((file) => file.slice(0, -".ts".length));
if (!known.includes(name)) {
  process.stderr.write(`there is no torture '${name}'; there are ${known.join(", ")}\n`);
  process.exit(2);
}
const { run } = (await import(`./${name}.ts`)) as { run(count?: number): Promise<boolean> };
process.exit((await run(count === undefined ? undefined : Number(count))) ? 0 : 1);
