/** The runtime replaced under a running cage, supervisor included; and what is left when either is killed meanwhile. */
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import type { InstanceStatus } from "../../runtime/cli/instances.ts";
import { createProject, eventually, freePorts, type Project } from "../kit/project.ts";
import { failuresOf, startTraffic, underLoad } from "../kit/traffic.ts";

let project: Project;
afterEach(() => project.remove());

const status = async (): Promise<InstanceStatus | undefined> => {
  const rows = JSON.parse(await project.ok("list", "--json")) as InstanceStatus[];
  return rows.find((row) => row.cage === "shop");
};
const pids = (row: InstanceStatus | undefined) => [
  row?.supervisor,
  row?.pid,
  ...(row?.others ?? []).map(({ pid }) => pid),
];
/** By its title: one that ended may stay in the table of processes until somebody asks for it. */
const titleOf = (pid: number | undefined): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replace(/[\0 ]+$/, "");
  } catch {
    return "";
  }
};
const runs = (pid: number | undefined) => titleOf(pid) !== "";
/** The supervisors of this project: there are two for the time of an upgrade. */
const supervisors = (): number[] =>
  readdirSync("/proc")
    .map(Number)
    .filter((pid) => titleOf(pid) === "cage-supervisor shop" && readlinkSync(`/proc/${pid}/cwd`) === project.root);

it("refuses nobody while supervisor and processes are replaced under load, and is a cage as before", {
  timeout: 180_000,
}, async () => {
  const [web, thrift, load] = (await freePorts(3)) as [number, number, number];
  project = createProject(underLoad({ web, thrift, load }));
  await project.ok("start");
  const traffic = await startTraffic(project, { web, thrift, load });
  for (let round = 0; round < 2; round++) {
    const before = await status();
    expect(await project.ok("upgrade", "shop")).toBe("shop upgraded\n");
    const after = await status();
    for (const pid of pids(before)) expect(pids(after)).not.toContain(pid);
    expect([after?.state, after?.others.length, after?.worker?.generation]).toEqual([
      "ready",
      1,
      before?.worker?.generation,
    ]);
    await eventually("the old supervisor is gone", () => !runs(before?.supervisor), 20_000);
  }
  const { samples, taken, effects } = await traffic.stop();
  expect(failuresOf(samples)).toEqual({});
  expect([...effects].sort()).toEqual([...taken].sort());
  await project.ok("restart", "shop", "--rolling");
  const row = await status();
  await project.ok("stop");
  expect(await status()).toBeUndefined();
  for (const pid of pids(row)) expect(runs(pid)).toBe(false);
});

/** Started, with a new supervisor under way whose worker loads for as long as the file "slow" is there. */
async function halfWay() {
  project = createProject({
    "cages/shop/api.ts": `import { existsSync } from "node:fs";
while (existsSync("slow")) await new Promise((later) => setTimeout(later, 20));
export const hello = () => "hello";`,
  });
  await project.ok("start");
  const before = await status();
  project.write({ slow: "" });
  const upgrading = project.cage("upgrade", "shop");
  const heir = await eventually("the new supervisor is there", () =>
    supervisors().find((pid) => pid !== before?.supervisor),
  );
  return { before, heir, upgrading, fast: () => rmSync(join(project.root, "slow")) };
}

it.skipIf(!existsSync("/proc/self"))("goes on with the old supervisor when the new one is killed", async () => {
  const { before, heir, upgrading, fast } = await halfWay();
  process.kill(heir, "SIGKILL");
  const ran = await upgrading;
  expect([ran.code, ran.stderr]).toEqual([1, expect.stringMatching(/the old one goes on: the new supervisor ended/)]);
  fast();
  expect(pids(await status())).toEqual(pids(before));
  expect(await project.ok("call", "shop", "hello")).toBe('"hello"\n');
  expect(await project.ok("upgrade")).toBe("shop upgraded\n");
  expect(await project.ok("call", "shop", "hello")).toBe('"hello"\n');
});

it.skipIf(!existsSync("/proc/self"))("goes on with the new supervisor when the old one is killed", async () => {
  const { before, heir, upgrading, fast } = await halfWay();
  process.kill(before?.supervisor as number, "SIGKILL");
  expect((await upgrading).code).toBe(1);
  fast();
  const after = await eventually(
    "the new one has it",
    async () => {
      const row = await status().catch(() => undefined);
      return row?.state === "ready" && row;
    },
    30_000,
  );
  expect(after.supervisor).toBe(heir);
  expect(await project.ok("call", "shop", "hello")).toBe('"hello"\n');
});

it.skipIf(!existsSync("/proc/self"))("can be started again when both are killed", async () => {
  const { before, heir, upgrading, fast } = await halfWay();
  for (const pid of [before?.supervisor as number, heir]) process.kill(pid, "SIGKILL");
  await upgrading;
  fast();
  await project.ok("start", "shop");
  const after = await status();
  expect([after?.state, pids(before).includes(after?.pid)]).toEqual(["ready", false]);
  expect(await project.ok("call", "shop", "hello")).toBe('"hello"\n');
});

it("keeps the old runtime when the new one does not start, and says why", async () => {
  project = createProject({
    "cages/shop/api.ts": `import { existsSync } from "node:fs";
if (existsSync("broken")) throw new Error("broken today");`,
  });
  await project.ok("start");
  const before = await status();
  project.write({ broken: "" });
  const ran = await project.cage("upgrade", "shop");
  expect([ran.code, ran.stderr]).toEqual([1, expect.stringMatching(/the old one goes on: .*broken today/s)]);
  expect(pids(await status())).toEqual(pids(before));
});
