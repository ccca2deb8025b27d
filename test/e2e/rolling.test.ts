/** Rolling restarts under load: nobody is refused, and what may be done once only is done once. */
import { afterEach, expect, it } from "vitest";
import type { InstanceStatus } from "../../runtime/cli/instances.ts";
import { createProject, eventually, freePorts, type Project } from "../kit/project.ts";

let project: Project;
afterEach(() => project.remove());

const status = async (): Promise<InstanceStatus> =>
  (JSON.parse(await project.ok("list", "--json")) as InstanceStatus[])[0] as InstanceStatus;
const pids = (row: InstanceStatus) => [row.pid, ...row.others.map(({ pid }) => pid)];

it("replaces the processes of a cage one after another, and keeps its generation", async () => {
  const [port] = (await freePorts(1)) as [number];
  project = createProject({
    "cages/shop/web.ts": `export const routes = { "GET /": () => ({ pid: process.pid }) };`,
    "cages/shop/api.ts": `export const pid = () => process.pid;`,
    "config/shop.ts": `export const config = { processes: 2, interfaces: { web: { protocol: "http", port: ${port} } } };`,
  });
  await project.ok("start");
  const before = await status();
  console.log(await project.cage("restart", "shop", "--rolling"));
  const after = await status();
  expect(after.state).toBe("ready");
  for (const pid of pids(before)) expect(pids(after)).not.toContain(pid);
  expect(after.worker?.generation).toBe(before.worker?.generation);
  project.write({ "cages/shop/web.ts": `export const routes = { "GET /": () => ({ v: 2 }) };` });
  await eventually("saved", async () => (await status()).worker?.generation === 2);
  console.log(await project.ok("list"));
});
