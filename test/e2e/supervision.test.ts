/** What goes wrong around a supervisor: starts at the same moment, its own death, a full disk. */
import { existsSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import type { InstanceStatus } from "../../runtime/cli/instances.ts";
import { createProject, type Project } from "../kit/project.ts";

const api = `
console.log("printed while loading");
export const say = () => { console.log("printed in a call"); return "said"; };
`;
let project: Project;
afterEach(() => project.remove());

const listed = async (): Promise<InstanceStatus[]> => JSON.parse(await project.ok("list", "--json"));

it("starts at the same moment make one instance, and all of them report it", async () => {
  project = createProject({ "cages/shop/api.ts": api });
  const rans = await Promise.all([1, 2, 3].map(() => project.cage("start", "shop", "--json")));
  expect(rans.map((ran) => ran.code)).toEqual([0, 0, 0]);
  const pids = rans.map((ran) => (JSON.parse(ran.stdout) as { shop: { status: InstanceStatus } }).shop.status.pid);
  expect(new Set(pids).size).toBe(1);
  expect((await listed()).map((row) => row.pid)).toEqual([pids[0]]);
});

it("a start right after its supervisor was killed waits for the worker that drains", async () => {
  project = createProject({ "cages/shop/api.ts": api });
  await project.ok("start", "shop");
  const [before] = await listed();
  process.kill(before!.supervisor, "SIGKILL");
  await project.ok("start", "shop");
  const [after] = await listed();
  expect(after!.pid).not.toBe(before!.pid);
  expect(after!.state).toBe("ready");
});

it.skipIf(!existsSync("/dev/full"))("a full disk under its output takes no cage down", async () => {
  project = createProject({ "cages/shop/api.ts": api });
  mkdirSync(join(project.root, "logs/shop"), { recursive: true });
  symlinkSync("/dev/full", join(project.root, "logs/shop/output.log"));
  await project.ok("start", "shop");
  expect(await project.ok("call", "shop", "say")).toBe('"said"\n');
  expect((await listed()).map((row) => [row.state, row.restarts])).toEqual([["ready", 0]]);
});

it("a cage that is not there, or does not run, is said so", async () => {
  project = createProject({ "cages/shop/api.ts": api });
  expect((await project.cage("history", "shpo")).stderr).toMatch(/no cage 'shpo'.*did you mean 'shop'/);
  expect((await project.cage("reload", "shop")).stderr).toMatch(/cage shop does not run; start it with/);
});
