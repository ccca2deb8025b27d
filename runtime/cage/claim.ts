/**
 * One process at a time, for moments: `await alone(path, work)`. Two starts of one cage at the same instant would both
 * find nobody, and the later one would remove the socket of the earlier: an instance that nobody can see or stop.
 *
 * The lock is a file; it is held for milliseconds, so one that is old was left by a process that was killed holding it.
 */
import { closeSync, openSync, rmSync, statSync } from "node:fs";
import { CageError } from "../errors.ts";

/** Longer than its holder may take (it asks a control socket, which has 2 s to answer). */
const staleMs = 5_000;
const pollMs = 10;

export async function alone<T>(path: string, work: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + 2 * staleMs;
  while (!taken(path)) {
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age > staleMs) rmSync(path, { force: true });
    if (Date.now() > deadline)
      throw new CageError("CONFLICT", `another start holds ${path}; remove that file if none runs`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

function taken(path: string): boolean {
  try {
    closeSync(openSync(path, "wx", 0o600));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}
