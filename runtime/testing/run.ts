/**
 * Runs the tests of a cage in a process of their own and answers what came of them.
 *
 *     const outcome = await runCageTests({ home, root, cage: "shop", child }, { row: (row) => print(row) });
 *     outcome.failed > 0 || outcome.error
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { constants, setPriority, tmpdir } from "node:os";
import { join } from "node:path";
import type { CageError } from "../errors.ts";
import { LoadError } from "../modules/failure.ts";
import type { Candidate } from "../modules/generation.ts";
import type { Failure, TestRow } from "./tests.ts";

export interface Wanted {
  readonly home: string;
  readonly root: string;
  readonly cage: string;
  /** Only the tests of this module. */
  readonly module?: string | undefined;
}

/** What the child says. */
export type Told =
  | { readonly kind: "loaded"; readonly hashes: readonly (readonly [string, string])[] }
  | { readonly kind: "begins"; readonly title: string }
  | { readonly kind: "row"; readonly row: TestRow }
  | { readonly kind: "failed"; readonly error: Failure }
  | { readonly kind: "done" };

export interface Outcome {
  readonly rows: readonly TestRow[];
  /** What is no test's failure: the cage did not load, or its process ended. */
  readonly errors: readonly Failure[];
  readonly durationMs: number;
  /** What was tested: each file by the hash of its text. */
  readonly hashes: ReadonlyMap<string, string>;
}

export interface RunOptions {
  row?(row: TestRow): void;
  /** Where what the tests print goes. */
  readonly output?: "inherit" | "ignore";
  /** Ended after this long. Without it somebody sits at the terminal. */
  readonly limitMs?: number;
  /** Ends it before. */
  readonly signal?: AbortSignal;
  /** Somebody else on this machine is being served. */
  readonly nice?: boolean;
}

/** `build`: the folder of the built runtime, where the child's program is. */
export async function runCageTests(wanted: Wanted, build: string, options: RunOptions = {}): Promise<Outcome> {
  const startedAt = performance.now();
  const rows: TestRow[] = [];
  const errors: Failure[] = [];
  let hashes: ReadonlyMap<string, string> = new Map();
  let whole = false;
  let running = "";
  // All that it leaves is in here, also when it is killed.
  const folder = mkdtempSync(join(tmpdir(), "cage-test-"));
  const { output = "inherit" } = options;
  const child = spawn(process.execPath, ["--expose-gc", join(build, "tests.js")], {
    stdio: ["ignore", output, output, "ipc"],
    cwd: wanted.root,
    env: { ...process.env, TMPDIR: folder, CAGE_TEST: JSON.stringify(wanted) },
  });
  if (options.nice && child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_BELOW_NORMAL);
  const limit =
    options.limitMs === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), options.limitMs).unref();
  const give = () => void child.kill("SIGKILL");
  if (options.signal?.aborted) give();
  options.signal?.addEventListener("abort", give, { once: true });
  child.on("message", (told: Told) => {
    if (told.kind === "loaded") hashes = new Map(told.hashes);
    else if (told.kind === "begins") running = ` in "${told.title}"`;
    else if (told.kind === "row") {
      running = "";
      rows.push(told.row);
      options.row?.(told.row);
    } else if (told.kind === "failed") errors.push(told.error);
    else whole = true;
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((ended, failed) => {
    child.once("error", failed);
    child.once("close", (...how) => ended(how));
  }).finally(() => rmSync(folder, { recursive: true, force: true }));
  clearTimeout(limit);
  options.signal?.removeEventListener("abort", give);
  if (!whole && errors.length === 0) {
    const late = signal === "SIGKILL" && options.limitMs !== undefined && !options.signal?.aborted;
    const message = late
      ? `the tests did not end within ${options.limitMs} ms${running}`
      : `the process of the tests ended before they did (${signal ?? `exit code ${code}`})${running}`;
    errors.push({ code: "INTERNAL", message, file: "", line: 0, column: 0, frame: "" });
  }
  return { rows, errors, durationMs: performance.now() - startedAt, hashes };
}

/** A reload waits this long for its tests; a gate is for quick ones. */
const gateMs = 60_000;

/** Refuses a candidate whose cage's own tests fail (`test: "gate"`): throws with the test's name, place and frame. */
export async function passTests(
  wanted: Wanted,
  build: string,
  candidate: Candidate,
  signal: AbortSignal,
): Promise<void> {
  const how = { output: "ignore", limitMs: gateMs, nice: true, signal } as const;
  const { rows, errors, hashes } = await runCageTests(wanted, build, how);
  const failed = rows.find((row) => row.failure);
  const failure = failed?.failure ?? errors[0];
  if (failure !== undefined) {
    const what = failed === undefined ? "its tests did not run" : `the test "${failed.title}" failed`;
    const others = rows.filter((row) => row.failure).length - 1;
    const more = others > 0 ? ` (and ${others} more)` : "";
    throw refused(`${what}${more}: ${failure.message}`, failure);
  }
  // They read the disk, a moment later than the candidate did: what was tested must be what will serve.
  for (const [file, hash] of candidate.hashes)
    if (hashes.get(file) !== hash)
      throw new LoadError("it changed while its tests ran; the newer text is tried next", { file });
}

function refused(message: string, at: Failure): CageError {
  const error = new LoadError(message, { file: at.file, line: at.line, column: at.column });
  return Object.assign(error, { frame: at.frame });
}
