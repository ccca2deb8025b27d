/** What goes wrong around a supervisor: starts at the same moment, its own death, a full disk. */
import { appendFileSync, existsSync, mkdirSync, renameSync, symlinkSync } from "node:fs";
import { connect, type NetConnectOpts } from "node:net";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { askControl } from "../../runtime/cage/control.ts";
import { pathsOf, socketOf } from "../../runtime/cage/paths.ts";
import type { InstanceStatus } from "../../runtime/cli/instances.ts";
import { createProject, eventually, freePorts, home, type Project } from "../kit/project.ts";

const api = `
console.log("printed while loading");
export const say = () => { console.log("printed in a call"); return "said"; };
`;
let project: Project;
afterEach(() => project.remove());

const listed = async (): Promise<InstanceStatus[]> => JSON.parse(await project.ok("list", "--json"));

/** The code with which a connection is refused. */
const refusal = (to: NetConnectOpts): Promise<string | undefined> =>
  new Promise((resolve) => {
    const socket = connect(to);
    socket.once("error", ({ code }: NodeJS.ErrnoException) => resolve(code));
    socket.once("connect", () => {
      socket.destroy();
      resolve(undefined);
    });
  });

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

it("logs -f goes on over a rotation and with files made later, and ends quietly when its reader has gone", async () => {
  project = createProject({ "logs/shop/cage.log": "first\n" });
  const log = join(project.root, "logs/shop/cage.log");
  const child = project.spawn("logs", "-f", "shop");
  let [out, faults] = ["", ""];
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (faults += text));
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const shows = (line: string) => eventually(line, () => out.includes(line));
  try {
    await shows("first\n");
    appendFileSync(log, "second å");
    appendFileSync(log, Buffer.from([0xc3]));
    appendFileSync(log, Buffer.from([0xa4, 0x0a]));
    await shows("second åä\n");
    renameSync(log, `${log}.1`);
    appendFileSync(log, "third\n");
    await shows("third\n");
    appendFileSync(log, "fourth\n");
    await shows("fourth\n");
    appendFileSync(join(project.root, "logs/shop/output.log"), "fifth \x1b[2J\n");
    await shows("fifth \\x1b[2J\n");
    expect(out.match(/first|second|third|fourth|fifth/g)).toEqual(["first", "second", "third", "fourth", "fifth"]);
    child.stdout?.destroy();
    const code = eventually("its end", () => {
      appendFileSync(log, "sixth\n");
      return child.exitCode !== null;
    });
    await code;
    expect([await ended, faults]).toEqual([0, ""]);
  } finally {
    child.kill();
  }
});

it("a cage that is stopped while it starts says so to who started it", async () => {
  project = createProject({ "cages/slow/api.ts": "await new Promise((never) => setTimeout(never, 60_000));" });
  const starting = project.cage("start", "slow");
  const [row] = await eventually("its row", async () => {
    const rows = await listed();
    return rows.length > 0 && rows;
  });
  expect(row!.state).toBe("starting");
  process.kill(row!.supervisor, "SIGTERM");
  expect((await starting).stderr).toMatch(/slow: it was stopped while it started/);
});

it("a cage that hangs holds nobody longer than they wait: a call ends at its time, and list shows the others", async () => {
  project = createProject({ "cages/hung/api.ts": api, "cages/well/api.ts": api });
  await project.ok("start");
  const [hung] = await listed();
  process.kill(hung!.pid!, "SIGSTOP");
  try {
    const began = performance.now();
    const ran = await project.cage("call", "hung", "say", "--timeout", "700");
    expect(ran.stderr).toMatch(/EXPIRED: no answer within 700 ms/);
    expect(performance.now() - began).toBeLessThan(4_000);
    expect((await listed()).map((row) => [row.cage, row.worker === undefined])).toEqual([
      ["hung", true],
      ["well", false],
    ]);
  } finally {
    process.kill(hung!.pid!, "SIGCONT");
  }
});

it("a stop closes every way in at once, though a call runs on one of them", async () => {
  const [port] = (await freePorts(1)) as [number];
  project = createProject({
    "config/long.ts": `export const config = { interfaces: { web: { protocol: "http", port: ${port}, idleTimeoutMs: 60_000 } } };`,
    "cages/long/web.ts": `export const routes = { "GET /": () => "here" };`,
    "cages/long/api.ts": `import { request } from "#runtime";
export const hang = () => new Promise((_, reject) => request.signal.addEventListener("abort", () => reject(request.signal.reason)));
`,
  });
  await project.ok("start");
  const caller = project.spawn("call", "long", "hang", "--timeout", "50000");
  const control = socketOf(pathsOf(home, project.root), "ctl", "long");
  await eventually("it runs", async () =>
    JSON.stringify(await askControl(control, "requests", undefined, 2_000)).includes("hang"),
  );
  const idle = connect(port, "127.0.0.1");
  idle.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  await new Promise((answered) => idle.once("data", answered));
  const closed = new Promise((resolve) => idle.once("close", resolve));
  const stopped = project.ok("stop");
  await closed;
  // It is waited for all the same; whoever comes now is refused at once, and waits for nothing.
  expect(await refusal({ port, host: "127.0.0.1" })).toBe("ECONNREFUSED");
  expect(await refusal({ path: socketOf(pathsOf(home, project.root), "rpc", "long") })).toBe("ENOENT");
  expect((await listed()).map(({ state }) => state)).toEqual(["stopping"]);
  caller.kill("SIGKILL");
  await stopped;
});

it("a stop lets background work finish", async () => {
  project = createProject({
    "cages/busy/api.ts": `import { background, log } from "#runtime";
export const begin = () => background(() => new Promise<void>((done) => setTimeout(() => { log.info("done all the same"); done(); }, 1_500)));
`,
  });
  await project.ok("start");
  await project.ok("call", "busy", "begin");
  await project.ok("stop");
  expect(await project.ok("logs", "busy")).toContain("done all the same");
});
