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
import type { Witness } from "./witness.ts";

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
  /** `notes`: what else went wrong meanwhile. */
  readonly failure?: Failure & { readonly notes: readonly string[] };
}

/** As long as a request has by default. */
const defaultMs = 10_000;
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

export interface TestRun {
  readonly cage: TestCage;
  textOf(file: string): string | undefined;
  readonly witness: Witness;
  begins(title: string): void;
  done(row: TestRow): void;
}

export async function runTests(
  tests: readonly Stated[],
  { cage, textOf, witness, begins, done }: TestRun,
): Promise<void> {
  for (const each of tests) {
    const { title, body, file, timeoutMs = defaultMs } = each;
    begins(title);
    const startedAt = performance.now();
    let thrown: { readonly error: unknown } | undefined;
    try {
      await cage.run(() => body(cage), { label: title, timeoutMs });
    } catch (error) {
      thrown = { error };
    }
    // A rejection that nobody handles is known a turn later.
    await new Promise((turn) => setImmediate(turn));
    const { stray, notes } = witness.tell();
    thrown ??= stray;
    const failure = thrown && {
      ...failureOf(thrown.error, each, thrown === stray ? "nobody awaited this: " : ""),
      notes,
    };
    done({ title, file, durationMs: performance.now() - startedAt, ...(failure ? { failure } : {}) });
  }

  function failureOf(error: unknown, { file, line, column, timeoutMs = defaultMs }: Stated, lead: string): Failure {
    const { code, message: said } = coded(error);
    const inside = topOf(error);
    const late = code === "EXPIRED" && inside === undefined;
    const at = inside ?? { file, line, column };
    const text = textOf(at.file);
    const frame = text === undefined || at.line === 0 ? "" : frameOf(text, at.line, at.column);
    return { code, message: `${lead}${late ? `it did not end within ${timeoutMs} ms` : said}`, ...at, frame };
  }
}
