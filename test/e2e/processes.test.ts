import { Agent, get } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { askControl } from "../../runtime/cage/control.ts";
import { pathsOf, socketOf } from "../../runtime/cage/paths.ts";
import type { InstanceStatus, WorkerStatus } from "../../runtime/cli/instances.ts";
import type { Snapshot } from "../../runtime/health/metrics.ts";
import { createProject, eventually, freePorts, home, type Project } from "../kit/project.ts";

let project: Project;
let port: number;

const web = (version: number) => `import { cage, request } from "#runtime";
import type * as Api from "./api.ts";
const many = cage<typeof Api>("many");
export const routes = {
  "GET /": () => ({ pid: process.pid, version: ${version}, level: request.logLevel }),
  "GET /slow": async () => { await new Promise((later) => setTimeout(later, 2_500)); return { pid: process.pid }; },
  "GET /done": async () => (await cage<typeof Api>("many", { via: "all" }).done.list()).map((each) => { if (each.ok) return each.value; throw each.error; }),
  "POST /later/:id": async (ask: { params: { id: string } }) => await many.retry({ id: ask.params.id }).done.add(ask.params.id, process.pid),
};
`;
const config = (processes: number) =>
  `export const config = { processes: ${processes}, interfaces: { web: { protocol: "http", port: ${port} } } };\n`;

beforeAll(async () => {
  [port] = (await freePorts(1)) as [number];
  project = createProject({
    "config/many.ts": config(3),
    "cages/many/web.ts": web(1),
    "cages/many/api.ts": `export * as done from "./done.ts";\n`,
    "cages/many/done.ts": `import { keep } from "#runtime";
const all = keep("all", () => [] as [string, number][]);
export const add = (id: string, from: number) => void all.push([id, from]);
export const list = () => ({ pid: process.pid, all });
`,
  });
  await project.ok("start", "many");
});
afterAll(async () => await project.remove());

interface Answer {
  readonly pid: number;
  readonly version: number;
  readonly level: string;
}

/** On a connection of its own, which the kernel gives to any of the processes. */
function ask(path = "/", method = "GET"): Promise<Answer> {
  const agent = new Agent({ keepAlive: false });
  return new Promise((resolve, reject) => {
    const asked = get({ port, host: "127.0.0.1", path, method, agent }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("end", () =>
        response.statusCode === 200 ? resolve(JSON.parse(text) as Answer) : reject(new Error(text)),
      );
    });
    asked.on("error", reject);
  });
}

const status = async (): Promise<InstanceStatus> =>
  (JSON.parse(await project.ok("list", "--json")) as InstanceStatus[])[0] as InstanceStatus;
/** As each of them says: one that is busy has not answered in time, and that is no answer. */
const whole = async (): Promise<InstanceStatus & { readonly worker: WorkerStatus }> =>
  await eventually("every process says how it is", async () => {
    const row = await status();
    const { worker, others } = row;
    return worker !== undefined && others.every((other) => other.worker !== undefined) && { ...row, worker };
  });
const pids = (row: InstanceStatus) => [row.pid, ...row.others.map(({ pid }) => pid)].filter((pid) => pid !== undefined);

/** Asks, several at once, until each of them has answered as it should: on a busy machine one may take most for a while. */
const all = async (of: readonly number[], fits: (answer: Answer) => boolean = () => true) =>
  await eventually(
    "every process answers",
    async () => {
      const seen = new Set<number>();
      for (let round = 0; round < 20 && seen.size < of.length; round++)
        for (const answer of await Promise.all(Array.from({ length: 16 }, () => ask())))
          if (fits(answer)) seen.add(answer.pid);
      return of.every((pid) => seen.has(pid));
    },
    40_000,
  );

