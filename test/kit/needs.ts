/**
 * Tests that need more of the machine than Node: `const { describe, test } = needing("chromium")` at the top of a file.
 * Where it is missing they are skipped, counted as skipped, and say in their titles why; a file of which every test is
 * skipped runs none of its hooks. With CI=true what is missing fails the file instead: nothing is left out unseen there.
 */
import * as vitest from "vitest";
import { needs } from "../../runtime/cli/needs.ts";

export type Needed = keyof typeof needs;

type Suite = (title: string, body: () => void) => void;

type Case = (title: string, body: (context: vitest.TestContext) => unknown, timeoutMs?: number) => void;

export function needing(...names: readonly Needed[]): { describe: Suite; test: Case; it: Case } {
  const missing = names.map((name) => needs[name]).filter((need) => need.find() === undefined);
  const packages = missing.map((need) => need.package).join(" ");
  const what = missing.map((need) => need.what).join(", ");
  if (missing.length > 0 && process.env["CI"] === "true")
    throw new Error(
      `${what} is missing, and with CI=true nothing may be skipped; on Debian: apt-get install ${packages}`,
    );
  const skip = missing.length > 0;
  const titled = (title: string): string => (skip ? `${title} (skipped: ${what} is missing)` : title);
  const test: Case = (title, body, timeoutMs) => vitest.test.skipIf(skip)(titled(title), body as never, timeoutMs);
  return { describe: (title, body) => vitest.describe.skipIf(skip)(titled(title), body), test, it: test };
}

/** For what is launched by its path; asked only where it is present. */
export function pathOf(name: Needed): string {
  const path = needs[name].find();
  if (path === undefined) throw new Error(`${needs[name].what} is missing`);
  return path;
}
