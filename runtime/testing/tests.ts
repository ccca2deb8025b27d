/**
 * The tests of a cage: `test(title, body)` in a *.test.ts beside its modules says one; `runTests` runs those that the
 * cage's loading collected, one after the other, each in a request of its own with a deadline.
 *
 * A failure says the test, its place (the innermost line of the cage's own code), and shows the lines around it.
 */
import { CageError, coded } from "../errors.ts";
import { frameOf } from "../modules/failure.ts";
import { topOf } from "../modules/stack.ts";
import type { TestCage } from "./cage.ts";

export type Body = (cage: TestCage) => unknown;

interface Stated {
  readonly title: string;
  readonly body: Body;
  readonly timeoutMs: number | undefined;
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly frame: string;
}

export interface TestRow {
  readonly title: string;
  readonly file: string;
  readonly durationMs: number;
  readonly failure?: Failure;
}

let stated: Stated[] | undefined;

/** States a test. `body` gets the cage under test; it runs in a request, so calls and resources work as in the cage. */
export function test(title: string, body: Body, options: { timeoutMs?: number } = {}): void {
  if (stated === undefined)
    throw new CageError(
      "BAD_INPUT",
      `test("${title}") stands in a file that ./cage test NAME runs; with another test runner, use its own test and testCage()`,
    );
  const { file = "", line = 0, column = 0 } = topOf(new Error()) ?? {};
  stated.push({ title, body, timeoutMs: options.timeoutMs, file, line, column });
}

/** Runs `load` and answers what it stated. */
export async function collect(load: () => Promise<unknown>): Promise<readonly Stated[]> {
  const all: Stated[] = [];
  stated = all;
  try {
    await load();
  } finally {
    stated = undefined;
  }
  return all;
}

export async function runTests(
  tests: readonly Stated[],
  cage: TestCage,
  textOf: (file: string) => string | undefined,
  done: (row: TestRow) => void,
): Promise<void> {
  for (const each of tests) {
    const { title, body, file, timeoutMs } = each;
    const startedAt = performance.now();
    let failure: Failure | undefined;
    try {
      await cage.run(() => body(cage), { label: title, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    } catch (error) {
      const { code } = coded(error);
      const message = error instanceof Error ? error.message : String(error);
      const at = topOf(error) ?? each;
      const text = textOf(at.file);
      const frame = text === undefined || at.line === 0 ? "" : frameOf(text, at.line, at.column);
      failure = { code, message, file: at.file, line: at.line, column: at.column, frame };
    }
    done({ title, file, durationMs: performance.now() - startedAt, ...(failure ? { failure } : {}) });
  }
}