describe("a cage of several processes", { timeout: 120_000 }, () => {
  it("answers from all of them, on one port, when its start has returned", async () => {
    const row = await whole();
    expect(pids(row)).toHaveLength(3);
    expect(row.others.map(({ process, worker }) => [process, worker?.generation])).toEqual([
      [2, 1],
      [3, 1],
    ]);
    expect(await project.ok("list")).toContain(`${row.pid} +2`);
    await all(pids(row));
  });

  it("serves a save from all of them, without one failed request", async () => {
    let failed = 0;
    let stop = false;
    const load = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (!stop) await ask().catch(() => failed++);
      }),
    );
    project.write({ "cages/many/web.ts": web(2) });
    await all(pids(await status()), ({ version }) => version === 2);
    // Broken for all of them, and seen by none.
    project.write({ "cages/many/web.ts": `${web(3)}\nconst broken = ;` });
    await eventually("it is told", async () => (await status()).worker?.broken);
    project.write({ "cages/many/web.ts": web(4) });
    await all(pids(await status()), ({ version }) => version === 4);
    stop = true;
    await load;
    expect(failed).toBe(0);
    const { worker, others } = await whole();
    expect(others.map((other) => other.worker?.generation)).toEqual([worker.generation, worker.generation]);
  });

  it("takes log levels set live in all of them, and ends them in all", async () => {
    await project.ok("level", "many", "debug", "--label", "GET /");
    await all(pids(await status()), ({ level }) => level === "debug");
    await project.ok("level", "many", "off");
    await all(pids(await status()), ({ level }) => level === "info");
  });

  it("takes a rollback in all of them", async () => {
    await project.ok("rollback", "many");
    await all(pids(await status()), ({ version }) => version === 2);
    project.write({ "cages/many/web.ts": web(5) });
    await all(pids(await status()), ({ version }) => version === 5);
  });

  it("makes a call durable from any of them, and delivers it once", async () => {
    const ids = Array.from({ length: 60 }, (_, n) => `call-${n}`);
    const asked = await Promise.all(ids.map(async (id) => ({ id, answer: await ask(`/later/${id}`, "POST") })));
    expect(asked.map(({ answer }) => answer)).toEqual(ids.map((id) => ({ id, duplicate: false })));
    // Each process has its own list: calls of a cage are spread over its processes, also those of itself.
    const lists = await eventually(
      "all are delivered",
      async () => {
        const answer = (await ask("/done")) as unknown as { pid: number; all: [string, number][] }[];
        return answer.flatMap(({ all }) => all).length >= ids.length && answer;
      },
      40_000,
    );
    const done = lists.flatMap(({ all }) => all);
    expect(done.map(([id]) => id).sort()).toEqual([...ids].sort());
    expect(lists.map(({ pid }) => pid).sort()).toEqual(pids(await status()).sort());
    expect(lists.filter(({ all }) => all.length > 0).length).toBeGreaterThan(1);
  });

  it("adds up what its processes measure", async () => {
    const answered = async () => {
      const path = socketOf(pathsOf(home, project.root), "ctl", "many");
      const { requests } = (await askControl(path, "metrics")) as Snapshot;
      return requests.find(({ label }) => label === "GET /")?.success ?? 0;
    };
    // What a generation has served is theirs together as well.
    const served = async () => {
      const rows = JSON.parse(await project.ok("history", "many", "--json")) as {
        serving?: boolean;
        after: { requests: number };
      }[];
      return rows.find(({ serving }) => serving)?.after.requests ?? 0;
    };
    const [before, servedBefore] = [await answered(), await served()];
    await Promise.all(Array.from({ length: 50 }, () => ask()));
    expect(await answered()).toBe(before + 50);
    expect(await served()).toBe(servedBefore + 50);
  });

  it("goes on when one of the others is killed, and starts it again", async () => {
    const before = await status();
    const [other] = before.others;
    process.kill(other?.pid as number, "SIGKILL");
    const after = await eventually("there are three again", async () => {
      const row = await status();
      const [again] = row.others.filter(({ process }) => process === other?.process);
      return again?.worker !== undefined && again.pid !== other?.pid && row;
    });
    expect(after.pid).toBe(before.pid);
    expect(after.state).toBe("ready");
    await all(pids(after), ({ version }) => version === 5);
  });

  it("goes on when the first is killed, and follows the next first", async () => {
    const before = await status();
    process.kill(before.pid as number, "SIGKILL");
    const after = await eventually("there is a first again", async () => {
      const row = await status();
      return row.state === "ready" && row.pid !== before.pid && row.worker !== undefined && row;
    });
    expect(after.others.map(({ pid }) => pid)).toEqual(before.others.map(({ pid }) => pid));
    project.write({ "cages/many/web.ts": web(6) });
    await all(pids(after), ({ version }) => version === 6);
  });

  it("becomes more and fewer by a save of its configuration", async () => {
    project.write({ "config/many.ts": config(4) });
    await eventually("there are four", async () => {
      const { others } = await status();
      return others.length === 3 && others.every(({ worker }) => worker !== undefined);
    });
    // They finish what they have begun, though more is saved meanwhile.
    const slow = Promise.all(Array.from({ length: 12 }, () => ask("/slow")));
    project.write({ "config/many.ts": config(1) });
    const generation = async () => (await status()).worker?.generation ?? 0;
    for (const version of [7, 8]) {
      const before = await generation();
      project.write({ "cages/many/web.ts": web(version) });
      await eventually("it is saved", async () => (await generation()) > before);
    }
    expect(await slow).toHaveLength(12);
    await eventually("there is one", async () => (await status()).others.length === 0);
    await all(pids(await status()));
  });

  it("swaps none of them when one cannot serve what was saved, and says which and where, once", async () => {
    project.write({ "config/many.ts": config(3) });
    const row = await eventually("there are three", async () => {
      const row = await status();
      return row.others.length === 2 && row.others.every(({ worker }) => worker !== undefined) && row;
    });
    const before = row.worker?.generation ?? 0;
    project.write({
      "cages/many/web.ts": `${web(9)}if (process.title.includes("#2")) throw new Error("only in the second");\n`,
    });
    const broken = await eventually("it is told", async () => {
      const { broken } = (await status()).worker ?? {};
      return broken?.message.includes("only in the second") && broken;
    });
    expect(broken).toMatchObject({
      message: expect.stringMatching(
        /^process 2 cannot serve it, so none does: threw while loading: only in the second/,
      ),
      frame: expect.stringContaining(`throw new Error("only in the second")`),
    });
    const after = await status();
    expect([after.worker, ...after.others.map(({ worker }) => worker)].map((worker) => worker?.generation)).toEqual([
      before,
      before,
      before,
    ]);
    expect(pids(after)).toEqual(pids(row));
    await all(pids(row), ({ version }) => version !== 9);
    const failed = JSON.parse(await project.ok("history", "many", "--json")) as { ok: boolean; generation: number }[];
    expect(failed.filter((each) => !each.ok && each.generation === before + 1)).toHaveLength(1);
    project.write({ "cages/many/web.ts": web(10) });
    await all(pids(row), ({ version }) => version === 10);
    expect((await status()).worker?.generation).toBe(before + 1);
  });

  it("serves from the others when one ends again and again, and says so", async () => {
    const slain = new Set<number>();
    await eventually(
      "it is given up",
      async () => {
        const row = await status();
        const pid = row.others.find(({ process }) => process === 3)?.pid;
        if (pid !== undefined && !slain.has(pid)) process.kill(pid, "SIGKILL");
        slain.add(pid ?? 0);
        return row.degraded.includes(3);
      },
      30_000,
    );
    const row = await status();
    expect([row.state, row.others.map(({ process }) => process)]).toEqual(["ready", [2]]);
    expect(await project.ok("list")).toContain("many: degraded, process 3 ends again and again; the others serve");
    await all(pids(row), ({ version }) => version === 10);
  });

  it("does not start, and says why, when one of them does not", async () => {
    project.write({
      "cages/odd/api.ts": `if (process.title.includes("#2")) throw new Error("only in the second");\n`,
      "config/odd.ts": "export const config = { processes: 2 };\n",
    });
    const ran = await project.cage("start", "odd");
    expect([ran.code, ran.stdout + ran.stderr]).toEqual([1, expect.stringContaining("only in the second")]);
    expect((JSON.parse(await project.ok("list", "--json")) as InstanceStatus[]).map(({ cage }) => cage)).toEqual([
      "many",
    ]);
  });

  it("leaves nobody behind when it is stopped", async () => {
    project.write({ "config/many.ts": config(2) });
    const row = await eventually("there are two", async () => {
      const row = await status();
      return row.others.length === 1 && row;
    });
    await project.ok("stop", "many");
    for (const pid of pids(row)) expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  });
});
