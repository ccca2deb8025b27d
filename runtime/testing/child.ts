/**
 * The process in which a cage's tests run: told what to do in CAGE_TEST, answers by IPC row by row, and ends. A process of
 * its own, so that a test can neither disturb a serving cage nor leave anything in it.
 */
import { existsSync, readdirSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { coded } from "../errors.ts";
import { failureOf, type ReloadFailure } from "../modules/failure.ts";
import * as testing from "../testing.ts";
import { openTestCage, testOn } from "./cage.ts";
import type { Told, Wanted } from "./run.ts";
import { collect, type Failure, runTests } from "./tests.ts";
import { Witness } from "./witness.ts";

const given = JSON.parse(process.env["CAGE_TEST"] ?? "null") as Wanted | null;
if (given === null) throw new Error("this is started by ./cage test NAME");
delete process.env["CAGE_TEST"];
const { home, root, cage: name, module } = given;

const tell = (message: Told) => new Promise<void>((sent) => process.send?.(message, () => sent()) ?? sent());

process.on("disconnect", () => process.exit(1));
const witness = new Witness();

try {
  testOn({ home, root });
  let opened: Awaited<ReturnType<typeof openTestCage>> | undefined;
  const tests = await collect(async () => {
    opened = await openTestCage(
      name,
      {},
      { externals: { "#runtime/testing": testing }, tests: async () => testFiles(join(root, "cages", name), module) },
    );
  });
  const { test, cage } = opened as NonNullable<typeof opened>;
  const { hashes, cells } = cage.loader.current;
  await tell({ kind: "loaded", hashes: [...hashes] });
  await runTests(tests, {
    cage: test,
    textOf: (file) => cells.get(file)?.source.text,
    witness,
    // Received before it runs: it may end the process, or never let it speak again.
    begins: (title) => void tell({ kind: "begins", title }),
    done: (row) => void tell({ kind: "row", row }),
  });
  await test.close();
  await tell({ kind: "done" });
} catch (error) {
  const failure = failureOf((error as { cause?: { frame?: string } }).cause?.frame ? (error as Error).cause : error);
  await tell({ kind: "failed", error: { ...plain(failure), code: coded(error).code } });
}
process.exit(0);

/** Without the thrown object, which may not cross. */
function plain({ code, message, file, line, column, frame }: ReloadFailure): Failure {
  return { code, message, file, line, column, frame };
}

/** The *.test.ts of a cage's folder and those in it; of one module only, by its name. */
function testFiles(folder: string, only: string | undefined): string[] {
  if (!existsSync(folder)) return [];
  return (readdirSync(folder, { recursive: true }) as string[])
    .filter((path) => path.endsWith(".test.ts") && !path.split(sep).includes("node_modules"))
    .map((path) => join(folder, path))
    .filter((file) => only === undefined || relative(folder, file).split(sep).join("/") === `${only}.test.ts`)
    .sort();
}
