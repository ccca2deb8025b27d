import { execFile } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { home } from "../../kit/project.ts";

/** A clone of nothing but the launcher, and an npm that notes that it ran. */
let clone: string;
beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), "clone-"));
  for (const file of ["cage", "runtime/cli/boot.mjs"]) {
    mkdirSync(dirname(join(clone, file)), { recursive: true });
    copyFileSync(join(home, file), join(clone, file));
  }
  mkdirSync(join(clone, "lib"));
  mkdirSync(join(clone, "bin"));
  writeFileSync(join(clone, "package-lock.json"), "{}");
  for (const tool of ["python3", "make", "g++"]) program(tool, "exit 0");
  program("npm", `echo ran >>"${clone}/ran"; mkdir -p node_modules; sleep 0.3`);
});
afterEach(() => rmSync(clone, { recursive: true }));

function program(name: string, text: string): void {
  writeFileSync(join(clone, "bin", name), `#!/bin/sh\n${text}\n`);
  chmodSync(join(clone, "bin", name), 0o755);
}

const start = (): Promise<string> =>
  new Promise((done) => {
    const env = { ...process.env, PATH: `${join(clone, "bin")}${delimiter}${process.env["PATH"]}` };
    execFile(join(clone, "cage"), ["list"], { env, cwd: clone }, (_, __, stderr) => done(stderr));
  });

test("two starts in a fresh clone install once", async () => {
  const said = await Promise.all([start(), start(), start()]);
  expect(readFileSync(join(clone, "ran"), "utf8")).toBe("ran\n");
  expect(said.filter((text) => text.includes("installing packages"))).toHaveLength(1);
  expect(existsSync(join(clone, "state/install.lock"))).toBe(false);
});

test("an installation that was killed is made again, and one that failed says so", async () => {
  mkdirSync(join(clone, "state"));
  // No process has this number: it is over the largest there is.
  writeFileSync(join(clone, "state/install.lock"), "99999999");
  program("npm", "echo no such registry >&2; exit 1");
  expect(await start()).toMatch(/no such registry\ncage: npm ci failed/);
  expect(existsSync(join(clone, "state/install.lock"))).toBe(false);
});
