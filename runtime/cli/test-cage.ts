/** ./cage test NAME [MODULE]: what the tests of a cage say, row by row, and 0 only if there are some and all passed. */
import { relative } from "node:path";
import { CageError } from "../errors.ts";
import { runCageTests } from "../testing/run.ts";
import type { Failure, TestRow } from "../testing/tests.ts";
import type { Given } from "./main.ts";

export async function testOf(given: Given, cage: string, module: string | undefined): Promise<number> {
  const { home, root } = given.paths;
  const say = (text: string) => void (given.flags["json"] || process.stdout.write(text));
  const where = (failure: Failure): string =>
    failure.file === ""
      ? ""
      : `${relative(root, failure.file)}${failure.line > 0 ? `:${failure.line}:${failure.column}` : ""}: `;
  const fault = (failure: Failure): string =>
    `${where(failure)}${failure.message}${failure.frame === "" ? "" : `\n\n${failure.frame}\n`}`.replaceAll(
      /^(?=.)/gm,
      "       ",
    );
  const print = (row: TestRow): void => {
    say(
      `  ${row.failure ? "FAIL" : "ok  "} ${relative(root, row.file)}: ${row.title} (${row.durationMs.toFixed(0)} ms)\n`,
    );
    if (row.failure)
      say(`${fault(row.failure)}\n${row.failure.notes.map((note) => `       meanwhile: ${note}\n`).join("")}`);
  };
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  const outcome = await runCageTests({ home, root, cage, module }, given.build, { row: print, signal: stop.signal });
  const failed = outcome.rows.filter((row) => row.failure).length;
  for (const error of outcome.errors)
    process.stderr.write(`cage: ${cage}: ${where(error)}${error.message}\n${error.frame ? `${error.frame}\n` : ""}`);
  if (given.flags["json"]) {
    const { rows, errors, durationMs } = outcome;
    process.stdout.write(`${JSON.stringify({ cage, rows, errors, durationMs })}\n`);
  }
  if (outcome.rows.length === 0 && outcome.errors.length === 0)
    throw new CageError(
      "CONFIG",
      `${cage} has no tests${module === undefined ? "" : ` of ${module}`}; write cages/${cage}/${module ?? "NAME"}.test.ts`,
    );
  if (outcome.rows.length > 0)
    say(`${cage}: ${outcome.rows.length} tests, ${failed} failed, in ${outcome.durationMs.toFixed(0)} ms\n`);
  return failed > 0 || outcome.errors.length > 0 ? 1 : 0;
}
