/** A save that does not load: said once, with its code frame, in each place where one looks. (The dashboard: dashboard.test.ts.) */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { askControl } from "../../runtime/cage/control.ts";
import { pathsOf, socketOf } from "../../runtime/cage/paths.ts";
import type { Snapshot } from "../../runtime/health/metrics.ts";
import { createProject, eventually, home, type Project } from "../kit/project.ts";

let project: Project;
const textOf = (name: string) => readFileSync(join(project.root, "logs/shop", name), "utf8");
const count = (text: string, part: string) => text.split(part).length - 1;
const ask = (verb: string) => askControl(socketOf(pathsOf(home, project.root), "ctl", "shop"), verb);
const frame = "> 2 | export const b = ;\n    |                  ^";
const broken = "export const a = 1;\nexport const b = ;\n";

/** In the terminal's log, the log, the history, and what the dashboard shows. */
async function reports(): Promise<number[]> {
  const { reloads } = (await ask("metrics")) as Snapshot;
  const history = (await ask("history")) as { ok: boolean; error?: { frame: string } }[];
  return [
    count(textOf("output.log"), frame),
    count(textOf("cage.log"), JSON.stringify(frame).slice(1, -1)),
    history.filter((entry) => entry.error?.frame.includes(frame)).length,
    reloads.filter((reload) => !reload.ok && reload.frame.includes(frame)).length,
  ];
}

beforeAll(async () => {
  project = createProject({
    "cages/shop/api.ts": 'import { b } from "./b.ts";\nexport const say = () => b;\n',
    "cages/shop/b.ts": 'export const b = "fine";\n',
    "cages/shop/c.ts": "export const c = 1;\n",
  });
  await project.ok("start", "shop");
});
afterAll(() => project.remove());

it("a save that does not load is reported once, though every further save tries it again", async () => {
  project.write({ "cages/shop/b.ts": broken });
  await eventually("the report", () => textOf("output.log").includes(frame));
  project.write({ "cages/shop/c.ts": "export const c = 2;\n" });
  // Tries all that is pending, after whatever is under way, and answers.
  const reload = await project.cage("reload", "shop");
  expect([reload.code, count(reload.stderr, frame)]).toEqual([1, 1]);
  expect(await reports()).toEqual([1, 1, 1, 1]);
  expect(await project.ok("call", "shop", "say")).toBe('"fine"\n');
  expect(await project.ok("list")).toContain("shop: the last save did not load, the old generation serves");
});

it("the same fault is news again once it had been mended", async () => {
  project.write({ "cages/shop/b.ts": 'export const b = "mended";\n' });
  await eventually("the new code", async () => (await project.ok("call", "shop", "say")) === '"mended"\n');
  expect(await project.ok("list")).not.toContain("did not load");
  project.write({ "cages/shop/b.ts": broken });
  await eventually("the second report", () => count(textOf("output.log"), frame) > 1);
  expect(await reports()).toEqual([2, 2, 2, 2]);
});

it("a configuration that is refused is shown with its place", async () => {
  project.write({
    "cages/shop/b.ts": 'export const b = "mended";\n',
    "config/shop.ts": `import { defineCage } from "#runtime";
export const config = defineCage({
  resources: { port: { protocol: "sqlite", file: "port.sqlite" } },
  interfaces: { web: { protocol: "http", prt: 0 } },
} as never);
`,
  });
  await eventually("the report", () => textOf("output.log").includes("did you mean 'port'?"));
  expect(textOf("output.log")).toContain(
    '> 4 |   interfaces: { web: { protocol: "http", prt: 0 } },\n    |                                          ^',
  );
});
