/**
 * ./cage test NAME [MODULE]: the tests of one cage (its *.test.ts), in the cage itself; see runtime/testing.ts.
 * ./cage test [PATTERN ...]: prepares what the tests need and runs the whole suite, the browser's included. A first word
 * that is a cage's name means the cage; with --suite it is a pattern all the same.
 *
 * On Debian as root missing servers and Chromium are installed from the distribution's packages; elsewhere what is missing
 * is named, its suites are skipped, and they are counted as skipped. With CI=true a skip is a failure.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { nearest } from "../../lib/nearest.ts";
import { cagesOf } from "../cage/paths.ts";
import { CageError } from "../errors.ts";
import type { Command } from "./main.ts";
import { type Need, needs } from "./needs.ts";

export const test: Command = {
  usage: "[NAME [MODULE]] | [--suite] [PATTERN ...]",
  summary: "the tests of a cage; without a name, the whole suite",
  options: { suite: { type: "boolean" } },
  async run(given) {
    const [cage, module] = given.words;
    if (cage !== undefined && !given.flags["suite"] && cagesOf(given.paths).includes(cage))
      return await (await import("./test-cage.ts")).testOf(given, cage, module);
    const near = cage === undefined || given.flags["suite"] ? undefined : nearest(cage, cagesOf(given.paths));
    if (near !== undefined)
      process.stderr.write(`cage: there is no cage '${cage}' (did you mean '${near}'?); it is taken for a pattern\n`);
    const { home } = given.paths;
    const vitest = join(home, "node_modules", "vitest", "vitest.mjs");
    if (!existsSync(vitest))
      throw new CageError(
        "CONFIG",
        "the test tools are not installed; run npm ci in the clone (a production install leaves them out)",
      );
    const missing = prepare();
    for (const need of missing)
      process.stderr.write(
        `cage: ${need.what} is missing (on Debian: apt-get install ${need.package}); its tests are skipped\n`,
      );
    if (missing.length > 0 && process.env["CI"] === "true")
      throw new CageError("CONFIG", "with CI=true nothing may be skipped; install what is named above");
    const done = spawnSync(
      process.execPath,
      [
        "--expose-gc",
        vitest,
        "run",
        "--root",
        home,
        "--config",
        join(home, "test", "vitest.config.ts"),
        ...given.words,
      ],
      {
        cwd: home,
        stdio: "inherit",
      },
    );
    return done.status ?? 1;
  },
};

/** Installs what it can; returns what is still missing. */
function prepare(): readonly Need[] {
  const missing = stillMissing();
  if (missing.length === 0 || !isDebian() || process.getuid?.() !== 0) return missing;
  const packages = missing.map((need) => need.package);
  process.stderr.write(`cage: installing ${packages.join(", ")} (apt-get)\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  for (const args of [
    ["update", "-qq"],
    ["install", "-y", "-qq", "--no-install-recommends", ...packages],
  ]) {
    const done = spawnSync("apt-get", args, { env, stdio: ["ignore", "ignore", "inherit"] });
    if (done.status !== 0) process.stderr.write(`cage: apt-get ${args[0]} failed\n`);
  }
  return stillMissing();
}

const stillMissing = (): readonly Need[] => Object.values<Need>(needs).filter((need) => need.find() === undefined);

const isDebian = (): boolean =>
  existsSync("/etc/os-release") && /^ID(_LIKE)?=.*debian/m.test(readFileSync("/etc/os-release", "utf8"));
