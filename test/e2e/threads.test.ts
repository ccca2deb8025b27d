import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createProject, eventually, freePorts, type Project } from "../kit/project.ts";

let project: Project;
let port: number;

const sums = (version: number) => `import { threadId } from "node:worker_threads";
import { CageError, cage, fn, log, request, z } from "#runtime";
import { spin } from "#lib/spin.ts";

let runs = 0;

/** For as long as it is told; answers where it ran. */
export const spent = fn({ input: z.object({ ms: z.int() }), worker: true }, ({ ms }) => {
  spin(ms);
  return { version: ${version}, thread: threadId > 0, id: request.id, runs: ++runs };
});
export const types = fn({ worker: true }, (value: unknown) => value);
export const refused = fn({ worker: true }, (sku: string) => { throw new CageError("SOLD_OUT", "there is none left", { details: { sku } }); });
export const broken = fn({ worker: true }, (): void => { throw new TypeError("it is broken"); });
export const outside = fn({ worker: true }, async () => await cage<{ echo(n: number): number }>("self").echo(1));
export const told = fn({ worker: true }, () => { log.info("computed", { by: "the thread" }); return true; });
export const local = async () => (await spent({ ms: 0 })).thread;
export const forever = fn({ worker: true }, () => { for (;;) spin(1_000); });
`;

beforeAll(async () => {
  [port] = (await freePorts(1)) as [number];
  project = createProject({
    "config/maths.ts": `export const config = { interfaces: { web: { protocol: "http", port: ${port} } } };`,
    "lib/spin.ts": `export function spin(ms: number): void { for (const until = Date.now() + ms; Date.now() < until; ); }\n`,
    "cages/maths/sums.ts": sums(1),
    "cages/maths/api.ts": `export * as sums from "./sums.ts";\nexport * as sent from "./sent.ts";\n`,
    "cages/maths/sent.ts": `import { CageError, fn } from "#runtime";
export const echo = fn({ worker: true }, (value: unknown) => value);
export const left = fn({ worker: true }, () => { setTimeout(() => { throw new Error("thrown when nobody waits"); }, 10); return process.pid; });
export const both = async () => [await echo(() => 1).catch((error: CageError) => [error.code, error.message]), await echo(2)];
`,
    "cages/maths/web.ts": `import { request } from "#runtime";
import { spent } from "./sums.ts";
export const routes = {
  "GET /spent/:ms": async (ask: { params: { ms: string } }) => ({ ...(await spent({ ms: Number(ask.params.ms) })), asked: request.id }),
  "GET /": () => "quick",
};
`,
  });
  await project.ok("start", "maths");
});
afterAll(async () => await project.remove());

const call = async (name: string, ...args: unknown[]): Promise<unknown> =>
  JSON.parse(await project.ok("call", "maths", `sums.${name}`, ...args.map((each) => JSON.stringify(each)), "--json"));

describe("a function with worker: true", () => {
  it("runs in a thread, as the request that called it, with what its module imports", async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/spent/1`);
    const { id, asked, ...rest } = (await answer.json()) as { id: string; asked: string };
    expect(rest).toMatchObject({ version: 1, thread: true });
    expect(id).toBe(asked);
    expect(await call("local")).toBe(true);
  });

  it("leaves the event loop to everybody else", async () => {
    const slow = fetch(`http://127.0.0.1:${port}/spent/1500`);
    let quick = 0;
    let done = false;
    slow.finally(() => (done = true)).catch(() => {});
    while (!done) {
      expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("quick");
      quick++;
    }
    expect((await slow).status).toBe(200);
    expect(quick).toBeGreaterThan(50);
  });

  it("is of the request's generation: a save is seen by the next call, state of an unchanged one is kept", async () => {
    const first = (await call("spent", { ms: 0 })) as { runs: number };
    const second = (await call("spent", { ms: 0 })) as { runs: number };
    expect(second.runs).toBe(first.runs + 1);
    const old = fetch(`http://127.0.0.1:${port}/spent/700`);
    project.write({ "cages/maths/sums.ts": sums(2) });
    await eventually("the new version answers", async () => {
      const { version } = (await call("spent", { ms: 0 })) as { version: number };
      return version === 2;
    });
    expect(await (await old).json()).toMatchObject({ version: 1 });
  });

  it("checks its input before it goes there, and fails with its own error, by code", async () => {
    const bad = await project.cage("call", "maths", "sums.spent", `{"ms":"long"}`);
    expect([bad.code, bad.stderr]).toEqual([2, expect.stringContaining("ms: ")]);
    const none = await project.cage("call", "maths", "sums.refused", `"tea"`);
    expect([none.code, none.stderr]).toEqual([1, expect.stringContaining("SOLD_OUT")]);
  });

  it("may not call other cages, and says why", async () => {
    const ran = await project.cage("call", "maths", "sums.outside");
    expect([ran.code, ran.stderr]).toEqual([1, expect.stringContaining("only computes")]);
  });

  it("logs as its request, and its stack has the author's lines", async () => {
    await call("told");
    await project.cage("call", "maths", "sums.broken");
    const lines = await eventually("both are logged", async () => {
      const text = await project.ok("logs", "maths", "--json");
      return text.includes(`"computed"`) && text.includes("it is broken") ? text : undefined;
    });
    expect(lines).toMatch(/"message":"computed"/);
    const at =
      sums(2)
        .split("\n")
        .findIndex((line) => line.includes("it is broken")) + 1;
    expect(lines).toContain(`cages/maths/sums.ts:${at}:`);
  });

  it("refuses what cannot be sent there, and takes what comes next", async () => {
    const said = JSON.parse(await project.ok("call", "maths", "sent.both", "--json")) as unknown;
    expect(said).toEqual([["BAD_INPUT", expect.stringMatching(/^echo: its arguments cannot go to a thread: /)], 2]);
  });

  it("ends its thread, and nothing else, by what it throws after its answer", async () => {
    const pid = JSON.parse(await project.ok("call", "maths", "sent.left", "--json")) as number;
    await eventually("it is told", async () =>
      (await project.ok("logs", "maths")).includes("thrown when nobody waits"),
    );
    expect(await call("local")).toBe(true);
    expect(JSON.parse(await project.ok("list", "--json"))).toMatchObject([{ pid, restarts: 0 }]);
  });

  it("is ended at its deadline, with its thread, and the next call is served", async () => {
    const ran = await project.cage("call", "maths", "sums.forever", "--timeout", "700");
    expect([ran.code, ran.stderr]).toEqual([1, expect.stringMatching(/EXPIRED|CANCELLED|deadline/)]);
    expect(await call("local")).toBe(true);
  });
});
