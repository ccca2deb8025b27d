/** What a start waits for, and what it does not: seen from inside the worker, in the order in which it happens. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createProject, eventually, type Project } from "../kit/project.ts";

let project: Project;
const seen = (): string[] => readFileSync(join(project.root, "order.log"), "utf8").split("\n");

beforeAll(() => {
  project = createProject({
    "cages/shop/api.ts": `export const cents = (): number => 2;\n`,
    // Loaded before anything else of every process that the launcher starts. Only the worker loads addons and says "ready".
    "witness.mjs": `import { appendFileSync } from "node:fs";
const note = (line) => appendFileSync(new URL("order.log", import.meta.url), line + "\\n");
const { dlopen, send } = process;
process.dlopen = (...args) => { note("addon " + args[1]); return dlopen.apply(process, args); };
if (send) process.send = (...args) => { note("message " + args[0]?.kind); return send.apply(process, args); };
`,
  });
  project.env["NODE_OPTIONS"] = `--import ${pathToFileURL(join(project.root, "witness.mjs"))}`;
});
afterAll(() => project.remove());

it("is ready before it makes its compiler ready for the first save, unless code changed since the last start", async () => {
  const compiler = /^addon .*oxc/;
  const at = (what: RegExp): number => seen().findIndex((line) => what.test(line));
  await project.ok("start", "shop");
  expect(at(compiler)).toBeGreaterThanOrEqual(0);
  expect(at(compiler)).toBeLessThan(at(/^message ready/));
  await project.ok("stop", "shop");
  rmSync(join(project.root, "order.log"));
  await project.ok("start", "shop");
  await eventually("the compiler is made ready", () => at(compiler) >= 0, 30_000);
  expect(at(/^message ready/)).toBeGreaterThanOrEqual(0);
  expect(at(/^message ready/)).toBeLessThan(at(compiler));
  project.write({ "cages/shop/api.ts": `export const cents = (): number => 3;\n` });
  await eventually("it watches", async () => (await project.ok("call", "shop", "cents")).trim() === "3");
});
